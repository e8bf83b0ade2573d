# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The states of activelogic_backup: look, plan, and carry the plan out. Private to this collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import _names, _sentences
from .._client import Listing, require_found
from .._failures import BACKUPS_LEFT, NAME_MISTAKEN, PRESENT_NEEDS_MORE, SYSTEM_NAME_WRONG
from .._model import BackupFile, Backups, find
from .._plan import (
    Plan,
    parse_duration,
    plan_absent,
    plan_always,
    plan_fresh,
    plan_named,
)
from .._runner import Context
from ._copies import Copies, local_copies
from ._restored import restored
from ._result import log_in, result, unused_name

Planner = Callable[[Listing], Plan]
"""Plans from what was found, the same way each time."""


def apply_state(context: Context) -> dict[str, Any]:
    """Bring about ``state`` and return the result of the module."""
    states = {"present": _present, "absent": _absent, "restored": restored}
    return states[context.params["state"]](context)


def _present(context: Context) -> dict[str, Any]:
    params, client = context.params, context.client
    if not (params["name"] or params["max_age"] or params["always"]):
        raise PRESENT_NEEDS_MORE.error()
    if params["name"]:
        _names.require_legal(params["name"])
    zone = _names.zone_from(params["timezone"])
    max_age = parse_duration(params["max_age"], "max_age") if params["max_age"] else None
    if not params["name"]:
        _names.require_prefix(params["prefix"])
        _require_telling_names(params)
    system = log_in(context)
    first = client.list()
    new_name = _new_name(context, first)

    def plan(found: Listing) -> Plan:
        if params["name"]:
            return plan_named(found, params["name"], params["force"], now=context.now, zone=zone)
        if max_age is not None:
            prefix = params["prefix"]
            return plan_fresh(found, new_name, max_age=max_age, now=context.now, prefix=prefix, zone=zone)
        return plan_always(found, new_name)

    with local_copies(context) as copies:
        decided = _decide(context, first, plan, copies)
        if not decided.changed:
            there = require_found(decided.after, decided.name or "", "rely on a backup")
            return result(context, decided, system, there, zone=zone, verified_by=copies.verified_by(there.name))
        _require_fitting_name(params)
        backup, after = find(decided.after, decided.name or ""), None
        if not context.check_mode:
            backup, after = _create(context, decided, plan, copies)
        vouchers = copies.verified_by(backup.name) if after is not None and backup is not None else []
        answer = result(context, decided, system, backup, zone=zone, after=after, verified_by=vouchers)
        if answer["backup"] is not None and params["resource_name"]:
            answer["backup"]["purpose"] = _names.PARTIAL  # this run knows, whether the name tells it or not
        return answer


def _require_telling_names(params: Mapping[str, Any]) -> None:
    """:raises OptionError: where names of the system would not tell what the next run has to know.

    With ``max_age`` it would make a new backup each time otherwise, or take one of a resource for a full one.
    """
    if not params["system_name"]:
        return
    if params["resource_name"]:
        options, what, advice = "resource_name", "that a backup is of one resource", "leave system_name off"
    elif params["max_age"] and params["prefix"]:
        options, what, advice = "max_age and prefix", "the prefix", "leave out one of them"
    elif params["max_age"] and not params["timezone"]:
        options, what, advice = "max_age and without timezone", "the age", "set timezone to the one of the system"
    else:
        return
    raise SYSTEM_NAME_WRONG.error(options=options, what=what, advice=advice)


def _require_fitting_name(params: Mapping[str, Any]) -> None:
    """:raises OptionError: where a new backup would be taken for something else by the name that the user chose."""
    if params["name"] and (what := _names.mistaken_for(params["name"], params["resource_name"])):
        raise NAME_MISTAKEN.error(name=params["name"], what=what)


def _decide(context: Context, first: Backups, plan: Planner, copies: Copies) -> Plan:
    """Plan, and look twice at what is relied on, and into it: that takes seconds, and a download."""
    found = Listing(tuple(first), {})
    if not plan(found).changed:
        found = context.client.settle([each.name for each in first], context.params["min_size"], first)

    def relied_on(listing: Listing) -> str | None:
        decided = plan(listing)
        return None if decided.changed else decided.name

    return plan(copies.without_damaged(found, relied_on))


def _create(
    context: Context, decided: Plan, plan: Planner, copies: Copies
) -> tuple[BackupFile, tuple[BackupFile, ...]]:
    """Carry a plan out; returns the new backup, and the listing that shows it as complete."""
    client, params = context.client, context.params
    for name in decided.remove:
        client.discard(name)
    known = {each.name for each in decided.before} - set(decided.remove)

    def still(listing: Backups) -> bool:
        again = plan(Listing(tuple(listing), {}))
        return (again.action, again.name) == (decided.action, decided.name)

    made, after = client.create_complete(
        decided.name or "", params["resource_name"], params["min_size"], known, damage=copies.damage, still=still
    )
    return made, after.backups


def _new_name(context: Context, listing: list[BackupFile]) -> str:
    """Choose the name of a backup that may be made; ``""`` leaves it to the system."""
    params = context.params
    if params["name"]:
        return str(params["name"])
    if params["system_name"]:
        return ""
    return unused_name(context, listing, params["prefix"], params["resource_name"])


def _absent(context: Context) -> dict[str, Any]:
    names = [context.params["name"]] if context.params["names"] is None else list(context.params["names"])
    for name in names:
        _names.require_legal(name)
    system = log_in(context)
    plan = plan_absent(Listing(tuple(context.client.list()), {}), names)
    zone = _names.zone_from(context.params["timezone"])
    subject = None if plan.name is None else find(plan.before, plan.name)
    if not plan.changed or context.check_mode:
        return result(context, plan, system, subject, zone=zone)
    for name in plan.remove:
        context.client.discard(name)
    after = tuple(context.client.list())
    left = sorted({each.name for each in after} & set(plan.remove))
    if left:
        raise BACKUPS_LEFT.error(names=_sentences.names(left), operation="remove backups")
    return result(context, plan, system, subject, zone=zone, after=after)
