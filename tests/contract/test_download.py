# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup.download."""

from __future__ import annotations

import io
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract import standins
from tests.contract.examples import CONTENT
from tests.contract.systems import System
from tests.contract.ways import TYPE, CommandError


@pytest.fixture
def stored(system: System, session_for_setup: Any, tmp_path: Path) -> bytes:
    """Store a backup ``b.plb``; returns its content."""
    (tmp_path / "content").write_bytes(CONTENT)
    session_for_setup.upload("b.plb", tmp_path / "content")
    return system.backups()["b.plb"]


@pytest.fixture
def session_for_setup(request: pytest.FixtureRequest) -> Any:
    """The test's session, of either kind."""
    return request.getfixturevalue("sdk" if "sdk" in request.fixturenames else "session")


@pytest.fixture
def type_error(sdk: Any, system: System, stored: bytes) -> Callable[..., None]:
    """Checks that a download raises TypeError with these fragments in its text, and changes nothing on the system."""
    assert stored == CONTENT

    def check(*fragments: str, **named: Any) -> None:
        named = {"backup_name": "b.plb", **named}
        with system.unchanged(), pytest.raises(CommandError) as caught:
            sdk.call("download", **named)
        assert caught.value.word == TYPE
        assert system.says(caught.value.text, *fragments)

    return check


