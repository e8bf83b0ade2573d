# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Quirks: alternative behaviour and faults of the embedded system."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import activelogic_embedded as sdk
from activelogic_embedded import admin
from activelogic_embedded.exception import PLDBError, PLDBIOError
from activelogic_embedded.quirks import QuirkError

Login = tuple[str, str, str]
CONTENT = bytes(range(256)) * 8192
"""2 MiB: more than one chunk of a transfer."""


@pytest.fixture
def quirks(root: Path) -> Callable[..., object]:
    """Set quirks of edge1."""
    return lambda **given: admin.set_quirks(root, "edge1", **given)


@pytest.fixture
def backup(login: Login) -> Iterator[Any]:
    """A Backup resource of edge1, whose connection is ``backup.connection``."""
    with sdk.sync_connect(*login) as connection:
        resource = connection.backup()
        resource.connection = connection
        yield resource


def sizes(backup: Any) -> dict[str, int]:
    return {each.name: each.size for each in backup.list(sdk.BackupFile)}


def content(backup: Any, name: str) -> bytes:
    target = io.BytesIO()
    backup.download(name, ofile_obj=target)
    return target.getvalue()


def members(packed: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "given",
    [
        {"nothing": 1},
        {"volatile": "yes"},
        {"time_factor": 0},
        {"complete_after": -2},
        {"outage": "long"},
        {"outage_kind": "down"},
        {"faults": [{"command": "list"}]},
        {"faults": [{"command": "dance", "does": "lose"}]},
        {"faults": [{"command": "list", "does": "explode"}]},
        {"faults": [{"command": "list", "does": "lose", "when": "during"}]},
        {"faults": [{"command": "download", "does": "flip"}]},
        {"faults": [{"command": "list", "does": "wait", "seconds": -1}]},
        {"faults": [{"command": "list", "does": "wait", "more": 1}]},
        {"faults": 5},
    ],
    ids=str,
)
def test_what_is_no_quirk_is_refused_and_changes_nothing(root: Path, given: dict[str, Any]) -> None:
    with pytest.raises(QuirkError):
        admin.set_quirks(root, "edge1", **given)
    assert admin.quirks(root, "edge1") == admin.quirks(root, "edge1").of({})
    assert not (root / "edge1" / "quirks.json").exists()


def test_quirks_of_a_system_are_no_part_of_its_digest_and_of_no_other_system(root: Path, quirks: Any) -> None:
    admin.create_system(root, "edge2", "admin", "secret")
    before = admin.digest(root)
    quirks(volatile="content", faults=[{"command": "list", "does": "lose", "times": 1}])
    assert admin.digest(root) == before
    assert admin.quirks(root, "edge2").volatile == ""


def test_times_that_differ_leave_the_contents_equal(quirks: Any, backup: Any, root: Path) -> None:
    quirks(volatile="times")
    first, second = (content(backup, backup.create_new(name)) for name in "ab")
    assert first != second
    assert members(first) == members(second)
    before = admin.show(root, "edge1")
    admin.set_value(root, "edge1", "Config", "hostname", "other")
    backup.restore("a")
    assert admin.show(root, "edge1") == before


def test_contents_that_differ_each_time_can_be_restored(quirks: Any, backup: Any, root: Path) -> None:
    quirks(volatile="content")
    first, second = (content(backup, backup.create_new(name)) for name in "ab")
    assert members(first) != members(second)
    before = admin.show(root, "edge1")
    admin.set_value(root, "edge1", "Config", "hostname", "other")
    backup.restore("a")
    assert admin.show(root, "edge1") == before


def test_create_new_and_upload_overwrite_each_by_its_own_quirk(quirks: Any, backup: Any, root: Path) -> None:
    backup.create_new("b")
    old = content(backup, "b")
    admin.set_value(root, "edge1", "Config", "hostname", "other")
    for create_new, upload in ((False, False), (False, True), (True, False)):
        quirks(create_new_overwrites=create_new, upload_overwrites=upload)
        if create_new:
            assert backup.create_new("b") == "b"
            assert content(backup, "b") not in (old, b"new")
        else:
            with pytest.raises(PLDBError):
                backup.create_new("b")
        if upload:
            backup.upload("b", ifile_obj=io.BytesIO(b"new"))
            assert content(backup, "b") == b"new"
        else:
            with pytest.raises(PLDBError):
                backup.upload("b", ifile_obj=io.BytesIO(b"other"))
            assert content(backup, "b") != b"other"


