# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup.list."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contract import standins
from tests.contract.systems import System
from tests.contract.ways import VALUE, CommandError


@dataclass
class BackupFile:
    """A different class with the same name and fields."""

    name: str
    size: int


def value_error(sdk: Any, cls: Any) -> None:
    with pytest.raises(CommandError) as caught:
        sdk.call("list", cls)
    assert caught.value.word == VALUE


@pytest.mark.sentence("list.returns")
def test_a_new_system_lists_nothing(session: Any) -> None:
    assert session.list() == {}


@pytest.mark.sentence("list.returns", "list.name", "list.size")
def test_every_backup_is_listed_with_its_name_and_its_size_in_bytes(
    session: Any, system: System, tmp_path: Path
) -> None:
    session.create_new("made.plb")
    sizes = {"one.plb": 1, "uneven.plb": 1001, "large.plb": 2**20 + 1}
    for name, size in sizes.items():
        (tmp_path / "file").write_bytes(b"\x00" * size)
        session.upload(name, tmp_path / "file")
    listed = session.list()
    assert listed == {name: len(content) for name, content in system.backups().items()}
    assert listed == {"made.plb": listed["made.plb"], **sizes}


@pytest.mark.sentence("list.size")
def test_the_size_is_that_of_now(session: Any, system: System, tmp_path: Path) -> None:
    for content in (b"first", b"the second is longer", b"3"):
        (tmp_path / "file").write_bytes(content)
        session.upload("a.plb", tmp_path / "file")
        assert session.list() == {"a.plb": len(content)}
        session.remove("a.plb")
        assert session.list() == {}
    assert system.backups() == {}


@pytest.mark.sentence("list.returns")
def test_many_backups_are_all_listed(way: Any, system: System, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    made = [f"made-{number}.plb" for number in range(105)]
    maker = system.connect()
    for name in made:
        maker.upload(name, tmp_path / "file")
    maker.close()
    assert way.connect(system.name, system.username, system.password).list() == dict.fromkeys(made, 7)


@pytest.mark.sentence("list.returns")
def test_every_listing_is_a_new_one(session: Any) -> None:
    session.create_new("a.plb")
    assert list(session.list()) == ["a.plb"]
    session.create_new("b.plb")
    assert sorted(session.list()) == ["a.plb", "b.plb"]
    session.remove("a.plb")
    assert list(session.list()) == ["b.plb"]


@pytest.mark.sentence("list.returns")
def test_listing_changes_nothing(session: Any, system: System) -> None:
    session.create_new("made.plb")
    with system.unchanged():
        session.list()


@pytest.mark.sentence("list.returns")
def test_the_backups_of_another_system_are_not_listed(session: Any, system: System, way: Any) -> None:
    other = system.neighbour()
    elsewhere = way.connect(other.name, other.username, other.password)
    session.create_new("here.plb")
    elsewhere.create_new("there.plb")
    assert list(session.list()) == list(system.backups()) == ["here.plb"]
    assert list(elsewhere.list()) == list(other.backups()) == ["there.plb"]


@pytest.mark.sentence("list.returns", "list.name", "list.size")
def test_a_listing_is_made_of_backup_files(sdk: Any, system: System) -> None:
    sdk.create_new("made.plb")
    sdk.create_new("other.plb")
    listed = sdk.call("list", sdk.sdk.BackupFile)
    assert isinstance(listed, list)
    assert [type(each) for each in listed] == [sdk.sdk.BackupFile] * 2
    assert {(type(each.name), type(each.size)) for each in listed} == {(str, int)}
    expected = [sdk.sdk.BackupFile(name, len(content)) for name, content in system.backups().items()]
    assert sorted(listed, key=lambda each: each.name) == sorted(expected, key=lambda each: each.name)


@pytest.mark.sentence("list.returns")
def test_the_class_can_be_given_by_name(sdk: Any) -> None:
    sdk.create_new("made.plb")
    assert [each.name for each in sdk.call("list", cls=sdk.sdk.BackupFile)] == ["made.plb"]


@pytest.mark.sentence("list.returns")
def test_a_backup_file_is_a_dataclass_of_name_and_size(sdk: Any) -> None:
    assert repr(sdk.sdk.BackupFile(name="20210622-04.48.plb", size=10394934)) == (
        "BackupFile(name='20210622-04.48.plb', size=10394934)"
    )
    assert sdk.sdk.BackupFile("a", 1) == sdk.sdk.BackupFile("a", 1)
    assert sdk.sdk.BackupFile("a", 1) != sdk.sdk.BackupFile("a", 2)
    assert sdk.sdk.BackupFile("a", 1) != sdk.sdk.BackupFile("b", 1)


@pytest.mark.sentence("list.value_error")
@pytest.mark.parametrize(
    "cls", [str, dict, list, object, BackupFile, None, "BackupFile", object()], ids=lambda cls: ascii(cls)[:20]
)
def test_a_listing_of_anything_else_is_a_value_error(sdk: Any, cls: Any) -> None:
    value_error(sdk, cls)
    assert sdk.list() == {}


@pytest.mark.sentence("list.value_error")
@pytest.mark.parametrize("name", ["Backup", "Connection", "GraphSystem"])
def test_a_listing_of_another_class_of_the_package_is_a_value_error(sdk: Any, name: str) -> None:
    value_error(sdk, getattr(sdk.sdk, name, int))


@pytest.mark.sentence("list.value_error")
def test_a_backup_file_in_place_of_its_class_is_a_value_error(sdk: Any) -> None:
    sdk.create_new("a.plb")
    value_error(sdk, sdk.call("list", sdk.sdk.BackupFile)[0])
    value_error(sdk, sdk.sdk.BackupFile("a.plb", 1))
    assert list(sdk.list()) == ["a.plb"]


@pytest.mark.sentence("list.value_error")
def test_a_class_derived_from_backup_file_is_a_value_error(sdk: Any, system: System) -> None:
    system.needs(standins.LISTS_EXACT_CLASS)
    value_error(sdk, type("BackupFile", (sdk.sdk.BackupFile,), {}))
