# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide what to do, from the listing and the options. Private to this collection.

Pure: no clock, no network, no files. Check mode and normal mode use the same plan, which alone determines ``changed``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any

from . import _names
from ._errors import during
from ._failures import BACKUP_INCOMPLETE_THERE, DURATION_WRONG
from ._model import BackupFile, Listing
from ._sentences import duration, names

REUSED = "reused"
CREATED = "created"
REMOVED = "removed"
RESTORED = "restored"
NONE = "none"

SAFETY_BACKUP = "safety backup"
PARTIAL_BACKUP = "partial backup"
OTHER_PREFIX = "other prefix"
UNKNOWN_DATE = "unknown date"
NOT_COMPLETE = "not complete"
AHEAD = "date ahead of the clock"
REASONS = (SAFETY_BACKUP, PARTIAL_BACKUP, OTHER_PREFIX, UNKNOWN_DATE, NOT_COMPLETE, AHEAD)
COULD_BE_NEWEST = (UNKNOWN_DATE, NOT_COMPLETE, AHEAD)

MOST_PASSED_OVER = 100
"""Maximum length of the return value ``passed_over``: a system may have thousands of backups."""

OF_UNKNOWN_AGE = (
    "the backup {name} already existed, and its age is not known: it may be from long before this task; "
    "to get a backup of known age, use max_age and prefix instead of name"
)
DATE_AHEAD = (
    "by the clock where the module runs, the names of these backups have dates in the future, so they were passed "
    "over, and one of them may be newer than the one that was found: {names}; correct the clocks, or timezone"
)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True)
class Plan:
    """What a task does.

    :param action: ``reused``, ``created``, ``removed``, ``restored`` or ``none``.
    :param reason: why, as a sentence with the facts.
    :param name: the backup that the task is about; ``None`` for several or none.
    :param before: the backups found.
    :param after: the backups afterwards; one that does not exist yet has the size ``None``.
    :param remove: names to remove first, in this order.
    :param warning: a warning for a task that succeeds; empty for none.
    :param passed_over: backups that could have been used, and why they were not.
    """

    action: str
    reason: str
    name: str | None
    before: tuple[BackupFile, ...]
    after: tuple[BackupFile, ...]
    remove: tuple[str, ...] = ()
    warning: str = ""
    passed_over: tuple[PassedOver, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the plan changes the system: its listing or its configuration."""
        return self.action == RESTORED or bool(self.remove) or self.before != self.after


def parse_duration(text: str, option: str) -> timedelta:
    """Read a duration such as ``90s``, ``30m``, ``24h``, ``7d`` or ``2w``; a bare number is seconds.

    :raises OptionError: which names ``option``, when it is not a duration, or not positive.
    """
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*([smhdw]?)\s*", text)
    if not match or int(match.group(1)) == 0:
        raise DURATION_WRONG.error(option=option, text=text)
    return timedelta(seconds=int(match.group(1)) * _UNITS[match.group(2) or "s"])


def plan_named(found: Listing, name: str, force: bool, *, now: datetime, zone: tzinfo | None) -> Plan:
    """Plan for ``state: present`` with ``name``.

    :raises IncompleteBackupError: when the backup exists but is not complete, and ``force`` is not set.
    """
    if found.is_complete(name):
        age = _names.age_at(now, _names.created_at(name, zone))
        facts = f"a complete backup {name} is there, " + (
            "and its age is not known" if age is None else f"{duration(age)} old"
        )
        warning = OF_UNKNOWN_AGE.format(name=name) if age is None else ""
        return Plan(REUSED, facts, name, found.backups, found.backups, warning=warning)
    if found.find(name) is None:
        return _create(found.backups, name, f"there is no backup {name}")
    if not force:
        with during(f"rely on the backup {name!r}"):
            raise BACKUP_INCOMPLETE_THERE.error(name=name, why=found.incomplete[name])
    rest = tuple(each for each in found.backups if each.name != name)
    plan = _create(rest, name, f"the backup {name} {found.incomplete[name]}, and force is set")
    return Plan(CREATED, plan.reason, name, found.backups, plan.after, remove=(name,))


def plan_always(found: Listing, new_name: str) -> Plan:
    """Plan for ``state: present`` with ``always: true``."""
    return _create(found.backups, new_name, "always is set")


def plan_fresh(
    found: Listing, new_name: str, *, max_age: timedelta, now: datetime, prefix: str, zone: tzinfo | None
) -> Plan:
    """Plan for ``state: present`` with ``max_age``: reuse the newest complete full backup if it is young enough."""
    newest = newest_full(found, now=now, prefix=prefix, zone=zone)
    passed_over = newest.in_words
    if newest.backup is None or newest.age is None:
        plan = _create(found.backups, new_name, "there is no complete full backup with a known date" + passed_over)
    else:
        facts = f"the newest complete full backup {newest.backup.name} is {duration(newest.age)} old"
        if newest.age > max_age:
            plan = _create(found.backups, new_name, f"{facts}, more than {duration(max_age)}{passed_over}")
        else:
            reason = f"{facts}, at most {duration(max_age)} is wanted{passed_over}"
            plan = Plan(REUSED, reason, newest.backup.name, found.backups, found.backups)
    return replace(plan, warning=newest.warning, passed_over=newest.candidates)


@dataclass(frozen=True)
class PassedOver:
    """A backup that can't be used.

    :param what: the reason in one or two words, for counting.
    :param why: the reason, as a clause without a subject.
    """

    name: str
    what: str
    why: str

    def to_result(self) -> dict[str, Any]:
        """Item of the return value ``passed_over``."""
        return {"name": self.name, "why": self.why}


@dataclass(frozen=True)
class Newest:
    """The newest usable full backup, its age, and the backups passed over, in the order of the listing."""

    backup: BackupFile | None
    age: timedelta | None
    passed_over: tuple[PassedOver, ...]

    @property
    def in_words(self) -> str:
        """The number of backups passed over by reason, as the end of a sentence."""
        counts = {what: sum(each.what == what for each in self.passed_over) for what in REASONS}
        listed = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        return f" (passed over: {listed})" if listed else ""

    @property
    def candidates(self) -> tuple[PassedOver, ...]:
        """Those that could have been the newest: full backups with the right prefix."""
        return tuple(each for each in self.passed_over if each.what in COULD_BE_NEWEST)

    @property
    def ahead(self) -> str:
        """Names of backups with a date in the future, for a sentence; empty without any."""
        those = [each.name for each in self.passed_over if each.what == AHEAD]
        return names(those) if those else ""

    @property
    def warning(self) -> str:
        """A warning about backups with a date in the future; empty for none."""
        return DATE_AHEAD.format(names=self.ahead) if self.ahead else ""


def passed_over_to_result(those: Iterable[PassedOver]) -> list[dict[str, Any]]:
    """Return value ``passed_over``: the first :data:`MOST_PASSED_OVER`, sorted by name."""
    return [each.to_result() for each in sorted(those, key=lambda each: each.name)[:MOST_PASSED_OVER]]


def newest_full(found: Listing, *, now: datetime, prefix: str, zone: tzinfo | None) -> Newest:
    """Find the newest complete full backup of known age; without one, backup and age are ``None``."""
    passed_over: list[PassedOver] = []
    dated: list[tuple[datetime, str, BackupFile, timedelta]] = []
    for each in found.backups:
        created = _names.created_at(each.name, zone)
        age = _names.age_at(now, created)
        purpose = _names.purpose(each.name)
        if purpose == _names.SAFETY:
            passed_over.append(PassedOver(each.name, SAFETY_BACKUP, "was made by a restore"))
        elif purpose == _names.PARTIAL:
            passed_over.append(PassedOver(each.name, PARTIAL_BACKUP, "is a backup of one resource"))
        elif not each.name.startswith(prefix):
            passed_over.append(PassedOver(each.name, OTHER_PREFIX, "has another prefix"))
        elif created is None:
            passed_over.append(PassedOver(each.name, UNKNOWN_DATE, "has a name that does not tell its date"))
        elif not found.is_complete(each.name):
            passed_over.append(PassedOver(each.name, NOT_COMPLETE, found.incomplete[each.name]))
        elif age is None:
            ahead = f"has a date that lies {duration(created - now)} ahead of the clock"
            passed_over.append(PassedOver(each.name, AHEAD, ahead))
        else:
            dated.append((created, each.name, each, age))
    if not dated:
        return Newest(None, None, tuple(passed_over))
    _created, _name, backup, age = max(dated, key=lambda each: each[:2])
    return Newest(backup, age, tuple(passed_over))


def plan_absent(found: Listing, names: list[str]) -> Plan:
    """Plan for ``state: absent``; a missing name is fine."""
    listed = {each.name for each in found.backups}
    remove = tuple(name for name in dict.fromkeys(names) if name in listed)
    name = names[0] if len(names) == 1 else None
    if not remove:
        return Plan(NONE, "none of the named backups exists", name, found.backups, found.backups)
    after = tuple(each for each in found.backups if each.name not in remove)
    missing = len(set(names)) - len(remove)
    reason = f"{len(remove)} of the named backups there" + (f", {missing} not" if missing else "")
    return Plan(REMOVED, reason, name, found.backups, after, remove=remove)


def plan_restored(found: Listing, name: str, safety_name: str | None, why: str, is_proven: bool = False) -> Plan:
    """Plan for ``state: restored``.

    :param safety_name: ``None`` when no safety backup is made.
    :param why: the facts, as a clause.
    :param is_proven: whether they prove that the system already has the wanted configuration.
    """
    if is_proven:
        return Plan(NONE, f"the system holds this configuration already: {why}", name, found.backups, found.backups)
    after = found.backups
    if safety_name is not None:
        after = (*after, BackupFile(safety_name, None))
    return Plan(RESTORED, f"no proof that the system holds it: {why}", name, found.backups, after)


def _create(before: tuple[BackupFile, ...], name: str, reason: str) -> Plan:
    return Plan(CREATED, reason, name or None, before, (*before, BackupFile(name, None)))
