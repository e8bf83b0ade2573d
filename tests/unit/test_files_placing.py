# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file and its side files are replaced together or not at all, and no other file is touched."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils._errors import (
    ActiveLogicError,
    DeadlineError,
    LocalFileError,
)
from ansible_collections.netops.activelogic.plugins.module_utils._files import _leftovers, _placing
from ansible_collections.netops.activelogic.plugins.module_utils._files._manifest import Manifest, digest_line
from ansible_collections.netops.activelogic.plugins.module_utils._files._share import Share

DAY = 24 * 3600
SHA = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
ABC = Manifest("001122334455", "edge1", "22.20.06.1", "a.plb", 3, SHA, "2026-01-31T00:00:00Z", "1")
HOLD = """
import sys
from ansible_collections.netops.activelogic.plugins.module_utils._files import _placing
from ansible_collections.netops.activelogic.plugins.module_utils._files._share import Share
with _placing.part_of(sys.argv[1], Share(print)) as part:
    print(part.path, flush=True)
    sys.stdin.read()
"""


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def write(part: _placing.Part, content: bytes) -> None:
    with open("x", "wb", opener=part.opener) as target:
        target.write(content)


def place(part: _placing.Part, content: bytes = b"new", seconds: float = 5.0, *, unsafe: bool = False) -> None:
    write(part, content)
    part.finish({".sha256": b"digest of " + content, ".json": b"manifest of " + content}, lambda *_given: None)
    part.place(lambda: None, seconds, unsafe)


