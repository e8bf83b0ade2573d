# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the collection's client handles the faults of real systems, direct and through the gateway."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils._errors import IncompleteBackupError, TransferError

from tests.contract import standins
from tests.contract.systems import System
from tests.contract.ways import (
    LOGIN,
    REFUSED,
    STALE,
    TRANSFER,
    UNKNOWN,
    UNREACHABLE,
    ClientSession,
    CommandError,
    run_command,
)

CONTENT = bytes(range(256)) * 8192
"""2 MiB: more than one piece of a transfer."""

WRITING = ["create_new", "restore", "remove", "upload"]


@pytest.fixture
def session(client_way: Any, system: System, tmp_path: Path) -> ClientSession:
    """A session on a system with a backup ``there.plb``."""
    (tmp_path / "source").write_bytes(CONTENT)
    made: ClientSession = client_way.connect(system.name, system.username, system.password)
    made.create_new("there.plb")
    return made


def word_of(session: Any, command: str, folder: Path) -> str:
    with pytest.raises(CommandError) as caught:
        run_command(session, command, folder)
    return caught.value.word


def fault(command: str, does: str, **more: Any) -> dict[str, Any]:
    return {"faults": [{"command": command, "does": does, **more}]}


@pytest.mark.parametrize("command", WRITING)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_is_unknown_and_never_sent_again(
    session: Any, system: System, tmp_path: Path, command: str, when: str
) -> None:
    names, restores = set(system.backups()), system.restores()
    system.quirks(**fault(command, "lose", when=when))
    assert word_of(session, command, tmp_path) == UNKNOWN
    ran = when == "after"
    after = {"create_new": {"there.plb", "new.plb"}, "upload": {"there.plb", "new.plb"}, "remove": set()}
    assert set(system.backups()) == (after.get(command, names) if ran else names)
    assert system.restores() == restores + (command == "restore" and ran)


@pytest.mark.parametrize("command", ["list", "download"])
def test_a_read_is_sent_again_after_a_lost_connection(
    session: Any, system: System, tmp_path: Path, command: str
) -> None:
    system.quirks(**fault(command, "lose", times=1))
    run_command(session, command, tmp_path)
    system.quirks(**fault(command, "lose"))
    assert word_of(session, command, tmp_path) == UNREACHABLE


