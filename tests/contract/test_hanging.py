# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hanging calls of the vendor's API: the timeouts of the client and of the gateway work."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract import standins
from tests.contract.conftest import running_lab
from tests.contract.systems import System
from tests.contract.ways import (
    CLIENT_DIRECT,
    CLIENT_GATEWAY,
    DEADLINE,
    UNKNOWN,
    UNREACHABLE,
    CommandError,
    Way,
    run_command,
)
from tests.harness.lab import Lab

pytestmark = pytest.mark.own_process

READING = ["connect", "list", "download"]
WRITING = ["create_new", "restore", "remove", "upload"]
KINDS = ["wait", "block", "thread"]
"""How a call hangs: awaiting, blocking its loop, blocking a thread of the loop's executor."""

WITHIN = 12.0
"""Seconds within which a command must fail: timeouts of 1 to 2 s, plus the time to give up a call."""


@pytest.fixture(scope="module")
def hasty(standin: standins.Standin, hosts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A gateway whose timeouts for calls are one second."""
    folder = tmp_path_factory.mktemp("hasty")
    yield from running_lab(standin, hosts, folder, read_seconds=1, write_seconds=1, transfer_seconds=1)


@pytest.fixture
def prepared(system: System, tmp_path: Path) -> System:
    """A system with a backup ``there.plb``."""
    session = system.connect()
    session.create_new("there.plb")
    session.close()
    (tmp_path / "source").write_bytes(b"content")
    return system


def fails(session: Any, command: str, folder: Path) -> str:
    """Require that the command fails in time; returns the error's word."""
    began = time.monotonic()
    with pytest.raises(CommandError) as caught:
        run_command(session, command.replace("connect", "list"), folder)
    assert time.monotonic() - began < WITHIN
    return caught.value.word


def processes_of(pid: int) -> set[str]:
    """Child processes of a process."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return {child for each in found for child in each.read_text(encoding="ascii").split()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", [*READING, *WRITING])
def test_the_clocks_of_the_direct_way_hold(prepared: System, lab: Lab, tmp_path: Path, command: str, kind: str) -> None:
    prepared.quirks(faults=[{"command": command, "does": kind, "times": 1}])
    clocks: dict[str, Any] = {
        "connect_timeout": 1,
        "read_timeout": 1,
        "wait_timeout": 1,
        "transfer_timeout": 1,
    }
    before, threads = prepared.digest(), set(threading.enumerate())
    processes = processes_of(os.getpid())
    with Way(CLIENT_DIRECT, prepared.standin.module, lab.url, str(lab.ca_path)) as way:
        login = (prepared.name, prepared.username, prepared.password)
        word = fails(way.connect(*login, retries=0, **clocks), command, tmp_path)
        assert word == {"connect": UNREACHABLE, "list": DEADLINE, "download": DEADLINE}.get(command, UNKNOWN)
        assert prepared.digest() == before
        assert list(way.connect(*login, retries=0, **clocks).list()) == ["there.plb"]
    assert set(threading.enumerate()) <= threads
    assert processes_of(os.getpid()) <= processes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", [*READING, *WRITING])
def test_the_clocks_of_the_gateway_hold_and_its_lane_is_free_afterwards(
    prepared: System, hasty: Lab, tmp_path: Path, command: str, kind: str
) -> None:
    prepared.quirks(faults=[{"command": command, "does": kind, "times": 1}])
    before = prepared.digest()
    with Way(CLIENT_GATEWAY, prepared.standin.module, hasty.url, str(hasty.ca_path)) as way:
        login = (prepared.name, prepared.username, prepared.password)
        word = fails(way.connect(*login, retries=0), command, tmp_path)
        assert word == (DEADLINE if command in READING else UNKNOWN)
        assert prepared.digest() == before
        assert way.connect(*login).create_new("afterwards.plb") == "afterwards.plb"


@pytest.mark.parametrize("command", [*READING, *WRITING])
def test_the_clocks_of_the_client_hold_when_the_gateway_waits_longer(
    prepared: System, lab: Lab, tmp_path: Path, command: str
) -> None:
    prepared.quirks(faults=[{"command": command, "does": "wait", "times": 1}])
    clocks: dict[str, Any] = {"read_timeout": 2, "wait_timeout": 2, "transfer_timeout": 2, "retries": 0}
    with Way(CLIENT_GATEWAY, prepared.standin.module, lab.url, str(lab.ca_path)) as way:
        session = way.connect(prepared.name, prepared.username, prepared.password, **clocks)
        assert fails(session, command, tmp_path) in (DEADLINE, UNKNOWN, UNREACHABLE)