def files(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def set_of(content: bytes, *, sides: bool = True) -> dict[str, bytes]:
    more = {"a.plb.sha256": b"digest of " + content, "a.plb.json": b"manifest of " + content} if sides else {}
    return {"a.plb": content, **more}


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def share(said: list[str]) -> Share:
    return Share(said.append)


@pytest.fixture
def target(tmp_path: Path) -> str:
    """A file that already has side files."""
    for name, content in set_of(b"old").items():
        (tmp_path / name).write_bytes(content)
    return str(tmp_path / "a.plb")


@contextmanager
def holder(target: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process with a temporary folder for the same file; the block may kill it."""
    command = [sys.executable, "-c", HOLD, target]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip()).parent
        process.kill()


def test_temporary_files_are_private_and_gone_afterwards(tmp_path: Path, share: Share) -> None:
    with _placing.part_of(str(tmp_path / "a.plb"), share) as part:
        (hidden,) = tmp_path.iterdir()
        assert re.fullmatch(r"\.a\.plb\.[0-9a-f]{16}\.part", hidden.name)
        assert os.stat(hidden).st_mode & 0o777 == 0o700
        assert {os.stat(each).st_mode & 0o777 for each in hidden.iterdir()} == {0o600}
        write(part, b"x" * 100_000)
    assert names(tmp_path) == []
    with pytest.raises(ZeroDivisionError), _placing.part_of(str(tmp_path / "a.plb"), share):
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_files_are_replaced_at_once_and_together(tmp_path: Path, target: str, share: Share, said: list[str]) -> None:
    seen = []

    def guard() -> None:
        seen.append({name: (tmp_path / name).read_bytes() for name in set_of(b"old")})

    with _placing.part_of(target, share) as part:
        write(part, b"new")
        part.finish({".sha256": b"digest of new", ".json": b"manifest of new"}, lambda *_given: None)
        part.place(guard, 5.0, False)
    assert seen == [set_of(b"old")]
    assert files(tmp_path) == set_of(b"new")
    assert said == []


@pytest.mark.parametrize("failing", ["content", "new.sha256", "new.json"])
def test_what_is_beside_the_data_belongs_to_it_when_a_rename_fails(
    tmp_path: Path, target: str, share: Share, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def fails(source: str, *more: str, **folders: Any) -> None:
        if source == failing:
            monkeypatch.undo()
            raise OSError(errno.EIO, "Input/output error")
        rename(source, *more, **folders)

    monkeypatch.setattr(os, "rename", fails)
    with (
        pytest.raises(LocalFileError, match=r"a\.plb: Input/output error") as caught,
        _placing.part_of(target, share) as part,
    ):
        place(part)
    is_new = failing != "content"
    assert files(tmp_path) == set_of(b"new" if is_new else b"old")
    assert caught.value.facts.get("changed", False) is is_new


def test_what_may_not_be_replaced_any_more_stays(tmp_path: Path, target: str, share: Share) -> None:
    def guard() -> None:
        raise ZeroDivisionError

    with _placing.part_of(target, share) as part:
        part.finish({}, lambda *_given: None)
        with pytest.raises(ZeroDivisionError):
            part.place(guard, 5.0, False)
    assert files(tmp_path) == set_of(b"old")


def test_a_folder_that_another_task_works_in_is_waited_for(tmp_path: Path, target: str, share: Share) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    since = time.monotonic()
    with pytest.raises(DeadlineError, match=r"0\.2 s \(wait_timeout\)"), _placing.part_of(target, share) as part:
        place(part, seconds=0.2)
    assert 0.2 <= time.monotonic() - since < 5
    assert files(tmp_path) == set_of(b"old")
    os.close(descriptor)
    with _placing.part_of(target, share) as part:
        place(part)
    assert files(tmp_path) == set_of(b"new")


# A folder of another user, who swaps its content


@pytest.mark.parametrize("swap", ["link to a folder", "folder with a link", "removed", "link for the content"])
def test_what_is_swapped_in_the_folder_is_never_written_through(tmp_path: Path, share: Share, swap: str) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "content").write_bytes(b"precious")
    archive = tmp_path / "archive"
    archive.mkdir()
    with _placing.part_of(str(archive / "a.plb"), share) as part:
        hidden = Path(part.path).parent
        if swap == "link for the content":
            (hidden / "content").unlink()
            (hidden / "content").symlink_to(victim / "content")
        else:
            hidden.rename(tmp_path / "away")
        if swap == "link to a folder":
            hidden.symlink_to(victim)
        elif swap == "folder with a link":
            hidden.mkdir()
            (hidden / "content").symlink_to(victim / "content")
        with pytest.raises(LocalFileError, match="another program"):
            place(part)
    assert files(victim) == {"content": b"precious"}
    assert "a.plb" not in names(archive)


def test_leftovers_that_are_links_are_not_followed(tmp_path: Path, target: str, share: Share) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "old.json").write_bytes(b"precious")
    link = tmp_path / f".a.plb.{'0' * 16}.part"
    link.symlink_to(victim)
    os.utime(link, (0, 0), follow_symlinks=False)
    _leftovers.recover(target, share, 5.0)
    assert files(victim) == {"old.json": b"precious"}


# Leftovers of killed tasks


def test_files_of_a_killed_process_are_removed_by_the_next(tmp_path: Path, target: str, share: Share) -> None:
    with holder(target) as (process, hidden):
        process.kill()
        process.wait()
        assert hidden.exists()
        _leftovers.recover(str(tmp_path / "a"), share, 5.0)
        _leftovers.recover(str(tmp_path / "a.plb.plb"), share, 5.0)
        assert hidden.exists(), "it is of another file"
        _leftovers.recover(target, share, 5.0)
        assert files(tmp_path) == set_of(b"old")


def test_files_of_a_living_process_stay(tmp_path: Path, target: str, share: Share) -> None:
    with holder(target) as (process, hidden):
        for each in (*hidden.iterdir(), hidden):
            os.utime(each, (0, 0))  # as old as possible
        _leftovers.recover(target, share, 5.0)
        assert names(hidden) == ["content", "lock"]
        process.communicate(timeout=30)
    assert files(tmp_path) == set_of(b"old")


def leave(tmp_path: Path, age: float, lock: str | None, **content: bytes) -> Path:
    """Create a temporary folder that no process holds; ``age`` in seconds."""
    hidden = tmp_path / ".a.plb.0123456789abcdef.part"
    hidden.mkdir()
    made = {"lock": lock.encode()} if lock is not None else {}
    for name, each in {**made, **content}.items():
        (hidden / name).write_bytes(each)
    for path in (*hidden.iterdir(), hidden):
        os.utime(path, (time.time() - age,) * 2)
    return hidden


@pytest.mark.parametrize(
    ("lock", "age", "stays"),
    [
        (_leftovers.kernel(), 0, False),
        ("another machine", 0, True),
        ("another machine", DAY - 60, True),
        ("another machine", DAY + 60, False),
        ("", 0, True),
        ("", 700, False),
        (None, 0, True),
        (None, 700, False),
    ],
)
def test_leftovers_are_told_by_their_lock_and_their_age(
    tmp_path: Path, target: str, share: Share, lock: str | None, age: float, stays: bool
) -> None:
    hidden = leave(tmp_path, age, lock, content=b"half")
    _leftovers.recover(target, share, 5.0)
    assert hidden.exists() is stays


@pytest.mark.parametrize(("age", "stays"), [(0, True), (DAY - 60, True), (DAY + 60, False)])
def test_without_locks_leftovers_are_told_by_their_age_alone(
    tmp_path: Path, target: str, share: Share, age: float, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    hidden = leave(tmp_path, age, _leftovers.kernel(), content=b"half")
    _leftovers.recover(target, share, 5.0)
    assert hidden.exists() is stays


@pytest.mark.parametrize(("age", "stays"), [(60, True), (DAY + 60, False)])
def test_a_temporary_file_of_an_earlier_version_is_removed_when_it_is_old(
    tmp_path: Path, target: str, share: Share, age: float, stays: bool
) -> None:
    left = tmp_path / ".a.plb.4711.part"
    left.write_bytes(b"half")
    os.utime(left, (time.time() - age,) * 2)
    _leftovers.recover(target, share, 5.0)
    assert left.exists() is stays


@pytest.mark.parametrize("when", ["old", "new"])
def test_side_files_go_back_to_the_data_that_they_belong_to(tmp_path: Path, share: Share, when: str) -> None:
    target = tmp_path / "a.plb"
    target.write_bytes(b"abc")
    sums, manifest = digest_line(SHA, str(target)), ABC.to_json()
    other = manifest.replace(b'"size": 3', b'"size": 4')
    hidden = leave(tmp_path, 0, _leftovers.kernel(), **{f"{when}.sha256": sums, f"{when}.json": manifest})
    (hidden / ("new.json" if when == "old" else "old.json")).write_bytes(other)
    beside = _leftovers.side_files(str(target))
    assert beside == _leftovers.SideFiles(str(hidden / f"{when}.sha256"), str(hidden / f"{when}.json"))
    _leftovers.recover(str(target), share, 5.0)
    assert files(tmp_path) == {"a.plb": b"abc", "a.plb.sha256": sums, "a.plb.json": manifest}


def test_side_files_of_other_data_do_not_go_back(tmp_path: Path, share: Share) -> None:
    (tmp_path / "a.plb").write_bytes(b"abcd")
    sums = digest_line(SHA, str(tmp_path / "a.plb"))
    leave(tmp_path, 0, _leftovers.kernel(), **{"old.sha256": sums, "old.json": ABC.to_json(), "new.json": b"half"})
    _leftovers.recover(str(tmp_path / "a.plb"), share, 5.0)
    assert files(tmp_path) == {"a.plb": b"abcd"}


# File systems that lack features


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL])
def test_without_locks_a_file_is_placed_and_that_is_told_once(
    tmp_path: Path, target: str, share: Share, said: list[str], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_descriptor: int, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)
    with _placing.part_of(target, share) as part:
        place(part)
    assert files(tmp_path) == set_of(b"new")
    assert len(said) == 1
    assert "no locks" in said[0]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS, errno.EIO])
def test_folders_that_can_not_be_flushed(
    tmp_path: Path, target: str, share: Share, said: list[str], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def no_folder(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", no_folder)
    with _placing.part_of(target, share) as part:
        if number == errno.EIO:
            with pytest.raises(ActiveLogicError, match="Input/output error"):
                place(part)
        else:
            place(part)
    assert files(tmp_path) == set_of(b"old" if number == errno.EIO else b"new")
    assert len(said) == (number != errno.EIO)


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EROFS])
@pytest.mark.parametrize(
    ("has", "wanted", "says"), [(0o755, 0o600, "every user"), (0o640, 0o600, "its group"), (0o600, 0o640, "")]
)
def test_modes_that_can_not_be_set(
    tmp_path: Path, share: Share, said: list[str], number: int, has: int, wanted: int, says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def none(_descriptor: int, _mode: int) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "a.plb").write_bytes(b"")
    (tmp_path / "a.plb").chmod(has)
    monkeypatch.setattr(os, "fchmod", none)
    with open(tmp_path / "a.plb", "rb") as file:
        assert not share.set_mode(file.fileno(), has, file.name)
        assert said == []
        if number == errno.EROFS:
            with pytest.raises(LocalFileError):
                share.set_mode(file.fileno(), wanted, file.name)
            return
        for _number in range(3):
            assert not share.set_mode(file.fileno(), wanted, file.name)
    assert len(said) == 1
    assert f"it has the mode {has:04o} instead of {wanted:04o}" in said[0]
    assert ("can read the secrets" in said[0]) is bool(says)
    assert says in said[0]


# Where renaming fails


@pytest.mark.parametrize("number", [*_placing.UNSAFE_ERRORS, errno.EIO, errno.EROFS, errno.ENOSPC])
@pytest.mark.parametrize("unsafe", [False, True])
def test_unsafe_writes_write_over_the_file_only_where_no_rename_can_work(
    tmp_path: Path, target: str, share: Share, unsafe: bool, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def refused(source: str, *more: str, **folders: Any) -> None:
        if source == "content":
            raise OSError(number, os.strerror(number))
        rename(source, *more, **folders)

    before = os.stat(target).st_ino
    monkeypatch.setattr(os, "rename", refused)
    may = unsafe and number in _placing.UNSAFE_ERRORS
    with _placing.part_of(target, share) as part:
        if may:
            place(part, unsafe=True)
        else:
            with pytest.raises(LocalFileError):
                place(part, unsafe=unsafe)
    assert files(tmp_path) == set_of(b"new" if may else b"old")
    assert os.stat(target).st_ino == before


def test_unsafe_writes_do_not_write_over_a_file_that_has_another_name_too(
    tmp_path: Path, target: str, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anyone who can write to the folder could hard-link any file there; hard-linked copies would change too."""
    rename = os.rename

    def refused(source: str, *more: str, **folders: Any) -> None:
        if source == "content":
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        rename(source, *more, **folders)

    monkeypatch.setattr(os, "rename", refused)
    elsewhere = tmp_path / "elsewhere"
    os.link(target, elsewhere)
    before = elsewhere.read_bytes()
    with _placing.part_of(target, share) as part, pytest.raises(LocalFileError, match="hard link"):
        place(part, unsafe=True)
    assert elsewhere.read_bytes() == before
    elsewhere.unlink()
    assert files(tmp_path) == set_of(b"old")


@pytest.mark.parametrize("what", ["link", "pipe"])
def test_unsafe_writes_do_not_write_through_what_is_swapped_in(
    tmp_path: Path, target: str, share: Share, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, elsewhere = os.rename, tmp_path / "elsewhere"
    elsewhere.write_bytes(b"of others")

    def refused(source: str, *more: str, **folders: Any) -> None:
        if source != "content":
            rename(source, *more, **folders)
            return
        os.unlink(target)
        if what == "link":
            os.symlink(elsewhere, target)
        else:
            os.mkfifo(target)
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(os, "rename", refused)
    with _placing.part_of(target, share) as part, pytest.raises(LocalFileError):
        place(part, unsafe=True)
    assert elsewhere.read_bytes() == b"of others"


def test_a_hidden_folder_that_is_swapped_while_it_is_made_is_not_used(
    tmp_path: Path, target: str, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open
    swapped: list[Path] = []

    def swapping(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        opened = real(path, flags, mode, dir_fd=dir_fd)
        if path == "lock" and not swapped:
            hidden = next(each for each in tmp_path.iterdir() if each.name.endswith(".part"))
            swapped.append(hidden.rename(tmp_path / "moved"))
            hidden.mkdir()
        return opened

    monkeypatch.setattr(os, "open", swapping)
    with _placing.part_of(target, share) as part:
        assert swapped
        part.require_own_content()
        place(part)
    assert not (tmp_path / "moved" / "content").exists()


def test_writing_over_a_file_that_fails_leaves_no_old_side_file_beside_it(
    tmp_path: Path, target: str, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def refused(source: str, *more: str, **folders: Any) -> None:
        if source != "content":
            rename(source, *more, **folders)
            return
        monkeypatch.setattr(os, "fsync", fail)
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(os, "rename", refused)
    with _placing.part_of(target, share) as part, pytest.raises(LocalFileError):
        place(part, unsafe=True)
    assert files(tmp_path) == {"a.plb": b"new"}
