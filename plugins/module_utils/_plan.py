# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide what is to be done, from what was found and what is wanted. Private to this collection.

Pure: no clock, no network, no files. Check mode and real mode use the same plan, and ``changed`` comes from here alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from . import _names
from ._client import Listing
from ._failures import BACKUP_INCOMPLETE_THERE, DURATION_WRONG
from ._model import BackupFile

REUSED = "reused"
CREATED = "created"
REMOVED = "removed"
RESTORED = "restored"
NONE = "none"

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True)
class Plan:
    """What a task does.

    :param action: ``reused``, ``created``, ``removed``, ``restored`` or ``none``.
    :param reason: why, as a sentence with the facts.
    :param name: the backup that the task is about; ``None`` for several or none.
    :param before: the listing as found.
    :param after: the listing as it will be; a backup that does not exist yet has the size ``None``.
    :param remove: names that are removed first, in this order.
    """

    action: str
    reason: str
    name: str | None
    before: tuple[BackupFile, ...]
    after: tuple[BackupFile, ...]
    remove: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether carrying the plan out changes the system: its listing, or its configuration."""
        return self.action == RESTORED or bool(self.remove) or self.before != self.after


def parse_duration(text: str, option: str) -> timedelta:
    """Read a duration such as ``90s``, ``30m``, ``24h``, ``7d`` or ``2w``; a bare number is seconds.

    :raises OptionError: naming ``option``, when it is none, or not above zero.
    """
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*([smhdw]?)\s*", text)
    if not match or int(match.group(1)) == 0:
        raise DURATION_WRONG.error(option=option, text=text)
    return timedelta(seconds=int(match.group(1)) * _UNITS[match.group(2) or "s"])


def format_duration(value: timedelta) -> str:
    """Write a duration for people: two units at most, such as ``3h 20m``."""
    seconds = int(value.total_seconds())
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def plan_named(found: Listing, name: str, force: bool) -> Plan:
    """Plan for ``state: present`` with ``name``.

    :raises IncompleteBackupError: when a backup of that name is there, is not complete, and ``force`` is not set.
    """
    if found.is_complete(name):
        return Plan(REUSED, f"a complete backup {name} is there", name, found.backups, found.backups)
    if found.find(name) is None:
        return _create(found.backups, name, f"there is no backup {name}")
    if not force:
        raise BACKUP_INCOMPLETE_THERE.error(
            name=name, why=found.incomplete[name], operation=f"rely on the backup {name!r}"
        )
    rest = tuple(each for each in found.backups if each.name != name)
    plan = _create(rest, name, f"the backup {name} {found.incomplete[name]}, and force is set")
    return Plan(CREATED, plan.reason, name, found.backups, plan.after, remove=(name,))


def plan_always(found: Listing, new_name: str) -> Plan:
    """Plan for ``state: present`` with ``always: true``."""
    return _create(found.backups, new_name, "always is set")


def plan_fresh(
    found: Listing, new_name: str, *, max_age: timedelta, now: datetime, prefix: str, zone: tzinfo | None
) -> Plan:
    """Plan for ``state: present`` with ``max_age``: reuse the newest full backup that is complete and young enough."""
    newest = newest_full(found, now=now, prefix=prefix, zone=zone)
    if newest.backup is None or newest.age is None:
        return _create(
            found.backups, new_name, "there is no complete full backup with a known date" + newest.passed_over
        )
    facts = f"the newest complete full backup {newest.backup.name} is {format_duration(newest.age)} old"
    if newest.age > max_age:
        reason = f"{facts}, more than {format_duration(max_age)}{newest.passed_over}"
        return _create(found.backups, new_name, reason)
    reason = f"{facts}, at most {format_duration(max_age)} is wanted{newest.passed_over}"
    return Plan(REUSED, reason, newest.backup.name, found.backups, found.backups)


@dataclass(frozen=True)
class Newest:
    """The newest full backup that can be relied on, its age, and what was passed over, as the end of a sentence."""

    backup: BackupFile | None
    age: timedelta | None
    passed_over: str


def newest_full(found: Listing, *, now: datetime, prefix: str, zone: tzinfo | None) -> Newest:
    """Look for the newest full backup that is complete and whose age is known; both are ``None`` without one."""
    counts = {"safety backup": 0, "partial backup": 0, "other prefix": 0, "unknown date": 0, "not complete": 0}
    dated: list[tuple[datetime, str, BackupFile, timedelta]] = []
    for each in found.backups:
        created = _names.created_at(each.name, zone)
        age = _names.age_at(now, created)
        purpose = _names.purpose(each.name)
        if purpose == _names.SAFETY:
            counts["safety backup"] += 1
        elif purpose == _names.PARTIAL:
            counts["partial backup"] += 1
        elif not each.name.startswith(prefix):
            counts["other prefix"] += 1
        elif created is None or age is None:
            counts["unknown date"] += 1
        elif not found.is_complete(each.name):
            counts["not complete"] += 1
        else:
            dated.append((created, each.name, each, age))
    listed = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    passed_over = f" (passed over: {listed})" if listed else ""
    if not dated:
        return Newest(None, None, passed_over)
    _created, _name, backup, age = max(dated, key=lambda each: each[:2])
    return Newest(backup, age, passed_over)


def plan_absent(found: Listing, names: list[str]) -> Plan:
    """Plan for ``state: absent``; a missing name is fine."""
    listed = {each.name for each in found.backups}
    remove = tuple(name for name in dict.fromkeys(names) if name in listed)
    name = names[0] if len(names) == 1 else None
    if not remove:
        return Plan(NONE, "none of the named backups is there", name, found.backups, found.backups)
    after = tuple(each for each in found.backups if each.name not in remove)
    missing = len(set(names)) - len(remove)
    reason = f"{len(remove)} of the named backups there" + (f", {missing} not" if missing else "")
    return Plan(REMOVED, reason, name, found.backups, after, remove=remove)


def plan_restored(found: Listing, name: str, safety_name: str | None, why: str, is_proven: bool = False) -> Plan:
    """Plan for ``state: restored``.

    :param safety_name: ``None`` when no safety backup is made.
    :param why: the facts, as a clause.
    :param is_proven: whether they prove that the system holds the wanted configuration.
    """
    if is_proven:
        return Plan(NONE, f"the system holds this configuration already: {why}", name, found.backups, found.backups)
    after = found.backups
    if safety_name is not None:
        after = (*after, BackupFile(safety_name, None))
    return Plan(RESTORED, f"no proof that the system holds it: {why}", name, found.backups, after)


def _create(before: tuple[BackupFile, ...], name: str, reason: str) -> Plan:
    return Plan(CREATED, reason, name or None, before, (*before, BackupFile(name, None)))
