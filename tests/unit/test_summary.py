# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role's table reports the result of each system, and the hosts of a play agree on which one prints it."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.netops.activelogic.plugins.plugin_utils._summary import (
    FAILED,
    NOT_SAVED,
    SAVED,
    UNCHANGED,
    WIDTH,
    WOULD_SAVE,
    left_row,
    lines,
    plain,
    row,
    totals,
)
from ansible_collections.netops.activelogic.plugins.plugin_utils._turns import Turn

FILE = {"file": {"path": "/srv/backups/edge1/a.plb"}, "backup": {"size": 10394934}}
NEW, FOUND = {"changed": True, "backup": {"name": "a.plb"}}, {"changed": False, "backup": {"name": "a.plb"}}
FETCHED, SAME = {"changed": True, **FILE}, {"changed": False, **FILE}
SKIPPED = {"changed": False, "skipped": True}
UNREACHABLE = {"unreachable": True, "msg": "no route"}

OUTCOMES: list[tuple[Any, Any, str, bool, str]] = [
    (NEW, FETCHED, "", False, SAVED),
    (FOUND, FETCHED, "", False, SAVED),
    (FOUND, SAME, "", False, SAVED),
    (NEW, FETCHED, "it broke", False, FAILED),
    (NEW, {}, "", False, FAILED),
    ({}, {}, "", False, FAILED),
    (NEW, SKIPPED, "", False, FAILED),
    (UNREACHABLE, SKIPPED, "", False, FAILED),
    (NEW, UNREACHABLE, "", False, FAILED),
    (NEW, SKIPPED, "", True, WOULD_SAVE),
    (FOUND, FETCHED, "", True, WOULD_SAVE),
    (FOUND, SAME, "", True, UNCHANGED),
    (FOUND, SKIPPED, "", True, FAILED),
    (UNREACHABLE, SKIPPED, "", True, FAILED),
    (NEW, SKIPPED, "it broke", True, FAILED),
]


@pytest.mark.parametrize(("made", "fetched", "failure", "check", "expected"), OUTCOMES)
def test_only_a_file_that_is_there_counts_as_saved(
    made: Any, fetched: Any, failure: str, check: bool, expected: str
) -> None:
    found = row("edge1", made, fetched, failure, check)
    assert found["result"] == expected
    assert bool(found["file"]) is (expected in (SAVED, UNCHANGED) or (expected == WOULD_SAVE and made is FOUND))
    assert found["reason"] or expected in (UNCHANGED, WOULD_SAVE)


def test_sentence_is_shown_on_one_line_without_what_a_terminal_would_obey() -> None:
    said = "ActiveLogic system edge1: could not log in:\n\x1b[31mred\x07 \u202etxet\x00;\r\n try again."
    assert plain(said, "edge1") == "could not log in: [31mred txet ; try again."
    assert plain(said, "edge2").startswith("ActiveLogic system edge1: ")
    assert len(plain("word " * 10_000, "edge1")) == 1000


def test_table_has_failures_first_fits_the_width_and_ends_with_the_counts() -> None:
    hosts = ["edge1", "edge2", "a-system-" + "x" * 60, "edge4", "edge5"]
    deep = "/srv/" + "deep/" * 30 + "a.plb"
    rows = [
        row(hosts[0], NEW, FETCHED, "", False),
        row(hosts[1], {}, {}, "could not log in: the gateway is not there; " + "check that it runs, " * 10, False),
        row(hosts[2], NEW, {**FETCHED, "file": {"path": deep}}, "", False),
        left_row(hosts[3]),
    ]
    table = lines(rows, totals(rows, hosts), check=False)
    assert [line for line in table if len(line) > WIDTH] == [f"    {deep}"]
    assert table[0].split()[:3] == ["system", "result", "size"]
    assert table[1].startswith("edge2 ")
    assert table[1].split()[1] == FAILED
    assert table[-1] == "2 of 5 saved; 1 failed: edge2; 1 left the play earlier: edge4; 1 not reached: edge5"
    (saved,) = (line for line in table if "/srv/backups/edge1/a.plb" in line)
    assert saved.split()[:4] == ["edge1", SAVED, "10.4", "MB"]
    assert hosts[2] in table


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("length", [20, 80, 90, 100, 200])
def test_system_keeps_its_row_however_long_the_path_of_its_file_is(length: int, check: bool) -> None:
    path = "/srv/".ljust(length, "x")
    found = row("edge1", FOUND, {"changed": True, "file": {"path": path}, "backup": {"size": 10}}, "", check)
    shown = lines([found], totals([found], ["edge1"]), check)
    assert sum(line.startswith("edge1 ") and found["result"] in line for line in shown) == 1
    assert sum(path in line for line in shown) == 1


def test_many_failures_are_counted_and_not_all_named_again() -> None:
    hosts = [f"edge{number}" for number in range(30)]
    rows = [row(host, {}, {}, "down", False) for host in hosts]
    table = lines(rows, totals(rows, hosts), check=False)
    assert len(table) == 32
    assert table[-1].endswith("edge9 and 20 more")
    assert NOT_SAVED not in "\n".join(table)


def begin(parent: Path, *hosts: str) -> Turn:
    turns = [Turn.begin(parent, "task", host) for host in hosts]
    assert len({turn.folder for turn in turns}) == 1
    return turns[0]


def test_last_host_that_begun_and_has_not_left_ends_the_waiting(tmp_path: Path) -> None:
    turn = begin(tmp_path, "edge1", "edge2", "../edge/3")
    turn.arrive("edge1", left_row("edge1"))
    assert turn.awaits([])
    assert turn.awaits(["../edge/3"])
    assert not turn.awaits(["../edge/3", "edge2"])
    turn.arrive("../edge/3", left_row("../edge/3"))
    turn.arrive("edge2", left_row("edge2"))
    assert not turn.awaits([])
    assert set(turn.rows()) == {"edge1", "edge2", "../edge/3"}


def test_second_run_of_a_host_knows_nothing_of_the_first(tmp_path: Path) -> None:
    first = begin(tmp_path, "edge1", "edge2")
    first.arrive("edge1", left_row("edge1"))
    second = begin(tmp_path, "edge1")
    assert second.folder != first.folder
    assert second.rows() == {}
    assert Turn.begin(tmp_path, "another task", "edge3").folder not in (first.folder, second.folder)


def test_row_is_shown_again_only_when_it_says_something_else(tmp_path: Path) -> None:
    turn = begin(tmp_path, "edge1")
    assert [turn.is_new(left_row("edge1")) for _time in range(2)] == [True, False]
    assert turn.is_new(row("edge1", {}, {}, "down", False))


def end(turn: Turn, host: str, printed: Any) -> None:
    turn.arrive(host, left_row(host))
    if not turn.awaits([]) and turn.may_print(turn.rows().values()):
        printed.put(len(turn.rows()))


def test_of_many_hosts_that_end_at_once_exactly_one_shows_all(tmp_path: Path) -> None:
    hosts = [f"edge{number}" for number in range(24)]
    context = multiprocessing.get_context("fork")
    for attempt in range(3):
        turn = begin(tmp_path / str(attempt), *hosts)
        printed = context.Queue()
        processes = [context.Process(target=end, args=(turn, host, printed)) for host in hosts]
        for process in processes:
            process.start()
        assert printed.get(timeout=30) == len(hosts)
        for process in processes:
            process.join(30)
        assert printed.empty()
