# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows of ``state: restored``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.truth.table import (
    BEFORE,
    COMPARE,
    EMPTY,
    ENDLESS,
    GROWING,
    HELD,
    IN_RULES,
    IN_WANTED,
    MIN_SIZE,
    NOT_VERIFIED,
    NOTHING,
    OTHERWISE,
    RESTORED,
    RULES,
    SAFETY,
    SHORT,
    WANTED,
    WOULD_RESTORE,
    Effect,
    Outcome,
    Row,
    failed,
    failed_after_restore,
    fault,
)

RESTART = {"outage": 20, "time_factor": 0.1}
BY_SIZE = {"verify": "size"}
SETTLE = {"settle_after_restore": 1.5}
"""A tenth of the usual time, like the times of the quirks."""


def _row(
    title: str,
    options: Mapping[str, Any],
    real: Outcome,
    effect: Effect,
    second: Outcome,
    check: Outcome | None = WOULD_RESTORE,
    **more: Any,
) -> Row:
    given = {"name": WANTED, **options}
    return Row(f"restored: {title}", "restored", given, real, effect, second, check, **more)


def _restored(
    title: str,
    options: Mapping[str, Any] | None = None,
    real: Outcome = RESTORED,
    second: Outcome = HELD,
    made: tuple[str, ...] = (SAFETY,),
    holds: str = IN_WANTED,
    **more: Any,
) -> Row:
    """The system has another configuration and is restored to the wanted one."""
    return _row(title, options or {}, real, Effect(made, restores=1, holds=holds), second, **more)


def _held(title: str, options: Mapping[str, Any] | None = None, **more: Any) -> Row:
    """The system provably has the wanted configuration: check mode can't know that, and nothing is left behind."""
    return _row(title, options or {}, HELD, NOTHING, HELD, holds=IN_WANTED, **more)


def _restored_all_the_same(
    title: str,
    options: Mapping[str, Any] | None = None,
    real: Outcome = RESTORED,
    second: Outcome = RESTORED,
    made: tuple[str, ...] = (SAFETY,),
    **more: Any,
) -> Row:
    """The system has the wanted configuration, but that can't be proven."""
    return _row(title, options or {}, real, Effect(made, restores=1), second, holds=IN_WANTED, **more)


def _seen_before(title: str, kind: str, options: Mapping[str, Any] | None = None, **more: Any) -> Row:
    """A failure that reading reveals: check mode reports it too, and nothing is written."""
    return _row(title, options or {}, failed(kind), NOTHING, more.pop("second", failed(kind)), None, **more)


def _stopped(title: str, kind: str, options: Mapping[str, Any] | None = None, **more: Any) -> Row:
    """A failure of a command before anything is restored: nothing is left behind."""
    return _row(title, options or {}, failed(kind), NOTHING, more.pop("second", RESTORED), **more)


def _sent(title: str, real: Outcome, second: Outcome, holds: str, restores: int = 1, **more: Any) -> Row:
    """A failure after the restore was sent: the safety backup remains and is named."""
    options = more.pop("options", {})
    effect = Effect((SAFETY,) if options.get("safety_backup", True) else (), restores=restores, holds=holds)
    return _row(title, options, real, effect, second, **more)


def _flip(times: int | None = None) -> dict[str, Any]:
    return fault("download", "flip", "during", times=times, at=100)


OF_RULES = {"resource_name": "Ruleset"}
RULES_ONLY = {"name": RULES, **OF_RULES}

PROOF = (
    _restored("another configuration", sampled=True),
    _held("the wanted configuration", sampled=True),
    _restored("another configuration, on the expected machine", {"min_size": MIN_SIZE}),
    _restored("another configuration, times differ", quirks={"volatile": "times"}),
    _held("the wanted configuration, times differ", quirks={"volatile": "times"}),
    _restored("contents differ each time", real=NOT_VERIFIED, second=NOT_VERIFIED, quirks={"volatile": "content"}),
    _restored_all_the_same(
        "the wanted configuration, contents differ each time",
        real=NOT_VERIFIED,
        second=NOT_VERIFIED,
        quirks={"volatile": "content"},
    ),
    _restored("force", {"force": True}, second=RESTORED),
    _restored("another configuration, a change shows after the session", quirks={"visible": "after_commit"}),
    _restored("another configuration, a write locks the system", quirks={"lock": "until_commit"}),
    _restored_all_the_same("force, the wanted configuration", {"force": True}),
    _restored("no safety backup", {"safety_backup": False}, second=RESTORED, made=()),
    _restored_all_the_same("no safety backup, the wanted configuration", {"safety_backup": False}, made=()),
    _restored("force, no safety backup", {"safety_backup": False, "force": True}, second=RESTORED, made=()),
)

