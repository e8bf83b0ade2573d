# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup.upload."""

from __future__ import annotations

import io
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest
import standins
from conftest import System
from ways import LOCAL_FILE, REFUSED, TYPE, CommandError

CONTENT = bytes(range(256)) * 4099 + b"\r\n\x1a\x00end"
"""1 MiB and a little more, in which any change of line ends or character set would show."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


def type_error(sdk: Any, system: System, *positional: Any, **named: Any) -> str:
    """The call is a TypeError and changes nothing on the system; returns its text."""
    before = system.digest()
    with pytest.raises(CommandError) as caught:
        sdk.call("upload", *positional, **named)
    assert caught.value.word == TYPE
    assert system.digest() == before
    return caught.value.text


@pytest.mark.sentence("upload.in_path", "upload.name")
def test_the_system_holds_exactly_the_file(session: Any, system: System, source: Path) -> None:
    session.upload("uploaded_backup.plb", source)
    assert system.backups() == {"uploaded_backup.plb": CONTENT}
    assert session.list() == {"uploaded_backup.plb": len(CONTENT)}
    assert source.read_bytes() == CONTENT


@pytest.mark.sentence("upload.any_bytes")
@pytest.mark.parametrize(
    "content",
    [b"\x00", b"text\r\nwith lines\n", "ä".encode("latin-1"), b"\xff" * (2**20), b"\x00" * (2**20 - 1)],
    ids=["NUL", "lines", "no UTF-8", "1 MiB", "less than 1 MiB"],
)
def test_any_bytes_arrive_as_they_are(session: Any, system: System, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    session.upload("b", tmp_path / "file")
    assert system.backups() == {"b": content}


@pytest.mark.sentence("upload.name")
@pytest.mark.parametrize("name", ["a", " a b ", "ä" * 127 + "x", "%2e%2e%2f", "a,b;c.plb", "a?b#c&d=e"], ids=ascii)
def test_a_legal_name_is_kept_as_it_is(session: Any, system: System, source: Path, name: str) -> None:
    session.upload(name, source)
    assert list(system.backups()) == [name]


@pytest.mark.sentence("upload.name")
@pytest.mark.parametrize("name", ["", "a/b", "../a", "a\\b", "a\x00b", "a\nb", ".", "..", "x" * 256], ids=ascii)
def test_an_illegal_name_is_refused_and_nothing_is_stored(
    session: Any, system: System, source: Path, name: str
) -> None:
    before = system.digest()
    with pytest.raises(CommandError) as caught:
        session.upload(name, source)
    assert caught.value.word == REFUSED
    assert system.digest() == before


@pytest.mark.sentence("upload.name")
def test_a_taken_name_is_refused_and_the_old_backup_stays(session: Any, system: System, source: Path) -> None:
    system.needs(standins.REFUSES_TAKEN_NAMES)
    session.create_new("taken.plb")
    before = system.digest()
    with pytest.raises(CommandError) as caught:
        session.upload("taken.plb", source)
    assert caught.value.word == REFUSED
    assert system.digest() == before


@pytest.mark.sentence("upload.in_path")
def test_an_upload_changes_no_configuration_and_no_other_backup(session: Any, system: System, source: Path) -> None:
    session.create_new("first.plb")
    configuration, first = system.configuration(), system.backups()["first.plb"]
    session.upload("second.plb", source)
    assert system.configuration() == configuration
    assert system.backups()["first.plb"] == first


@pytest.mark.sentence("upload.in_path")
def test_a_missing_file_stores_nothing(session: Any, system: System, tmp_path: Path) -> None:
    before = system.digest()
    with pytest.raises(CommandError) as caught:
        session.upload("b.plb", tmp_path / "missing")
    assert caught.value.word == LOCAL_FILE
    assert system.digest() == before


@pytest.mark.sentence("upload.in_path_types")
@pytest.mark.parametrize("kind", [str, Path])
def test_the_path_may_be_a_str_or_a_path(sdk: Any, system: System, source: Path, kind: Any) -> None:
    assert sdk.call("upload", "b.plb", in_path=kind(source)) is None
    assert system.backups() == {"b.plb": CONTENT}


@pytest.mark.sentence("upload.ifile_obj")
@pytest.mark.parametrize("mode", ["rb", "r+b"])
def test_a_file_opened_in_a_binary_readable_mode_is_stored(sdk: Any, system: System, source: Path, mode: str) -> None:
    with open(source, mode) as file:
        assert sdk.call("upload", "b.plb", ifile_obj=file) is None
        assert not file.closed
    assert system.backups() == {"b.plb": CONTENT}


@pytest.mark.sentence("upload.ifile_obj")
def test_an_unbuffered_file_is_stored(sdk: Any, system: System, source: Path) -> None:
    with open(source, "rb", buffering=0) as file:
        sdk.call("upload", "b.plb", ifile_obj=file)
    assert system.backups() == {"b.plb": CONTENT}


@pytest.mark.sentence("upload.ifile_obj")
def test_a_bytesio_is_stored(sdk: Any, system: System) -> None:
    file = io.BytesIO(CONTENT)
    sdk.call("upload", "b.plb", ifile_obj=file)
    assert system.backups() == {"b.plb": CONTENT}
    assert not file.closed


@pytest.mark.sentence("upload.keyword_only")
def test_file_and_path_are_taken_by_name_only(sdk: Any, system: System, source: Path) -> None:
    type_error(sdk, system, "b.plb", io.BytesIO(CONTENT))
    type_error(sdk, system, "b.plb", str(source))


@pytest.mark.sentence("upload.error.name")
@pytest.mark.parametrize("name", [None, 5, b"b.plb", Path("b.plb"), ["b.plb"]], ids=repr)
def test_a_name_that_is_no_str_is_a_type_error(sdk: Any, system: System, source: Path, name: Any) -> None:
    assert "backup_name" in type_error(sdk, system, name, in_path=str(source))


@pytest.mark.sentence("upload.error.path")
@pytest.mark.parametrize("path", [5, b"source", ["source"], object(), io.BytesIO(b"x")], ids=lambda p: type(p).__name__)
def test_a_path_of_another_type_is_a_type_error(
    sdk: Any, system: System, source: Path, monkeypatch: pytest.MonkeyPatch, path: Any
) -> None:
    monkeypatch.chdir(source.parent)
    assert "in_path" in type_error(sdk, system, "b.plb", in_path=path)


@pytest.mark.sentence("upload.error.neither")
def test_neither_file_nor_path_is_a_type_error(sdk: Any, system: System) -> None:
    for named in ({}, {"ifile_obj": None}, {"in_path": None}, {"ifile_obj": None, "in_path": None}):
        text = type_error(sdk, system, "b.plb", **named)
        assert "ifile_obj" in text
        assert "both" not in text


@pytest.mark.sentence("upload.error.both")
def test_both_file_and_path_is_a_type_error(sdk: Any, system: System, source: Path) -> None:
    file = io.BytesIO(CONTENT)
    assert "both" in type_error(sdk, system, "b.plb", ifile_obj=file, in_path=str(source))
    assert file.tell() == 0


@pytest.mark.sentence("upload.error.not_file")
@pytest.mark.parametrize(
    "file", ["source", Path("source"), 5, CONTENT, object(), io.BytesIO], ids=lambda f: type(f).__name__
)
def test_what_is_no_file_object_is_a_type_error(sdk: Any, system: System, file: Any) -> None:
    assert "file object" in type_error(sdk, system, "b.plb", ifile_obj=file)


class Lookalike:
    """Has the methods of a file, and is none."""

    def __init__(self) -> None:
        self.inner = io.BytesIO(CONTENT)
        self.mode = "rb"
        self.closed = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self.inner.read(size)


@pytest.mark.sentence("upload.error.not_file")
def test_a_wrapper_of_a_file_object_is_a_type_error(sdk: Any, system: System) -> None:
    system.needs(standins.STRICT_FILE_OBJECTS)
    assert "file object" in type_error(sdk, system, "b.plb", ifile_obj=Lookalike())
    with tempfile.NamedTemporaryFile() as temporary:  # a wrapper too
        temporary.write(CONTENT)
        temporary.seek(0)
        assert "file object" in type_error(sdk, system, "b.plb", ifile_obj=temporary)


@pytest.mark.sentence("upload.error.not_readable")
def test_a_file_that_is_not_readable_is_a_type_error(sdk: Any, system: System, source: Path) -> None:
    with open(source, "ab") as file:
        assert "readable" in type_error(sdk, system, "b.plb", ifile_obj=file)
    one, other = socket.socketpair()
    with one, other, one.makefile("wb") as file:
        assert "readable" in type_error(sdk, system, "b.plb", ifile_obj=file)


@pytest.mark.sentence("upload.error.text")
def test_a_file_opened_in_text_mode_is_a_type_error(sdk: Any, system: System, source: Path) -> None:
    with open(source, encoding="latin-1") as file:
        assert "binary" in type_error(sdk, system, "b.plb", ifile_obj=file)
    assert "binary" in type_error(sdk, system, "b.plb", ifile_obj=io.StringIO("text"))


@pytest.mark.sentence("upload.error.empty")
def test_an_empty_input_is_a_type_error(sdk: Any, system: System, source: Path) -> None:
    source.write_bytes(b"")
    assert "empty" in type_error(sdk, system, "b.plb", in_path=str(source))
    assert "empty" in type_error(sdk, system, "b.plb", in_path=source)
    assert "empty" in type_error(sdk, system, "b.plb", ifile_obj=io.BytesIO())
    with open(source, "rb") as file:
        assert "empty" in type_error(sdk, system, "b.plb", ifile_obj=file)


@pytest.mark.sentence("upload.error.empty")
def test_the_client_stores_nothing_of_an_empty_file(client_way: Any, system: System, source: Path) -> None:
    client = client_way.connect(system.name, system.username, system.password)
    source.write_bytes(b"")
    before = system.digest()
    with pytest.raises(CommandError, match="empty"):
        client.upload("b.plb", source)
    assert system.digest() == before
    assert client.list() == {}
