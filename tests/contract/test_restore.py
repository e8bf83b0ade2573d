# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup.restore."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from tests.contract import standins
from tests.contract.systems import System
from tests.contract.ways import CommandError


@pytest.fixture
def changed(session: Any, system: System) -> dict[str, Any]:
    """The configuration in ``before.plb``; every resource has been changed since."""
    before = system.configuration()
    session.create_new("before.plb")
    change_all(system)
    return before


def change_all(system: System) -> dict[str, Any]:
    """Change every resource; returns the new configuration."""
    for resource in system.standin.resources():
        system.change(resource, "changed")
    return system.configuration()


@pytest.mark.sentence("restore.restores", "restore.all_resources")
def test_all_resources_come_back(session: Any, system: System, changed: dict[str, Any]) -> None:
    assert all(system.configuration()[each] != changed[each] for each in system.standin.resources())
    session.restore("before.plb")
    assert system.configuration() == changed
    assert system.restores() == 1


@pytest.mark.sentence("restore.restores")
def test_a_backup_can_be_restored_again(session: Any, system: System, changed: dict[str, Any]) -> None:
    session.restore("before.plb")
    change_all(system)
    session.restore("before.plb")
    assert system.configuration() == changed
    assert system.restores() == 2


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
def test_a_restore_changes_no_backup(session: Any, system: System, changed: dict[str, Any]) -> None:
    session.create_new("after.plb")
    backups = system.backups()
    session.restore("before.plb")
    assert system.backups() == backups
    assert sorted(session.list()) == ["after.plb", "before.plb"]
    assert system.configuration() == changed


@pytest.mark.sentence("restore.restores")
def test_what_is_restored_can_be_undone_by_a_later_backup(
    session: Any, system: System, changed: dict[str, Any]
) -> None:
    after = system.configuration()
    session.create_new("after.plb")
    session.restore("before.plb")
    session.restore("after.plb")
    assert system.configuration() == after != changed


@pytest.mark.sentence("restore.restores")
def test_another_system_is_not_restored(session: Any, system: System, way: Any) -> None:
    other = system.neighbour()
    way.connect(other.name, other.username, other.password).create_new("before.plb")
    session.create_new("before.plb")
    change_all(system)
    change_all(other)
    with other.unchanged():
        session.restore("before.plb")


@pytest.mark.sentence("restore.restores")
def test_what_was_downloaded_removed_and_uploaded_again_is_restored(
    session: Any, system: System, tmp_path: Path
) -> None:
    before = system.configuration()
    session.create_new("before.plb")
    session.download("before.plb", tmp_path / "file")
    session.remove("before.plb")
    change_all(system)
    session.upload("again.plb", tmp_path / "file")
    session.restore("again.plb")
    assert system.configuration() == before


@pytest.mark.sentence("restore.resource_name")
@pytest.mark.parametrize("which", [0, 1, -1])
def test_with_a_resource_only_that_one_comes_back(
    session: Any, system: System, changed: dict[str, Any], which: int
) -> None:
    wanted = system.standin.resources()[which]
    now = system.configuration()
    session.restore("before.plb", wanted)
    assert system.configuration() == {**now, wanted: changed[wanted]}
    assert system.restores() == 1


@pytest.mark.sentence("restore.resource_name", "restore.all_resources")
def test_the_parameters_can_be_given_by_position_and_by_name(sdk: Any, system: System) -> None:
    wanted = system.standin.resources()[1]
    before = system.configuration()
    sdk.create_new("before.plb")
    system.needs(standins.KEEPS_SESSIONS)
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        (("before.plb", wanted), {}),
        (("before.plb",), {"resource_name": wanted}),
        ((), {"resource_name": wanted, "name": "before.plb"}),
        ((), {"name": "before.plb"}),
        (("before.plb", None), {}),
    ]
    for positional, named in calls:
        now = change_all(system)
        sdk.call("restore", *positional, **named)
        is_one = wanted in (*positional, *named.values())
        assert system.configuration() == ({**now, wanted: before[wanted]} if is_one else before)


@pytest.mark.sentence("restore.resource_type")
@pytest.mark.parametrize("kind", ["Resource", "int"])
def test_the_resource_may_be_a_resource_or_its_number(sdk: Any, system: System, kind: str) -> None:
    if kind == "Resource":
        system.needs(standins.RESOURCE_MEMBERS)
    for wanted in system.standin.resources():
        number = system.standin.number(wanted)
        given = sdk.sdk.Resource(number) if kind == "Resource" else number
        before = system.configuration()
        sdk.create_new(f"before-{number}.plb")
        for resource in system.standin.resources():
            system.change(resource, f"after {number}")
        now = system.configuration()
        sdk.restore(f"before-{number}.plb", given)
        assert system.configuration() == {**now, wanted: before[wanted]}


@pytest.mark.sentence("restore.resource_type")
def test_an_unknown_number_of_a_resource_is_refused(sdk: Any, system: System) -> None:
    sdk.create_new("before.plb")
    change_all(system)
    system.not_restored(sdk, "before.plb", 987654)
    system.needs(standins.REFUSES_ABSENT_RESOURCES)
    known = {system.standin.number(each) for each in system.standin.resources()}
    for number in sorted({0, -1, max(known) + 100} - known):
        system.not_restored(sdk, "before.plb", number)


@pytest.mark.sentence("restore.resource_name")
@pytest.mark.parametrize("resource", ["No Such Resource", "ruleset ", "Backup"])
def test_a_resource_that_no_backup_holds_is_refused(
    session: Any, system: System, changed: dict[str, Any], resource: str
) -> None:
    if resource != "No Such Resource":
        system.needs(standins.EXACT_NAMES)
    system.not_restored(session, "before.plb", resource)
    assert system.configuration() != changed


@pytest.mark.sentence("restore.restores")
@pytest.mark.parametrize("name", ["missing.plb", "Before.plb", "before", "before.plb ", "../backups/before.plb"])
def test_a_missing_backup_is_refused(session: Any, system: System, changed: dict[str, Any], name: str) -> None:
    if name != "missing.plb":
        system.needs(standins.EXACT_NAMES, session)
    with system.refused():
        session.restore(name)
    with system.refused():
        session.restore(name, system.standin.resources()[0])
    assert system.configuration() != changed


@pytest.mark.sentence("restore.restores")
def test_a_backup_of_another_machine_is_restored(session: Any, system: System, tmp_path: Path) -> None:
    system.needs(standins.RESTORES_OTHER_MACHINES)
    spare = system.neighbour()
    spare.change(system.standin.resources()[0], "from the old machine")
    old = spare.connect()
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
    change_all(system)
    with system.refused():
        session.restore("bad.plb")
    with system.refused():
        session.restore("bad.plb", system.standin.resources()[0])


@pytest.mark.sentence("restore.restores")
def test_a_name_that_is_no_string_is_no_backup(sdk: Any, system: System) -> None:
    with system.unchanged(), pytest.raises(CommandError):
        sdk.call("restore", 5)
