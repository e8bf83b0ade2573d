# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role's table shows the true result of every system, however a play is run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.harness.ansible_runs import Run, Runner
from tests.harness.login import DIRECT
from tests.harness.observer import digest_of_systems

ROLE = "netops.activelogic.backup_and_fetch"
GHOST, REMOTE, UNDEFINED, SPOILT = "edge-ghost", "edge-remote", "edge-undefined", "edge-spoilt"
WIDTH = 120


def role(dest: Path, prefix: str, **more: Any) -> dict[str, Any]:
    variables = {"backup_and_fetch_dest": str(dest), "backup_and_fetch_prefix": prefix}
    return {"ansible.builtin.include_role": {"name": ROLE}, "vars": variables, **more}


def tables(run: Run) -> list[tuple[dict[str, str], str]]:
    """Each table on the screen: every system's result and text, and the line with the totals."""
    found: list[tuple[dict[str, str], str]] = []
    rows: dict[str, str] = {}
    for line in run.output.splitlines():
        row = re.match(r"(edge\S+) +(SAVED|UNCHANGED|WOULD SAVE|NOT SAVED|FAILED)\b(.*)", line)
        if row:
            rows[row[1]] = row[2] + " " + row[3].strip()
        elif re.match(r"(check mode, nothing was written: )?\d+ of \d+ ", line):
            found.append((rows, line))
            rows = {}
        elif rows and line.startswith("    "):
            last = list(rows)[-1]
            rows[last] += " " + line.strip()
    assert rows == {}
    return found


def results(table: dict[str, str]) -> dict[str, str]:
    known = ("SAVED", "UNCHANGED", "WOULD SAVE", "NOT SAVED", "FAILED")
    return {host: next(word for word in known if text.startswith(word)) for host, text in table.items()}


TROUBLES: dict[str, dict[str, Any]] = {
    REMOTE: {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9},
    UNDEFINED: {"activelogic_password": "{{ nobody_has_set_this }}"},
    SPOILT: {"backup_and_fetch_min_size": "many"},
}
"""Variables of systems that fail in different ways, at different tasks."""


def twice(first: Path, second: Path, prefix: str) -> list[dict[str, Any]]:
    """The role twice; one system leaves the play in between."""
    out = {"ansible.builtin.fail": {"msg": "out"}, "when": "inventory_hostname == 'edge2'"}
    return [role(first, prefix), out, role(second, prefix)]


def test_two_runs_in_one_play_each_have_their_own_truth(through_gateway: Runner, tmp_path: Path) -> None:
    through_gateway.hosts = ("edge1", GHOST, "edge2", REMOTE, UNDEFINED, SPOILT)
    through_gateway.host_variables = TROUBLES
    first, second = tmp_path / "first", tmp_path / "second"
    run = through_gateway.play(*twice(first, second, "two-"), hosts="all")
    assert run.code == 2, run.output
    (one, count_one), (two, count_two) = tables(run)
    failed = {GHOST: "FAILED", REMOTE: "FAILED", UNDEFINED: "FAILED", SPOILT: "FAILED"}
    assert results(one) == {"edge1": "SAVED", "edge2": "SAVED", **failed}, run.output
    assert results(two) == {"edge1": "SAVED", "edge2": "NOT SAVED", **dict.fromkeys(failed, "NOT SAVED")}, run.output
    assert count_one == f"2 of 6 saved; 4 failed: {GHOST}, {REMOTE}, {SPOILT}, {UNDEFINED}"
    assert count_two.startswith("1 of 6 saved; 5 left the play earlier: ")
    for system in ("edge1", "edge2"):
        (fetched,) = (first / system).glob("*.plb")
        line = next(line for line in run.output.splitlines() if str(fetched) in line)
        assert line.startswith((f"{system} ", "    "))
    assert [path.name for path in second.iterdir()] == ["edge1"]
    assert "could not log in" in one[GHOST]
    assert "set ansible_connection to local" in one[REMOTE]
    assert "nobody_has_set_this" in one[UNDEFINED]
    assert "backup_and_fetch_min_size is not a whole number of bytes" in one[SPOILT]
    long = [line for line in run.output.splitlines() if line.startswith(("edge", "    ")) and len(line) > WIDTH]
    assert [line for line in long if str(tmp_path) not in line and "=" not in line] == []


