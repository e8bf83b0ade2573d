# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a row of the truth table is. The rows themselves stand in ``rows_*.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

# Backups that every system holds. They were made in the wanted configuration.
WANTED = "wanted.plb"
RULES = "rules.plb"
"""Of the resource Ruleset alone."""

# Backups that only some rows find.
THERE = "there.plb"
NEW = "new.plb"
COMMA = "a,b.plb"

# Kinds of new backups whose names are not known before.
OURS = "<ours>"
OURS_OF_A_PART = "<ours, of a part>"
SAFETY = "<safety>"
COMPARE = "<compare>"
SYSTEM = "<named by the system>"

THIS_MINUTE = "<the name that the system would choose>"
"""In ``Row.found``: the names of this minute and of the next ones."""

# What a system holds.
BEFORE = "before"
IN_WANTED = "wanted"
IN_RULES = "rules"
"""The Ruleset of the wanted backup, and everything else as before."""

OTHERWISE = "otherwise"

# How an incomplete backup looks.
EMPTY = "empty"
GROWING = "growing"
"""... until an hour has passed."""

ENDLESS = "growing for ever"
SHORT = "short"
"""Half of it is there, and it does not grow."""

MIN_SIZE = 700
"""Bytes; more than the half of a backup, and less than a whole one."""

_START = datetime.now(timezone.utc)


def ours(age: timedelta, prefix: str = "", suffix: str = "") -> str:
    """A name as the collection gives it to a backup of that age."""
    return f"{prefix}{_START - age:%Y%m%dT%H%M%SZ}-00ff{suffix}.plb"


FRESH = ours(timedelta(minutes=30))
LESS_FRESH = ours(timedelta(minutes=60))
STALE = ours(timedelta(days=2))
FUTURE = ours(-timedelta(days=1))
FRESH_BY_SYSTEM = f"{_START - timedelta(minutes=30):%Y%m%d-%H.%M}.plb"


@dataclass(frozen=True)
class Outcome:
    """What a run says.

    :param action: ``created`` and the like; empty for a failure, and for activelogic_backup_info.
    :param changed: what is reported; a failure that says nothing counts as ``False``.
    :param error: the kind of the error; ``arguments`` when the options never got past Ansible; empty for a success.
    :param facts: other return values, by paths such as ``backup.name``.
    """

    action: str = ""
    changed: bool = False
    error: str = ""
    verified: bool | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Effect:
    """What a run did to the system.

    :param made: names, or kinds of names, of backups that are new or that were made anew.
    :param gone: names of backups that were there.
    :param restores: how many restores the system counts.
    :param holds: its configuration afterwards.
    """

    made: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    restores: int = 0
    holds: str = BEFORE


NOTHING = Effect()
CREATED = Outcome("created", True)
REUSED = Outcome("reused")
REMOVED = Outcome("removed", True)
NONE = Outcome("none")
RESTORED = Outcome("restored", True, verified=True)
NOT_VERIFIED = Outcome("restored", True)
HELD = Outcome("none", verified=True)
WOULD_RESTORE = NOT_VERIFIED
"""What check mode says of a restore: nothing is verified yet."""

LISTED = Outcome()


def failed(kind: str) -> Outcome:
    """A failure of that kind which says of no change."""
    return Outcome(error=kind)


def failed_after_restore(kind: str, verified: bool | None = None) -> Outcome:
    """A failure of that kind after a restore was sent."""
    return Outcome(error=kind, changed=True, verified=verified)


@dataclass(frozen=True)
class Row:
    """One case: what is found, what is asked for, what is said, and what is done.

    :param state: of activelogic_backup; ``info`` stands for activelogic_backup_info.
    :param real: the outcome of the real run.
    :param effect: that of the real run. The run in check mode never has any.
    :param second: the outcome of a second real run, without ``faults``; ``None`` where the clock decides it.
    :param check: the outcome in check mode; as ``real`` where it is not given.
    :param found: backups that are there beside the usual ones, made in the configuration of now.
    :param looks: backups that are incomplete, and how they look.
    :param holds: ``BEFORE`` is another configuration than in the usual backups; ``IN_WANTED`` is the one in them.
    :param quirks: of the system, in all three runs, see :class:`activelogic_embedded.quirks.Quirks`.
    :param faults: troubles with single commands, in the first two runs; each of the two meets all of them.
    :param an_hour_passes: whether what was growing is complete in the second run.
    :param limit: why a success is no proof that the backup can be restored; empty means that it is one.
    :param fails_logins: a gateway counts failed logins of an address, so the case gets one of its own.
    :param sampled: whether the real ``ansible`` says the same.
    """

    title: str
    state: str
    options: Mapping[str, Any]
    real: Outcome
    effect: Effect
    second: Outcome | None
    check: Outcome | None = None
    found: tuple[str, ...] = ()
    looks: Mapping[str, str] = field(default_factory=dict)
    holds: str = BEFORE
    quirks: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()
    an_hour_passes: bool = False
    limit: str = ""
    fails_logins: bool = False
    sampled: bool = False

    @property
    def in_check_mode(self) -> Outcome:
        """What is said in check mode."""
        return self.real if self.check is None else self.check


def fault(command: str, does: str, when: str = "before", times: int | None = None, **more: Any) -> dict[str, Any]:
    """A trouble with a command, see :class:`activelogic_embedded.quirks.Fault`."""
    return {"command": command, "does": does, "when": when, "times": times, **more}
