# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows of ``state: present``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tests.truth.table import (
    COMMA,
    CREATED,
    EMPTY,
    ENDLESS,
    FRESH,
    FRESH_BY_SYSTEM,
    FUTURE,
    GROWING,
    LESS_FRESH,
    MIN_SIZE,
    NEW,
    NOTHING,
    OURS,
    OURS_OF_A_PART,
    REUSED,
    SHORT,
    STALE,
    SYSTEM,
    THERE,
    THIS_MINUTE,
    Effect,
    Outcome,
    Row,
    failed,
    fault,
    ours,
)

HALF_AN_HOUR = timedelta(minutes=30)
BY_SIZE = {"verify": "size"}
A_HALF_LOOKS_WHOLE = "half a backup that does not grow is listed like a whole one"


def _row(
    title: str,
    options: Mapping[str, Any],
    real: Outcome,
    effect: Effect = NOTHING,
    second: Outcome | None = REUSED,
    **more: Any,
) -> Row:
    return Row(f"present: {title}", "present", options, real, effect, second, **more)


def _new(title: str, real: Outcome = CREATED, second: Outcome = REUSED, **more: Any) -> Row:
    """``name`` does not exist yet; it is made if the run succeeds."""
    options = {"name": NEW, **more.pop("options", {})}
    effect = NOTHING if real.error else Effect(made=(NEW,))
    return _row(title, options, real, effect, second, **more)


def _new_fails(title: str, kind: str, second: Outcome = CREATED, **more: Any) -> Row:
    """A failure that only the create itself reveals: check mode can't predict it, and nothing is left behind."""
    return _new(title, failed(kind), second, check=CREATED, **more)


def _there(title: str, real: Outcome, second: Outcome = REUSED, **more: Any) -> Row:
    """``name`` exists; the backup is recreated if the run changes something."""
    options = {"name": THERE, **more.pop("options", {})}
    effect = Effect(made=(THERE,)) if real.changed else NOTHING
    return _row(title, options, real, effect, second, found=(THERE,), **more)


def _fresh(title: str, found: tuple[str, ...], reused: str | None, second: Outcome | None = REUSED, **more: Any) -> Row:
    """Asks for a backup at most two hours old: ``reused`` is the one that fits; without it a new one is made."""
    options = {"max_age": "2h", **more.pop("options", {})}
    if reused is not None:
        return _row(title, options, Outcome("reused", facts={"backup.name": reused}), found=found, **more)
    return _row(title, options, CREATED, Effect(made=(OURS,)), second, found=found, **more)


