# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup.list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import System
from ways import VALUE, CommandError


@pytest.mark.sentence("list.returns")
def test_a_new_system_lists_nothing(session: Any) -> None:
    assert session.list() == {}


@pytest.mark.sentence("list.returns", "list.name", "list.size")
def test_every_backup_is_listed_with_its_name_and_its_size_in_bytes(
    session: Any, system: System, tmp_path: Path
) -> None:
    session.create_new("made.plb")
    for name, size in (("one byte", 1), ("1 MiB and more.plb", 2**20 + 1)):
        (tmp_path / "file").write_bytes(b"\x00" * size)
        session.upload(name, tmp_path / "file")
    listed = session.list()
    assert listed == {name: len(content) for name, content in system.backups().items()}
    assert sorted(listed) == ["1 MiB and more.plb", "made.plb", "one byte"]
    assert (listed["one byte"], listed["1 MiB and more.plb"]) == (1, 2**20 + 1)


@pytest.mark.sentence("list.returns")
def test_listing_changes_nothing(session: Any, system: System) -> None:
    session.create_new("made.plb")
    before = system.digest()
    session.list()
    assert system.digest() == before


@pytest.mark.sentence("list.returns", "list.name", "list.size")
def test_a_listing_is_made_of_backup_files(sdk: Any) -> None:
    sdk.create_new("made.plb")
    listed = sdk.call("list", sdk.sdk.BackupFile)
    assert isinstance(listed, list)
    assert [type(each) for each in listed] == [sdk.sdk.BackupFile]
    assert (type(listed[0].name), type(listed[0].size)) == (str, int)


@pytest.mark.sentence("list.returns")
def test_a_backup_file_is_a_dataclass_of_name_and_size(sdk: Any) -> None:
    assert repr(sdk.sdk.BackupFile(name="20210622-04.48.plb", size=10394934)) == (
        "BackupFile(name='20210622-04.48.plb', size=10394934)"
    )
    assert sdk.sdk.BackupFile("a", 1) == sdk.sdk.BackupFile("a", 1)


@pytest.mark.sentence("list.value_error")
@pytest.mark.parametrize(
    "cls", [str, dict, None, "BackupFile", object()], ids=["str", "dict", "None", "name", "object"]
)
def test_a_listing_of_anything_else_is_a_value_error(sdk: Any, cls: Any) -> None:
    with pytest.raises(CommandError) as caught:
        sdk.call("list", cls)
    assert caught.value.word == VALUE


@pytest.mark.sentence("list.value_error")
def test_a_backup_file_in_place_of_its_class_is_a_value_error(sdk: Any) -> None:
    with pytest.raises(CommandError) as caught:
        sdk.call("list", sdk.sdk.BackupFile("a", 1))
    assert caught.value.word == VALUE
    assert sdk.list() == {}
