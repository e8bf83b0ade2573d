# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many concurrent processes, threads and coroutines."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import activelogic_embedded as sdk
from activelogic_embedded import admin, archive
from activelogic_embedded.backup import Backup
from activelogic_embedded.exception import PLDBError, PLDBNewDataCommitted

Login = tuple[str, str, str]
Start = Callable[..., subprocess.Popen[str]]

TAKE_NAMES = """
print("ready", flush=True)
sys.stdin.readline()
backup = connection.backup()
won = []
for number in range(25):
    while True:
        try:
            if sys.argv[1] == "create":
                backup.create_new(f"b{number}")
            else:
                backup.upload(f"b{number}", in_path=sys.argv[2])
            won.append(number)
        except PLDBNewDataCommitted:
            backup = connection.backup()
            continue
        except PLDBError:
            pass
        break
connection.close()
print(*won)
"""


@pytest.mark.parametrize("command", ["create", "upload"])
def test_of_four_processes_exactly_one_gets_each_name(start: Start, root: Path, tmp_path: Path, command: str) -> None:
    for number in range(4):
        (tmp_path / f"file{number}").write_bytes(bytes([65 + number]) * 300_000)
    processes = [start(TAKE_NAMES, command, str(tmp_path / f"file{number}")) for number in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    outputs = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        outputs.append([int(each) for each in output.split()])
    assert Counter(number for names in outputs for number in names) == Counter(range(25))
    backups = {each.name: each.read_bytes() for each in (root / "edge1" / "backups").iterdir()}
    assert sorted(backups) == sorted(f"b{number}" for number in range(25))
    if command == "upload":
        for winner, names in enumerate(outputs):
            assert {backups[f"b{number}"] for number in names} <= {bytes([65 + winner]) * 300_000}
    assert list((root / "edge1" / "tmp").iterdir()) == []


RESTORE_IN_TURN = """
for number in range(60):
    while True:
        try:
            connection.backup().restore("one" if number % 2 else "two")
        except PLDBNewDataCommitted:
            continue
        break
connection.close()
"""


def test_a_backup_that_is_made_during_restores_is_of_one_state(start: Start, root: Path, login: Login) -> None:
    with sdk.sync_connect(*login) as connection:
        states = []
        for state in ("one", "two"):
            for resource in ("Config", "Ruleset", "System Diagnostics"):
                admin.set_value(root, "edge1", resource, "state", state)
            connection.backup().create_new(state)
            states.append(admin.show(root, "edge1"))
        process = start(RESTORE_IN_TURN)
        made = 0
        while process.poll() is None and made < 1000:
            try:
                name = connection.backup().create_new(f"during {made}")
            except PLDBNewDataCommitted:
                continue
            made += 1
            assert archive.load((root / "edge1" / "backups" / name).read_bytes()).resources in states
            assert admin.show(root, "edge1") in states
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert made
    assert admin.restore_count(root, "edge1") == 60


def test_one_resource_serves_many_coroutines_at_once(root: Path, login: Login) -> None:
    async def use() -> list[str]:
        async with await sdk.async_connect(*login) as connection:
            backup = await connection.backup()
            writes = [backup.create_new(f"b{number:02}") for number in range(30)]
            reads = [backup.list(sdk.BackupFile) for _number in range(30)]
            results = await asyncio.gather(*(each for pair in zip(writes, reads, strict=True) for each in pair))
            return [each for each in results if isinstance(each, str)]

    assert asyncio.run(use()) == [f"b{number:02}" for number in range(30)]
    assert len(list((root / "edge1" / "backups").iterdir())) == 30


def test_one_session_serves_many_threads_at_once(root: Path, login: Login) -> None:
    failures: list[Exception] = []
    with sdk.sync_connect(*login) as connection:
        backup = connection.backup()

        def use(number: int) -> None:
            try:
                for turn in range(5):
                    backup.create_new(f"b{number}-{turn}")
                    assert f"b{number}-{turn}" in [each.name for each in backup.list(sdk.BackupFile)]
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    assert len(list((root / "edge1" / "backups").iterdir())) == 40


def test_a_command_that_runs_when_another_thread_closes_ends_before(root: Path, login: Login, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 20_000_000)
    connection = sdk.sync_connect(*login)
    backup = connection.backup()
    thread = threading.Thread(target=lambda: backup.upload("big", in_path=tmp_path / "file"))
    thread.start()
    while not list((root / "edge1" / "tmp").iterdir()) and thread.is_alive():
        pass
    connection.close()
    thread.join(30)
    assert not thread.is_alive()
    assert (root / "edge1" / "backups" / "big").stat().st_size == 20_000_000


def test_sessions_leave_no_threads_behind(root: Path, login: Login) -> None:
    before = threading.active_count()
    for _number in range(5):
        connection = sdk.sync_connect(*login)
        connection.backup().list(sdk.BackupFile)
        connection.close()
    sdk.sync_connect(*login).backup().list(sdk.BackupFile)  # garbage-collected without close()
    with pytest.raises(ConnectionRefusedError):
        sdk.sync_connect("nowhere", *login[1:])
    assert threading.active_count() == before


def test_a_session_that_is_never_closed_does_not_hold_the_exit(start: Start) -> None:
    process = start("backup = connection.backup(); backup.create_new('b'); print('done')")
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (0, "done\n", "")


def test_the_loop_goes_on_during_an_upload(root: Path, login: Login, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 30_000_000)

    async def use() -> int:
        turns = 0
        async with await sdk.async_connect(*login) as connection:
            backup = await connection.backup()
            upload = asyncio.create_task(backup.upload("big", in_path=tmp_path / "file"))
            while not upload.done():
                await asyncio.sleep(0.001)
                turns += 1
            await upload
        return turns

    assert asyncio.run(use()) > 3


def test_a_cancelled_upload_leaves_no_part_of_a_backup(root: Path, login: Login, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 30_000_000)

    async def use() -> None:
        async with await sdk.async_connect(*login) as connection:
            backup: Backup = await connection.backup()
            upload = asyncio.create_task(backup.upload("big", in_path=tmp_path / "file"))
            await asyncio.sleep(0.005)
            upload.cancel()
            with pytest.raises(asyncio.CancelledError):
                await upload
            sizes = {each.name: each.size for each in await (await connection.backup()).list(sdk.BackupFile)}
            assert sizes in ({}, {"big": 30_000_000})

    asyncio.run(use())
    assert list((root / "edge1" / "tmp").iterdir()) == []


def test_the_second_generated_name_of_a_minute_is_refused(
    root: Path, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime

    monkeypatch.setattr("activelogic_embedded.backup.now", lambda: datetime(2021, 6, 22, 4, 48, 59, tzinfo=UTC))
    with sdk.sync_connect(*login) as connection:
        backup = connection.backup()
        assert backup.create_new() == "20210622-04.48.plb"
        with pytest.raises(PLDBError, match="exists"):
            backup.create_new()
        with pytest.raises(PLDBError, match="exists"):
            connection.backup().create_new("")
        assert issubclass(PLDBNewDataCommitted, Exception)
    assert [each.name for each in (root / "edge1" / "backups").iterdir()] == ["20210622-04.48.plb"]
