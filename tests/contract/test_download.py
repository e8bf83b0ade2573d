# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup.download."""

from __future__ import annotations

import io
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest
import standins
from conftest import System
from ways import REFUSED, TYPE, CommandError

CONTENT = bytes(range(256)) * 4099 + b"\r\n\x1a\x00end"
"""1 MiB and a little more, in which any change of line ends or character set would show."""


@pytest.fixture
def stored(system: System, session_for_setup: Any, tmp_path: Path) -> bytes:
    """A backup ``b.plb`` of the system, and its content."""
    (tmp_path / "content").write_bytes(CONTENT)
    session_for_setup.upload("b.plb", tmp_path / "content")
    return system.backups()["b.plb"]


@pytest.fixture
def session_for_setup(request: pytest.FixtureRequest) -> Any:
    """The session of the test, of whichever kind."""
    return request.getfixturevalue("sdk" if "sdk" in request.fixturenames else "session")


def type_error(sdk: Any, *positional: Any, **named: Any) -> str:
    """The call is a TypeError; returns its text."""
    with pytest.raises(CommandError) as caught:
        sdk.call("download", *positional, **named)
    assert caught.value.word == TYPE
    return caught.value.text


@pytest.mark.sentence("download.dest_path")
def test_the_file_holds_exactly_the_backup(session: Any, stored: bytes, tmp_path: Path) -> None:
    session.download("b.plb", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == stored == CONTENT


@pytest.mark.sentence("download.dest_path")
def test_of_several_backups_the_named_one_is_written(session: Any, system: System, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        system.change(system.standin.resources()[0], f"state {name}")
        session.create_new(name)
    for name in ("b", "c", "a"):
        session.download(name, tmp_path / name)
        assert (tmp_path / name).read_bytes() == system.backups()[name]


@pytest.mark.sentence("download.dest_path")
def test_a_longer_file_that_is_there_is_replaced_wholly(session: Any, stored: bytes, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"x" * (len(stored) + 5000))
    session.download("b.plb", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == stored


@pytest.mark.sentence("download.dest_path")
def test_a_download_changes_nothing_on_the_system(session: Any, system: System, stored: bytes, tmp_path: Path) -> None:
    before = system.digest()
    session.download("b.plb", tmp_path / "target")
    assert system.digest() == before
    assert len(stored) == len(CONTENT)


@pytest.mark.sentence("download.dest_path")
@pytest.mark.parametrize("name", ["missing.plb", "b", "B.plb", "b.plb ", "../backups/b.plb", "", ".."])
def test_a_missing_backup_is_refused_and_no_file_is_made(
    session: Any, stored: bytes, tmp_path: Path, name: str
) -> None:
    with pytest.raises(CommandError) as caught:
        session.download(name, tmp_path / "target")
    assert caught.value.word == REFUSED
    assert not (tmp_path / "target").exists()
    assert stored == CONTENT


@pytest.mark.sentence("download.dest_path_types")
@pytest.mark.parametrize("kind", [str, Path])
def test_the_path_may_be_a_str_or_a_path(sdk: Any, stored: bytes, tmp_path: Path, kind: Any) -> None:
    assert sdk.call("download", "b.plb", dest_path=kind(tmp_path / "target")) is None
    assert (tmp_path / "target").read_bytes() == stored


@pytest.mark.sentence("download.dest_path")
def test_a_relative_path_is_one_of_the_working_directory(
    sdk: Any, stored: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sdk.call("download", "b.plb", dest_path="temp_file")
    assert (tmp_path / "temp_file").read_bytes() == stored


@pytest.mark.sentence("download.ofile_obj", "download.ofile_obj_modes")
@pytest.mark.parametrize("mode", ["wb", "wb+", "ab", "r+b", "xb"])
def test_a_file_opened_in_a_binary_writable_mode_gets_the_data(
    sdk: Any, stored: bytes, tmp_path: Path, mode: str
) -> None:
    if mode == "r+b":
        (tmp_path / "target").touch()
    with open(tmp_path / "target", mode) as file:
        assert sdk.call("download", "b.plb", ofile_obj=file) is None
        assert not file.closed
    assert (tmp_path / "target").read_bytes() == stored


@pytest.mark.sentence("download.ofile_obj")
def test_an_unbuffered_file_gets_the_data(sdk: Any, stored: bytes, tmp_path: Path) -> None:
    with open(tmp_path / "target", "wb", buffering=0) as file:
        sdk.call("download", "b.plb", ofile_obj=file)
    assert (tmp_path / "target").read_bytes() == stored


@pytest.mark.sentence("download.ofile_obj")
def test_the_data_are_written_where_the_file_stands(sdk: Any, stored: bytes, tmp_path: Path) -> None:
    with open(tmp_path / "target", "wb") as file:
        file.write(b"before")
        sdk.call("download", "b.plb", ofile_obj=file)
        file.write(b"after")
    assert (tmp_path / "target").read_bytes() == b"before" + stored + b"after"


@pytest.mark.sentence("download.bytesio")
def test_a_bytesio_gets_the_data(sdk: Any, stored: bytes) -> None:
    file = io.BytesIO()
    sdk.call("download", "b.plb", ofile_obj=file)
    assert file.getvalue() == stored
    assert not file.closed


@pytest.mark.sentence("download.ofile_obj")
def test_a_missing_backup_writes_nothing_to_the_file(sdk: Any) -> None:
    file = io.BytesIO()
    with pytest.raises(CommandError) as caught:
        sdk.call("download", "missing.plb", ofile_obj=file)
    assert caught.value.word == REFUSED
    assert file.getvalue() == b""


@pytest.mark.sentence("download.keyword_only")
def test_file_and_path_are_taken_by_name_only(sdk: Any, stored: bytes, tmp_path: Path) -> None:
    type_error(sdk, "b.plb", io.BytesIO())
    type_error(sdk, "b.plb", str(tmp_path / "target"))
    assert not (tmp_path / "target").exists()
    assert stored == CONTENT


@pytest.mark.sentence("download.error.name")
@pytest.mark.parametrize("name", [None, 5, b"b.plb", Path("b.plb"), ["b.plb"]], ids=repr)
def test_a_name_that_is_no_str_is_a_type_error(sdk: Any, stored: bytes, tmp_path: Path, name: Any) -> None:
    assert "backup_name" in type_error(sdk, name, dest_path=str(tmp_path / "target"))
    assert not (tmp_path / "target").exists()
    assert stored == CONTENT


@pytest.mark.sentence("download.error.not_file")
@pytest.mark.parametrize(
    "file", ["a path", Path("a path"), 5, b"", object(), io.BytesIO], ids=lambda each: type(each).__name__
)
def test_what_is_no_file_object_is_a_type_error(sdk: Any, stored: bytes, file: Any) -> None:
    assert "file object" in type_error(sdk, "b.plb", ofile_obj=file)
    assert stored == CONTENT


class Lookalike:
    """Has the methods of a file, and is none."""

    def __init__(self) -> None:
        self.inner = io.BytesIO()
        self.mode = "wb"
        self.closed = False

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:
        return self.inner.write(data)


@pytest.mark.sentence("download.error.not_file")
def test_a_wrapper_of_a_file_object_is_a_type_error(sdk: Any, system: System, stored: bytes) -> None:
    system.needs(standins.STRICT_FILE_OBJECTS)
    file = Lookalike()
    assert "file object" in type_error(sdk, "b.plb", ofile_obj=file)
    with tempfile.NamedTemporaryFile() as temporary:  # a wrapper too
        assert "file object" in type_error(sdk, "b.plb", ofile_obj=temporary)
        assert os.path.getsize(temporary.name) == 0
    assert file.inner.getvalue() == b""
    assert stored == CONTENT


@pytest.mark.sentence("download.error.not_writable")
def test_a_file_that_is_not_writable_is_a_type_error(sdk: Any, stored: bytes, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    with open(tmp_path / "target", "rb") as file:
        assert "writable" in type_error(sdk, "b.plb", ofile_obj=file)
    assert (tmp_path / "target").read_bytes() == b"old"
    assert stored == CONTENT


@pytest.mark.sentence("download.error.not_writable")
def test_a_socket_that_can_only_be_read_is_a_type_error(sdk: Any, stored: bytes) -> None:
    one, other = socket.socketpair()
    with one, other, one.makefile("rb") as file:
        assert "writable" in type_error(sdk, "b.plb", ofile_obj=file)
    assert stored == CONTENT


@pytest.mark.sentence("download.error.path")
@pytest.mark.parametrize(
    "path", [5, b"target", ["target"], object(), io.BytesIO()], ids=lambda path: type(path).__name__
)
def test_a_path_of_another_type_is_a_type_error(
    sdk: Any, stored: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "dest_path" in type_error(sdk, "b.plb", dest_path=path)
    assert not (tmp_path / "target").exists()
    assert stored == CONTENT


@pytest.mark.sentence("download.error.neither")
def test_neither_file_nor_path_is_a_type_error(sdk: Any, stored: bytes) -> None:
    for named in ({}, {"ofile_obj": None}, {"dest_path": None}, {"ofile_obj": None, "dest_path": None}):
        text = type_error(sdk, "b.plb", **named)
        assert "ofile_obj" in text
        assert "dest_path" in text
        assert "both" not in text
    assert stored == CONTENT


@pytest.mark.sentence("download.error.both")
def test_both_file_and_path_is_a_type_error(sdk: Any, stored: bytes, tmp_path: Path) -> None:
    file = io.BytesIO()
    assert "both" in type_error(sdk, "b.plb", ofile_obj=file, dest_path=str(tmp_path / "target"))
    assert file.getvalue() == b""
    assert not (tmp_path / "target").exists()
    assert stored == CONTENT


@pytest.mark.sentence("download.error.text")
def test_a_file_opened_in_text_mode_is_a_type_error(sdk: Any, stored: bytes, tmp_path: Path) -> None:
    for mode in ("w", "w+", "a"):
        with open(tmp_path / "target", mode, encoding="latin-1") as file:
            assert "binary" in type_error(sdk, "b.plb", ofile_obj=file)
        assert (tmp_path / "target").read_bytes() == b""
    text = io.StringIO()
    assert "binary" in type_error(sdk, "b.plb", ofile_obj=text)
    assert text.getvalue() == ""
    assert stored == CONTENT


@pytest.mark.sentence("download.error.name", "download.error.neither", "download.error.path")
def test_a_type_error_does_not_depend_on_the_backup(sdk: Any, tmp_path: Path) -> None:
    type_error(sdk, "missing.plb")
    type_error(sdk, "missing.plb", ofile_obj="no file")
    type_error(sdk, "missing.plb", dest_path=5)
    type_error(sdk, "missing.plb", ofile_obj=io.BytesIO(), dest_path=str(tmp_path / "target"))
    assert not (tmp_path / "target").exists()
