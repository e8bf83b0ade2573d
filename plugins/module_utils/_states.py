# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The states of activelogic_backup: look, plan, and carry the plan out. Private to this collection."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

from . import _names
from ._client import Client, Listing, require_complete, require_found
from ._errors import (
    AccessDeniedError,
    ActiveLogicError,
    AuthenticationError,
    ConflictError,
    NotFoundError,
    OptionError,
    RefusedError,
)
from ._model import BackupFile, System, describe, find, listing_to_result
from ._plan import (
    Plan,
    parse_duration,
    plan_absent,
    plan_always,
    plan_fresh,
    plan_named,
    plan_restored,
)
from ._runner import Context

DID_NOT_RUN = (RefusedError, ConflictError, NotFoundError, AuthenticationError, AccessDeniedError, OptionError)
"""Errors of a restore that say for certain that nothing was restored."""


def apply_state(context: Context) -> dict[str, Any]:
    """Bring about ``state`` and return the result of the module."""
    states = {"present": _present, "absent": _absent, "restored": _restored}
    return states[context.params["state"]](context)


def _present(context: Context) -> dict[str, Any]:
    params, client = context.params, context.client
    if not (params["name"] or params["max_age"] or params["always"]):
        raise OptionError("state present needs one of name, max_age and always: true", hint="set one of them")
    if params["name"]:
        _names.require_legal(params["name"])
    zone = _names.zone_from(params["timezone"])
    max_age = parse_duration(params["max_age"], "max_age") if params["max_age"] else None
    system = _log_in(context)
    first = client.list()
    new_name = _new_name(context, first)

    def plan(found: Listing) -> Plan:
        if params["name"]:
            return plan_named(found, params["name"], params["force"])
        if max_age is not None:
            prefix = params["prefix"]
            return plan_fresh(found, new_name, max_age=max_age, now=context.now, prefix=prefix, zone=zone)
        return plan_always(found, new_name)

    found = Listing(tuple(first), {})
    if not plan(found).changed:
        # Only a backup that is relied on has to be complete: looking twice takes seconds.
        found = client.settle([each.name for each in first], params["min_size"], first)
    decided = plan(found)
    if not decided.changed or context.check_mode:
        return _result(context, decided, system, _planned(decided), zone=zone)
    for name in decided.remove:
        client.remove(name)
    known = {each.name for each in decided.before} - set(decided.remove)
    made, after = client.create_complete(decided.name or "", params["resource_name"], params["min_size"], known)
    return _result(context, decided, system, made, zone=zone, after=after.backups)


def _new_name(context: Context, listing: list[BackupFile]) -> str:
    """Choose the name of a backup that may be made; ``""`` leaves it to the system."""
    params = context.params
    if params["name"]:
        return str(params["name"])
    if params["system_name"]:
        return ""
    return _unused_name(context, listing, params["prefix"], params["resource_name"])


def _unused_name(context: Context, listing: list[BackupFile], prefix: str, resource_name: str | None) -> str:
    taken = {each.name for each in listing}
    for _number in range(20):
        name = _names.generate(context.now, prefix=prefix, resource_name=resource_name)
        if name not in taken:
            return name
    raise ConflictError("no unused name was found for the new backup", hint="run the task again")


def _absent(context: Context) -> dict[str, Any]:
    names = [context.params["name"]] if context.params["names"] is None else list(context.params["names"])
    for name in names:
        _names.require_legal(name)
    system = _log_in(context)
    plan = plan_absent(Listing(tuple(context.client.list()), {}), names)
    zone = _names.zone_from(context.params["timezone"])
    subject = None if plan.name is None else find(plan.before, plan.name)
    if not plan.changed or context.check_mode:
        return _result(context, plan, system, subject, zone=zone)
    for name in plan.remove:
        try:
            context.client.remove(name)
        except NotFoundError:
            continue  # somebody else was faster; the listing below tells
    after = tuple(context.client.list())
    left = sorted({each.name for each in after} & set(plan.remove))
    if left:
        raise ConflictError(
            f"still listed after their removal: {', '.join(left)}",
            operation="remove backups",
            hint="look at the system",
        )
    return _result(context, plan, system, subject, zone=zone, after=after)


def _restored(context: Context) -> dict[str, Any]:
    params, client = context.params, context.client
    name = _names.require_legal(params["name"])
    zone = _names.zone_from(params["timezone"])
    system = _log_in(context)
    operation = f"restore the backup {name!r}"
    first = client.list()
    require_found(first, name, operation)
    found = client.settle([name], params["min_size"], first)
    wanted = require_complete(found, name, operation)
    safety_name = None
    if params["safety_backup"]:
        safety_name = _unused_name(context, list(found.backups), _names.SAFETY_PREFIX, None)
    plan = plan_restored(found, name, safety_name)
    if context.check_mode:
        return _result(context, plan, system, wanted, zone=zone)
    safety = _restore_safely(context, plan, safety_name)
    return _result(context, plan, system, wanted, zone=zone, after=tuple(client.list()), safety=safety)


def _restore_safely(context: Context, plan: Plan, safety_name: str | None) -> BackupFile | None:
    """Make the safety backup, restore, wait until the system is ready; return the safety backup.

    The safety backup goes away again when it is certain that nothing was restored, and stays in every other case.
    """
    params, client = context.params, context.client
    known = {each.name for each in plan.before}
    safety = None
    if safety_name is not None:
        safety, _listing = client.create_complete(safety_name, None, 1, known)
        known.add(safety_name)
    try:
        strangers = sorted({each.name for each in client.list()} - known)
        if strangers:
            raise ConflictError(
                f"the backup {strangers[0]!r} appeared meanwhile, so somebody else is at work",
                operation=f"restore the backup {plan.name!r}",
                hint="run the task again when they are done",
            )
        client.restore_and_wait(
            plan.name or "", params["resource_name"], params["expected_machine_id"], params["settle_after_restore"]
        )
    except ActiveLogicError as error:
        if safety_name is not None:
            _settle_safety_backup(client, safety_name, error)
        raise
    return safety


def _settle_safety_backup(client: Client, name: str, error: ActiveLogicError) -> None:
    """Remove the safety backup if nothing was restored; else say in the error where it is."""
    if isinstance(error, DID_NOT_RUN):
        try:
            client.remove(name)
            return
        except ActiveLogicError:
            pass  # it stays, and the error names it
    command = f"-m netops.activelogic.activelogic_backup -a 'state=restored name={name}'"
    where = f"the configuration from before is in the safety backup {name}, bring it back with {command}"
    error.hint = f"{error.hint}; {where}" if error.hint else where


def _log_in(context: Context) -> System:
    system = context.client.identity()
    system.require_machine(context.params["expected_machine_id"], "log in")
    return system


def _planned(plan: Plan) -> BackupFile | None:
    return find(plan.after, plan.name or "")


def _result(
    context: Context,
    plan: Plan,
    system: System,
    backup: BackupFile | None,
    *,
    zone: tzinfo | None,
    after: tuple[BackupFile, ...] | None = None,
    safety: BackupFile | None = None,
) -> dict[str, Any]:
    """The result in its one form; ``after`` is what the system reports, where something was done."""
    described = None if backup is None else describe(backup, context.now, zone)
    return {
        "changed": plan.changed,
        "action": plan.action,
        "reason": plan.reason,
        "backup": described,
        "safety_backup": None if safety is None else describe(safety, context.now, zone),
        "verified": None,
        "system": system.to_result(),
        "diff": {
            "before": {"backups": listing_to_result(plan.before)},
            "after": {"backups": listing_to_result(plan.after if after is None else after)},
        },
    }
