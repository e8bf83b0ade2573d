# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup.restore."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
import standins
from conftest import System
from ways import REFUSED, SDK_SYNC, TYPE, CommandError, SdkSession


def refused(session: Any, system: System, name: str, resource: str | None = None) -> None:
    """The restore is refused, and nothing on the system is other than before."""
    before = system.digest()
    with pytest.raises(CommandError) as caught:
        session.restore(name, resource)
    assert caught.value.word == REFUSED
    assert system.digest() == before


@pytest.mark.sentence("restore.restores", "restore.all_resources")
def test_all_resources_come_back(session: Any, system: System) -> None:
    before = system.configuration()
    session.create_new("before.plb")
    for resource in system.standin.resources():
        system.change(resource, "changed")
    assert system.configuration() != before
    session.restore("before.plb")
    assert system.configuration() == before
    assert system.restores() == 1


@pytest.mark.sentence("restore.restores")
def test_of_several_backups_the_named_one_is_restored(session: Any, system: System) -> None:
    resource = system.standin.resources()[0]
    states = {}
    for name in ("a.plb", "b.plb", "c.plb"):
        system.change(resource, f"state {name}")
        states[name] = system.configuration()
        session.create_new(name)
    for name in ("b.plb", "a.plb", "c.plb"):
        session.restore(name)
        assert system.configuration() == states[name]


@pytest.mark.sentence("restore.restores")
def test_a_restore_changes_no_backup(session: Any, system: System) -> None:
    session.create_new("before.plb")
    system.change(system.standin.resources()[0], "changed")
    session.create_new("after.plb")
    backups = system.backups()
    session.restore("before.plb")
    assert system.backups() == backups


@pytest.mark.sentence("restore.restores")
def test_what_was_downloaded_removed_and_uploaded_again_is_restored(
    session: Any, system: System, tmp_path: Path
) -> None:
    before = system.configuration()
    session.create_new("before.plb")
    session.download("before.plb", tmp_path / "file")
    session.remove("before.plb")
    system.change(system.standin.resources()[1], "changed")
    session.upload("again", tmp_path / "file")
    session.restore("again")
    assert system.configuration() == before


@pytest.mark.sentence("restore.resource_name")
@pytest.mark.parametrize("which", [0, 1])
def test_with_a_resource_only_that_one_comes_back(session: Any, system: System, which: int) -> None:
    wanted = system.standin.resources()[which]
    before = system.configuration()
    session.create_new("before.plb")
    for resource in system.standin.resources():
        system.change(resource, "changed")
    changed = system.configuration()
    session.restore("before.plb", wanted)
    assert system.configuration() == {**changed, wanted: before[wanted]}


@pytest.mark.sentence("restore.resource_type")
@pytest.mark.parametrize("kind", ["Resource", "int"])
def test_the_resource_may_be_a_resource_or_its_number(sdk: Any, system: System, kind: str) -> None:
    wanted, other = system.standin.resources()
    number = system.standin.number(wanted)
    given = sdk.sdk.Resource(number) if kind == "Resource" else number
    before = system.configuration()
    sdk.create_new("before.plb")
    system.change(wanted, "changed")
    system.change(other, "changed")
    changed = system.configuration()
    sdk.call("restore", name="before.plb", resource_name=given)
    assert system.configuration() == {**changed, wanted: before[wanted]}


@pytest.mark.sentence("restore.resource_type")
def test_an_unknown_number_of_a_resource_is_refused(sdk: Any, system: System) -> None:
    sdk.create_new("before.plb")
    before = system.digest()
    with pytest.raises(CommandError) as caught:
        sdk.call("restore", "before.plb", 987654)
    assert caught.value.word == REFUSED
    assert system.digest() == before


@pytest.mark.sentence("restore.resource_name")
@pytest.mark.parametrize("resource", ["No Such Resource", "ruleset ", "Backup"])
def test_a_resource_that_no_backup_holds_is_refused(session: Any, system: System, resource: str) -> None:
    session.create_new("before.plb")
    system.change(system.standin.resources()[0], "changed")
    refused(session, system, "before.plb", resource)


@pytest.mark.sentence("restore.restores")
@pytest.mark.parametrize("name", ["missing.plb", "Before.plb", "before", "before.plb ", "../backups/before.plb"])
def test_a_missing_backup_is_refused(session: Any, system: System, name: str) -> None:
    session.create_new("before.plb")
    system.change(system.standin.resources()[0], "changed")
    refused(session, system, name)


@pytest.mark.sentence("restore.restores")
def test_a_backup_of_another_machine_is_restored(session: Any, system: System, tmp_path: Path) -> None:
    spare = System(system.standin, system.name + "-spare", "admin", system.password)
    spare.standin.make(spare.name, spare.username, spare.password)
    spare.change(system.standin.resources()[0], "from the old machine")
    old = SdkSession(system.standin.module, SDK_SYNC, spare.name, spare.username, spare.password)
    old.create_new("old.plb")
    old.close()
    (tmp_path / "file").write_bytes(spare.backups()["old.plb"])
    machineid = system.machineid()
    assert machineid != spare.machineid()
    session.upload("old.plb", tmp_path / "file")
    session.restore("old.plb")
    assert system.configuration() == spare.configuration()
    assert system.machineid() == machineid


@pytest.mark.sentence("restore.restores")
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: content[:1],
        lambda content: content + b"\x00",
        lambda content: content + content,
        lambda content: b"\x00" + content,
        lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:],
        lambda content: content[:-6] + bytes([content[-6] ^ 1]) + content[-5:],
        lambda content: b"no backup at all",
        lambda content: gzip.compress(b"no backup at all", mtime=0),
    ],
    ids=[
        "last byte",
        "half",
        "first byte",
        "byte behind",
        "twice",
        "byte before",
        "flipped",
        "flipped late",
        "text",
        "gzip",
    ],
)
def test_damaged_bytes_are_refused_and_nothing_changes(
    session: Any, system: System, damage: Any, tmp_path: Path
) -> None:
    system.needs(standins.REFUSES_DAMAGED_BACKUPS)
    session.create_new("good.plb")
    (tmp_path / "file").write_bytes(damage(system.backups()["good.plb"]))
    session.upload("bad.plb", tmp_path / "file")
    system.change(system.standin.resources()[0], "changed")
    refused(session, system, "bad.plb")
    refused(session, system, "bad.plb", system.standin.resources()[0])


@pytest.mark.sentence("restore.restores")
def test_a_name_that_is_no_string_is_no_backup(sdk: Any, system: System) -> None:
    before = system.digest()
    with pytest.raises(CommandError) as caught:
        sdk.call("restore", 5)
    assert caught.value.word in (TYPE, REFUSED)
    assert system.digest() == before
