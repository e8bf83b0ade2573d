# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface of both transports, and their retries. Private to this collection."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol, TypeVar

from .._connection import Settings
from .._deadline import Deadline
from .._errors import AccessDeniedError, ActiveLogicError
from .._files._access import Opener
from .._model import Listing, Received, Sent, System

T = TypeVar("T")

RETURNED = "returned"
LOST = "lost"


class Transport(Protocol):
    """The Backup resource of one system, with the verbs of the vendor's API and nothing else.

    Every method raises only errors of :mod:`_errors`. Reads are retried where that is safe; a command that changes
    something is never repeated.
    """

    passed_over: str
    """The latest warning about unusable rows of a listing, see :class:`Listing`; empty when there was none."""

    @property
    def tries(self) -> int:
        """How often the most retried request was sent; 1 when none was retried."""

    def identity(self) -> System:
        """Log in and say which system answered."""

    def list(self) -> Listing:
        """List all backups of the system; sizes are in bytes."""

    def create_new(self, name: str, resource_name: str | None) -> str:
        """Create a backup and return its name; ``""`` lets the system choose one.

        :raises OutcomeUnknownError: when the answer was lost.
        """

    def restore(self, name: str, resource_name: str | None, expected_machine_id: str | None) -> str:
        """Restore a backup: ``returned``, or ``lost`` when the connection ended before the answer.

        :param expected_machine_id: compared in the session that restores; a different one is a ConflictError.
        """

    def remove(self, name: str) -> None:
        """Remove a backup."""

    def download(self, name: str, path: str, opener: Opener | None = None) -> Received:
        """Write a backup into the existing local file ``path``, from its start.

        :param opener: opens the file, as for :func:`open`; ``path`` is then used in messages only.
        """

    def digest(self, name: str) -> Received:
        """Download a backup from the system and return its size and SHA-256, without keeping it."""

    def upload(self, name: str, path: str, replace: bool) -> Sent:
        """Send the local file ``path`` as backup ``name``; ``replace`` allows overwriting a backup of that name."""

    def probe(self) -> None:
        """Check whether the system is ready: one new login and one listing, without retries."""

    def close(self) -> None:
        """Close the session and all connections. Safe to call twice."""


class Attempts:
    """Retries something while it raises repeatable errors, at most ``retries`` times::

        attempts = Attempts(settings, sleep, count)
        while True:
            with attempts:
                return send()

    Each run of the block is one try; its error is suppressed if there will be another one. The block has to return.

    The pause doubles from ``retry_delay`` to ``retry_max_delay``, with jitter. While the peer is refusing logins,
    the pause is as long as the peer asks for, as an earlier try would be useless; if the deadline is earlier, the error
    is raised.

    :param on_try: called with the number of each try, from 1.
    :param deadline: limits the pauses after refused logins; by default they may take ``wait_timeout`` in total.
    """

    def __init__(
        self,
        settings: Settings,
        sleep: Callable[[float], None],
        on_try: Callable[[int], None],
        deadline: Deadline | None = None,
        *,
        retries: int | None = None,
    ) -> None:
        self._settings = settings
        self._sleep = sleep
        self._on_try = on_try
        self._deadline = deadline
        self._retries = settings.retries if retries is None else retries
        self._wait_left = settings.wait_timeout
        self._number = 0

    def __enter__(self) -> None:
        self._number += 1
        self._on_try(self._number)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, ActiveLogicError) or not error.repeatable or self._number > self._retries:
            return False
        seconds = pause(self._number - 1, self._settings, error)
        if isinstance(error, AccessDeniedError):
            if seconds > (self._wait_left if self._deadline is None else self._deadline.left()):
                return False
            self._wait_left -= seconds
        self._sleep(seconds)
        return True


def pause(number: int, settings: Settings, error: ActiveLogicError) -> float:
    """Seconds to wait after failed try ``number`` (from 0): at least what the peer asked for, up to the limit.

    While the peer is refusing logins the limit does not apply, and the jitter keeps the tasks of many hosts from coming
    back at the same moment.
    """
    own: float = min(settings.retry_delay * 2.0**number, settings.retry_max_delay) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
    if error.retry_after is None:
        return own
    if isinstance(error, AccessDeniedError):
        return error.retry_after + own
    return min(max(own, error.retry_after), settings.retry_max_delay)
