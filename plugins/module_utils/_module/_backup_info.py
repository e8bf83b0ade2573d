# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of activelogic_backup_info: list and filter backups. Private to this collection."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from fnmatch import fnmatchcase
from typing import Any

from .. import _names
from .._context import Context
from .._model import BackupFile, Listing
from .._plan import AHEAD, Newest, PassedOver, newest_full, parse_duration
from ._copies import local_copies
from ._result import described, result


def query(context: Context) -> dict[str, Any]:
    """List the matching backups and return the result of the module. Never changes anything."""
    params, client = context.params, context.client
    zone = context.zone
    limits = {
        option: parse_duration(params[option], option) if params[option] else None
        for option in ("newer_than", "older_than", "max_age")
    }

    def newest(among: Listing) -> Newest:
        return newest_full(among, now=context.now, prefix="", zone=zone)

    system = client.identity()
    listing = client.list()
    chosen = [each for each in listing.backups if _fits(each, context, limits)]
    names = {each.name for each in chosen}
    found = listing.only(names)
    if limits["max_age"] is not None and chosen:
        # Only two listings and the content show whether a backup is complete; without max_age one listing is enough.
        found = client.settle(names, first=listing).only(names)
        with local_copies(context) as copies:
            found = copies.without_damaged(found, lambda listing: _name_of(newest(listing).backup))
    latest = newest(found)
    passed_over = _passed_over(context, listing, latest, newest)
    if any(each.what == AHEAD for each in passed_over):
        context.warn(Newest(None, None, passed_over).warning)
    return result(
        system,
        changed=False,
        backups=[described(context, each) for each in sorted(chosen, key=lambda each: each.name)],
        count=len(chosen),
        total_size=sum(each.size or 0 for each in chosen),
        latest=described(context, latest.backup),
        fresh=_is_fresh(found, latest, limits["max_age"], context.now, zone),
        passed_over=passed_over,
    )


def _passed_over(
    context: Context, listing: Listing, latest: Newest, newest: Callable[[Listing], Newest]
) -> tuple[PassedOver, ...]:
    """Backups that could be the latest, including those that ``newer_than`` or ``older_than`` drop for unknown age."""
    named = listing.only({each.name for each in listing.backups if _has_fitting_name(each, context)})
    found = {each.name: each for each in newest(named).candidates}
    found.update({each.name: each for each in latest.candidates})
    return tuple(found.values())


def _name_of(backup: BackupFile | None) -> str | None:
    return None if backup is None else backup.name


def _is_fresh(
    found: Listing, newest: Newest, max_age: timedelta | None, now: datetime, zone: tzinfo | None
) -> bool | None:
    """Whether the newest full backup is recent enough; ``None`` without ``max_age``, or when it can't be known."""
    if max_age is None:
        return None
    if newest.age is not None and newest.age <= max_age:
        return True
    full = [each.name for each in found.backups if _names.purpose(each.name) == _names.FULL]
    undated = any(_names.age_at(now, _names.created_at(name, zone)) is None for name in full)
    return None if undated else False


def _fits(backup: BackupFile, context: Context, limits: dict[str, timedelta | None]) -> bool:
    if not _has_fitting_name(backup, context):
        return False
    newer_than, older_than = limits["newer_than"], limits["older_than"]
    if newer_than is None and older_than is None:
        return True
    age = _names.age_at(context.now, _names.created_at(backup.name, context.zone))
    if age is None:
        return False
    return (newer_than is None or age < newer_than) and (older_than is None or age > older_than)


def _has_fitting_name(backup: BackupFile, context: Context) -> bool:
    params = context.params
    if params["name"] and backup.name != params["name"]:
        return False
    return not params["pattern"] or fnmatchcase(backup.name, params["pattern"])
