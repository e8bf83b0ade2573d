# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is a backup file whole, as far as it can tell itself? Private to this collection.

What is inside a backup is the vendor's secret. Where it is an archive of a known format, its checksums and its end
tell whether bytes are missing or damaged; what it means is not looked at. Where it is none, nothing is known.
"""

from __future__ import annotations

import importlib
import os
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from ._archive import Budget, DamagedError, Limits, UnprovableError, file_pieces, inflate
from ._archive_tar import BLOCK, is_header
from ._localfiles import PIECE, open_regular, told

_DAMAGED = (DamagedError, EOFError, tarfile.ReadError, zipfile.BadZipFile, zlib.error)
_NOT_UNDERSTOOD = (
    UnprovableError,
    ArithmeticError,
    ImportError,
    LookupError,
    RuntimeError,  # encrypted, or NotImplementedError
    ValueError,
    struct.error,
    tarfile.TarError,
)
"""What says that a reader does not know this kind of archive, or that the time is up."""


@dataclass(frozen=True)
class Finding:
    """What a file tells about itself.

    :param kind: the format that it was read in to its end; empty when nothing is known.
    :param damage: what speaks against it, as a clause without its subject; empty when nothing does.
    """

    kind: str = ""
    damage: str = ""


def inspect(path: str, seconds: float) -> Finding:
    """Read a local file to its end, in constant memory; nothing is written.

    :param seconds: how long it may take; when they are over nothing is known.
    :raises LocalFileError: when it can't be read, or is no regular file.
    """
    deadline = time.monotonic() + seconds
    with told(path), open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        budget = Budget(Limits(), size, lambda: time.monotonic() >= deadline)
        kind = _kind_of(os.pread(file.fileno(), BLOCK, 0))
        if not kind:
            return Finding()
        try:
            _READERS[kind](file, size, budget)
        except _DAMAGED:
            return Finding(kind, f"is a {kind} archive that is damaged, or of which bytes are missing")
        except _NOT_UNDERSTOOD:
            return Finding()
        return Finding(kind)


def _kind_of(head: bytes) -> str:
    for kind, start in _STARTS.items():
        if head.startswith(start):
            return kind
    return "tar" if is_header(head) else ""


def _read_gzip(file: BinaryIO, size: int, budget: Budget) -> None:
    for _piece in inflate(file_pieces(file, 0, size, budget), 31, budget):
        pass


def _read_zip(file: BinaryIO, _size: int, budget: Budget) -> None:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            with archive.open(member) as source:  # verifies the member's checksum at its end
                _read_all(source.read, budget)


def _read_tar(file: BinaryIO, size: int, budget: Budget) -> None:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for number, _member in enumerate(archive):
            budget.spend(0)
            if number >= budget.members:  # the reader keeps them all
                raise UnprovableError("holds more members than are read")
    # The reader takes an archive without its end for one that is whole.
    if any(os.pread(file.fileno(), 2 * BLOCK, max(0, size - 2 * BLOCK))):
        raise DamagedError("has no end")


def _read_bzip2(file: BinaryIO, _size: int, budget: Budget) -> None:
    try:
        with importlib.import_module("bz2").open(file) as source:  # some builds of Python lack it
            _read_all(source.read, budget)
    except OSError as error:
        if error.errno is not None:
            raise
        raise DamagedError("holds damaged compressed data") from error


def _read_xz(file: BinaryIO, _size: int, budget: Budget) -> None:
    lzma = importlib.import_module("lzma")  # so of this
    try:
        with lzma.open(file) as source:
            _read_all(source.read, budget)
    except lzma.LZMAError as error:
        raise DamagedError("holds damaged compressed data") from error


def _read_all(read: Callable[[int], bytes], budget: Budget) -> None:
    for piece in iter(lambda: read(PIECE), b""):
        budget.spend(len(piece))


_STARTS = {"gzip": b"\x1f\x8b\x08", "zip": b"PK\x03\x04", "bzip2": b"BZh", "xz": b"\xfd7zXZ\0"}
_READERS: dict[str, Callable[[BinaryIO, int, Budget], None]] = {
    "gzip": _read_gzip,
    "zip": _read_zip,
    "tar": _read_tar,
    "bzip2": _read_bzip2,
    "xz": _read_xz,
}
