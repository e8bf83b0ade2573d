# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The states ``present`` and ``absent`` of activelogic_backup: list, plan, execute. Private to this collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import _names, _sentences
from .._client import StillNeeded
from .._context import Context
from .._errors import during
from .._failures import BACKUPS_LEFT, NAME_MISTAKEN, PRESENT_NEEDS_MORE, SYSTEM_NAME_WRONG
from .._model import Listing
from .._plan import (
    Plan,
    parse_duration,
    plan_absent,
    plan_always,
    plan_fresh,
    plan_named,
)
from ._copies import Copies, local_copies
from ._result import result_of_plan

Planner = Callable[[Listing], Plan]
"""Makes a plan from a listing; the same listing always gives the same plan."""


def present(context: Context) -> dict[str, Any]:
    """Make sure that a backup exists: a named one, one that is recent enough, or a new one."""
    params, client = context.params, context.client
    if not (params["name"] or params["max_age"] or params["always"]):
        raise PRESENT_NEEDS_MORE.error()
    if params["name"]:
        _names.require_legal(params["name"])
    max_age = parse_duration(params["max_age"], "max_age") if params["max_age"] else None
    if not params["name"]:
        _names.require_prefix(params["prefix"])
        _require_system_name_allowed(params)
    system = client.identity(params["expected_machine_id"])
    first = client.list()
    new_name = _new_name(context, first)

    def plan(found: Listing) -> Plan:
        if params["name"]:
            return plan_named(found, params["name"], params["force"], now=context.now, zone=context.zone)
        if max_age is not None:
            prefix = params["prefix"]
            return plan_fresh(found, new_name, max_age=max_age, now=context.now, prefix=prefix, zone=context.zone)
        return plan_always(found, new_name)

    with local_copies(context) as copies:
        decided = _decide(context, first, plan, copies)
        if not decided.changed:
            with during("rely on a backup"):
                there = Listing(decided.after).require(decided.name or "")
            return result_of_plan(context, decided, system, there, verified_by=copies.verified_by(there.name))
        _require_fitting_name(params)
        backup, after, verified_by = Listing(decided.after).find(decided.name or ""), None, []
        if not context.check_mode:
            for name in decided.remove:
                client.discard(name)
            backup, listing = client.create_complete(
                decided.name or "",
                params["resource_name"],
                params["min_size"],
                {each.name for each in decided.before} - set(decided.remove),
                damage=copies.damage,
                still=_is_still_planned(decided, plan),
            )
            after, verified_by = listing.backups, copies.verified_by(backup.name)
        answer = result_of_plan(context, decided, system, backup, after=after, verified_by=verified_by)
        if answer["backup"] is not None and params["resource_name"]:
            answer["backup"]["purpose"] = _names.PARTIAL  # this run knows, even if the name does not say so
        return answer


def _require_system_name_allowed(params: Mapping[str, Any]) -> None:
    """:raises OptionError: when a name chosen by the system would lack what the next run has to read from it.

    Otherwise ``max_age`` would make a new backup each time, or mistake a partial backup for a full one.
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
    """:raises OptionError: when a new backup would be mistaken for another kind by the name that the user chose."""
    if params["name"] and (what := _names.mistaken_for(params["name"], params["resource_name"])):
        raise NAME_MISTAKEN.error(name=params["name"], what=what)


def _decide(context: Context, first: Listing, plan: Planner, copies: Copies) -> Plan:
    """Plan; before reusing a backup, list it twice and check its content, which takes two seconds and a download."""
    found = first
    if not plan(found).changed:
        found = context.client.settle(first.names, context.params["min_size"], first)

    def reused(listing: Listing) -> str | None:
        decided = plan(listing)
        return None if decided.changed else decided.name

    return plan(copies.without_damaged(found, reused))


def _is_still_planned(decided: Plan, plan: Planner) -> StillNeeded:
    """Whether a new listing leads to the same decision as an older one."""

    def compare(listing: Listing) -> bool:
        again = plan(listing)
        return (again.action, again.name) == (decided.action, decided.name)

    return compare


def _new_name(context: Context, listing: Listing) -> str:
    """The name for a new backup; ``""`` lets the system choose."""
    params = context.params
    if params["name"]:
        return str(params["name"])
    if params["system_name"]:
        return ""
    return _names.unused(context.now, listing.names, prefix=params["prefix"], resource_name=params["resource_name"])


def absent(context: Context) -> dict[str, Any]:
    """Make sure that backups do not exist."""
    params, client = context.params, context.client
    names = [params["name"]] if params["names"] is None else list(params["names"])
    for name in names:
        _names.require_legal(name)
    system = client.identity(params["expected_machine_id"])
    found = client.list()
    plan = plan_absent(found, names)
    subject = None if plan.name is None else found.find(plan.name)
    if not plan.changed or context.check_mode:
        return result_of_plan(context, plan, system, subject)
    for name in plan.remove:
        client.discard(name)
    after = client.list()
    with during("remove backups"):
        left = after.names & set(plan.remove)
        if left:
            raise BACKUPS_LEFT.error(names=_sentences.names(left))
    return result_of_plan(context, plan, system, subject, after=after.backups)
