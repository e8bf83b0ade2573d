# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arithmetic of the benchmark: alternating rounds, ratios, and whether a goal is met."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

HEAD = ("work", "against", "median", "of the other", "result", "goal", "")


@dataclass(frozen=True)
class Row:
    """One line of the table: our figures and those of the alternative, by round.

    :param goal: the highest acceptable result; ``None`` if there is no goal.
    :param unit: ``s`` (seconds; compared as a ratio) or ``MiB`` (compared as a difference).
    """

    work: str
    against: str
    ours: Sequence[float]
    others: Sequence[float]
    goal: Any = None
    unit: str = "s"

    @property
    def result(self) -> float:
        """The median of the per-round results: both figures of a round were measured under the same load."""
        pairs = zip(self.ours, self.others)
        return median(ours - other if self.unit == "MiB" else ours / other for ours, other in pairs)

    @property
    def verdict(self) -> str:
        """Whether the goal is met; empty without a goal."""
        if self.goal is None:
            return ""
        return "met" if self.result <= self.goal else "missed"

    def cells(self) -> list[str]:
        """The cells of the line, in the order of :data:`HEAD`."""
        medians = [f"{median(each):.2f} {self.unit}" for each in (self.ours, self.others)]
        number = "{:+.1f} MiB" if self.unit == "MiB" else "{:.2f}"
        goal = "" if self.goal is None else "<= " + number.format(self.goal)
        return [self.work, self.against, *medians, number.format(self.result), goal, self.verdict]


def in_turn(
    sides: Mapping[str, Callable[[], float]], rounds: int, tell: Callable[[str], None]
) -> dict[str, list[float]]:
    """Measure all sides in turn (A B A B ...), so that other load on the machine affects all of them alike.

    :param sides: each call does the work of one side once and returns its figure.
    :return: the figures of each side, by round.
    """
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, once in sides.items():
            figures[name].append(once())
        latest = ", ".join(f"{name} {values[-1]:.2f}" for name, values in figures.items())
        tell(f"  round {number + 1} of {rounds}: {latest}")
    return figures


def table(rows: Sequence[Row]) -> str:
    """The table as text with aligned columns, which is also valid Markdown."""
    lines = [list(HEAD), *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)
