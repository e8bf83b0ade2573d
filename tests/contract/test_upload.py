# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup.upload."""

from __future__ import annotations

import io
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract import standins
from tests.contract.examples import CONTENT, ILLEGAL, LEGAL, PLAIN
from tests.contract.systems import System
from tests.contract.ways import LOCAL_FILE, TYPE, CommandError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def type_error(sdk: Any, system: System) -> Callable[..., None]:
    """Checks that an upload raises TypeError with these fragments in its text, and changes nothing on the system."""

    def check(*fragments: str, **named: Any) -> None:
        named = {"backup_name": "b.plb", **named}
        with system.unchanged(), pytest.raises(CommandError) as caught:
            sdk.call("upload", **named)
        assert caught.value.word == TYPE
        assert system.says(caught.value.text, *fragments)

    return check


@pytest.mark.sentence("upload.in_path", "upload.name")
def test_the_system_holds_exactly_the_file(session: Any, system: System, source: Path) -> None:
    session.upload("uploaded_backup.plb", source)
    assert system.backups() == {"uploaded_backup.plb": CONTENT}
    assert session.list() == {"uploaded_backup.plb": len(CONTENT)}
    assert source.read_bytes() == CONTENT


@pytest.mark.sentence("upload.any_bytes")
@pytest.mark.parametrize(
    "content",
    [
        b"\x00",
        b"\n",
        b"text\r\nwith lines\n",
        b" \t\r\n",
        "\xe4".encode("latin-1"),
        b"\xef\xbb\xbftext",
        b"end of text\x1a\x00\x00",
        b"\x1f\x8b\x08 no gzip",
    ],
    ids=ascii,
)
def test_any_bytes_arrive_as_they_are(session: Any, system: System, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    session.upload("b.plb", tmp_path / "file")
    assert system.backups() == {"b.plb": content}


@pytest.mark.sentence("upload.any_bytes")
@pytest.mark.parametrize("size", [2**16, 2**20 - 1, 2**20, 2**20 + 1, 2**21, 2**21 + 1, 3 * 2**20])
def test_any_number_of_bytes_arrives(session: Any, system: System, tmp_path: Path, size: int) -> None:
    content = (b"\xff\x00\r\n\x00 \x07" * (size // 7 + 1))[:size]
    (tmp_path / "file").write_bytes(content)
    session.upload("b.plb", tmp_path / "file")
    assert system.backups() == {"b.plb": content}


@pytest.mark.sentence("upload.name")
@pytest.mark.parametrize("name", [*PLAIN, *LEGAL], ids=ascii)
def test_a_legal_name_is_kept_as_it_is(session: Any, system: System, source: Path, name: str) -> None:
    if name in LEGAL:
        system.needs(standins.TAKES_LEGAL_NAMES)
    session.upload(name, source)
    assert list(system.backups()) == [name]
    assert list(session.list()) == [name]


@pytest.mark.sentence("upload.name")
@pytest.mark.parametrize("name", ["", *ILLEGAL], ids=lambda name: ascii(name)[:20])
def test_an_illegal_name_is_refused_and_nothing_is_stored(
    session: Any, system: System, source: Path, name: str
) -> None:
    system.needs(standins.REFUSES_ILLEGAL_NAMES, session)
    with system.refused():
        session.upload(name, source)


@pytest.mark.sentence("upload.name")
def test_a_taken_name_is_refused_and_the_old_backup_stays(session: Any, system: System, source: Path) -> None:
    system.needs(standins.REFUSES_TAKEN_NAMES, session)
    session.create_new("taken.plb")
    with system.refused():
        session.upload("taken.plb", source)


@pytest.mark.sentence("upload.name")
def test_after_an_upload_over_a_name_there_is_one_backup_and_whole(
    session: Any, system: System, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "second").write_bytes(b"another content")
    expected = CONTENT
    session.upload("taken.plb", source)
    try:
        session.upload("taken.plb", tmp_path / "second")
    except CommandError:
        pass
    else:
        expected = b"another content"
    assert system.backups() == {"taken.plb": expected}
    assert session.list() == {"taken.plb": len(expected)}


@pytest.mark.sentence("upload.in_path")
def test_an_upload_changes_no_configuration_and_no_other_backup(session: Any, system: System, source: Path) -> None:
    session.create_new("first.plb")
    configuration, first = system.configuration(), system.backups()["first.plb"]
    session.upload("second.plb", source)
    assert system.configuration() == configuration
    assert system.backups()["first.plb"] == first


@pytest.mark.sentence("upload.in_path")
def test_a_file_on_one_system_is_not_stored_on_another(session: Any, system: System, source: Path) -> None:
    other = system.neighbour()
    with other.unchanged():
        session.upload("b.plb", source)
    assert list(system.backups()) == ["b.plb"]


@pytest.mark.sentence("upload.in_path")
def test_the_same_file_can_be_stored_again_under_another_name(session: Any, system: System, source: Path) -> None:
    session.upload("a.plb", source)
    session.upload("b.plb", source)
    assert system.backups() == {"a.plb": CONTENT, "b.plb": CONTENT}
    assert source.read_bytes() == CONTENT


@pytest.mark.sentence("upload.in_path")
def test_a_missing_file_stores_nothing(session: Any, system: System, tmp_path: Path) -> None:
    with system.unchanged(), pytest.raises(CommandError) as caught:
        session.upload("b.plb", tmp_path / "missing")
    assert caught.value.word == LOCAL_FILE or not system.answers(standins.PLAIN_ERRORS)


@pytest.mark.sentence("upload.in_path_types")
@pytest.mark.parametrize("kind", [str, Path])
def test_the_path_may_be_a_str_or_a_path(sdk: Any, system: System, source: Path, kind: Any) -> None:
    sdk.call("upload", "b.plb", in_path=kind(source))
    assert system.backups() == {"b.plb": CONTENT}


@pytest.mark.sentence("upload.in_path")
def test_a_relative_path_is_one_of_the_working_directory(
    sdk: Any, system: System, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)
    sdk.call("upload", backup_name="b.plb", in_path=source.name)
    assert system.backups() == {"b.plb": CONTENT}


@pytest.mark.sentence("upload.ifile_obj")
@pytest.mark.parametrize("mode", ["rb", "r+b"])
def test_a_file_opened_in_a_binary_readable_mode_is_stored(sdk: Any, system: System, source: Path, mode: str) -> None:
    with open(source, mode) as file:
        sdk.call("upload", "b.plb", ifile_obj=file)
        assert not file.closed
    assert system.backups() == {"b.plb": CONTENT}
    assert source.read_bytes() == CONTENT


@pytest.mark.sentence("upload.ifile_obj")
def test_an_unbuffered_file_is_stored(sdk: Any, system: System, source: Path) -> None:
    system.needs(standins.UNBUFFERED_FILES)
    with open(source, "rb", buffering=0) as file:
        sdk.call("upload", "b.plb", ifile_obj=file)
    assert system.backups() == {"b.plb": CONTENT}


@pytest.mark.sentence("upload.ifile_obj")
def test_a_bytesio_is_stored(sdk: Any, system: System) -> None:
    file = io.BytesIO(CONTENT)
    sdk.call("upload", backup_name="b.plb", ifile_obj=file)
    assert system.backups() == {"b.plb": CONTENT}
    assert not file.closed
    assert file.getvalue() == CONTENT


class Trickle(io.RawIOBase):
    """Returns at most 1000 bytes at a time, as an unbuffered file may, and fails after some of them."""

    def __init__(self, content: bytes, fails_at: int) -> None:
        self._inner = io.BytesIO(content)
        self._fails_at = fails_at

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._inner.tell() >= self._fails_at:
            raise OSError("the disk is broken")
        piece = self._inner.read(min(len(buffer), 1000))
        buffer[: len(piece)] = piece
        return len(piece)


@pytest.mark.sentence("upload.ifile_obj")
def test_a_file_that_gives_little_at_a_time_is_stored_whole(sdk: Any, system: System) -> None:
    system.needs(standins.UNBUFFERED_FILES)
    sdk.call("upload", "b.plb", ifile_obj=Trickle(CONTENT, len(CONTENT) + 1))
    assert system.backups() == {"b.plb": CONTENT}


@pytest.mark.sentence("upload.ifile_obj")
def test_of_a_file_that_can_not_be_read_to_its_end_nothing_is_stored(sdk: Any, system: System) -> None:
    system.needs(standins.UNBUFFERED_FILES)
    system.needs(standins.COMMITS_AT_THE_END)
    with system.unchanged(), pytest.raises(CommandError) as caught:
        sdk.call("upload", "b.plb", ifile_obj=Trickle(CONTENT, 2**20 - 500))
    assert caught.value.word == LOCAL_FILE


@pytest.mark.sentence("upload.error.not_readable")
def test_a_closed_file_is_not_readable(type_error: Any, system: System, source: Path) -> None:
    system.needs(standins.STRICT_FILE_OBJECTS)
    with open(source, "rb") as file:
        pass
    type_error("ifile_obj", "readable", ifile_obj=file)
    buffer = io.BytesIO(CONTENT)
    buffer.close()
    type_error("ifile_obj", "readable", ifile_obj=buffer)


@pytest.mark.sentence("upload.ifile_obj")
def test_the_data_are_read_from_where_the_file_stands(sdk: Any, system: System, source: Path) -> None:
    system.needs(standins.FILES_WHERE_THEY_STAND)
    with open(source, "rb") as file:
        file.seek(1000)
        sdk.call("upload", "a.plb", ifile_obj=file)
        assert file.tell() == len(CONTENT)
    buffer = io.BytesIO(CONTENT)
    buffer.seek(len(CONTENT) - 1)
    sdk.call("upload", "b.plb", ifile_obj=buffer)
    assert system.backups() == {"a.plb": CONTENT[1000:], "b.plb": CONTENT[-1:]}


@pytest.mark.sentence("upload.error.empty")
def test_a_file_that_stands_at_its_end_is_empty(type_error: Any, system: System, source: Path) -> None:
    system.needs(standins.FILES_WHERE_THEY_STAND)
    with open(source, "rb") as file:
        file.seek(0, io.SEEK_END)
        type_error("empty", ifile_obj=file)


@pytest.mark.sentence("upload.keyword_only")
def test_file_and_path_are_taken_by_name_only(sdk: Any, system: System, source: Path) -> None:
    for given in (io.BytesIO(CONTENT), str(source)):
        with system.unchanged(), pytest.raises(CommandError) as caught:
            sdk.call("upload", "b.plb", given)
        assert caught.value.word == TYPE


@pytest.mark.sentence("upload.error.name")
@pytest.mark.parametrize("name", [None, 5, b"b.plb", Path("b.plb"), ["b.plb"]], ids=repr)
def test_a_name_that_is_no_str_is_a_type_error(type_error: Any, source: Path, name: Any) -> None:
    file = io.BytesIO(CONTENT)
    type_error("backup_name", backup_name=name, in_path=str(source))
    type_error("backup_name", backup_name=name, ifile_obj=file)
    assert file.tell() == 0


@pytest.mark.sentence("upload.error.path")
@pytest.mark.parametrize("path", [5, b"source", ["source"], object(), io.BytesIO(b"x")], ids=lambda p: type(p).__name__)
def test_a_path_of_another_type_is_a_type_error(
    type_error: Any, source: Path, monkeypatch: pytest.MonkeyPatch, path: Any
) -> None:
    monkeypatch.chdir(source.parent)
    type_error("in_path", in_path=path)


@pytest.mark.sentence("upload.error.neither")
@pytest.mark.parametrize("given", [[], ["ifile_obj"], ["in_path"], ["ifile_obj", "in_path"]], ids=" ".join)
def test_neither_file_nor_path_is_a_type_error(type_error: Any, given: list[str]) -> None:
    type_error("ifile_obj", "in_path", "must be provided", **dict.fromkeys(given))


@pytest.mark.sentence("upload.error.both")
def test_both_file_and_path_is_a_type_error(type_error: Any, source: Path) -> None:
    file = io.BytesIO(CONTENT)
    type_error("ifile_obj", "in_path", "not both", ifile_obj=file, in_path=str(source))
    assert file.tell() == 0


@pytest.mark.sentence("upload.error.not_file")
@pytest.mark.parametrize(
    "file", ["source", Path("source"), 5, CONTENT, object(), io.BytesIO], ids=lambda f: type(f).__name__
)
def test_what_is_no_file_object_is_a_type_error(
    type_error: Any, source: Path, monkeypatch: pytest.MonkeyPatch, file: Any
) -> None:
    monkeypatch.chdir(source.parent)
    type_error("ifile_obj", "file object", ifile_obj=file)


class Lookalike:
    """Has the methods of a file, but is none."""

    def __init__(self) -> None:
        self.inner = io.BytesIO(CONTENT)
        self.mode = "rb"
        self.closed = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self.inner.read(size)


@pytest.mark.sentence("upload.error.not_file")
def test_a_wrapper_of_a_file_object_is_a_type_error(type_error: Any, system: System) -> None:
    system.needs(standins.STRICT_FILE_OBJECTS)
    type_error("ifile_obj", "file object", ifile_obj=Lookalike())
    with tempfile.NamedTemporaryFile() as temporary:  # a wrapper too
        temporary.write(CONTENT)
        temporary.seek(0)
        type_error("ifile_obj", "file object", ifile_obj=temporary)


@pytest.mark.sentence("upload.error.not_readable")
@pytest.mark.parametrize("mode", ["ab", "wb", "xb"])
def test_a_file_that_is_not_readable_is_a_type_error(type_error: Any, tmp_path: Path, mode: str) -> None:
    with open(tmp_path / "file", mode) as file:
        file.write(CONTENT)
        type_error("ifile_obj", "readable", ifile_obj=file)
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.sentence("upload.error.not_readable")
def test_a_socket_that_can_only_be_written_is_a_type_error(type_error: Any) -> None:
    one, other = socket.socketpair()
    with one, other, one.makefile("wb") as file:
        type_error("ifile_obj", "readable", ifile_obj=file)


@pytest.mark.sentence("upload.error.text")
@pytest.mark.parametrize("mode", ["r", "r+", "a+"])
def test_a_file_opened_in_text_mode_is_a_type_error(type_error: Any, source: Path, mode: str) -> None:
    with open(source, mode, encoding="latin-1") as file:
        file.seek(0)
        type_error("ifile_obj", "binary mode", ifile_obj=file)
    assert source.read_bytes() == CONTENT


@pytest.mark.sentence("upload.error.text")
def test_a_stringio_is_a_type_error(type_error: Any) -> None:
    type_error("ifile_obj", "binary mode", ifile_obj=io.StringIO("text"))


@pytest.mark.sentence("upload.error.empty")
def test_an_empty_input_is_a_type_error(type_error: Any, source: Path) -> None:
    source.write_bytes(b"")
    type_error("empty", in_path=str(source))
    type_error("empty", in_path=source)
    type_error("empty", ifile_obj=io.BytesIO())
    with open(source, "rb") as file:
        type_error("empty", ifile_obj=file)


@pytest.mark.sentence("upload.error.empty")
def test_the_client_stores_nothing_of_an_empty_file(client_way: Any, system: System, source: Path) -> None:
    client = client_way.connect(system.name, system.username, system.password)
    source.write_bytes(b"")
    with system.unchanged(), pytest.raises(CommandError) as caught:
        client.upload("b.plb", source)
    assert system.says(caught.value.text, "empty")
    assert client.list() == {}
