# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Quirks of sessions: locks, changes that other sessions see late, cached listings, failing logins."""

from __future__ import annotations

import gc
import io
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import activelogic_embedded as sdk
from activelogic_embedded import admin, generation1, troubles
from activelogic_embedded.exception import PLDBError, PLDBIOError, PLDBNewDataCommitted

Login = tuple[str, str, str]
Start = Callable[..., subprocess.Popen[str]]
LATE = {"visible": "after_commit", "offers_commit": True}
LOCKED = {"lock": "until_commit", "offers_commit": True}


@pytest.fixture
def quirks(root: Path) -> Callable[..., object]:
    """Set quirks of edge1."""
    return lambda **given: admin.set_quirks(root, "edge1", **given)


def names(backup: Any) -> list[str]:
    return [each.name for each in backup.list(sdk.BackupFile)]


def on_disk(root: Path) -> list[str]:
    return sorted(each.name for each in (root / "edge1" / "backups").iterdir())


def is_locked(login: Login) -> bool:
    """Whether the lock blocks a new session."""
    with sdk.sync_connect(*login) as connection:
        try:
            connection.backup().remove("nothing")
        except PLDBError as error:
            return "locked by another session" in str(error)
    raise AssertionError


@pytest.mark.parametrize("given", [LATE, LOCKED], ids=["late", "locked"])
@pytest.mark.parametrize("end", ["commit", "rollback", "close", "let go", "lose", "restart"])
def test_the_lock_of_a_session_lasts_until_it_commits_or_ends(
    quirks: Any, login: Login, root: Path, given: Any, end: str
) -> None:
    quirks(**given)
    connection = sdk.sync_connect(*login)
    backup = connection.backup()
    assert names(backup) == []
    assert not is_locked(login)
    backup.create_new("b")
    assert is_locked(login)
    if end in ("commit", "rollback"):
        getattr(backup, end)()
    elif end == "close":
        connection.close()
    elif end == "let go":
        del connection, backup
    elif end == "restart":
        admin.begin_outage(root, "edge1")
    else:
        quirks(faults=[{"command": "list", "does": "lose"}])
        with pytest.raises(PLDBIOError):
            names(backup)
    assert not is_locked(login)


@pytest.mark.parametrize("end", ["commit", "close", "let go"])
def test_others_see_what_a_session_did_when_it_commits_or_ends(quirks: Any, login: Login, root: Path, end: str) -> None:
    with sdk.sync_connect(*login) as connection:
        for name in ("kept", "gone", "restored"):
            connection.backup().create_new(name)
    wanted = admin.show(root, "edge1")
    admin.set_value(root, "edge1", "Config", "hostname", "other")
    changed = admin.show(root, "edge1")
    quirks(**LATE)
    connection = sdk.sync_connect(*login)
    backup = connection.backup()
    backup.upload("new", ifile_obj=io.BytesIO(b"content"))
    backup.remove("gone")
    backup.restore("restored")
    backup.create_new("after")
    assert names(backup) == ["after", "kept", "new", "restored"]
    with pytest.raises(PLDBError, match="exists"):
        backup.create_new("new")
    with pytest.raises(PLDBError, match="no backup"):
        backup.remove("gone")
    with sdk.sync_connect(*login) as other:
        reader = other.backup()
        assert names(reader) == ["gone", "kept", "restored"] == on_disk(root)
        assert admin.show(root, "edge1") == changed
        if end == "commit":
            backup.commit()
            assert names(backup) == ["after", "kept", "new", "restored"]
        elif end == "close":
            connection.close()
        else:
            del connection, backup
            gc.collect()  # the exceptions above referenced them
        with pytest.raises(PLDBNewDataCommitted):
            names(reader)
    assert on_disk(root) == ["after", "kept", "new", "restored"]
    assert (root / "edge1" / "backups" / "new").read_bytes() == b"content"
    assert admin.show(root, "edge1") == wanted
    assert admin.restore_count(root, "edge1") == 1
    with sdk.sync_connect(*login) as other:
        other.backup().restore("after")
    assert admin.show(root, "edge1") == wanted
    assert list((root / "edge1" / "tmp").iterdir()) == []


@pytest.mark.parametrize("end", ["rollback", "lose", "restart"])
def test_what_was_not_committed_is_undone(quirks: Any, login: Login, root: Path, end: str) -> None:
    quirks(**LATE)
    connection = sdk.sync_connect(*login)
    backup = connection.backup()
    backup.create_new("b")
    before = admin.digest(root, "edge1")
    backup.remove("b")
    backup.create_new("c")
    if end == "rollback":
        backup.rollback()
        assert names(backup) == []
    elif end == "restart":
        admin.begin_outage(root, "edge1")
        with pytest.raises(PLDBIOError):
            names(backup)
        connection.close()
    else:
        quirks(faults=[{"command": "list", "does": "lose"}])
        with pytest.raises(PLDBIOError):
            names(backup)
    assert on_disk(root) == []
    assert list((root / "edge1" / "tmp").iterdir()) == []
    assert admin.digest(root, "edge1") != before


def test_what_a_killed_process_did_is_undone_and_its_lock_is_free(
    quirks: Any, start: Start, login: Login, root: Path
) -> None:
    quirks(**LATE)
    process = start("connection.backup().create_new('b'); print('made', flush=True); sys.stdin.readline()")
    assert process.stdout is not None
    assert process.stdout.readline() == "made\n"
    assert is_locked(login)
    process.kill()
    process.wait(20)
    with sdk.sync_connect(*login) as connection:
        connection.backup().create_new("mine")
    assert on_disk(root) == ["mine"]
    assert list((root / "edge1" / "tmp").iterdir()) == []


