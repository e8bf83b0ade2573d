# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build the results of all modules. Private to this collection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._context import Context
from .._model import BackupFile, System, describe, listing_to_result
from .._plan import PassedOver, Plan, passed_over_to_result


def result(system: System, *, changed: bool, passed_over: Iterable[PassedOver] = (), **values: Any) -> dict[str, Any]:
    """The return values that all modules share, with a module's own ``values``.

    :param passed_over: backups that could have been used, and why they were not.
    """
    passed = passed_over_to_result(tuple(passed_over))
    return {"changed": changed, **values, "passed_over": passed, "system": system.to_result()}


def described(context: Context, backup: BackupFile | None, **more: Any) -> dict[str, Any] | None:
    """Return value ``backup``, with additional values."""
    return None if backup is None else {**describe(backup, context.now, context.zone), **more}


def result_of_plan(
    context: Context,
    plan: Plan,
    system: System,
    backup: BackupFile | None,
    *,
    after: tuple[BackupFile, ...] | None = None,
    verified_by: Iterable[str] = (),
) -> dict[str, Any]:
    """The result of a state of activelogic_backup.

    :param after: the final listing; by default the one that was planned.
    :param verified_by: the checks that ``backup`` has passed.
    """
    if plan.warning:
        context.warn(plan.warning)
    answer = result(
        system,
        changed=plan.changed,
        action=plan.action,
        reason=plan.reason,
        backup=described(context, backup),
        safety_backup=None,
        verified=None,
        verified_by=list(verified_by),
        passed_over=plan.passed_over,
    )
    if context.diff:  # two whole listings, which may have thousands of lines
        answer["diff"] = {
            "before": {"backups": listing_to_result(plan.before)},
            "after": {"backups": listing_to_result(plan.after if after is None else after)},
        }
    return answer