@pytest.mark.parametrize("look", ["growing", "empty", "short"])
def test_a_backup_is_listed_before_it_is_complete(quirks: Any, backup: Any, look: str) -> None:
    backup.create_new("whole")
    size = sizes(backup)["whole"]
    quirks(complete_after=10, time_factor=0.1, incomplete_size=look)
    backup.create_new("b")
    early = sizes(backup)
    assert early["whole"] == size
    assert early["b"] < size
    assert (early["b"] == 0) is (look == "empty")
    assert len(content(backup, "b")) < size
    with pytest.raises(PLDBError, match="not complete"):
        backup.restore("b")
    time.sleep(0.5)
    assert (sizes(backup)["b"] > early["b"]) is (look == "growing")
    time.sleep(0.6)
    assert sizes(backup) == {"whole": size, "b": size}
    assert content(backup, "b") == content(backup, "whole")
    backup.restore("b")


@pytest.mark.parametrize("look", ["growing", "empty", "short"])
def test_a_backup_stays_incomplete_until_it_is_removed(quirks: Any, backup: Any, look: str) -> None:
    quirks(complete_after=-1, incomplete_size=look)
    backup.create_new("b")
    first = sizes(backup)["b"]
    time.sleep(0.2)
    assert (sizes(backup)["b"] > first) is (look == "growing")
    with pytest.raises(PLDBError, match="not complete"):
        backup.restore("b")
    quirks(complete_after=0)
    assert sizes(backup)["b"] <= first + 100
    backup.remove("b")
    backup.create_new("b")
    backup.restore("b")


def test_a_restore_cuts_every_session_off_at_once(quirks: Any, backup: Any, login: Login, root: Path) -> None:
    backup.create_new("b")
    other = sdk.sync_connect(*login)
    quirks(restart_after=0)
    with pytest.raises(PLDBIOError):
        backup.restore("b")
    assert admin.restore_count(root, "edge1") == 1
    for connection in (other, backup.connection):
        with pytest.raises(ValueError, match="not connected"):
            str(connection.machineid)
        with pytest.raises(PLDBIOError):
            connection.backup()
    assert sizes(sdk.sync_connect(*login).backup()) == sizes(sdk.sync_connect(*login).backup())


def test_a_restore_cuts_sessions_off_later_and_is_down_for_a_while(quirks: Any, backup: Any, login: Login) -> None:
    backup.create_new("b")
    quirks(restart_after=5, outage=10, time_factor=0.1)
    backup.restore("b")
    assert sizes(backup).keys() == {"b"}
    time.sleep(0.6)
    with pytest.raises(PLDBIOError):
        sizes(backup)
    with pytest.raises(ConnectionRefusedError):
        sdk.sync_connect(*login)
    time.sleep(1.0)
    assert sizes(sdk.sync_connect(*login).backup()).keys() == {"b"}


def test_a_slow_restore_is_cut_off_on_its_way(quirks: Any, backup: Any) -> None:
    backup.create_new("b")
    quirks(
        restart_after=5,
        time_factor=0.1,
        faults=[{"command": "restore", "does": "wait", "when": "after", "seconds": 60}],
    )
    began = time.monotonic()
    with pytest.raises(PLDBIOError):
        backup.restore("b")
    assert 0.4 < time.monotonic() - began < 3


def test_while_a_system_is_down_logins_time_out_or_commands_fail(quirks: Any, root: Path, login: Login) -> None:
    quirks(outage=60, outage_kind="timeout")
    admin.begin_outage(root, "edge1")
    with pytest.raises(TimeoutError):
        sdk.sync_connect(*login)
    quirks(outage_kind="list")
    admin.begin_outage(root, "edge1")
    with sdk.sync_connect(*login) as connection, pytest.raises(PLDBError, match="starting"):
        sizes(connection.backup())


def test_a_restore_brings_another_password_back(quirks: Any, backup: Any, login: Login) -> None:
    backup.create_new("b")
    quirks(restored_password="the old one")
    backup.restore("b")
    with pytest.raises(PLDBIOError):
        sdk.sync_connect(*login)
    with sdk.sync_connect(login[0], login[1], "the old one") as connection:
        assert sizes(connection.backup()).keys() == {"b"}


def test_a_restore_brings_something_else_back(quirks: Any, backup: Any, root: Path) -> None:
    backup.create_new("b")
    before = admin.show(root, "edge1")
    quirks(restores_otherwise=True)
    backup.restore("b")
    assert admin.show(root, "edge1") != before


@pytest.mark.parametrize("does", ["wait", "block", "thread"])
@pytest.mark.parametrize("command", ["connect", "list"])
def test_a_command_is_slow_awaiting_or_blocking(quirks: Any, login: Login, command: str, does: str) -> None:
    quirks(time_factor=0.1, faults=[{"command": command, "does": does, "seconds": 5}])

    async def use() -> tuple[float, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.05)
                ticks += 1

        ticking = asyncio.create_task(tick())
        began = time.monotonic()
        async with await sdk.async_connect(*login) as connection:
            await (await connection.backup()).list(sdk.BackupFile)
        ticking.cancel()
        return time.monotonic() - began, ticks

    elapsed, ticks = asyncio.run(use())
    assert 0.5 <= elapsed < 3
    assert (ticks >= 5) is (does != "block")