def test_a_process_that_ends_ends_its_sessions(quirks: Any, start: Start, root: Path) -> None:
    quirks(**LATE)
    _output, errors = start("connection.backup().create_new('b')").communicate(timeout=20)
    assert errors == ""
    assert on_disk(root) == ["b"]


def test_without_the_quirk_there_is_no_commit_and_with_it_alone_a_commit_changes_nothing(
    quirks: Any, login: Login, root: Path
) -> None:
    with sdk.sync_connect(*login) as connection:
        assert not hasattr(connection.backup(), "commit")
        quirks(offers_commit=True)
        backup = connection.backup()
        backup.create_new("b")
        assert on_disk(root) == ["b"]
        backup.commit()
        backup.rollback()
        assert names(backup) == ["b"]


def test_a_commit_can_have_troubles(quirks: Any, login: Login, root: Path) -> None:
    quirks(**LATE, faults=[{"command": "commit", "does": "lose", "when": "before"}])
    backup = sdk.sync_connect(*login).backup()
    backup.create_new("b")
    with pytest.raises(PLDBIOError):
        backup.commit()
    assert on_disk(root) == []


def test_a_restart_that_a_restore_causes_comes_with_its_commit(quirks: Any, login: Login, root: Path) -> None:
    quirks(**LATE, restart_after=0, outage=600)
    with sdk.sync_connect(*login) as connection:
        backup = connection.backup()
        backup.create_new("b")
        backup.restore("b")
        assert names(backup) == ["b"]
        with pytest.raises(PLDBIOError):
            backup.commit()
    assert admin.restore_count(root, "edge1") == 1
    with pytest.raises(ConnectionRefusedError):
        sdk.sync_connect(*login)


def test_a_resource_caches_its_listing(quirks: Any, login: Login, root: Path) -> None:
    quirks(cached_listings=True)
    with sdk.sync_connect(*login) as connection, sdk.sync_connect(*login) as other:
        backup = connection.backup()
        listed = backup.list(sdk.BackupFile)
        assert listed == []
        listed.append(sdk.BackupFile("mine", 1))
        backup.create_new("own")
        other.backup().create_new("other")
        assert names(backup) == []
        with pytest.raises(ValueError, match="invalid"):
            backup.list(str)
        assert names(connection.backup()) == ["other", "own"]


@pytest.mark.parametrize("way", [sdk.sync_connect, generation1.sync_connect], ids=["current", "generation 1"])
def test_a_login_meets_an_error_that_does_not_say_why(quirks: Any, root: Path, login: Login, way: Any) -> None:
    quirks(connect="io_error")
    for password in (login[2], "wrong"):
        with pytest.raises(PLDBIOError, match="can't be established"):
            way(*login[:2], password)
    quirks(connect="", outage=5, outage_kind="io_error", time_factor=0.1)
    admin.begin_outage(root, "edge1")
    with pytest.raises(PLDBIOError, match="can't be established"):
        way(*login)
    time.sleep(0.6)
    assert names(way(*login).backup()) == []


def test_an_earlier_generation_has_fewer_names_and_ends_with_its_objects(quirks: Any, login: Login, root: Path) -> None:
    quirks(**LATE)
    connection = generation1.sync_connect(*login)
    for name in ("close", "__enter__", "__exit__", "__aenter__", "__aexit__"):
        assert not hasattr(connection, name)
        assert not hasattr(generation1.Connection, name)
    assert not hasattr(generation1.exception, "PLDBDetached")
    assert connection.machineid == admin.open_system(root, "edge1").fact("machineid")
    backup = connection.backup()
    backup.create_new("b")
    del connection
    assert on_disk(root) == []
    del backup
    assert on_disk(root) == ["b"]
    quirks(outage=600, outage_kind="timeout")
    admin.begin_outage(root, "edge1")
    with pytest.raises(PLDBIOError):
        generation1.sync_connect(*login)


def test_what_happened_before_the_machine_restarted_is_over(
    quirks: Any, login: Login, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of outages and completion times restarts at boot."""
    quirks(outage=600, complete_after=600)
    with sdk.sync_connect(*login) as connection:
        connection.backup().create_new("whole")
        quirks(complete_after=-1, incomplete_size="short")
        connection.backup().create_new("never")
    admin.begin_outage(root, "edge1")
    with pytest.raises(ConnectionRefusedError):
        sdk.sync_connect(*login)
    monkeypatch.setattr(troubles, "BOOT_ID", "another")
    with sdk.sync_connect(*login) as connection:
        sizes = {each.name: each.size for each in connection.backup().list(sdk.BackupFile)}
    assert sizes["never"] == sizes["whole"] // 2


def test_a_clock_that_is_set_changes_nothing(
    quirks: Any, login: Login, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quirks(outage=600)
    admin.begin_outage(root, "edge1")
    for shift in (-(10**6), 10**6):
        moment = time.time() + shift
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        with pytest.raises(ConnectionRefusedError):
            sdk.sync_connect(*login)


def test_a_long_listing_reads_the_quirks_a_few_times_and_not_for_each_backup(
    quirks: Any, login: Login, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quirks(volatile="times")
    for number in range(1000):
        (root / "edge1" / "backups" / f"b{number}").touch()
    reads: list[object] = []
    right = troubles.QuirkState._load
    monkeypatch.setattr(troubles.QuirkState, "_load", lambda self: reads.append(self) or right(self))  # type: ignore[func-returns-value]
    with sdk.sync_connect(*login) as connection:
        assert len(connection.backup().list(sdk.BackupFile)) == 1000
    assert len(reads) < 30
