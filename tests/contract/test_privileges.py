# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users of the three privileges may do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.contract import standins
from tests.contract.systems import System

WRITING = ["create_new", "create_one", "create_unnamed", "restore", "restore_one", "remove", "upload"]
READING = ["list", "download"]

Login = tuple[str, str, str]


@pytest.fixture
def logins(system: System) -> dict[str, Login]:
    """Host, username and password of one user per privilege, each added before any backup."""
    return {each: (system.name, *system.add_user(each)) for each in ("none", "read", "write")}


@pytest.fixture
def prepared(logins: dict[str, Login], way: Any, system: System, tmp_path: Path) -> System:
    """A system with users, a backup ``there.plb`` and another configuration than the backup's."""
    assert logins
    way.connect(system.name, system.username, system.password).create_new("there.plb")
    system.change(system.standin.resources()[0], "changed")
    (tmp_path / "source").write_bytes(b"content")
    return system


def run(session: Any, system: System, command: str, folder: Path) -> Any:
    resource = system.standin.resources()[0]
    arguments: dict[str, tuple[str, tuple[Any, ...]]] = {
        "list": ("list", ()),
        "create_new": ("create_new", ("new.plb",)),
        "create_one": ("create_new", ("one.plb", resource)),
        "create_unnamed": ("create_new", ()),
        "restore": ("restore", ("there.plb",)),
        "restore_one": ("restore", ("there.plb", resource)),
        "remove": ("remove", ("there.plb",)),
        "download": ("download", ("there.plb", folder / "target")),
        "upload": ("upload", ("up.plb", folder / "source")),
    }
    method, given = arguments[command]
    return getattr(session, method)(*given)


@pytest.mark.sentence("privilege.read")
def test_a_read_user_lists_and_downloads(way: Any, prepared: System, logins: dict[str, Login], tmp_path: Path) -> None:
    session = way.connect(*logins["read"])
    backup = prepared.backups()["there.plb"]
    assert session.identity()[0] == prepared.machineid()
    assert run(session, prepared, "list", tmp_path) == {"there.plb": len(backup)}
    run(session, prepared, "download", tmp_path)
    assert (tmp_path / "target").read_bytes() == backup


@pytest.mark.sentence("privilege.read")
@pytest.mark.parametrize("command", WRITING)
def test_a_read_user_is_refused_what_changes_something(
    way: Any, prepared: System, logins: dict[str, Login], tmp_path: Path, command: str
) -> None:
    session = way.connect(*logins["read"])
    with prepared.refused():
        run(session, prepared, command, tmp_path)


@pytest.mark.sentence("privilege.none")
@pytest.mark.parametrize("command", [*READING, *WRITING])
def test_a_user_without_privilege_is_refused_everything(
    way: Any, prepared: System, logins: dict[str, Login], tmp_path: Path, command: str
) -> None:
    with prepared.refused():
        run(way.connect(*logins["none"]), prepared, command, tmp_path)
    assert not (tmp_path / "target").exists() or not prepared.answers(standins.NO_FILE_ON_REFUSAL)


@pytest.mark.sentence("privilege.none")
def test_a_user_without_privilege_is_refused_the_overview(sdk_way: Any, system: System) -> None:
    login = system.add_user("none")
    with system.refused():
        sdk = sdk_way.connect(system.name, *login)
        sdk.overview()


@pytest.mark.sentence("privilege.write")
@pytest.mark.parametrize("command", [*READING, *WRITING])
def test_a_write_user_may_do_everything(
    way: Any, prepared: System, logins: dict[str, Login], tmp_path: Path, command: str
) -> None:
    session = way.connect(*logins["write"])
    backups, configuration, backup = prepared.backups(), prepared.configuration(), prepared.backups()["there.plb"]
    result = run(session, prepared, command, tmp_path)
    if command == "list":
        assert result == {"there.plb": len(backup)}
    if command == "download":
        assert (tmp_path / "target").read_bytes() == backup
    if command.startswith("restore"):
        assert prepared.configuration() != configuration
    else:
        assert prepared.configuration() == configuration
    after = prepared.backups()
    if command.startswith("create"):
        assert after.pop(result) != b""
    if command == "upload":
        assert after.pop("up.plb") == b"content"
    if command == "remove":
        del backups["there.plb"]
    assert after == backups


@pytest.mark.sentence("privilege.none", "privilege.read", "privilege.write")
@pytest.mark.parametrize("privilege", ["none", "read", "write"])
@pytest.mark.parametrize("elsewhere", ["none", "write"])
def test_what_counts_is_the_privilege_on_the_backups(
    way: Any, system: System, tmp_path: Path, privilege: str, elsewhere: str
) -> None:
    if not hasattr(system.standin, "set_privilege"):
        pytest.skip("this stand-in has no privileges by resource")
    username, password = system.add_user(elsewhere)
    system.standin.set_privilege(system.name, username, "Backup", privilege)
    if privilege == "none":
        with system.refused():
            way.connect(system.name, username, password).list()
        return
    session = way.connect(system.name, username, password)
    assert session.list() == {}
    if privilege == "write":
        assert session.create_new("new.plb") == "new.plb"
        return
    with system.refused():
        session.create_new("new.plb")