ONE_RESOURCE = (
    _restored("one resource of its own backup", RULES_ONLY, holds=IN_RULES, sampled=True),
    _held("one resource of its own backup, held", RULES_ONLY),
    _restored("one resource of a whole backup", OF_RULES, NOT_VERIFIED, NOT_VERIFIED, holds=IN_RULES),
    _held("one resource of a whole backup, all of it held", OF_RULES),
    _restored("a backup of one resource", {"name": RULES}, NOT_VERIFIED, NOT_VERIFIED, holds=IN_RULES),
    _restored_all_the_same("a backup of one resource, held", {"name": RULES}, NOT_VERIFIED, NOT_VERIFIED),
    _stopped(
        "a resource that the backup lacks",
        "refused",
        {"name": RULES, "resource_name": "Config"},
        second=failed("refused"),
    ),
    _stopped("an unknown resource", "refused", {"resource_name": "Weather"}, second=failed("refused")),
)

GUARDS = (
    _seen_before("a name that is not there", "not_found", {"name": "missing.plb"}, sampled=True),
    _seen_before("another machine", "conflict", {"expected_machine_id": "ffffffffffff"}),
    _seen_before("an illegal name", "option", {"name": ".."}),
    _seen_before("no name", "arguments", {"name": None}),
    _seen_before("an empty backup", "incomplete", looks={WANTED: EMPTY}),
    _seen_before("a backup that grows for ever", "incomplete", looks={WANTED: ENDLESS}),
    _seen_before("a growing backup", "incomplete", looks={WANTED: GROWING}, second=RESTORED, an_hour_passes=True),
    _seen_before(
        "half a backup, with min_size", "incomplete", {"min_size": MIN_SIZE, **BY_SIZE}, looks={WANTED: SHORT}
    ),
    _seen_before("half a backup", "incomplete", looks={WANTED: SHORT}),
    _stopped("half a backup, by its size", "refused", BY_SIZE, looks={WANTED: SHORT}, second=failed("refused")),
)

AFTERWARDS = (
    *(
        _restored(
            f"a restart after {after} s, a login meets {kind}",
            SETTLE,
            quirks={**RESTART, "restart_after": after, "outage_kind": kind},
        )
        for after in (0, 5)
        for kind in ("refuse", "timeout", "list")
    ),
    _restored(
        "a restart at once, contents differ each time",
        SETTLE,
        NOT_VERIFIED,
        NOT_VERIFIED,
        quirks={**RESTART, "restart_after": 0, "volatile": "content"},
    ),
    _sent(
        "a restart that never ends",
        failed_after_restore("deadline"),
        failed("unreachable"),
        IN_WANTED,
        options={"wait_timeout": 1},
        quirks={"restart_after": 0, "outage": 3000},
    ),
    _sent(
        "another password afterwards",
        failed_after_restore("deadline"),
        failed("authentication"),
        IN_WANTED,
        options={"wait_timeout": 1},
        quirks={"restored_password": "of long ago"},
        fails_logins=True,
    ),
    _sent(
        "something else is restored",
        failed_after_restore("not_restored", verified=False),
        failed_after_restore("not_restored", verified=False),
        OTHERWISE,
        quirks={"restores_otherwise": True},
    ),
    _sent(
        "something else is restored, of one resource",
        failed_after_restore("not_restored", verified=False),
        failed_after_restore("not_restored", verified=False),
        OTHERWISE,
        options=RULES_ONLY,
        quirks={"restores_otherwise": True},
    ),
    _sent(
        "something else is restored, no safety backup",
        failed_after_restore("not_restored", verified=False),
        failed_after_restore("not_restored", verified=False),
        OTHERWISE,
        options={"safety_backup": False},
        quirks={"restores_otherwise": True},
    ),
    # Not provable: two backups of the same configuration always differ.
    _restored(
        "something else is restored, contents differ each time",
        real=NOT_VERIFIED,
        second=NOT_VERIFIED,
        holds=OTHERWISE,
        quirks={"restores_otherwise": True, "volatile": "content"},
    ),
    _restored(
        "new backups stay half, no safety backup",
        {"safety_backup": False, "wait_timeout": 1},
        NOT_VERIFIED,
        NOT_VERIFIED,
        made=(),
        quirks={"complete_after": -1, "incomplete_size": "short"},
    ),
    _restored("a safety backup that grows for a while", quirks={"complete_after": 0.5}),
    *(
        _stopped(
            f"a safety backup that stays {look}",
            "incomplete",
            {"wait_timeout": 1},
            second=failed("incomplete"),
            quirks={"complete_after": -1, "incomplete_size": look},
        )
        for look in ("growing", "empty", "short")
    ),
)