BY_NAME = (
    _new("a name that is not there", sampled=True),
    _new(
        "a name, of one resource",
        Outcome("created", True, facts={"backup.purpose": "partial"}),
        options={"resource_name": "Ruleset"},
    ),
    _row(
        "a name of a full backup, of one resource",
        {"name": STALE, "resource_name": "Ruleset"},
        failed("option"),
        second=failed("option"),
    ),
    _row("a name of a safety backup", {"name": f"pre-restore-{STALE}"}, failed("option"), second=failed("option")),
    _row(
        "a name of a safety backup that is there",
        {"name": f"pre-restore-{STALE}"},
        REUSED,
        found=(f"pre-restore-{STALE}",),
    ),
    _new_fails("a name, of an unknown resource", "refused", failed("refused"), options={"resource_name": "Weather"}),
    _row("a name with a comma", {"name": COMMA}, CREATED, Effect(made=(COMMA,))),
    _row("an illegal name", {"name": "a/b"}, failed("option"), second=failed("option"), sampled=True),
    _new("another machine", failed("conflict"), failed("conflict"), options={"expected_machine_id": "ffffffffffff"}),
    _there("a complete backup", REUSED, sampled=True),
    _there("a complete backup, with force", REUSED, options={"force": True}),
    _there("an empty backup", failed("incomplete"), failed("incomplete"), looks={THERE: EMPTY}, sampled=True),
    _there("an empty backup, with force", CREATED, looks={THERE: EMPTY}, options={"force": True}),
    _there("a growing backup", failed("incomplete"), looks={THERE: GROWING}, an_hour_passes=True),
    _there("a growing backup, with force", CREATED, looks={THERE: GROWING}, options={"force": True}),
    _there("a backup that grows for ever", failed("incomplete"), failed("incomplete"), looks={THERE: ENDLESS}),
    _there("half a backup", failed("incomplete"), failed("incomplete"), looks={THERE: SHORT}),
    _there("half a backup, with force", CREATED, looks={THERE: SHORT}, options={"force": True}),
    _there("half a backup, by its size", REUSED, looks={THERE: SHORT}, options=BY_SIZE, limit=A_HALF_LOOKS_WHOLE),
    _there(
        "half a backup, with min_size",
        failed("incomplete"),
        failed("incomplete"),
        looks={THERE: SHORT},
        options={"min_size": MIN_SIZE, **BY_SIZE},
    ),
    _there(
        "half a backup, with min_size and force",
        CREATED,
        looks={THERE: SHORT},
        options={"min_size": MIN_SIZE, "force": True, **BY_SIZE},
    ),
    _there("a complete backup where a create overwrites", REUSED, quirks={"create_new_overwrites": True}),
    _new("a new name where a create overwrites", quirks={"create_new_overwrites": True}),
    _new("a new name where a change shows after a commit", quirks={"visible": "after_commit", "offers_commit": True}),
    _new("a new name where a change shows after the session", quirks={"visible": "after_commit"}),
    _new("a new name where a write locks the system", quirks={"lock": "until_commit"}),
    _new("a new name where a resource lists once", quirks={"cached_listings": True}),
    _row("a name and an age", {"name": NEW, "max_age": "2h"}, failed("arguments"), second=failed("arguments")),
    _row("neither name nor age nor always", {}, failed("arguments"), second=failed("arguments"), sampled=True),
)

