# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damage that the vendor's package does to its process affects no other session and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.harness.lab import AS_PROGRAM, GATEWAY_FOLDER, PASSWORD, Lab
from tests.harness.waiting import until
from tests.harness.watching import served_meanwhile

MIB = 1024 * 1024
CRASHES = {
    "exit": "the package ended its process (exit status 3)",
    "sys_exit": "SystemExit: 4",
    "abort": "the package crashed (signal 6)",
    "segfault": "the package crashed (signal 11)",
    "killed": "its process was killed (signal 9)",
    "memory": "MemoryError",
    "memory_slowly": "MemoryError",
    "write_everywhere": "something else than an answer",
    "unreadable": "_UnreadableError: (its text can't be read)",
    "endless": "the listing has more than 20000 backups",
    "odd": "the listing has a name or a size that no backup can have",
}
"""The reason that the gateway reports for each kind of harm in a listing."""

HANGS = ("hang", "block", "interpreter", "regex", "print", "deaf")


def assert_no_descriptor_is_left(lab: Lab, before: tuple[int, int]) -> None:
    """Wait up to 5 seconds, after closing the lab's own connections."""
    lab.session.close()
    deadline = time.monotonic() + 5
    while any(now > then for now, then in zip(lab.descriptors(), before, strict=True)):
        assert time.monotonic() < deadline, (before, lab.descriptors())
        time.sleep(0.05)


def test_harm_in_a_listing_is_told_and_hurts_nobody_else(make_lab: Callable[..., Lab]) -> None:
    harmed = (*CRASHES, *HANGS)
    lab = make_lab(systems=("healthy", *harmed), limits={"read_seconds": 6})
    lab.settings["isolation"] = {"memory_bytes": 96 * MIB}
    lab.trouble(**{f"list@{each}": each for each in harmed})
    lab.start()
    assert lab.get("/v1/systems/healthy/backups").status_code == 200
    server, before = lab.fork_server(), lab.descriptors()
    with served_meanwhile(lab, "healthy"), ThreadPoolExecutor(len(harmed)) as pool:
        answers = list(pool.map(lambda system: lab.get(f"/v1/systems/{system}/backups").json(), harmed))
    told = {each["system"]: (each["kind"], each["detail"]) for each in answers}
    assert {each for each in harmed if told[each][0] == "time_limit"} == set(HANGS)
    for harm, said in CRASHES.items():
        assert (told[harm][0], said in told[harm][1]) == ("sdk_error", True), told[harm]
    lab.assert_no_session_is_left()
    assert lab.get("/healthz").json()["stuck_sessions"] == 0
    assert lab.fork_server() == server
    lab.trouble()
    for each in harmed:
        assert lab.get(f"/v1/systems/{each}/backups").status_code == 200
    lab.assert_no_session_is_left()
    assert_no_descriptor_is_left(lab, before)


WRITES = ("create_new", "restore", "remove", "upload")


def test_harm_in_a_command_is_failed_before_it_began_and_unknown_after(make_lab: Callable[..., Lab]) -> None:
    harms = ("exit", "segfault", "memory", "unreadable", "interpreter", "sys_exit")
    systems = tuple(f"{action}-{harm}" for action in (*WRITES, "download") for harm in harms)
    lab = make_lab(systems=("healthy", *systems), limits={"write_seconds": 4, "transfer_seconds": 4})
    lab.settings["isolation"] = {"memory_bytes": 96 * MIB}
    for each in systems:
        (lab.backups(each) / "there.plb").write_bytes(b"content")
    lab.start()

    def run(system: str) -> tuple[str, str]:
        action, _, _ = system.partition("-")
        if action == "upload":
            response = lab.put({"action": "upload", "name": "new.plb", "size": 7}, system=system)
            path = lab.path_of(response)
            lab.request("PUT", path + "/content", data=b"content")
            digest = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
            lab.request("PUT", path + "/commit", json={"sha256": digest})
            answer = lab.finish(path)
        else:
            name = "new.plb" if action == "create_new" else "there.plb"
            answer = lab.run({"action": action, "name": name}, system=system)
        return answer.document["state"], str(answer.kind)

    lab.trouble(**{f"{each.partition('-')[0]}@{each}": each.partition("-")[2] for each in systems})
    with served_meanwhile(lab, "healthy"), ThreadPoolExecutor(8) as pool:
        outcomes = dict(zip(systems, pool.map(run, systems), strict=True))
    for system, (state, kind) in outcomes.items():
        action, _, harm = system.partition("-")
        assert state == ("failed" if action == "download" else "unknown"), system
        assert kind == ("time_limit" if harm == "interpreter" else "sdk_error"), system
    lab.trouble(connect="exit")
    answer = lab.run({"action": "remove", "name": "there.plb"}, system="download-exit")
    assert (answer.document["state"], answer.kind) == ("failed", "sdk_error")
    lab.trouble(list="segfault")
    answer = lab.run({"action": "remove", "name": "there.plb"}, system="download-exit")
    assert (answer.document["state"], answer.kind) == ("failed", "sdk_error")
    assert (lab.backups("download-exit") / "there.plb").exists()
    assert list((lab.folder / "state" / "spool").iterdir()) == []
    lab.assert_no_session_is_left()


