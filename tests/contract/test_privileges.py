# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users of the three privileges may do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import System
from ways import REFUSED, CommandError

WRITING = ["create_new", "restore", "remove", "upload"]
READING = ["list", "download"]


@pytest.fixture
def prepared(way: Any, system: System, tmp_path: Path) -> System:
    """A system with a backup ``there.plb`` and another configuration than in it."""
    way.connect(system.name, system.username, system.password).create_new("there.plb")
    system.change(system.standin.resources()[0], "changed")
    (tmp_path / "source").write_bytes(b"content")
    return system


def run(session: Any, command: str, folder: Path) -> Any:
    arguments: dict[str, tuple[Any, ...]] = {
        "list": (),
        "create_new": ("new.plb",),
        "restore": ("there.plb",),
        "remove": ("there.plb",),
        "download": ("there.plb", folder / "target"),
        "upload": ("new.plb", folder / "source"),
    }
    return getattr(session, command)(*arguments[command])


@pytest.mark.sentence("privilege.read")
def test_a_read_user_lists_and_downloads(way: Any, prepared: System, tmp_path: Path) -> None:
    session = way.connect(prepared.name, *prepared.add_user("read"))
    backup = prepared.backups()["there.plb"]
    assert run(session, "list", tmp_path) == {"there.plb": len(backup)}
    run(session, "download", tmp_path)
    assert (tmp_path / "target").read_bytes() == backup


@pytest.mark.sentence("privilege.read")
@pytest.mark.parametrize("command", WRITING)
def test_a_read_user_is_refused_what_changes_something(
    way: Any, prepared: System, tmp_path: Path, command: str
) -> None:
    session = way.connect(prepared.name, *prepared.add_user("read"))
    before = prepared.digest()
    with pytest.raises(CommandError, match="privilege") as caught:
        run(session, command, tmp_path)
    assert caught.value.word == REFUSED
    assert prepared.digest() == before


@pytest.mark.sentence("privilege.none")
@pytest.mark.parametrize("command", [*READING, *WRITING])
def test_a_user_without_privilege_is_refused_everything(
    way: Any, prepared: System, tmp_path: Path, command: str
) -> None:
    login = prepared.add_user("none")
    before = prepared.digest()
    with pytest.raises(CommandError, match="privilege") as caught:
        run(way.connect(prepared.name, *login), command, tmp_path)
    assert caught.value.word == REFUSED
    assert prepared.digest() == before
    assert not (tmp_path / "target").exists()


@pytest.mark.sentence("privilege.write")
def test_a_write_user_may_do_everything(way: Any, prepared: System, tmp_path: Path) -> None:
    session = way.connect(prepared.name, *prepared.add_user("write"))
    changed = prepared.configuration()
    for command in ("list", "download", "upload", "restore", "remove"):
        run(session, command, tmp_path)
    assert prepared.configuration() != changed
    assert prepared.backups() == {"new.plb": b"content"}
    assert session.create_new("last.plb") == "last.plb"
    assert sorted(prepared.backups()) == ["last.plb", "new.plb"]