BY_AGE = (
    _fresh("a fresh backup", (FRESH,), FRESH, sampled=True),
    _fresh("only a stale backup", (STALE,), None, sampled=True),
    _fresh("no dated backup", (), None),
    _fresh("only a backup from the future", (FUTURE,), None),
    _fresh("a fresh backup and one from the future", (FUTURE, FRESH), FRESH),
    _fresh("a name of the system without timezone", (FRESH_BY_SYSTEM,), None),
    _fresh("a name of the system with timezone", (FRESH_BY_SYSTEM,), FRESH_BY_SYSTEM, options={"timezone": "UTC"}),
    _fresh("only a safety backup", (f"pre-restore-{FRESH}",), None),
    _fresh("only a fresh backup of a part", (ours(HALF_AN_HOUR, suffix="-only-ruleset"),), None),
    _fresh("a fresh backup with another prefix", (FRESH,), None, options={"prefix": "nightly-"}),
    _fresh(
        "a fresh backup with that prefix",
        (FRESH, ours(HALF_AN_HOUR, "nightly-")),
        ours(HALF_AN_HOUR, "nightly-"),
        options={"prefix": "nightly-"},
    ),
    _fresh(
        "a fresh backup with a prefix that holds -only-",
        (ours(HALF_AN_HOUR, "x-only-"),),
        ours(HALF_AN_HOUR, "x-only-"),
        options={"prefix": "x-only-"},
    ),
    _fresh("no backup with a prefix that holds -only-", (FRESH,), None, options={"prefix": "x-only-"}),
    _fresh(
        "no backup with a prefix that begins as a safety backup", (FRESH,), None, options={"prefix": "pre-restore-x-"}
    ),
    *(
        _row(
            f"an age, with the prefix {prefix} of a restore's own backups",
            {"max_age": "2h", "prefix": prefix},
            failed("option"),
            second=failed("option"),
        )
        for prefix in ("pre-restore-", "compare-")
    ),
    *(
        _row(
            f"the system chooses a name that does not tell {what}",
            {"system_name": True, **options},
            failed("option"),
            second=failed("option"),
        )
        for what, options in (
            ("the resource", {"always": True, "resource_name": "Ruleset"}),
            ("the prefix", {"max_age": "2h", "prefix": "nightly-", "timezone": "UTC"}),
            ("the age", {"max_age": "2h"}),
        )
    ),
    _fresh("an empty fresh backup", (FRESH,), None, looks={FRESH: EMPTY}),
    _fresh("an empty fresh backup and a complete older one", (FRESH, LESS_FRESH), LESS_FRESH, looks={FRESH: EMPTY}),
    _fresh("a growing fresh backup", (FRESH,), None, looks={FRESH: GROWING}),
    _fresh("half a fresh backup", (FRESH,), None, looks={FRESH: SHORT}),
    _fresh("half a fresh backup and a whole older one", (FRESH, LESS_FRESH), LESS_FRESH, looks={FRESH: SHORT}),
    _fresh(
        "half a fresh backup, by its size",
        (FRESH,),
        FRESH,
        looks={FRESH: SHORT},
        options=BY_SIZE,
        limit=A_HALF_LOOKS_WHOLE,
    ),
    _fresh(
        "half a fresh backup, with min_size",
        (FRESH,),
        None,
        looks={FRESH: SHORT},
        options={"min_size": MIN_SIZE, **BY_SIZE},
    ),
    _row(
        "a stale backup, and the system chooses the name",
        {"max_age": "2h", "system_name": True, "timezone": "UTC"},
        CREATED,
        Effect(made=(SYSTEM,)),
        found=(STALE,),
    ),
    _row("an age that is none", {"max_age": "soon"}, failed("option"), second=failed("option")),
    _row("an unknown timezone", {"max_age": "2h", "timezone": "Moon/Sea"}, failed("option"), second=failed("option")),
)

ALWAYS = (
    _row("always", {"always": True}, CREATED, Effect(made=(OURS,)), CREATED, found=(FRESH,), sampled=True),
    _row(
        "always, of one resource, with a prefix",
        {"always": True, "prefix": "nightly-", "resource_name": "Ruleset"},
        Outcome("created", True, facts={"backup.purpose": "partial"}),
        Effect(made=(OURS_OF_A_PART,)),
        CREATED,
    ),
    _row("always, with an illegal prefix", {"always": True, "prefix": "a/"}, failed("option"), second=failed("option")),
    _row(
        "always, and the system chooses", {"always": True, "system_name": True}, CREATED, Effect(made=(SYSTEM,)), None
    ),
    _row(
        "always, and the system chooses a name that is taken",
        {"always": True, "system_name": True},
        failed("refused"),
        second=failed("refused"),
        check=CREATED,
        found=(THIS_MINUTE,),
    ),
)

INCOMPLETE_FOR_A_WHILE = (
    _new("one that grows for a while", quirks={"complete_after": 1.0}),
    _new("one that is empty for a while", quirks={"complete_after": 1.0, "incomplete_size": "empty"}),
    _new("one that is half for a while", quirks={"complete_after": 4.0, "incomplete_size": "short"}),
    _new(
        "one that is half for a while, with min_size",
        quirks={"complete_after": 4.0, "incomplete_size": "short"},
        options={"min_size": MIN_SIZE, **BY_SIZE},
    ),
    _new(
        "one that stays half, by its size",
        quirks={"complete_after": -1, "incomplete_size": "short"},
        options=BY_SIZE,
        limit=A_HALF_LOOKS_WHOLE,
    ),
    *(
        _new_fails(
            f"one that stays {look}{', with min_size' if options else ''}",
            "incomplete",
            failed("incomplete"),
            quirks={"complete_after": -1, "incomplete_size": look},
            options={"wait_timeout": 1, **options},
        )
        for look, options in (
            ("growing", {}),
            ("empty", {}),
            ("short", {}),
            ("short", {"min_size": MIN_SIZE, **BY_SIZE}),
        )
    ),
)

