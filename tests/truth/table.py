# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The structure of the truth table. The rows are in ``rows_*.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

# Backups that every system holds, made in the wanted configuration.
WANTED = "wanted.plb"
RULES = "rules.plb"
"""Contains only the resource Ruleset."""

# Backups that only some rows use.
THERE = "there.plb"
NEW = "new.plb"
COMMA = "a,b.plb"

# Kinds of new backups, whose names are unpredictable.
OURS = "<ours>"
OURS_OF_A_PART = "<ours, of a part>"
SAFETY = "<safety>"
COMPARE = "<compare>"
SYSTEM = "<named by the system>"

THIS_MINUTE = "<the name that the system would choose>"
"""In ``Row.found``: the names of this minute and of the following ones."""

# A system's configuration.
BEFORE = "before"
IN_WANTED = "wanted"
IN_RULES = "rules"
"""The wanted backup's Ruleset; everything else unchanged."""

OTHERWISE = "otherwise"

# Ways in which a backup is incomplete.
EMPTY = "empty"
GROWING = "growing"
"""Until an hour has passed."""

ENDLESS = "growing for ever"
SHORT = "short"
"""Half of its content, not growing."""

MIN_SIZE = 700
"""Bytes; more than half a backup, and less than a complete one."""

_START = datetime.now(timezone.utc)


def ours(age: timedelta, prefix: str = "", suffix: str = "") -> str:
    """A name that the collection would give to a backup of that age."""
    return f"{prefix}{_START - age:%Y%m%dT%H%M%SZ}-00ff{suffix}.plb"


FRESH = ours(timedelta(minutes=30))
LESS_FRESH = ours(timedelta(minutes=60))
STALE = ours(timedelta(days=2))
FUTURE = ours(-timedelta(days=1))
FRESH_BY_SYSTEM = f"{_START - timedelta(minutes=30):%Y%m%d-%H.%M}.plb"


@dataclass(frozen=True)
class Outcome:
    """The reported outcome of a run.

    :param action: ``created`` and so on; empty for a failure, and for activelogic_backup_info.
    :param changed: the reported value; ``False`` if a failure reports none.
    :param error: the kind of the error; ``arguments`` when Ansible rejected the options; empty for a success.
    :param facts: other return values, by paths such as ``backup.name``.
    """

    action: str = ""
    changed: bool = False
    error: str = ""
    verified: bool | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Effect:
    """The effect of a run on the system.

    :param made: names, or kinds of names, of backups that are new or recreated.
    :param gone: names of backups that were removed.
    :param restores: number of restores.
    :param holds: the configuration afterwards.
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
"""The outcome of a restore in check mode: nothing is verified yet."""

LISTED = Outcome()


def failed(kind: str) -> Outcome:
    """A failure of that kind that reports no change."""
    return Outcome(error=kind)


def failed_after_restore(kind: str, verified: bool | None = None) -> Outcome:
    """A failure of that kind after a restore was sent."""
    return Outcome(error=kind, changed=True, verified=verified)


@dataclass(frozen=True)
class Row:
    """One case: the initial state, the task, the reported outcomes, and the effect.

    :param state: of activelogic_backup; ``info`` means the module activelogic_backup_info.
    :param real: the outcome of the real run.
    :param effect: the effect of the real run. Check mode never has one.
    :param second: the outcome of a second real run, without ``faults``; ``None`` if it depends on the clock.
    :param check: the outcome in check mode; defaults to ``real``.
    :param found: further backups that exist at the start, made in the current configuration.
    :param looks: incomplete backups, and in which way they are.
    :param holds: ``BEFORE`` for a configuration that differs from the standard backups', ``IN_WANTED`` for theirs.
    :param quirks: of the system, in all three runs, see :class:`activelogic_embedded.quirks.Quirks`.
    :param faults: faults of single commands, in check mode and in the first real run; their counts start anew in each.
    :param an_hour_passes: whether growing backups are complete by the second run.
    :param limit: why a success does not prove that the backup can be restored; empty if it does.
    :param fails_logins: whether it gets its own gateway, because gateways count failed logins by address.
    :param sampled: whether the row also runs with the real ``ansible``.
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
        """The expected outcome in check mode."""
        return self.real if self.check is None else self.check


def fault(command: str, does: str, when: str = "before", times: int | None = None, **more: Any) -> dict[str, Any]:
    """A fault of a command, see :class:`activelogic_embedded.quirks.Fault`."""
    return {"command": command, "does": does, "when": when, "times": times, **more}
