# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PLDBNewDataCommitted: another session has committed to the resource since it was opened."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract import standins
from tests.contract.systems import System
from tests.contract.ways import STALE, CommandError, run_command
from tests.harness.waiting import rounds_until

COMMITS = ["create_new", "restore", "remove", "upload"]
COMMANDS = ["list", "download", *COMMITS]


@pytest.fixture
def other(sdk: Any, sdk_way: Any, system: System, tmp_path: Path) -> Any:
    """Another session, opened like the test's when the system already had a backup ``there.plb``."""
    (tmp_path / "source").write_bytes(b"content")
    sdk.create_new("there.plb")
    sdk.reopen()
    return sdk_way.connect(system.name, system.username, system.password)


@pytest.mark.sentence("list.stale", "stale.every_command")
@pytest.mark.parametrize("commit", COMMITS)
@pytest.mark.parametrize("command", COMMANDS)
def test_the_next_command_after_a_commit_of_another_session_is_stale(
    sdk: Any, other: Any, system: System, tmp_path: Path, commit: str, command: str
) -> None:
    if commit == "restore":
        system.needs(standins.RESTORE_COMMITS)
        system.needs(standins.KEEPS_SESSIONS)
    run_command(other, commit, tmp_path)
    with system.unchanged(), pytest.raises(CommandError) as caught:
        run_command(sdk, command, tmp_path)
    assert caught.value.word == STALE
    assert not (tmp_path / "target").exists() or not system.answers(standins.NO_FILE_ON_REFUSAL)


@pytest.mark.sentence("list.stale", "stale.every_command")
def test_commits_of_other_users_count_too(sdk: Any, sdk_way: Any, system: System) -> None:
    sdk_way.connect(system.name, *system.add_user("write")).create_new("there.plb")
    for command in (sdk.list, lambda: sdk.create_new("new.plb")):
        with system.unchanged(), pytest.raises(CommandError) as caught:
            command()
        assert caught.value.word == STALE


@pytest.mark.sentence("stale.for_good")
@pytest.mark.parametrize("command", COMMANDS)
def test_retrying_on_the_same_object_never_helps_and_a_new_resource_does(
    sdk: Any, other: Any, system: System, tmp_path: Path, command: str
) -> None:
    other.create_new("other.plb")
    for _number in range(3):
        with pytest.raises(CommandError) as caught:
            run_command(sdk, command, tmp_path)
        assert caught.value.word == STALE
    assert sorted(system.backups()) == ["other.plb", "there.plb"]
    sdk.reopen()
    run_command(sdk, command, tmp_path)


@pytest.mark.sentence("stale.for_good")
def test_an_object_that_is_stale_stays_so_also_when_the_other_session_undoes_it(
    sdk: Any, other: Any, system: System
) -> None:
    other.create_new("moment.plb")
    other.remove("moment.plb")
    with pytest.raises(CommandError) as caught:
        sdk.list()
    assert caught.value.word == STALE
    assert list(system.backups()) == ["there.plb"]


@pytest.mark.sentence("stale.every_command")
def test_a_refused_command_of_another_session_commits_nothing(sdk: Any, other: Any, system: System) -> None:
    commands = [("restore", "missing.plb"), ("create_new", "new.plb", "No Such Resource")]
    if system.answers(standins.REFUSES_MISSING_NAMES):
        commands.append(("remove", "missing.plb"))
    if system.answers(standins.REFUSES_TAKEN_NAMES):
        commands.append(("create_new", "there.plb"))
    for command, *arguments in commands:
        with pytest.raises(CommandError):
            getattr(other, command)(*arguments)
    assert list(sdk.list()) == ["there.plb"]


@pytest.mark.sentence("stale.every_command")
def test_reading_in_another_session_commits_nothing(sdk: Any, other: Any, tmp_path: Path) -> None:
    other.list()
    other.download("there.plb", tmp_path / "target")
    assert list(sdk.list()) == ["there.plb"]


@pytest.mark.sentence("stale.every_command")
def test_ones_own_commands_do_not_make_the_resource_stale(sdk: Any, other: Any, tmp_path: Path) -> None:
    assert other.identity() == sdk.identity()
    for number, command in enumerate(("create_new", "list", "download", "upload", "list", "remove", "create_new")):
        run_command(sdk, command, tmp_path, name=f"own-{number}.plb")
    assert sorted(sdk.list()) == ["own-0.plb", "own-3.plb", "own-6.plb"]


@pytest.mark.sentence("stale.every_command")
def test_ones_own_restore_does_not_make_the_resource_stale(sdk: Any, system: System) -> None:
    system.needs(standins.KEEPS_SESSIONS)
    sdk.create_new("there.plb")
    for _number in range(2):
        sdk.call("restore", "there.plb")
        assert list(sdk.list()) == ["there.plb"]
    sdk.create_new("new.plb")
    assert sorted(system.backups()) == ["new.plb", "there.plb"]


@pytest.mark.sentence("stale.every_command")
def test_another_resource_of_the_same_session_counts_as_another_one(sdk: Any, system: System) -> None:
    system.needs(standins.RESOURCES_APART)
    first = sdk.backup
    sdk.reopen()
    sdk.create_new("new.plb")
    sdk.backup = first
    with pytest.raises(CommandError) as caught:
        sdk.list()
    assert caught.value.word == STALE


@pytest.mark.sentence("stale.every_command")
def test_a_commit_on_another_system_does_not_matter(sdk: Any, sdk_way: Any, system: System) -> None:
    neighbour = system.neighbour()
    sdk_way.connect(neighbour.name, neighbour.username, neighbour.password).create_new("new.plb")
    assert sdk.list() == {}
    assert list(neighbour.backups()) == ["new.plb"]


@pytest.fixture
def commits_of_others(system: System) -> Iterator[list[str]]:
    """Another session that commits about thirty times a second; yields the names of the backups it has made so far."""
    ended = threading.Event()
    made: list[str] = []

    def commit() -> None:
        session = system.connect()
        while not ended.wait(0.03):
            session.reopen()
            made.append(session.create_new(f"other-{len(made)}.plb"))
        session.close()

    thread = threading.Thread(target=commit)
    thread.start()
    yield made
    ended.set()
    thread.join()


@pytest.mark.sentence("stale.for_good")
def test_the_client_lists_whatever_others_commit(client_way: Any, system: System, commits_of_others: list[str]) -> None:
    client = client_way.connect(system.name, system.username, system.password)
    for _round in rounds_until(lambda: len(commits_of_others) >= 20):
        listed = client.list()
        assert listed.items() <= {name: len(content) for name, content in system.backups().items()}.items()
    assert len(client.list()) >= 20


@pytest.mark.sentence("stale.for_good")
def test_the_client_downloads_whatever_others_commit(
    client_way: Any,
    system: System,
    commits_of_others: list[str],
    tmp_path: Path,
) -> None:
    client = client_way.connect(system.name, system.username, system.password)
    for _round in rounds_until(lambda: bool(commits_of_others)):
        client.list()
    expected = system.backups()["other-0.plb"]
    for _round in rounds_until(lambda: len(commits_of_others) >= 20):
        client.download("other-0.plb", tmp_path / "target")
        assert (tmp_path / "target").read_bytes() == expected
