# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all states of activelogic_backup begin and end with. Private to this collection."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo
from typing import Any

from .. import _names
from .._failures import NO_UNUSED_NAME
from .._model import BackupFile, System, describe, listing_to_result
from .._plan import Plan, passed_over_to_result
from .._runner import Context


def log_in(context: Context) -> System:
    """Log in, and guard against the wrong machine (``expected_machine_id``)."""
    system = context.client.identity()
    system.require_machine(context.params["expected_machine_id"], "log in")
    return system


def unused_name(context: Context, listing: Iterable[BackupFile], prefix: str, resource_name: str | None = None) -> str:
    """Make a name of ours that no backup has.

    :raises ConflictError: when twenty names were taken.
    """
    taken = {each.name for each in listing}
    for _number in range(20):
        name = _names.generate(context.now, prefix=prefix, resource_name=resource_name)
        if name not in taken:
            return name
    raise NO_UNUSED_NAME.error()


def result(
    context: Context,
    plan: Plan,
    system: System,
    backup: BackupFile | None,
    *,
    zone: tzinfo | None,
    after: tuple[BackupFile, ...] | None = None,
    verified_by: Iterable[str] = (),
) -> dict[str, Any]:
    """The result in its one form.

    :param after: what the system reports, where something was done.
    :param verified_by: what vouches for ``backup``.
    """
    described = None if backup is None else describe(backup, context.now, zone)
    if plan.warning:
        context.warn(plan.warning)
    answer = {
        "changed": plan.changed,
        "action": plan.action,
        "reason": plan.reason,
        "backup": described,
        "safety_backup": None,
        "verified": None,
        "verified_by": list(verified_by),
        "passed_over": passed_over_to_result(plan.passed_over),
        "system": system.to_result(),
    }
    if context.diff:  # two whole listings, which may have thousands of lines
        answer["diff"] = {
            "before": {"backups": listing_to_result(plan.before)},
            "after": {"backups": listing_to_result(plan.after if after is None else after)},
        }
    return answer
