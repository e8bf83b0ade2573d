# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files where the module runs: placed whole or not at all, with a manifest. Private to this collection."""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from typing import BinaryIO

from ._errors import ActiveLogicError, LocalFileError
from ._failures import (
    DEST_ACCOMPANIES,
    DEST_BELOW_FILE,
    DEST_LINK,
    DEST_LONG,
    DEST_NO_FOLDER,
    DEST_NOT_REGULAR,
    FILE_NO_ROOM,
    FILE_NOT_REGULAR,
    FILE_UNUSABLE,
    PART_FILE_TAKEN,
)

PIECE = 256 * 1024
"""Bytes that are read, hashed, sent and written at once: few enough for a processor's cache, with their copies."""

PART_SUFFIX = ".part"
DIGEST_SUFFIX = ".sha256"
MANIFEST_SUFFIX = ".json"
SCHEMA_VERSION = 1
MAX_FILE_NAME = 255
"""Bytes of a file's name, on all usual file systems."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

EXHAUSTED = (
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOBUFS,
    errno.EADDRNOTAVAIL,
    errno.ENETDOWN,
    errno.ENETUNREACH,
)
"""What the operating system says when no connection can be made for a reason of its own."""


@dataclass(frozen=True)
class Manifest:
    """What is known of a fetched backup; ``size`` in bytes, ``sha256`` in hex, ``fetched_at`` in UTC (RFC 3339)."""

    machineid: str
    host: str
    distversion: str
    name: str
    size: int
    sha256: str
    fetched_at: str
    collection_version: str
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> bytes:
        """The manifest as it stands in its file."""
        return (json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8")


def read_manifest(path: str) -> Manifest | None:
    """Read the manifest of the file ``path``; ``None`` when there is none, or none that can be understood."""
    try:
        with open_regular(side_file(path, MANIFEST_SUFFIX)) as source:
            document = json.loads(source.read(PIECE).decode("utf-8"))
        if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
            return None
        manifest = Manifest(**{each.name: document[each.name] for each in fields(Manifest)})
    except (LocalFileError, OSError, ValueError, KeyError, TypeError):
        return None
    texts = (manifest.machineid, manifest.name, manifest.sha256)
    return manifest if isinstance(manifest.size, int) and all(isinstance(each, str) for each in texts) else None


def digest_line(sha256: str, path: str) -> bytes:
    """The content of ``<file>.sha256``, as ``sha256sum -c`` reads it in the file's folder."""
    name = os.path.basename(path)
    name = "./-" if name == "-" else name  # which would be its standard input
    return f"{sha256}  {name}\n".encode("utf-8", "surrogateescape")


def side_file(path: str, suffix: str) -> str:
    """The path of a file that goes with ``path``: the same with ``suffix``.

    Where that makes a name too long for a file system, the name is cut at a character, and a part of its SHA-256 tells
    it from others that begin alike.
    """
    folder, name = os.path.split(path)
    content = os.fsencode(name)
    if len(content) + len(DIGEST_SUFFIX) > MAX_FILE_NAME:
        mark = "~" + hashlib.sha256(content).hexdigest()[:16]
        start = content[: MAX_FILE_NAME - len(mark) - len(DIGEST_SUFFIX)].decode("utf-8", "ignore")
        name = start + mark
    return os.path.join(folder, name + suffix)


def digest_file(path: str) -> tuple[int, str]:
    """Size in bytes and SHA-256 (hex) of a file, in constant memory.

    :raises LocalFileError: when it can't be read, or is no regular file.
    """
    digest, size = hashlib.sha256(), 0
    with told(path), open_regular(path) as source:
        for piece in iter(lambda: source.read(PIECE), b""):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()


def open_regular(path: str) -> BinaryIO:
    """Open a regular file for reading, without a buffer.

    :raises LocalFileError: when it can't be read, or is no regular file.
    """
    with told(path):
        return open(path, "rb", buffering=0, opener=_open_regular)


