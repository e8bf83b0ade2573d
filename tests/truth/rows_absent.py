# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows of ``state: absent``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.truth.table import (
    COMMA,
    EMPTY,
    GROWING,
    NONE,
    REMOVED,
    RULES,
    THERE,
    Effect,
    Outcome,
    Row,
    failed,
    fault,
)


def _row(
    title: str,
    options: Mapping[str, Any],
    real: Outcome = REMOVED,
    gone: tuple[str, ...] = (),
    second: Outcome = NONE,
    **more: Any,
) -> Row:
    return Row(f"absent: {title}", "absent", options, real, Effect(gone=gone), second, found=(COMMA, THERE), **more)


def _there(title: str, real: Outcome = REMOVED, second: Outcome = NONE, **more: Any) -> Row:
    """``name`` is an existing backup; it is gone if the run succeeds."""
    return _row(title, {"name": THERE}, real, () if real.error else (THERE,), second, **more)


ROWS = (
    _there("a backup", sampled=True),
    _there("an empty backup", looks={THERE: EMPTY}),
    _there("a growing backup", looks={THERE: GROWING}),
    _row("a name with a comma", {"name": COMMA}, gone=(COMMA,)),
    _row("a name that is not there", {"name": "missing.plb"}, NONE, sampled=True),
    _row("names", {"names": [THERE, "missing.plb", RULES]}, gone=(RULES, THERE), sampled=True),
    _row("a name twice", {"names": [THERE, THERE]}, gone=(THERE,)),
    _row("no names", {"names": []}, NONE),
    _row("an illegal name", {"names": [THERE, "../x"]}, failed("option"), second=failed("option")),
    _row("name and names", {"name": THERE, "names": [RULES]}, failed("arguments"), second=failed("arguments")),
    _row("neither name nor names", {}, failed("arguments"), second=failed("arguments")),
    _row(
        "another machine",
        {"name": THERE, "expected_machine_id": "ffffffffffff"},
        failed("conflict"),
        second=failed("conflict"),
    ),
    _there("a change shows after a commit", quirks={"visible": "after_commit", "offers_commit": True}),
    _there("a change shows after the session", quirks={"visible": "after_commit"}),
    # Faults
    _there("lost before", failed("outcome_unknown"), REMOVED, check=REMOVED, faults=(fault("remove", "lose"),)),
    _there("the answer is lost", faults=(fault("remove", "lose", "after"),)),
    _row(
        "the answers of two are lost",
        {"names": [THERE, RULES]},
        gone=(RULES, THERE),
        faults=(fault("remove", "lose", "after"),),
    ),
    _there("refused", failed("refused"), REMOVED, check=REMOVED, faults=(fault("remove", "refuse"),)),
    _there("stale once", faults=(fault("remove", "stale", times=1),)),
    _there("always stale", failed("stale_data"), REMOVED, check=REMOVED, faults=(fault("remove", "stale"),)),
    _there("slow", faults=(fault("remove", "wait", seconds=0.5),)),
    _there("a listing that is lost once", faults=(fault("list", "lose", times=1),)),
    _there("a listing that is always lost", failed("unreachable"), REMOVED, faults=(fault("list", "lose"),)),
    _there("a listing that is refused", failed("refused"), REMOVED, faults=(fault("list", "refuse"),)),
    _there("a listing that is stale once", faults=(fault("list", "stale", times=1),)),
    _there("a slow listing", faults=(fault("list", "wait", seconds=0.2),)),
    _there(
        "a login that is refused",
        failed("authentication"),
        REMOVED,
        faults=(fault("connect", "lose"),),
        fails_logins=True,
    ),
    _there("a login that is an error", failed("refused"), REMOVED, faults=(fault("connect", "refuse"),)),
    _there("a slow login", faults=(fault("connect", "wait", seconds=0.2),)),
)