def test_two_runs_each_have_their_own_truth_where_no_system_waits_for_another(
    through_gateway: Runner, tmp_path: Path
) -> None:
    """With the strategy ``free``. Check mode is enough: the text of a file's row does not depend on the strategy."""
    through_gateway.hosts = ("edge1", "edge2", REMOTE, UNDEFINED, SPOILT)
    through_gateway.host_variables = TROUBLES
    tasks = twice(tmp_path / "first", tmp_path / "second", "free-")
    run = through_gateway.play(*tasks, hosts="all", strategy="free", arguments=["--check"])
    assert run.code == 2, run.output
    (one, count_one), (two, count_two) = tables(run)
    failed = {REMOTE: "FAILED", UNDEFINED: "FAILED", SPOILT: "FAILED"}
    assert results(one) == {"edge1": "WOULD SAVE", "edge2": "WOULD SAVE", **failed}, run.output
    assert results(two) == {"edge1": "WOULD SAVE", "edge2": "NOT SAVED", **dict.fromkeys(failed, "NOT SAVED")}, (
        run.output
    )
    begin = "check mode, nothing was written: "
    assert count_one == f"{begin}2 of 5 would be saved, 0 unchanged; 3 failed: {REMOTE}, {SPOILT}, {UNDEFINED}"
    assert count_two.startswith(f"{begin}1 of 5 would be saved, 0 unchanged; 4 left the play earlier: ")


def test_batches_in_check_mode_show_each_system_once_and_count_all(through_gateway: Runner, tmp_path: Path) -> None:
    through_gateway.hosts = ("edge1", GHOST, "edge2", "edge3")
    through_gateway.reach("edge2", DIRECT)
    before = digest_of_systems(through_gateway.lab)
    document = role(tmp_path / "archive", "batch-")
    run = through_gateway.play(document, hosts="all", serial=2, arguments=["--check", "--limit", "!edge3"])
    assert run.code == 2, run.output
    (one, count_one), (two, count_two) = tables(run)
    begin = "check mode, nothing was written: "
    assert results(one) == {"edge1": "WOULD SAVE", GHOST: "FAILED"}, run.output
    assert count_one == f"{begin}1 of 3 would be saved, 0 unchanged; 1 failed: {GHOST}; 1 not reached: edge2"
    assert results(two) == {"edge2": "WOULD SAVE"}, run.output
    assert count_two == f"{begin}2 of 3 would be saved, 0 unchanged; 1 failed: {GHOST}"
    assert not (tmp_path / "archive").exists()
    assert digest_of_systems(through_gateway.lab) == before


def test_nothing_of_an_earlier_run_is_shown_when_all_fail(through_gateway: Runner, tmp_path: Path) -> None:
    """The first run saves all systems; the second, which is rescued, and the third, with ``no_log``, save none.

    One system fails at its login, the other at the check of the input.
    """
    document = role(tmp_path / "archive", "rescued-")
    failing = {
        "activelogic_host": "edge-nowhere",
        "backup_and_fetch_min_size": "{{ 'many' if inventory_hostname == 'edge2' else 1 }}",
    }
    wrong = {**document, "vars": {**document["vars"], **failing}}
    tasks = [
        document,
        {"block": [wrong], "rescue": [{"ansible.builtin.debug": {"msg": "caught"}}]},
        {"block": [{**wrong, "no_log": True}], "no_log": True},
    ]
    run = through_gateway.play(*tasks, hosts="edge1,edge2")
    assert run.code == 2, run.output
    (one, count_one), (two, count_two), (three, count_three) = tables(run)
    assert results(one) == {"edge1": "SAVED", "edge2": "SAVED"}, run.output
    assert count_one == "2 of 2 saved"
    assert results(two) == results(three) == {"edge1": "FAILED", "edge2": "FAILED"}
    assert count_two == count_three == "0 of 2 saved; 2 failed: edge1, edge2"
    assert "could not log in" in two["edge1"]
    assert "backup_and_fetch_min_size is not a whole number of bytes" in two["edge2"]
    assert three["edge1"] == three["edge2"] == "FAILED why is hidden by no_log"
    assert through_gateway.lab.password not in run.output