TROUBLES = (
    _new_fails("a create that is lost before", "outcome_unknown", faults=(fault("create_new", "lose"),)),
    _new("a create whose answer is lost", faults=(fault("create_new", "lose", "after"),)),
    _row(
        "a create whose answer is lost, with a name of the system",
        {"always": True, "system_name": True},
        failed("outcome_unknown"),
        Effect(made=(SYSTEM,)),
        None,
        check=CREATED,
        faults=(fault("create_new", "lose", "after"),),
    ),
    _new_fails("a create that is refused", "refused", faults=(fault("create_new", "refuse"),)),
    _new("a create that is stale once", faults=(fault("create_new", "stale", times=1),)),
    _new_fails("a create that is always stale", "stale_data", faults=(fault("create_new", "stale"),)),
    _new("a slow create", faults=(fault("create_new", "wait", seconds=0.5),)),
    _new(
        "a create whose answer comes too late",
        options={"wait_timeout": 1},
        faults=(fault("create_new", "wait", "after", seconds=2),),
    ),
    _row(
        "an empty backup with force, that can't be made anew",
        {"name": THERE, "force": True},
        failed("refused"),
        Effect(gone=(THERE,)),
        CREATED,
        found=(THERE,),
        looks={THERE: EMPTY},
        check=CREATED,
        faults=(fault("create_new", "refuse"),),
    ),
    # Faults while inspecting the new backup's content
    _new("a download that is lost once", faults=(fault("download", "lose", times=1),)),
    _new("a download that is cut once", faults=(fault("download", "cut", "during", times=1, at=100),)),
    _new(
        "a bit of the first download is another",
        faults=(fault("download", "flip", "during", times=1, at=100),),
    ),
    _there(
        "a bit of the first download of a backup is another",
        REUSED,
        faults=(fault("download", "flip", "during", times=1),),
    ),
    _there("a download that is stale once", REUSED, faults=(fault("download", "stale", times=1),)),
    _there("a slow download", REUSED, faults=(fault("download", "wait", seconds=0.2),)),
    _there("downloads are refused", failed("refused"), REUSED, faults=(fault("download", "refuse"),)),
    _there("downloads are refused, by its size", REUSED, options=BY_SIZE, faults=(fault("download", "refuse"),)),
    _row(
        "downloads of a new one are refused",
        {"name": NEW},
        Outcome(error="refused", changed=True),
        Effect(made=(NEW,)),
        REUSED,
        check=CREATED,
        faults=(fault("download", "refuse"),),
    ),
    _new("a listing that is lost once", faults=(fault("list", "lose", times=1),)),
    _new("a listing that is always lost", failed("unreachable"), CREATED, faults=(fault("list", "lose"),)),
    _new("a listing whose answer is lost once", faults=(fault("list", "lose", "after", times=1),)),
    _new("a listing that is refused", failed("refused"), CREATED, faults=(fault("list", "refuse"),)),
    _new("a listing that is stale once", faults=(fault("list", "stale", times=1),)),
    _new("a listing that is always stale", failed("stale_data"), CREATED, faults=(fault("list", "stale"),)),
    _new("a slow listing", faults=(fault("list", "wait", seconds=0.2),)),
    _new(
        "a login that is refused",
        failed("authentication"),
        CREATED,
        faults=(fault("connect", "lose"),),
        fails_logins=True,
    ),
    _new("a login that is an error", failed("refused"), CREATED, faults=(fault("connect", "refuse"),)),
    _new("a slow login", faults=(fault("connect", "wait", seconds=0.2),)),
)

ROWS = (*BY_NAME, *BY_AGE, *ALWAYS, *INCOMPLETE_FOR_A_WHILE, *TROUBLES)