def test_a_command_that_hangs_for_ever_can_be_cancelled_where_it_awaits(quirks: Any, login: Login) -> None:
    quirks(faults=[{"command": "list", "does": "wait"}])

    async def use() -> None:
        async with await sdk.async_connect(*login) as connection:
            await (await connection.backup()).list(sdk.BackupFile)

    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(use(), 0.5))


@pytest.mark.parametrize(("when", "there"), [("before", []), ("after", ["b"])])
def test_the_session_is_lost_before_or_after_a_command(
    quirks: Any, backup: Any, root: Path, when: str, there: Any
) -> None:
    quirks(faults=[{"command": "create_new", "does": "lose", "when": when}])
    with pytest.raises(PLDBIOError):
        backup.create_new("b")
    assert [each.name for each in (root / "edge1" / "backups").iterdir()] == there
    with pytest.raises(PLDBIOError):
        sizes(backup)


def test_a_trouble_happens_as_often_as_it_was_told(quirks: Any, backup: Any) -> None:
    quirks(faults=[{"command": "list", "does": "refuse", "times": 2}, {"command": "remove", "does": "refuse"}])
    for _number in range(2):
        with pytest.raises(PLDBError):
            sizes(backup)
    assert sizes(backup) == {}
    quirks(faults=[{"command": "list", "does": "refuse", "times": 1}])
    with pytest.raises(PLDBError):
        sizes(backup)
    assert sizes(backup) == {}


def during(does: str, at: int, command: str = "download") -> dict[str, Any]:
    return {"faults": [{"command": command, "does": does, "when": "during", "at": at, "times": 1}]}


@pytest.mark.parametrize("at", [0, 1, 1000, 2**20 - 1, 2**20, 2**20 + 1, len(CONTENT) - 1])
def test_a_download_ends_short_or_is_flipped_or_lost(quirks: Any, login: Login, at: int) -> None:
    with sdk.sync_connect(*login) as connection:
        backup = connection.backup()
        backup.upload("b", ifile_obj=io.BytesIO(CONTENT))
        quirks(**during("cut", at))
        assert content(backup, "b") == CONTENT[:at]
        quirks(**during("flip", at))
        flipped = content(backup, "b")
        assert [position for position in range(len(CONTENT)) if flipped[position] != CONTENT[position]] == [at]
        assert content(backup, "b") == CONTENT
        quirks(**during("lose", at))
        target = io.BytesIO()
        with pytest.raises(PLDBIOError):
            backup.download("b", ofile_obj=target)
        assert target.getvalue() == CONTENT[:at]


def test_a_fault_behind_the_end_of_a_transfer_never_happens(quirks: Any, backup: Any) -> None:
    quirks(**during("cut", len(CONTENT), "upload"))
    backup.upload("b", ifile_obj=io.BytesIO(CONTENT))
    quirks(**during("flip", len(CONTENT)))
    assert content(backup, "b") == CONTENT


def test_an_upload_is_stored_short_or_flipped_and_a_lost_one_not_at_all(quirks: Any, backup: Any) -> None:
    quirks(**during("cut", 1000, "upload"))
    backup.upload("short", ifile_obj=io.BytesIO(CONTENT))
    quirks(**during("flip", 1000, "upload"))
    backup.upload("flipped", ifile_obj=io.BytesIO(CONTENT))
    assert sizes(backup) == {"short": 1000, "flipped": len(CONTENT)}
    assert content(backup, "flipped")[1000] == CONTENT[1000] ^ 1
    quirks(**during("lose", 1000, "upload"))
    with pytest.raises(PLDBIOError):
        backup.upload("lost", ifile_obj=io.BytesIO(CONTENT))
    with pytest.raises(ValueError, match="not connected"):
        str(backup.connection.machineid)


def test_many_threads_count_a_trouble_once_each(quirks: Any, root: Path, login: Login) -> None:
    quirks(faults=[{"command": "list", "does": "refuse", "times": 5}])
    outcomes: list[bool] = []

    def use() -> None:
        with sdk.sync_connect(*login) as connection:
            try:
                sizes(connection.backup())
            except PLDBError:
                outcomes.append(False)
            else:
                outcomes.append(True)

    threads = [threading.Thread(target=use) for _number in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert sorted(outcomes) == [False] * 5 + [True] * 7
    assert json.loads((root / "edge1" / "quirks.json").read_text())["state"]["happened"] == {"0": 12}