TROUBLES = (
    # Faults of the restore
    _sent(
        "lost before",
        failed_after_restore("outcome_unknown"),
        RESTORED,
        BEFORE,
        restores=0,
        faults=(fault("restore", "lose"),),
    ),
    _restored("the answer is lost", faults=(fault("restore", "lose", "after"),)),
    _sent(
        "the answer is lost, contents differ each time",
        failed_after_restore("outcome_unknown"),
        NOT_VERIFIED,
        IN_WANTED,
        quirks={"volatile": "content"},
        faults=(fault("restore", "lose", "after"),),
    ),
    _stopped("refused", "refused", faults=(fault("restore", "refuse"),)),
    _restored("stale once", faults=(fault("restore", "stale", times=1),)),
    _stopped("always stale", "stale_data", faults=(fault("restore", "stale"),)),
    _restored("slow", faults=(fault("restore", "wait", seconds=0.5),)),
    # Faults of the backups made on the way
    _stopped("the safety backup is lost before", "outcome_unknown", faults=(fault("create_new", "lose"),)),
    _restored("the answers of all creates are lost", faults=(fault("create_new", "lose", "after"),)),
    _stopped("the safety backup is refused", "refused", faults=(fault("create_new", "refuse"),)),
    _restored("the safety backup is stale once", faults=(fault("create_new", "stale", times=1),)),
    _restored("slow creates", faults=(fault("create_new", "wait", seconds=0.2),)),
    # Faults of the downloads that compare backups
    _restored("a download that is lost once", faults=(fault("download", "lose", times=1),)),
    _restored("downloads are always lost", real=NOT_VERIFIED, faults=(fault("download", "lose"),)),
    _restored("downloads are refused", real=NOT_VERIFIED, faults=(fault("download", "refuse"),)),
    _restored("a download that is stale once", faults=(fault("download", "stale", times=1),)),
    _restored("slow downloads", faults=(fault("download", "wait", seconds=0.2),)),
    _restored("a download that is cut once", faults=(fault("download", "cut", "during", times=1, at=100),)),
    _restored("downloads are always cut", real=NOT_VERIFIED, faults=(fault("download", "cut", "during", at=100),)),
    _restored("a bit of the first download is another", faults=(_flip(1),)),
    _held("a bit of the first download is another, held", faults=(_flip(1),)),
    _seen_before("a bit of the first two downloads is another", "incomplete", second=RESTORED, faults=(_flip(2),)),
    _seen_before("a bit of all downloads is another", "incomplete", second=RESTORED, faults=(_flip(),)),
    *(
        _restored(
            f"a bit of the first {count} downloads is another, by its size", BY_SIZE, real, faults=(_flip(count),)
        )
        for count, real in ((1, RESTORED), (2, NOT_VERIFIED), (3, RESTORED))
    ),
    _restored(
        "force, a bit of the first download is another, by its size",
        {"force": True, **BY_SIZE},
        NOT_VERIFIED,
        RESTORED,
        faults=(_flip(1),),
    ),
    _restored("a bit of all downloads is another, by its size", BY_SIZE, faults=(_flip(),)),
    _restored_all_the_same(
        "a bit of the first download is another, by its size, held", BY_SIZE, second=HELD, faults=(_flip(1),)
    ),
    _held("a bit of all downloads is another, by its size, held", BY_SIZE, faults=(_flip(),)),
    # Faults of the cleanup
    _restored("backups can't be removed", made=(COMPARE, SAFETY), faults=(fault("remove", "refuse"),)),
    _row(
        "the safety backup can't be removed, held",
        {},
        Outcome(error="refused", changed=True),
        Effect((SAFETY,)),
        HELD,
        holds=IN_WANTED,
        faults=(fault("remove", "refuse"),),
    ),
    _restored("the answers of all removals are lost", faults=(fault("remove", "lose", "after"),)),
    _held("the answer of the safety backup's removal is lost, held", faults=(fault("remove", "lose", "after"),)),
    _restored("a removal that is stale once", faults=(fault("remove", "stale", times=1),)),
    _restored("slow removals", faults=(fault("remove", "wait", seconds=0.2),)),
    # Faults of listings and logins
    _restored("a listing that is lost once", faults=(fault("list", "lose", times=1),)),
    _seen_before("a listing that is always lost", "unreachable", second=RESTORED, faults=(fault("list", "lose"),)),
    _seen_before("a listing that is refused", "refused", second=RESTORED, faults=(fault("list", "refuse"),)),
    _restored("a listing that is stale once", faults=(fault("list", "stale", times=1),)),
    _restored("slow listings", faults=(fault("list", "wait", seconds=0.1),)),
    _seen_before(
        "a login that is refused",
        "authentication",
        second=RESTORED,
        faults=(fault("connect", "lose"),),
        fails_logins=True,
    ),
    _seen_before("a login that is an error", "refused", second=RESTORED, faults=(fault("connect", "refuse"),)),
    _restored("slow logins", faults=(fault("connect", "wait", seconds=0.1),)),
)

ROWS = (*PROOF, *ONE_RESOURCE, *GUARDS, *AFTERWARDS, *TROUBLES)
