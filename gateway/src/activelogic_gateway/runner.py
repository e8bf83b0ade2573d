# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the command of an operation in a session of its own, when its turn has come."""

from __future__ import annotations

import asyncio
import logging

from .auth import Login
from .commands import Command, Outcome, SpoolPlace, outcome_of
from .config import Limits
from .operations import Operation
from .problems import Problem
from .sessions import CallerSessions, StuckSystems
from .spool import Spool
from .vendor_session import CommandFailed, ConnectFailed, TimeLimit

logger = logging.getLogger(__name__)


class Runner:
    """Runs operations and determines their outcomes."""

    def __init__(self, limits: Limits, callers: CallerSessions, stuck: StuckSystems, spool: Spool) -> None:
        self._limits = limits
        self._callers = callers
        self._stuck = stuck
        self._spool = spool

    async def run(self, operation: Operation) -> Outcome:
        """Run the command and return its outcome; any exception becomes an outcome too."""
        try:
            return await self._outcome(operation)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not operation.forced or task is None:
                raise
            task.uncancel()
            uuid = operation.key.uuid
            if operation.progress.sent and operation.request.writes:
                return Outcome("unknown", cause="ended_by_owner")
            problem = Problem("cancelled", f"operation {uuid} was ended by its owner before it had an effect")
            return Outcome("failed", problem=problem)
        except Exception as error:
            logger.exception("operation %s failed in the gateway", operation.key.uuid)
            problem = Problem("internal_error", f"the gateway failed ({type(error).__name__})")
            if operation.progress.sent and operation.request.writes:
                return Outcome("unknown", problem=problem, cause="unexpected_error")
            return Outcome("failed", problem=problem)

    async def _outcome(self, operation: Operation) -> Outcome:
        """Run the command.

        An exception that leaves it is a defect of the gateway, or comes from an SDK exception that can't be read.
        """
        request, progress, system = operation.request, operation.progress, operation.key.system
        password = operation.password or ""
        place = SpoolPlace(self._spool, operation.spool_key, operation.content)
        try:
            async with self._callers.open_for(operation) as (session, identity):
                result = await Command(session, system, request, place, progress, self._limits).run(identity)
                operation.content = place.content
        except Problem as problem:
            return Outcome("failed", problem=problem)
        except ConnectFailed as failure:
            login = Login(operation.key.username, password)
            self._callers.note_refusal(failure, system, login, operation.address, of=operation)
            return outcome_of(failure, request, progress, system, (password,))
        except (CommandFailed, TimeLimit) as failure:
            if isinstance(failure, TimeLimit):
                self._stuck.note(system, failure)
            return outcome_of(failure, request, progress, system, (password,))
        self._stuck.note_answer(system)
        return Outcome("succeeded", result)
