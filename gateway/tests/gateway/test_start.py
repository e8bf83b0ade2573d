# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting with damaged or foreign state, many unfinished operations, clock jumps, and logs that nobody reads."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from activelogic_gateway.line_writer import MOST_LINES, LineWriter
from tests.harness.lab import Lab

REQUEST = json.dumps({"action": "upload", "name": "never.plb", "size": 5})
INSERT = "INSERT INTO operations VALUES ('edge1', 'admin', ?, ?, ?, NULL, NULL, NULL, ?, ?)"


def start_in_vain(lab: Lab, *, limit: str = "") -> str:
    """Start a gateway that exits at once; return the one line that it prints."""
    (lab.folder / "gateway.yml").write_text(yaml.safe_dump(lab.settings), encoding="utf-8")
    command = [sys.executable, "-m", "activelogic_gateway", "serve", "--config", str(lab.folder / "gateway.yml")]
    if limit:
        command = ["prlimit", limit, *command]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.stderr
    return result.stderr


def stopped(make_lab: Callable[..., Lab]) -> Lab:
    """A stopped gateway that ran once."""
    lab = make_lab(sdk="activelogic_embedded")
    lab.start()
    assert lab.stop() == 0
    return lab


def database(lab: Lab) -> sqlite3.Connection:
    return sqlite3.connect(lab.folder / "state" / "operations.sqlite", isolation_level=None)


@pytest.mark.parametrize("place", [0, 4096])
def test_a_damaged_database_is_one_sentence(make_lab: Callable[..., Lab], place: int) -> None:
    lab = stopped(make_lab)
    path = lab.folder / "state" / "operations.sqlite"
    content = bytearray(path.read_bytes())
    content[place : place + 4000] = b"x" * 4000
    path.write_bytes(content)
    said = start_in_vain(lab)
    assert "operations.sqlite can't be used" in said
    assert "move it away" in said
    path.unlink()
    lab.start()
    assert lab.get("/healthz").status_code == 200


def test_a_locked_database_is_one_sentence(make_lab: Callable[..., Lab]) -> None:
    lab = stopped(make_lab)
    held = database(lab)
    held.execute("BEGIN EXCLUSIVE")
    assert "locked" in start_in_vain(lab)
    held.close()


def test_an_operation_that_can_not_be_read_is_set_aside_and_does_not_run_again(make_lab: Callable[..., Lab]) -> None:
    lab = stopped(make_lab)
    unreadable, good = str(uuid.uuid4()), str(uuid.uuid4())
    with database(lab) as rows:
        rows.execute(INSERT, (unreadable, '{"action": "of a later version"}', "running", "2026-01-01T00:00:00Z", None))
        rows.execute(INSERT, (good, REQUEST, "awaiting_content", "2026-01-01T00:00:00Z", None))
    rows.close()
    lab.start()
    path = "/v1/systems/edge1/operations/"
    assert lab.get(path + good).json()["state"] == "failed"
    body = {"action": "create_new", "name": "twice.plb"}
    assert lab.put(body, operation=unreadable).status_code == 500
    assert [each["id"] for each in lab.get(path[:-1]).json()] == [good]
    assert not list(lab.backups().iterdir())


def test_a_problem_that_an_earlier_version_stored_is_complete(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.start()
    answer = lab.run({"action": "download", "name": "missing.plb"})
    assert lab.stop() == 0
    with database(lab) as stored:
        stored.execute("UPDATE operations SET problem = json_remove(problem, '$.reason')")
        assert '"reason"' not in stored.execute("SELECT problem FROM operations").fetchone()[0]
    stored.close()
    lab.start()
    problem = lab.get(answer.path).json()["problem"]
    assert problem == answer.document["problem"]
    assert problem["reason"] == problem["detail"]


def test_many_unfinished_operations_hold_up_no_start(make_lab: Callable[..., Lab]) -> None:
    lab = stopped(make_lab)
    with database(lab) as rows:
        rows.execute("BEGIN")
        rows.executemany(
            INSERT,
            ((str(uuid.uuid4()), REQUEST, "awaiting_content", "2026-01-01T00:00:00Z", None) for _ in range(20_000)),
        )
        rows.execute("COMMIT")
    rows.close()
    began = time.monotonic()
    lab.start()
    assert time.monotonic() - began < 10
    assert {each["state"] for each in lab.get("/v1/systems/edge1/operations").json()} == {"failed"}


def test_a_clock_that_is_ahead_makes_no_operation_run_twice(make_lab: Callable[..., Lab]) -> None:
    """The test can't set the clock, so it makes all stored data eight days old instead."""
    lab = make_lab(sdk="activelogic_embedded", limits={"owner_seconds": 0.4})
    lab.start()
    path = lab.run({"action": "create_new", "name": "once.plb"}).path
    assert lab.stop() == 0
    old = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - 8 * 86400))
    with database(lab) as rows:
        rows.execute("UPDATE operations SET created = ?, finished = ?", (old, old))
    rows.close()
    lab.start()
    time.sleep(0.5)  # expired operations are purged several times meanwhile
    assert lab.get(path).json()["state"] == "succeeded"
    again = {"action": "create_new", "name": "once.plb"}
    assert lab.put(again, operation=path.rpartition("/")[2]).json()["state"] == "succeeded"


