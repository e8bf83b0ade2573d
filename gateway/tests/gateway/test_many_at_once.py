# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many concurrent clients: all are served, and writes on one system still run one at a time."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.harness.lab import Lab

SYSTEMS = tuple(f"edge{number}" for number in range(10))
EACH = 5
PAIRS = [(system, number) for number in range(EACH) for system in SYSTEMS]


@pytest.fixture(scope="module")
def ten(make_module_lab: Callable[..., Lab]) -> Lab:
    lab = make_module_lab(systems=SYSTEMS)
    lab.start()
    return lab


def most_at_once(notes: list[dict[str, Any]], by: Callable[[dict[str, Any]], str]) -> Counter[str]:
    """The maximum number of concurrent commands on the systems' side."""
    now: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for note in notes:
        now[by(note)] += 1 if note["begins"] else -1
        most[by(note)] = max(most[by(note)], now[by(note)])
    assert set(now.values()) == {0}
    return most


def test_fifty_creates_over_ten_systems_succeed_one_at_a_time_each(ten: Lab) -> None:
    ten.trouble(create_new="slow:0.05")
    with ThreadPoolExecutor(len(PAIRS)) as pool:
        answers = list(
            pool.map(lambda pair: ten.run({"action": "create_new", "name": f"{pair[1]}.plb"}, system=pair[0]), PAIRS)
        )
    assert {answer.document["state"] for answer in answers} == {"succeeded"}
    for system in SYSTEMS:
        assert {path.name for path in ten.backups(system).iterdir()} == {f"{number}.plb" for number in range(EACH)}
    notes = [note for note in ten.notes() if note["call"] == "create_new"]
    assert most_at_once(notes, lambda note: note["host"]) == dict.fromkeys(SYSTEMS, 1)
    assert most_at_once(notes, lambda note: note["call"])["create_new"] > 1  # systems in parallel


def test_fifty_downloads_over_ten_systems_succeed(ten: Lab) -> None:
    ten.trouble(download="slow:0.3")
    for system in SYSTEMS:
        for path in ten.backups(system).iterdir():
            path.unlink()
        for number in range(EACH):
            (ten.backups(system) / f"{number}.plb").write_bytes(hashlib.sha256(f"{system} {number}".encode()).digest())

    def download(pair: tuple[str, int]) -> bytes:
        answer = ten.run({"action": "download", "name": f"{pair[1]}.plb"}, system=pair[0])
        assert answer.document["state"] == "succeeded"
        return ten.get(answer.path + "/content").content

    with ThreadPoolExecutor(len(PAIRS)) as pool:
        contents = list(pool.map(download, PAIRS))
    assert contents == [hashlib.sha256(f"{system} {number}".encode()).digest() for system, number in PAIRS]
    notes = [note for note in ten.notes() if note["call"] == "download"]
    assert max(most_at_once(notes, lambda note: note["host"]).values()) > 1  # reads do not queue in a lane


def test_writes_of_every_kind_share_one_lane(ten: Lab) -> None:
    ten.trouble(**dict.fromkeys(("create_new", "restore", "remove", "upload"), "slow:0.1"))
    before = len(ten.notes())
    for name in ("a.plb", "b.plb"):
        (ten.backups() / name).write_bytes(ten.create(f"for-{name}"))
    bodies = [{"action": "restore", "name": "a.plb"}, {"action": "remove", "name": "b.plb"}]
    bodies += [{"action": "create_new", "name": f"c{number}.plb"} for number in range(3)]
    with ThreadPoolExecutor(10) as pool:
        runs = [pool.submit(ten.run, body) for body in bodies]
        uploads = [pool.submit(ten.upload, f"u{number}.plb", b"content") for number in range(3)]
        answers = [each.result() for each in runs + uploads]
    assert {answer.document["state"] for answer in answers} == {"succeeded"}
    assert most_at_once(ten.notes()[before:], lambda note: note["host"]) == {"edge1": 1}


def test_nine_waiting_writes_are_one_too_many_and_room_comes_back(ten: Lab) -> None:
    ten.trouble(create_new="slow:1.5")
    first = ten.path_of(ten.put({"action": "create_new", "name": "first.plb"}, system="edge2"))
    ten.wait_until_running(first)
    with ThreadPoolExecutor(12) as pool:
        responses = list(
            pool.map(lambda n: ten.put({"action": "create_new", "name": f"w{n}.plb"}, system="edge2"), range(12))
        )
    assert sorted(response.status_code for response in responses) == [202] * 8 + [503] * 4
    for response in responses:
        if response.status_code == 503:
            assert (response.json()["kind"], int(response.headers["retry-after"]) > 0) == ("too_busy", True)
            assert ten.get(ten.path_of(response)).status_code == 404  # the refused operation was not stored
        else:
            assert ten.request("DELETE", ten.path_of(response)).status_code == 200
    assert ten.finish(first).document["state"] == "succeeded"
    ten.trouble()
    assert ten.run({"action": "create_new", "name": "later.plb"}, system="edge2").document["state"] == "succeeded"
    made = {path.name for path in ten.backups("edge2").iterdir()}
    assert {"first.plb", "later.plb"} <= made
    assert not [name for name in made if name.startswith("w")]