def _open_regular(path: str, flags: int) -> int:
    """Open without waiting for somebody at the other end of a pipe."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FILE_NOT_REGULAR.error(path=path)
    return descriptor


def has_content(path: str, content: bytes) -> bool:
    """Whether a small file is there and holds exactly these bytes."""
    try:
        with open(path, "rb") as source:
            return source.read(len(content) + 1) == content
    except OSError:
        return False


def resolve_destination(dest: str, name: str) -> str:
    """Where a fetched backup goes: into ``dest`` when it is a folder or ends in ``/``, else to ``dest`` itself.

    The name never chooses a folder, and inside a folder it never takes the place of a file that accompanies another
    backup.

    :raises LocalFileError: when that can't be.
    """
    if not dest.endswith("/") and not os.path.isdir(dest):
        path = dest
        folder = os.path.dirname(os.path.abspath(dest))
        if not os.path.isdir(folder):
            raise DEST_NO_FOLDER.error(folder=folder)
    else:
        if name.endswith((MANIFEST_SUFFIX, DIGEST_SUFFIX, PART_SUFFIX)):
            raise DEST_ACCOMPANIES.error(name=name)
        path = os.path.join(dest, name)
        for parent in _parents(dest):
            if os.path.lexists(parent) and not os.path.isdir(parent):
                raise DEST_BELOW_FILE.error(path=parent)
    if os.path.islink(path):
        raise DEST_LINK.error(path=path)
    for each in (path, side_file(path, DIGEST_SUFFIX), side_file(path, MANIFEST_SUFFIX)):
        if os.path.lexists(each) and not os.path.isfile(each):
            raise DEST_NOT_REGULAR.error(path=each)
    if len(os.fsencode(os.path.basename(path))) > MAX_FILE_NAME:
        raise DEST_LONG.error(name=os.path.basename(path)[:40], limit=MAX_FILE_NAME)
    return path


def _parents(folder: str) -> list[str]:
    parts = []
    current = os.path.abspath(folder)
    while current not in parts:
        parts.append(current)
        current = os.path.dirname(current)
    return parts


def make_folder(path: str) -> None:
    """Make the folder of ``path``, and those above it, for their owner alone, where they are missing."""
    folder = os.path.dirname(os.path.abspath(path))
    with told(folder):
        os.makedirs(folder, mode=0o700, exist_ok=True)


@contextmanager
def part_file(path: str) -> Iterator[str]:
    """A temporary file beside ``path``, for its owner alone, locked, and gone when the block is left.

    Whoever wants to keep it renames it away. Those that a killed process left for the same file are removed: nobody
    holds their lock any more.
    """
    folder, base = os.path.split(os.path.abspath(path))
    stem = base if len(os.fsencode(base)) < 200 else hashlib.sha256(os.fsencode(base)).hexdigest()
    with told(folder):
        for stale in glob.glob(os.path.join(glob.escape(folder), f".{glob.escape(stem)}.*{PART_SUFFIX}")):
            _remove_unlocked(stale)
        temporary = os.path.join(folder, f".{stem}.{os.getpid()}{PART_SUFFIX}")
        descriptor = _create_locked(temporary)
    try:
        yield temporary
    finally:
        with suppress(FileNotFoundError):  # it may have been renamed to its final name
            os.unlink(temporary)
        os.close(descriptor)


def _create_locked(path: str) -> int:
    for _number in range(100):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                return descriptor
        except FileNotFoundError:
            pass  # taken for a leftover before it was locked
        os.close(descriptor)
    raise PART_FILE_TAKEN.error(path=path)


def _remove_unlocked(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    except OSError:
        pass  # its owner is at work
    finally:
        os.close(descriptor)


def place(temporary: str, path: str, unsafe_writes: bool = False) -> None:
    """Put a temporary file in its place: on disk first, then one rename, then the folder on disk.

    :param unsafe_writes: where the rename is impossible (a mount point, some network file systems), write over the
        old file instead, which is not atomic.
    """
    with told(path):
        with open(temporary, "rb") as source:
            os.fsync(source.fileno())
            try:
                os.replace(temporary, path)
            except OSError:
                if not unsafe_writes:
                    raise
                _overwrite(source, path)
        descriptor = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _overwrite(source: BinaryIO, path: str) -> None:
    with open(path, "r+b") as target:
        target.truncate(0)
        for piece in iter(lambda: source.read(PIECE), b""):
            target.write(piece)
        target.flush()
        os.fsync(target.fileno())


def write_small(path: str, content: bytes, mode: int, unsafe_writes: bool = False) -> bool:
    """Write a small file whole or not at all; say whether its content was another before."""
    if has_content(path, content):
        return False
    with part_file(path) as temporary:
        with told(path):
            with open(temporary, "wb") as target:
                target.write(content)
            os.chmod(temporary, mode)
        place(temporary, path, unsafe_writes)
    return True


@contextmanager
def told(path: str) -> Iterator[None]:
    """Turn an error of the operating system into ours.

    :raises LocalFileError: for any that leaves the block.
    """
    try:
        yield
    except OSError as error:
        raise file_error(error, path) from error


def file_error(error: OSError, path: str) -> ActiveLogicError:
    """Our error for one of the operating system; ``path`` where that does not say which file it is about."""
    path, why = error.filename or path, error.strerror or type(error).__name__
    if error.errno in NO_ROOM:
        return FILE_NO_ROOM.error(path=path, why=why)
    return FILE_UNUSABLE.error(path=path, why=why)


@contextmanager
def private_folder() -> Iterator[str]:
    """A temporary folder for the user alone, gone at the end of the block as far as that can be done.

    :raises LocalFileError: when it can't be made.
    """
    with told("the temporary folder (TMPDIR)"):
        folder = tempfile.mkdtemp(prefix="activelogic-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # the outcome of the block stays what it is


def own_trouble(error: BaseException) -> OSError | None:
    """The error of this machine's operating system that is behind an exception: no room, or nothing left to give."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        if isinstance(current, OSError) and current.errno in (*NO_ROOM, *EXHAUSTED):
            return current
        seen.append(current)
        current = current.__cause__ or current.__context__
    return None


def require_room(path: str, size: int, opener: Callable[[str, int], int] | None = None) -> None:
    """Show that a file could have ``size`` bytes; some packages don't say why they wrote fewer.

    :param opener: opens the file, as for :func:`open`, instead of its name.
    :raises LocalFileError: when it can't.
    """
    with told(path), open(path, "r+b", opener=opener) as target:
        try:
            os.posix_fallocate(target.fileno(), 0, size)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
