# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arithmetic of ``make bench``."""

from __future__ import annotations

import pytest

from tests.bench.rounds import Row, in_turn, table


def row(ours: list[float], others: list[float], goal: float | None = None, unit: str = "s") -> Row:
    return Row("fetch", "curl", ours, others, goal, unit)


def test_a_result_is_the_median_of_the_rounds_and_not_the_ratio_of_the_medians() -> None:
    ours, others = [1.0, 10.0, 30.0], [2.0, 40.0, 10.0]  # ratios 0.5, 0.25, 3; ratio of the medians 1

    assert row(ours, others).result == 0.5


def test_one_slow_round_does_not_count() -> None:
    assert row([1.0, 1.0, 90.0, 1.0, 1.0], [2.0] * 5).result == 0.5


def test_memory_is_subtracted() -> None:
    assert row([45.0, 41.0, 42.0], [40.0, 40.0, 40.0], unit="MiB").result == 2.0


@pytest.mark.parametrize(
    ("seconds", "goal", "verdict"),
    [(9.0, 0.9, "met"), (9.01, 0.9, "missed"), (8.0, 0.9, "met"), (20.0, None, "")],
)
def test_a_goal_is_met_up_to_its_border(seconds: float, goal: float | None, verdict: str) -> None:
    assert row([seconds], [10.0], goal).verdict == verdict


def test_sides_take_turns() -> None:
    order = []

    def side(name: str, figure: float) -> float:
        order.append(name)
        return figure

    figures = in_turn({"a": lambda: side("a", len(order)), "b": lambda: side("b", -len(order))}, 3, lambda _text: None)

    assert order == ["a", "b"] * 3
    assert figures == {"a": [0, 2, 4], "b": [-1, -3, -5]}


def test_the_table_shows_medians_result_goal_and_verdict() -> None:
    lines = table([row([1.0, 3.0, 2.0], [2.0, 2.0, 2.0], 0.9), row([9.0], [1.0], 8.0, "MiB")]).splitlines()

    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[2] == ["fetch", "curl", "2.00 s", "2.00 s", "1.00", "<= 0.90", "missed"]
    assert cells[3] == ["fetch", "curl", "9.00 MiB", "1.00 MiB", "+8.0 MiB", "<= +8.0 MiB", "met"]
    assert len({len(line) for line in lines}) == 1
