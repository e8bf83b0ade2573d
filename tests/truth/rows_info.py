# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows of activelogic_backup_info: it never changes anything, and never fails for lack of a matching backup."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.truth.table import (
    EMPTY,
    FRESH,
    FRESH_BY_SYSTEM,
    FUTURE,
    GROWING,
    LESS_FRESH,
    NOTHING,
    RULES,
    SHORT,
    STALE,
    WANTED,
    Outcome,
    Row,
    failed,
    fault,
    ours,
)

PART = ours(timedelta(minutes=30), suffix="-only-ruleset")
AGED = (FRESH, LESS_FRESH, STALE, FUTURE)


def _row(
    title: str,
    options: dict[str, Any],
    count: int,
    latest: str | None = None,
    fresh: bool | None = None,
    **more: Any,
) -> Row:
    facts = {"count": count, "latest.name": latest, "fresh": fresh}
    outcome = Outcome(facts=facts)
    return Row(f"info: {title}", "info", options, outcome, NOTHING, outcome, **more)


def _trouble(title: str, real: Outcome, **more: Any) -> Row:
    return Row(f"info: {title}", "info", {}, real, NOTHING, more.pop("second", Outcome(facts={"count": 2})), **more)


ROWS = (
    _row("everything", {}, 6, FRESH, found=AGED, sampled=True),
    _row("no dated backup", {}, 2),
    _row("a name", {"name": WANTED}, 1),
    _row("a name that is not there", {"name": "missing.plb"}, 0),
    _row("a pattern", {"pattern": "w*"}, 1),
    _row("a pattern that nothing fits", {"pattern": "W*"}, 0),
    _row("newer than", {"newer_than": "2h"}, 2, FRESH, found=AGED),
    _row("older than", {"older_than": "45m"}, 2, LESS_FRESH, found=AGED),
    _row("between two ages", {"newer_than": "1d", "older_than": "45m"}, 1, LESS_FRESH, found=AGED),
    _row("a fresh backup", {"max_age": "2h"}, 6, FRESH, fresh=True, found=AGED, sampled=True),
    _row("a stale backup", {"max_age": "2h", "pattern": STALE}, 1, STALE, fresh=False, found=AGED),
    _row("a backup from the future", {"max_age": "2h", "name": FUTURE}, 1, fresh=None, found=AGED),
    _row("an unknown date", {"max_age": "2h", "name": RULES}, 1, fresh=None),
    _row("nothing that could be fresh", {"max_age": "2h", "name": "missing.plb"}, 0, fresh=False),
    _row("a fresh backup of a part", {"max_age": "2h", "name": PART}, 1, fresh=False, found=(PART,)),
    _row("an empty fresh backup", {"max_age": "2h", "name": FRESH}, 1, fresh=False, found=AGED, looks={FRESH: EMPTY}),
    _row(
        "a growing fresh backup",
        {"max_age": "2h", "name": FRESH},
        1,
        fresh=False,
        found=AGED,
        looks={FRESH: GROWING},
    ),
    _row("half a fresh backup", {"max_age": "2h", "name": FRESH}, 1, fresh=False, found=AGED, looks={FRESH: SHORT}),
    _row(
        "half a fresh backup and a whole older one",
        {"max_age": "2h"},
        6,
        LESS_FRESH,
        fresh=True,
        found=AGED,
        looks={FRESH: SHORT},
    ),
    _row(
        "half a fresh backup, by its size",
        {"max_age": "2h", "name": FRESH, "verify": "size"},
        1,
        FRESH,
        fresh=True,
        found=AGED,
        looks={FRESH: SHORT},
        limit="half a backup that does not grow is listed like a whole one",
    ),
    _row("a name of the system without timezone", {"max_age": "2h"}, 3, fresh=None, found=(FRESH_BY_SYSTEM,)),
    _row(
        "a name of the system with timezone",
        {"max_age": "2h", "timezone": "UTC"},
        3,
        FRESH_BY_SYSTEM,
        fresh=True,
        found=(FRESH_BY_SYSTEM,),
    ),
    Row("info: an age that is none", "info", {"max_age": "soon"}, failed("option"), NOTHING, failed("option")),
    *(
        _row(
            f"a fresh backup, {title}",
            {"max_age": "2h"},
            6,
            FRESH,
            fresh=True,
            found=AGED,
            faults=(fault("download", does, times=times, seconds=seconds),),
        )
        for title, does, times, seconds in (
            ("a download that is lost once", "lose", 1, None),
            ("a download that is stale once", "stale", 1, None),
            ("a slow download", "wait", None, 0.2),
        )
    ),
    Row(
        "info: a fresh backup, downloads are refused",
        "info",
        {"max_age": "2h"},
        failed("refused"),
        NOTHING,
        Outcome(facts={"count": 6, "latest.name": FRESH, "fresh": True}),
        found=AGED,
        faults=(fault("download", "refuse"),),
    ),
    _trouble("a listing that is lost once", Outcome(facts={"count": 2}), faults=(fault("list", "lose", times=1),)),
    _trouble("a listing that is always lost", failed("unreachable"), faults=(fault("list", "lose"),)),
    _trouble("a listing that is refused", failed("refused"), faults=(fault("list", "refuse"),)),
    _trouble("a listing that is stale once", Outcome(facts={"count": 2}), faults=(fault("list", "stale", times=1),)),
    _trouble("a slow listing", Outcome(facts={"count": 2}), faults=(fault("list", "wait", seconds=0.2),)),
    _trouble(
        "a login that is refused", failed("authentication"), faults=(fault("connect", "lose"),), fails_logins=True
    ),
    _trouble(
        "a login that is an error whatever the password is",
        failed("authentication"),
        second=failed("authentication"),
        quirks={"connect": "io_error"},
        fails_logins=True,
    ),
    _trouble("a login that is an error", failed("refused"), faults=(fault("connect", "refuse"),)),
    _trouble("a slow login", Outcome(facts={"count": 2}), faults=(fault("connect", "wait", seconds=0.2),)),
)