@pytest.mark.parametrize("at", [0, 1, 1000, 2**20, len(CONTENT) - 1])
def test_a_download_that_is_lost_on_the_way_is_fetched_again(
    session: Any, system: System, tmp_path: Path, at: int
) -> None:
    session.upload("big.plb", tmp_path / "source")
    system.quirks(**fault("download", "lose", when="during", at=at, times=1))
    session.download("big.plb", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == CONTENT


@pytest.mark.parametrize("at", [0, 1, 1000, 2**20, len(CONTENT) - 1])
def test_a_download_that_ends_short_is_never_taken_for_whole(
    session: Any, system: System, tmp_path: Path, at: int
) -> None:
    session.upload("big.plb", tmp_path / "source")
    system.quirks(**fault("download", "cut", when="during", at=at))
    with pytest.raises(CommandError) as caught:
        session.download("big.plb", tmp_path / "target")
    assert caught.value.word == TRANSFER
    assert str(len(CONTENT)) in caught.value.text


def test_a_download_with_a_flipped_byte_is_what_it_says(session: Any, system: System, tmp_path: Path) -> None:
    """The vendor's API has no digests: the client passes the bytes on, and only a caller with a digest can tell."""
    session.upload("big.plb", tmp_path / "source")
    system.quirks(**fault("download", "flip", when="during", at=1000, times=1))
    received = session.client.download("big.plb", str(tmp_path / "target"))
    content = (tmp_path / "target").read_bytes()
    assert hashlib.sha256(content).hexdigest() == received.sha256
    assert [at for at in range(len(CONTENT)) if content[at] != CONTENT[at]] == [1000]


@pytest.mark.parametrize("at", [1, 1000, 2**20, len(CONTENT) - 1])
def test_an_upload_that_is_stored_short_is_an_error_and_is_removed_again(
    session: Any, system: System, tmp_path: Path, at: int
) -> None:
    before = system.backups()
    system.quirks(**fault("upload", "cut", when="during", at=at))
    assert word_of(session, "upload", tmp_path) == TRANSFER
    assert system.backups() == before


@pytest.mark.parametrize("look", ["growing", "empty"])
def test_an_upload_that_is_listed_before_it_is_whole_is_waited_for(
    session: Any, system: System, tmp_path: Path, look: str
) -> None:
    system.quirks(complete_after=3, incomplete_size=look)
    began = time.monotonic()
    session.upload("new.plb", tmp_path / "source")
    assert time.monotonic() - began >= 3
    assert session.list()["new.plb"] == len(CONTENT)
    assert system.backups()["new.plb"] == CONTENT


def test_an_upload_over_a_backup_that_changes_nothing_removes_nothing(
    session: Any, system: System, tmp_path: Path
) -> None:
    """The system accepts the new bytes but lists the old size: the old backup is not ours to remove."""
    before = system.backups()
    system.quirks(upload_overwrites=True, **fault("upload", "cut", when="during", at=len(before["there.plb"])))
    with pytest.raises(TransferError, match="nothing was removed"):
        session.client.upload("there.plb", str(tmp_path / "source"), replace=True)
    assert list(system.backups()) == ["there.plb"]


def test_an_upload_that_is_lost_on_the_way_leaves_nothing(session: Any, system: System, tmp_path: Path) -> None:
    before = system.backups()
    system.quirks(**fault("upload", "lose", when="during", at=1000))
    assert word_of(session, "upload", tmp_path) == UNKNOWN
    assert system.backups() == before


@pytest.mark.parametrize("command", ["list", "download", *WRITING])
def test_what_the_system_refuses_is_refused(session: Any, system: System, tmp_path: Path, command: str) -> None:
    before = system.digest()
    system.quirks(**fault(command, "refuse"))
    assert word_of(session, command, tmp_path) == REFUSED
    assert system.digest() == before


@pytest.mark.parametrize("command", ["list", "download", *WRITING])
def test_a_command_that_somebody_was_faster_than_is_sent_again(
    session: Any, system: System, tmp_path: Path, command: str
) -> None:
    restores = system.restores()
    system.quirks(**fault(command, "stale", times=2))
    run_command(session, command, tmp_path)
    assert system.restores() == restores + (command == "restore")
    expected = {"create_new": {"there.plb", "new.plb"}, "upload": {"there.plb", "new.plb"}, "remove": set()}
    assert set(system.backups()) == expected.get(command, {"there.plb"})


@pytest.mark.parametrize("command", ["list", "download", *WRITING])
def test_a_command_that_somebody_is_always_faster_than_is_given_up(
    session: Any, system: System, tmp_path: Path, command: str
) -> None:
    before = system.digest()
    system.quirks(**fault(command, "stale"))
    assert word_of(session, command, tmp_path) == STALE
    assert system.digest() == before


@pytest.mark.parametrize("does", ["wait", "block", "thread"])
@pytest.mark.parametrize("command", ["connect", "list", "download", *WRITING])
def test_slow_commands_only_take_longer(
    client_way: Any, system: System, tmp_path: Path, command: str, does: str
) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    session = client_way.connect(system.name, system.username, system.password)
    session.create_new("there.plb")
    system.quirks(time_factor=0.1, **fault(command, does, seconds=3))
    began = time.monotonic()
    run_command(
        client_way.connect(system.name, system.username, system.password), command.replace("connect", "list"), tmp_path
    )
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("after", [0, 5])
def test_a_restore_that_cuts_its_session_off(session: Any, system: System, after: int, tmp_path: Path) -> None:
    system.change(system.standin.resources()[0], "changed")
    changed = system.configuration()
    system.quirks(restart_after=after, outage=5, time_factor=0.1)
    if after:
        session.restore("there.plb")
    else:
        assert word_of(session, "restore", tmp_path) == UNKNOWN
    assert system.configuration() != changed
    assert system.restores() == 1
    time.sleep(after * 0.1 + 0.1)
    assert word_of(session, "list", tmp_path) == UNREACHABLE
    time.sleep(0.6)
    assert list(session.list()) == ["there.plb"]


@pytest.mark.parametrize(("kind", "word"), [("refuse", UNREACHABLE), ("timeout", UNREACHABLE), ("list", REFUSED)])
def test_a_system_that_is_down(session: Any, system: System, tmp_path: Path, kind: str, word: str) -> None:
    if kind == "timeout" and not system.answers(standins.ALL_EXCEPTIONS):
        word = LOGIN  # one exception for both: the restore may have brought another password back
    system.quirks(restart_after=0, outage=600, outage_kind=kind)
    word_of(session, "restore", tmp_path)
    for command in ("list", "create_new"):
        assert word_of(session, command, tmp_path) == word
    assert list(system.backups()) == ["there.plb"]


def test_a_restore_that_brings_another_password_back(client_way: Any, session: Any, system: System) -> None:
    other = "the old one"
    system.quirks(restored_password=other)
    session.restore("there.plb")
    login = (system.name, system.username)
    with pytest.raises(CommandError) as caught:
        client_way.connect(*login, system.password).list()
    assert caught.value.word == LOGIN
    assert list(client_way.connect(*login, other).list()) == ["there.plb"]


@pytest.mark.parametrize("look", ["growing", "empty", "short"])
def test_a_backup_is_complete_only_when_it_is(session: Any, system: System, look: str) -> None:
    size = len(system.backups()["there.plb"])
    system.quirks(complete_after=3, incomplete_size=look)
    session.create_new("new.plb")
    assert session.list()["new.plb"] < size
    settled = session.client.settle(["new.plb", "there.plb"])
    assert settled.is_complete("there.plb")
    assert settled.is_complete("new.plb") is (look == "short")
    assert session.client.settle(["new.plb"], min_size=size).is_complete("new.plb") is False or look != "short"
    time.sleep(1.5)
    assert session.client.settle(["new.plb"]).is_complete("new.plb")


@pytest.mark.parametrize("look", ["growing", "empty"])
def test_a_backup_that_stays_incomplete_is_never_taken_for_complete(
    client_way: Any, session: Any, system: System, look: str
) -> None:
    system.quirks(complete_after=-1, incomplete_size=look)
    session.create_new("new.plb")
    short = client_way.connect(system.name, system.username, system.password, wait_timeout=5)
    with pytest.raises(IncompleteBackupError, match="wait_timeout"):
        short.client.await_complete("new.plb")
    assert len(system.backups()) == 2


def test_volatile_backups_and_overwriting_ones(session: Any, system: System, tmp_path: Path) -> None:
    """The client refuses a taken name even if the system would overwrite it, and the existing backup remains."""
    system.quirks(volatile="content", create_new_overwrites=True, upload_overwrites=True)
    before = system.backups()
    with pytest.raises(CommandError) as caught:
        session.create_new("there.plb")
    assert caught.value.word == REFUSED
    with pytest.raises(CommandError) as caught:
        session.upload("there.plb", tmp_path / "source")
    assert caught.value.word == REFUSED
    assert system.backups() == before
    session.create_new("again.plb")
    assert system.backups()["again.plb"] != before["there.plb"]


def test_one_case_at_full_length(session: Any, system: System) -> None:
    """Other tests scale the times of quirks down; here a restart takes its real time."""
    system.quirks(restart_after=5, outage=10)
    began = time.monotonic()
    session.restore("there.plb")
    down, up = None, None
    while up is None and time.monotonic() - began < 60:
        try:
            session.list()
        except CommandError:
            down = down or time.monotonic() - began
        else:
            up = time.monotonic() - began if down else None
        time.sleep(0.2)
    assert down is not None
    assert up is not None
    assert 4 < down < 10
    assert 14 < up < 20
    assert system.restores() == 1