@pytest.mark.parametrize("end", ["answer", "kill_gateway", "kill_fork_server", "stop"])
def test_what_a_package_forks_ends_with_its_session(make_lab: Callable[..., Lab], end: str) -> None:
    lab = make_lab()
    lab.program = AS_PROGRAM  # the test finds its processes by the environment that they started with
    lab.start()
    own = lab.all_processes()
    assert len(own) == 2
    lab.trouble(list="children", create_new="hang")
    if end == "answer":
        assert lab.get("/v1/systems/edge1/backups").status_code == 200
    else:
        path = lab.path_of(lab.put({"action": "create_new", "name": "new.plb"}))
        while "create_new" not in lab.calls():
            assert lab.get(path).json()["state"] in ("queued", "running")
        assert len(lab.all_processes()) >= 4
    if end == "kill_gateway":
        lab.stop(signal.SIGKILL)
        own = set()
    elif end == "stop":
        lab.settings["limits"] = {"shutdown_seconds": 1}
        assert lab.stop() == 0
        own = set()
    elif end == "kill_fork_server":
        os.kill(lab.fork_server(), signal.SIGKILL)
        document = lab.finish(path).document
        assert (document["state"], document["cause"]) == ("unknown", "unexpected_error")
        own = {lab.process.pid} if lab.process else set()
    deadline = time.monotonic() + 5
    while lab.all_processes() != own:
        assert time.monotonic() < deadline, (lab.all_processes(), own)
        time.sleep(0.02)


