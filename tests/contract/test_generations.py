# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client with packages of earlier generations, and systems that require a commit, lock, or cache listings.

The vendor's documentation leaves transactions open, so each variant runs with the current and an earlier package.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils._errors import RefusedError

from tests.contract import standins
from tests.contract.conftest import running_lab
from tests.contract.systems import System
from tests.contract.ways import CLIENT_DIRECT, CLIENT_WAYS, LOGIN, REFUSED, UNKNOWN, CommandError, Way, run_command
from tests.harness.lab import Lab

WAYS = CLIENT_WAYS
EARLIER = "earlier"
LATE = {"visible": "after_commit"}
CONTENT = b"content of a file"

SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": (EARLIER, {}),
    "late": (EARLIER, LATE),
    "late, with commit": (EARLIER, {**LATE, "offers_commit": True}),
    "cached": (EARLIER, {"cached_listings": True}),
    "current, locked": ("", {"lock": "until_commit"}),
    "current, late": ("", LATE),
    "current, late, with commit": ("", {**LATE, "offers_commit": True}),
    "current, commit without need": ("", {"offers_commit": True}),
    "current, cached": ("", {"cached_listings": True}),
}
"""Which package to use, and the system's quirks."""


@pytest.fixture(scope="module")
def earlier_lab(standin: standins.Standin, hosts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A gateway with the package of an earlier generation."""
    earlier = copy.copy(standin)  # the same systems
    earlier.module = standins.Generation1.module
    yield from running_lab(earlier, hosts, tmp_path_factory.mktemp("earlier"))


def make_way(request: pytest.FixtureRequest, name: str, package: str) -> Way:
    through = ("", "")
    if name != CLIENT_DIRECT:
        lab: Lab = request.getfixturevalue("earlier_lab" if package else "lab")
        through = (lab.url, str(lab.ca_path))
    return Way(name, standins.Generation1.module if package else standins.Embedded.module, *through)


@pytest.fixture(params=[(way, name) for way in WAYS for name in SYSTEMS], ids="-".join)
def client(request: pytest.FixtureRequest, system: System) -> Iterator[Any]:
    """A session on each kind of system, in each way."""
    way, name = request.param
    package, quirks = SYSTEMS[name]
    system.quirks(**quirks)
    with make_way(request, way, package) as made:
        yield made.connect(system.name, system.username, system.password)


@pytest.fixture(params=[(way, package) for way in WAYS for package in ("", EARLIER)], ids="-".join)
def any_way(request: pytest.FixtureRequest) -> Iterator[Way]:
    """Each package, in each way."""
    with make_way(request, *request.param) as made:
        yield made


def test_what_a_command_did_is_there_for_others_when_it_returns(client: Any, system: System, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    wanted = system.configuration()
    assert client.create_new("made.plb") == "made.plb"
    assert list(system.backups()) == ["made.plb"]
    client.upload("sent.plb", tmp_path / "source")
    assert system.backups()["sent.plb"] == CONTENT
    assert client.list() == {name: len(content) for name, content in system.backups().items()}
    system.change(system.standin.resources()[0], "changed")
    client.restore("made.plb")
    assert system.configuration() == wanted
    assert system.restores() == 1
    client.download("sent.plb", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == CONTENT
    client.remove("sent.plb")
    assert list(system.backups()) == ["made.plb"]


def test_no_command_keeps_the_lock_of_the_resource(client: Any, system: System, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    client.create_new("there.plb")
    commands: list[Callable[[], object]] = [
        lambda: client.create_new("made.plb"),
        lambda: client.upload("sent.plb", tmp_path / "source"),
        lambda: client.restore("there.plb"),
        lambda: client.remove("made.plb"),
        lambda: client.create_new("never.plb", "No Such Resource"),
        client.list,
    ]
    for number, command in enumerate(commands):
        if number == 4:
            with pytest.raises(CommandError):
                command()
        else:
            command()
        other = system.connect()
        other.create_new(f"other-{number}.plb")
        other.close()
    assert set(client.list()) == {"there.plb", "sent.plb", *(f"other-{number}.plb" for number in range(6))}


def test_a_locked_resource_is_told_as_such_and_left_alone(any_way: Way, system: System, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    system.quirks(lock="until_commit")
    holder = system.connect()
    holder.create_new("held.plb")
    client = any_way.connect(system.name, system.username, system.password)
    commands: list[Callable[[], object]] = [
        lambda: client.create_new("made.plb"),
        lambda: client.upload("sent.plb", tmp_path / "source"),
        lambda: client.restore("held.plb"),
        lambda: client.remove("held.plb"),
    ]
    for command in commands:
        with system.unchanged(), pytest.raises(CommandError, match="locked by another session") as caught:
            command()
        assert caught.value.word == REFUSED
    with system.unchanged(), pytest.raises(RefusedError, match="locked by another session"):
        client.client.upload("held.plb", str(tmp_path / "source"), replace=True)
    assert list(client.list()) == ["held.plb"]
    holder.close()
    for command in commands:
        command()
    assert sorted(system.backups()) == ["made.plb", "sent.plb"]


@pytest.mark.parametrize("does", ["lose", "stale", "refuse"])
@pytest.mark.parametrize("command", ["create_new", "upload", "restore", "remove"])
def test_a_commit_that_fails_leaves_the_outcome_unknown(
    any_way: Way, system: System, tmp_path: Path, command: str, does: str
) -> None:
    """Whether it took place is another matter: this system undoes the command only if the session was lost."""
    (tmp_path / "source").write_bytes(CONTENT)
    preparing = system.connect()
    preparing.create_new("there.plb")
    preparing.close()
    before = system.digest()
    system.quirks(**LATE, offers_commit=True, faults=[{"command": "commit", "does": does}])
    with pytest.raises(CommandError) as caught:
        run_command(any_way.connect(system.name, system.username, system.password), command, tmp_path)
    assert caught.value.word == UNKNOWN
    assert (system.digest() == before) is (does == "lose")


@pytest.mark.own_process
def test_a_file_that_is_open_already_takes_a_download(system: System, tmp_path: Path) -> None:
    """The package's process receives the open file itself, even if another file has taken its name since."""
    with Way(CLIENT_DIRECT, standins.Embedded.module, "", "") as way:
        client = way.connect(system.name, system.username, system.password)
        client.create_new("there.plb")
        path, moved = tmp_path / "target", tmp_path / "moved"
        path.write_bytes(b"longer than a backup" * 1000)

        descriptor = os.open(path, os.O_RDWR)
        path.rename(moved)
        path.write_bytes(b"another file")

        def opener(name: str, flags: int) -> int:
            assert name == str(path)
            return os.open(f"/proc/self/fd/{descriptor}", flags)

        client.client._transport.download("there.plb", str(path), opener)
        os.close(descriptor)
    assert moved.read_bytes() == system.backups()["there.plb"]
    assert path.read_bytes() == b"another file"


def test_a_lost_session_is_opened_anew(any_way: Way, system: System) -> None:
    client = any_way.connect(system.name, system.username, system.password)
    client.create_new("there.plb")
    system.quirks(faults=[{"command": "list", "does": "lose", "times": 1}])
    assert list(client.list()) == ["there.plb"]


def test_a_login_that_failed_is_told_with_both_possible_causes(any_way: Way, system: System) -> None:
    for quirks, password in (({}, "wrong"), ({"connect": "io_error"}, system.password)):
        system.quirks(**quirks)
        with pytest.raises(CommandError) as caught:
            any_way.connect(system.name, system.username, password).list()
        assert caught.value.word == LOGIN
        assert "could not be established" in caught.value.text


def test_a_login_is_repeated_only_where_the_same_one_worked_before(system: System) -> None:
    """PLDBIOError while connecting may mean a wrong password, and too many of those may lock an account."""
    fails = {"command": "connect", "does": "lose"}

    def list_fails_with_one_login(client: Any) -> None:
        system.quirks(faults=[{**fails, "times": 1000}])
        with pytest.raises(CommandError) as caught:
            client.list()
        assert caught.value.word == LOGIN
        assert system.standin.happened(system.name) == {"0": 1}

    with Way(CLIENT_DIRECT, standins.Embedded.module, "", "") as way:
        client = way.connect(system.name, system.username, system.password, retries=4)
        list_fails_with_one_login(client)
        system.quirks()
        client.create_new("there.plb")
        client.list()
        system.quirks(faults=[{"command": "list", "does": "lose", "times": 1}, {**fails, "times": 2}])
        assert list(client.list()) == ["there.plb"]
        assert system.standin.happened(system.name) == {"0": 2, "1": 3}
        client.restore("there.plb")
        list_fails_with_one_login(client)