def test_what_is_old_is_forgotten_by_and_by(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(sdk="activelogic_embedded", limits={"owner_seconds": 0.4})
    lab.start()
    path = lab.run({"action": "create_new", "name": "first.plb"}).path
    assert lab.stop() == 0
    with database(lab) as rows:
        rows.execute(INSERT, (str(uuid.uuid4()), REQUEST, "failed", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"))
    rows.close()
    lab.start()
    listing = path.rpartition("/")[0]
    deadline = time.monotonic() + 5
    while len(lab.get(listing).json()) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert lab.get(path).json()["state"] == "succeeded"


def test_one_entry_that_can_not_be_removed_keeps_no_gateway_from_starting(make_lab: Callable[..., Lab]) -> None:
    lab = stopped(make_lab)
    spool = lab.folder / "state" / "spool"
    (spool / "a-folder").mkdir()
    (spool / "left.bin").write_bytes(b"content")
    lab.start()
    assert [each.name for each in spool.iterdir()] == ["a-folder"]
    assert "a-folder can't be removed" in lab.errors()


def test_a_spool_that_is_a_link_is_refused_and_its_target_stays(make_lab: Callable[..., Lab], tmp_path: Path) -> None:
    lab = stopped(make_lab)
    (tmp_path / "precious").write_bytes(b"content")
    spool = lab.folder / "state" / "spool"
    shutil.rmtree(spool)
    spool.symlink_to(tmp_path)
    assert "spool is a link" in start_in_vain(lab)
    assert (tmp_path / "precious").read_bytes() == b"content"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_state_of_another_user_is_refused(make_lab: Callable[..., Lab]) -> None:
    lab = stopped(make_lab)
    os.chown(lab.folder / "state", 65534, 65534)
    assert "belongs to user nobody" in start_in_vain(lab)
    os.chown(lab.folder / "state", os.geteuid(), os.getegid())
    os.chown(lab.folder / "state" / "spool", 65534, 65534)
    assert "spool belongs to user nobody" in start_in_vain(lab)


def test_nothing_that_is_removed_from_a_state_lets_a_second_gateway_in(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(sdk="activelogic_embedded")
    lab.start()
    for each in (lab.folder / "state").iterdir():
        if each.name != "spool":
            each.unlink()
    assert "is in use by another gateway" in start_in_vain(lab)


def test_too_few_descriptors_are_told_at_the_start(make_lab: Callable[..., Lab]) -> None:
    lab = stopped(make_lab)
    said = start_in_vain(lab, limit="--nofile=256:256")
    assert "the process may open 256 files" in said
    assert "LimitNOFILE" in said


# Logs that nobody reads


def test_a_log_that_nobody_reads_stops_nothing(make_lab: Callable[..., Lab]) -> None:
    """The audit log and the error log go to full pipes that nobody empties."""
    lab = make_lab(sdk="activelogic_embedded")
    lab.settings["audit_log"] = "-"
    ready = lab.folder / "ready.json"
    (lab.folder / "gateway.yml").write_text(yaml.safe_dump(lab.settings), encoding="utf-8")
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    errors = (lab.folder / "stderr").open("wb")
    command = [sys.executable, "-m", "activelogic_gateway", "serve", "--config", str(lab.folder / "gateway.yml")]
    with errors:
        lab.process = subprocess.Popen([*command, "--ready-file", str(ready)], stdout=writing, stderr=errors)
    os.close(writing)
    deadline = time.monotonic() + 20
    while not ready.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    lab.url = json.loads(ready.read_text(encoding="utf-8"))["url"]
    for _ in range(5):
        assert lab.get("/healthz").status_code == 200
    received: list[bytes] = []

    def read() -> None:
        with os.fdopen(reading, "rb") as stream:
            received.append(stream.read())

    began = time.monotonic()
    lab.process.send_signal(signal.SIGTERM)
    assert lab.process.wait(15) == 0
    assert time.monotonic() - began < 8
    reader = threading.Thread(target=read)
    reader.start()
    reader.join(5)
    assert received[0].startswith(b"xxxx")
    assert "does not take its last lines" in lab.errors()


def test_lines_that_nobody_took_are_counted() -> None:
    reading, writing = os.pipe()
    said: list[str] = []
    writer = LineWriter(lambda: os.fdopen(writing, "w", encoding="utf-8"), "{} lost".format, said.append)
    for number in range(MOST_LINES + 5000):
        writer.write(f"{number:099}")
    assert writer.lost > 1000
    lost = writer.lost
    with os.fdopen(reading, encoding="utf-8") as stream:
        threading.Thread(target=writer.close, args=(10,)).start()
        lines = stream.read().splitlines()
    assert lines[-1] == f"{lost} lost"
    assert [int(line) for line in lines[:-1]] == sorted({int(line) for line in lines[:-1]})
    assert len(lines) - 1 + lost == MOST_LINES + 5000
    assert said == []


def test_a_full_disk_under_the_audit_log_is_said_once(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(sdk="activelogic_embedded")
    lab.settings["audit_log"] = "/dev/full"
    lab.start()
    for _ in range(3):
        assert lab.get("/healthz").status_code == 200
    assert lab.stop() == 0
    assert lab.errors().count("the audit log can't be written: ") == 1


def test_the_audit_log_has_a_place_of_its_own_where_none_is_named(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(sdk="activelogic_embedded")
    del lab.settings["audit_log"]
    lab.start()
    lab.get("/healthz")
    assert lab.stop() == 0
    lines = (lab.folder / "state" / "audit.log").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["command"] for line in lines] == ["health"]