def test_lost_fork_server_is_started_again_and_not_for_ever(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.start()
    for _ in range(5):
        assert lab.get("/v1/systems/edge1/backups").status_code == 200
        os.kill(lab.fork_server(), signal.SIGKILL)
    assert lab.get("/v1/systems/edge1/backups").status_code == 200
    os.kill(lab.fork_server(), signal.SIGKILL)
    response = lab.get("/v1/systems/edge1/backups")
    assert (response.status_code, response.json()["kind"]) == (502, "sdk_error")
    assert "ends again and again" in response.json()["detail"]
    assert lab.get("/healthz").status_code == 200
    assert "has ended (signal 9)" in lab.errors()


def test_listing_that_lost_its_fork_server_is_made_again(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.start()
    lab.create("there.plb")
    lab.trouble(list="slow:1")
    before = lab.calls().count("list")
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(lab.get, "/v1/systems/edge1/backups")
        until(lambda: lab.calls().count("list") > before)
        os.kill(lab.fork_server(), signal.SIGKILL)
        response = asked.result()
    assert response.status_code == 200, response.text
    assert [each["name"] for each in response.json()] == ["there.plb"]


def test_fork_server_that_does_not_answer_is_replaced(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"read_seconds": 1})
    lab.start()
    stopped = lab.fork_server()
    os.kill(stopped, signal.SIGSTOP)
    assert lab.get("/v1/systems/edge1/backups").status_code == 504
    assert lab.get("/v1/systems/edge1/backups").status_code == 200
    assert lab.fork_server() != stopped


@pytest.mark.parametrize("to", ["group", "each"])
def test_signals_for_all_processes_reach_the_gateway_first(make_lab: Callable[..., Lab], to: str) -> None:
    """Ctrl-C in a terminal signals the process group; a service manager sends SIGTERM to each process."""
    lab = make_lab()
    lab.program = ("-c", "import os, runpy; os.setpgrp(); runpy.run_module('activelogic_gateway', run_name='__main__')")
    lab.trouble(create_new="slow:1")
    lab.start()
    path = lab.path_of(lab.put({"action": "create_new", "name": "new.plb"}))
    while "create_new" not in lab.calls():
        assert lab.get(path).json()["state"] in ("queued", "running")
    assert lab.process is not None
    if to == "group":
        os.killpg(lab.process.pid, signal.SIGINT)
    else:
        for each in lab.all_processes():
            os.kill(each, signal.SIGTERM)
    lab.process.wait(20)
    assert (lab.backups() / "new.plb").exists()
    lab.trouble()
    lab.start()
    assert lab.get(path).json()["state"] == "succeeded"


def test_of_fifty_sessions_at_once_exactly_those_fail_that_crash(make_lab: Callable[..., Lab]) -> None:
    systems = tuple(f"edge{number}" for number in range(50))
    lab = make_lab(systems=systems)
    crashing = dict(zip(systems[::10], ("exit", "segfault", "abort", "sys_exit", "killed"), strict=True))
    lab.trouble(**{f"list@{system}": harm for system, harm in crashing.items()})
    lab.start()
    assert lab.get("/v1/systems/edge1/backups").status_code == 200
    before = lab.descriptors()
    with ThreadPoolExecutor(50) as pool:
        statuses = dict(zip(systems, pool.map(lambda each: _status(lab, each), systems), strict=True))
    assert {each for each, status in statuses.items() if status != 200} == set(crashing)
    assert {statuses[each] for each in crashing} == {502}
    lab.assert_no_session_is_left()
    assert_no_descriptor_is_left(lab, before)


def _status(lab: Lab, system: str) -> int:
    with requests.Session() as session:
        session.verify, session.trust_env = str(lab.folder / "ca.pem"), False
        return session.get(f"{lab.url}/v1/systems/{system}/backups", auth=("admin", PASSWORD), timeout=40).status_code


@pytest.mark.skipif(os.getuid() != 0, reason="looks into the memory of other processes")
def test_login_is_in_no_process_but_its_session_and_the_gateway(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.program = AS_PROGRAM  # the test finds its processes by the environment that they started with
    lab.trouble(create_new="hang")
    lab.start()
    lab.put({"action": "create_new", "name": "new.plb"})
    while "create_new" not in lab.calls():
        time.sleep(0.02)
    (session,) = lab.session_processes()
    assert PASSWORD.encode() in memory_of(session)  # control: the session does hold it
    assert PASSWORD.encode() not in memory_of(lab.fork_server())
    for each in (session, lab.fork_server()):
        for name in ("cmdline", "environ"):
            assert PASSWORD.encode() not in Path(f"/proc/{each}/{name}").read_bytes()
    limits = Path(f"/proc/{session}/limits").read_text(encoding="ascii")
    (core,) = (line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core"))
    (space,) = (int(line.split()[3]) for line in limits.splitlines() if line.startswith("Max address space"))
    assert core == ["0", "0"]
    assert 1024 * MIB < space < 1200 * MIB
    opened = {os.readlink(path) for path in Path(f"/proc/{session}/fd").iterdir()}  # noqa: PTH115 (may not be a path)
    assert not [each for each in opened if str(lab.folder / "state") in each or "gateway.pem" in each]


def memory_of(process: int) -> bytes:
    found = bytearray()
    with Path(f"/proc/{process}/mem").open("rb", buffering=0) as stream:
        for line in Path(f"/proc/{process}/maps").read_text(encoding="utf-8").splitlines():
            span, mode, *_ = line.split()
            if mode.startswith("rw"):
                start, end = (int(each, 16) for each in span.split("-"))
                stream.seek(start)
                with contextlib.suppress(OSError):
                    found += stream.read(end - start)
    return bytes(found)


def test_listing_is_taken_up_to_its_limit_and_costs_the_gateway_little(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.trouble(**{"list@edge1": "many:20000", "list@edge2": "many:20001"})
    lab.start()
    listed = lab.get("/v1/systems/edge1/backups").json()
    assert len(listed) == 20000
    assert listed[-1] == {"name": f"19999-\U0001f600{'x' * 200}.plb", "size": 19999}
    response = lab.get("/v1/systems/edge2/backups")
    assert (response.status_code, response.json()["kind"]) == (502, "sdk_error")


# Imports


def check(lab_settings: dict[str, Any], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = folder / "gateway.yml"
    path.write_text(yaml.safe_dump(lab_settings), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "activelogic_gateway", "check", "--config", str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": str(GATEWAY_FOLDER), **environment},
    )


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("exit", "ended the process that imported it (exit status 5)"),
        ("segfault", "ended the process that imported it (signal 11)"),
        ("sys_exit", "can't be imported: SystemExit: there is no licence"),
        ("unspeakable", "can't be imported: Unspeakable: (its text can't be read)"),
    ],
)
def test_check_says_why_a_package_can_not_be_imported(tmp_path: Path, why: str, said: str, preload: bool) -> None:
    settings = {
        "sdk": "tests.harness.sdks.unwilling",
        "listen": "127.0.0.1:0",
        "state_dir": "state",
        "systems": {"edge1": {"host": "edge1"}},
        "isolation": {"preload": preload},
    }
    result = check(settings, tmp_path, UNWILLING=why)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_package_with_threads_is_not_forked_but_imported_by_each_session(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.settings["sdk"] = "tests.harness.sdks.threaded"
    result = check(lab.settings, lab.folder)
    assert (result.returncode, "set isolation.preload to false" in result.stderr) == (2, True)
    lab.settings["isolation"] = {"preload": False}
    assert check(lab.settings, lab.folder).returncode == 0
    lab.start()
    content = lab.create("made.plb")
    assert lab.get("/v1/systems/edge1/backups").json() == [{"name": "made.plb", "size": len(content)}]
    assert ": a thread was started" in lab.errors()