@pytest.mark.sentence("download.dest_path")
def test_the_file_holds_exactly_the_backup(session: Any, stored: bytes, tmp_path: Path) -> None:
    session.download("b.plb", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == stored == CONTENT


@pytest.mark.sentence("download.dest_path")
@pytest.mark.parametrize("size", [1, 1023, 2**20 - 1, 2**20, 2**20 + 1, 2**21, 3 * 2**20 + 7])
def test_a_backup_of_any_size_arrives_whole(session: Any, system: System, tmp_path: Path, size: int) -> None:
    content = (b"\x00\x01\n\r\xff " * (size // 6 + 1))[:size]
    (tmp_path / "source").write_bytes(content)
    session.upload("b.plb", tmp_path / "source")
    session.download("b.plb", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == content
    assert system.backups() == {"b.plb": content}


@pytest.mark.sentence("download.dest_path")
def test_of_several_backups_the_named_one_is_written(session: Any, system: System, tmp_path: Path) -> None:
    for name in ("a.plb", "b.plb", "c.plb"):
        (tmp_path / "source").write_bytes(name.encode())
        session.upload(name, tmp_path / "source")
    for name in ("b.plb", "c.plb", "a.plb"):
        session.download(name, tmp_path / "target")
        assert (tmp_path / "target").read_bytes() == system.backups()[name] == name.encode()


@pytest.mark.sentence("download.dest_path")
def test_the_data_are_those_of_now(session: Any, system: System, tmp_path: Path) -> None:
    for content in (b"first", b"the second is longer", b"3"):
        (tmp_path / "source").write_bytes(content)
        session.upload("a.plb", tmp_path / "source")
        session.download("a.plb", tmp_path / "target")
        assert (tmp_path / "target").read_bytes() == content
        session.remove("a.plb")
    assert system.backups() == {}


@pytest.mark.sentence("download.dest_path")
def test_the_same_backup_can_be_downloaded_again(session: Any, stored: bytes, tmp_path: Path) -> None:
    for _number in range(2):
        session.download("b.plb", tmp_path / "target")
        assert (tmp_path / "target").read_bytes() == stored


@pytest.mark.sentence("download.dest_path")
@pytest.mark.parametrize("longer", [-(2**20), -5000, 0, 5000])
def test_a_file_that_is_there_is_replaced_wholly(session: Any, stored: bytes, tmp_path: Path, longer: int) -> None:
    (tmp_path / "target").write_bytes(b"x" * (len(stored) + longer))
    session.download("b.plb", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == stored


@pytest.mark.sentence("download.dest_path")
def test_a_download_changes_nothing_on_the_system(session: Any, system: System, stored: bytes, tmp_path: Path) -> None:
    with system.unchanged():
        session.download("b.plb", tmp_path / "target")
    assert system.backups() == {"b.plb": stored}


@pytest.mark.sentence("download.dest_path")
@pytest.mark.parametrize("name", ["missing.plb", "b", "B.plb", "b.plb ", "../backups/b.plb", "", ".."])
def test_a_missing_backup_is_refused_and_no_file_is_made(
    session: Any, system: System, stored: bytes, tmp_path: Path, name: str
) -> None:
    if name != "missing.plb":
        system.needs(standins.EXACT_NAMES, session)
    with system.refused():
        session.download(name, tmp_path / "target")
    assert not (tmp_path / "target").exists() or not system.answers(standins.NO_FILE_ON_REFUSAL, session)
    assert system.backups() == {"b.plb": stored}


@pytest.mark.sentence("download.dest_path_types")
@pytest.mark.parametrize("kind", [str, Path])
def test_the_path_may_be_a_str_or_a_path(sdk: Any, stored: bytes, tmp_path: Path, kind: Any) -> None:
    sdk.call("download", "b.plb", dest_path=kind(tmp_path / "target"))
    assert (tmp_path / "target").read_bytes() == stored


@pytest.mark.sentence("download.dest_path")
def test_a_relative_path_is_one_of_the_working_directory(
    sdk: Any, stored: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sdk.call("download", "b.plb", dest_path="temp_file")
    assert (tmp_path / "temp_file").read_bytes() == stored


@pytest.mark.sentence("download.ofile_obj", "download.ofile_obj_modes")
@pytest.mark.parametrize("mode", ["wb", "wb+", "ab", "ab+", "r+b", "xb"])
def test_a_file_opened_in_a_binary_writable_mode_gets_the_data(
    sdk: Any, stored: bytes, tmp_path: Path, mode: str
) -> None:
    if mode == "r+b":
        (tmp_path / "target").touch()
    with open(tmp_path / "target", mode) as file:
        sdk.call("download", backup_name="b.plb", ofile_obj=file)
        assert not file.closed
    assert (tmp_path / "target").read_bytes() == stored


@pytest.mark.sentence("download.ofile_obj")
def test_an_unbuffered_file_gets_the_data(sdk: Any, system: System, stored: bytes, tmp_path: Path) -> None:
    system.needs(standins.UNBUFFERED_FILES)
    with open(tmp_path / "target", "wb", buffering=0) as file:
        sdk.call("download", "b.plb", ofile_obj=file)
    assert (tmp_path / "target").read_bytes() == stored


class Trickle(io.RawIOBase):
    """Accepts at most 1000 bytes at a time, as an unbuffered file may."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)[:1000]
        self.taken += piece
        return len(piece)


@pytest.mark.sentence("download.ofile_obj")
def test_a_file_that_takes_little_at_a_time_gets_all_data(sdk: Any, system: System, stored: bytes) -> None:
    system.needs(standins.UNBUFFERED_FILES)
    file = Trickle()
    sdk.call("download", "b.plb", ofile_obj=file)
    assert bytes(file.taken) == stored


@pytest.mark.sentence("download.error.not_writable")
def test_a_closed_file_is_not_writable(type_error: Any, system: System, tmp_path: Path) -> None:
    system.needs(standins.STRICT_FILE_OBJECTS)
    with open(tmp_path / "target", "wb") as file:
        pass
    type_error("ofile_obj", "writable", ofile_obj=file)
    buffer = io.BytesIO()
    buffer.close()
    type_error("ofile_obj", "writable", ofile_obj=buffer)


@pytest.mark.sentence("download.ofile_obj")
def test_the_data_are_written_where_the_file_stands(sdk: Any, system: System, stored: bytes, tmp_path: Path) -> None:
    system.needs(standins.FILES_WHERE_THEY_STAND)
    with open(tmp_path / "target", "wb") as file:
        file.write(b"before")
        sdk.call("download", "b.plb", ofile_obj=file)
        file.write(b"after")
    assert (tmp_path / "target").read_bytes() == b"before" + stored + b"after"
    buffer = io.BytesIO(b"before, and what is overwritten")
    buffer.seek(6)
    sdk.call("download", "b.plb", ofile_obj=buffer)
    assert buffer.getvalue() == b"before" + stored
    assert buffer.tell() == 6 + len(stored)


@pytest.mark.sentence("download.bytesio")
def test_a_bytesio_gets_the_data(sdk: Any, stored: bytes) -> None:
    file = io.BytesIO()
    sdk.call("download", "b.plb", ofile_obj=file)
    assert file.getvalue() == stored
    assert not file.closed


@pytest.mark.sentence("download.ofile_obj")
def test_a_missing_backup_writes_nothing_to_the_file(sdk: Any, system: System, stored: bytes) -> None:
    file = io.BytesIO()
    with system.refused():
        sdk.call("download", "missing.plb", ofile_obj=file)
    assert stored == CONTENT
    assert file.getvalue() == b""


@pytest.mark.sentence("download.keyword_only")
def test_file_and_path_are_taken_by_name_only(sdk: Any, stored: bytes, tmp_path: Path) -> None:
    for given in (io.BytesIO(), str(tmp_path / "target")):
        with pytest.raises(CommandError) as caught:
            sdk.call("download", "b.plb", given)
        assert caught.value.word == TYPE
    assert not (tmp_path / "target").exists()
    assert stored == CONTENT


@pytest.mark.sentence("download.error.name")
@pytest.mark.parametrize("name", [None, 5, b"b.plb", Path("b.plb"), ["b.plb"]], ids=repr)
def test_a_name_that_is_no_str_is_a_type_error(type_error: Any, tmp_path: Path, name: Any) -> None:
    file = io.BytesIO()
    type_error("backup_name", backup_name=name, dest_path=str(tmp_path / "target"))
    type_error("backup_name", backup_name=name, ofile_obj=file)
    assert file.getvalue() == b""
    assert not (tmp_path / "target").exists()


@pytest.mark.sentence("download.error.not_file")
@pytest.mark.parametrize(
    "file", ["a path", Path("a path"), 5, b"", object(), io.BytesIO], ids=lambda each: type(each).__name__
)
def test_what_is_no_file_object_is_a_type_error(
    type_error: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    type_error("ofile_obj", "file object", ofile_obj=file)
    assert not (tmp_path / "a path").exists()


class Lookalike:
    """Has the methods of a file, but is none."""

    def __init__(self) -> None:
        self.inner = io.BytesIO()
        self.mode = "wb"
        self.closed = False

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:
        return self.inner.write(data)


@pytest.mark.sentence("download.error.not_file")
def test_a_wrapper_of_a_file_object_is_a_type_error(type_error: Any, system: System) -> None:
    system.needs(standins.STRICT_FILE_OBJECTS)
    file = Lookalike()
    type_error("ofile_obj", "file object", ofile_obj=file)
    with tempfile.NamedTemporaryFile() as temporary:  # a wrapper too
        type_error("ofile_obj", "file object", ofile_obj=temporary)
        assert os.path.getsize(temporary.name) == 0
    assert file.inner.getvalue() == b""


@pytest.mark.sentence("download.error.not_writable")
@pytest.mark.parametrize("buffering", [-1, 0])
def test_a_file_that_is_not_writable_is_a_type_error(type_error: Any, tmp_path: Path, buffering: int) -> None:
    (tmp_path / "target").write_bytes(b"old")
    with open(tmp_path / "target", "rb", buffering=buffering) as file:
        type_error("ofile_obj", "writable", ofile_obj=file)
    assert (tmp_path / "target").read_bytes() == b"old"


@pytest.mark.sentence("download.error.not_writable")
def test_a_socket_that_can_only_be_read_is_a_type_error(type_error: Any) -> None:
    one, other = socket.socketpair()
    with one, other, one.makefile("rb") as file:
        type_error("ofile_obj", "writable", ofile_obj=file)


@pytest.mark.sentence("download.error.path")
@pytest.mark.parametrize(
    "path", [5, b"target", ["target"], object(), io.BytesIO()], ids=lambda path: type(path).__name__
)
def test_a_path_of_another_type_is_a_type_error(
    type_error: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    type_error("dest_path", dest_path=path)
    assert not (tmp_path / "target").exists()


@pytest.mark.sentence("download.error.neither")
@pytest.mark.parametrize("given", [[], ["ofile_obj"], ["dest_path"], ["ofile_obj", "dest_path"]], ids=" ".join)
def test_neither_file_nor_path_is_a_type_error(type_error: Any, given: list[str]) -> None:
    type_error("ofile_obj", "dest_path", "must be provided", **dict.fromkeys(given))


@pytest.mark.sentence("download.error.both")
def test_both_file_and_path_is_a_type_error(type_error: Any, tmp_path: Path) -> None:
    file = io.BytesIO()
    type_error("ofile_obj", "dest_path", "not both", ofile_obj=file, dest_path=str(tmp_path / "target"))
    assert file.getvalue() == b""
    assert not (tmp_path / "target").exists()


@pytest.mark.sentence("download.error.text")
@pytest.mark.parametrize("mode", ["w", "w+", "a", "r+"])
def test_a_file_opened_in_text_mode_is_a_type_error(type_error: Any, tmp_path: Path, mode: str) -> None:
    (tmp_path / "target").touch()
    with open(tmp_path / "target", mode, encoding="latin-1") as file:
        type_error("ofile_obj", "binary mode", ofile_obj=file)
    assert (tmp_path / "target").read_bytes() == b""


@pytest.mark.sentence("download.error.text")
def test_a_stringio_is_a_type_error(type_error: Any) -> None:
    text = io.StringIO()
    type_error("ofile_obj", "binary mode", ofile_obj=text)
    assert text.getvalue() == ""


@pytest.mark.sentence("download.error.name", "download.error.neither", "download.error.path", "download.error.both")
def test_a_type_error_does_not_depend_on_the_backup(type_error: Any, tmp_path: Path) -> None:
    type_error(backup_name="missing.plb")
    type_error(backup_name="missing.plb", ofile_obj="no file")
    type_error(backup_name="missing.plb", dest_path=5)
    type_error(backup_name="missing.plb", ofile_obj=io.BytesIO(), dest_path=str(tmp_path / "target"))
    type_error(backup_name="missing.plb", ofile_obj=io.StringIO())
    assert not (tmp_path / "target").exists()
