# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read archives strictly and within limits: what all formats share. Private to this collection.

Other readers are lenient: they skip what they don't know, find members by name, and let the last duplicate win. Here an
archive is rejected (:class:`UnprovableError`) unless every byte is understood. Nothing is unpacked to disk, and no
member is kept in memory.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .._failures import FILE_UNUSABLE
from .._files._access import PIECE

MAX_NAME = 4096
"""Bytes of a member's name (PATH_MAX of Linux)."""

MAX_NAMES = 8 * 1024 * 1024
"""Total bytes of all names of an archive; with the number of members this limits the memory."""

MAX_RATIO = 100
FREE_BYTES = 256 * 1024**2
"""Any archive may unpack to this many bytes (a second or two), and a larger one to 100 times its size.

Configuration backups compress to a tenth or a thirtieth, a deflate bomb to a thousandth.
"""

FILE = b"0"
HARD_LINK = b"1"
SYMBOLIC_LINK = b"2"
FOLDER = b"5"
"""Kinds of members, as tar encodes them."""


class UnprovableError(Exception):
    """A file proves nothing. The text continues a sentence after "the file"; it never leaves the archive readers."""


class DamagedError(UnprovableError):
    """A file is damaged or truncated: every reader would reject it."""


class LimitError(UnprovableError):
    """Reading a file to its end would exceed a limit: time, memory or number of bytes."""


@dataclass(frozen=True)
class Limits:
    """Limits for one archive: number of members, and bytes read and unpacked.

    The defaults are far above real backups (the vendor's examples have 10 MB), and limit the cost to about 50 MB of
    memory and to hashing 64 GiB, which takes minutes.
    """

    members: int = 100_000
    unpacked: int = 64 * 1024**3


class Budget:
    """The remaining budget for one file, checked for every piece, so that no file takes for ever.

    :param packed: size of the file in bytes.
    :param expired: returns whether the time is up.
    """

    def __init__(self, limits: Limits, packed: int, expired: Callable[[], bool]) -> None:
        self.members = limits.members
        self._left = min(limits.unpacked, max(FREE_BYTES, MAX_RATIO * packed))
        self._expired = expired

    def spend(self, size: int) -> None:
        """:raises LimitError: when the time is up, or these bytes exceed the budget."""
        if self._expired():
            raise LimitError("could not be read in the time that was left")
        self._left -= size
        if self._left < 0:
            raise LimitError("unpacks to more bytes than are read")


def file_pieces(file: BinaryIO, start: int, stop: int, budget: Budget) -> Iterator[bytes]:
    """Bytes ``start`` to ``stop`` of a file, in pieces; the file position is neither used nor changed."""
    while start < stop:
        try:
            piece = os.pread(file.fileno(), min(PIECE, stop - start), start)
        except OSError as error:
            raise FILE_UNUSABLE.error(path=file.name, why=error.strerror) from error
        if not piece:
            raise UnprovableError("became shorter while it was read")
        budget.spend(len(piece))
        start += len(piece)
        yield piece


def inflate(pieces: Iterator[bytes], window_bits: int, budget: Budget) -> Iterator[bytes]:
    """Unpack exactly one compressed stream, in pieces.

    :param window_bits: ``wbits`` of :func:`zlib.decompressobj`: -15 for raw deflate, 31 for gzip, whose checksum and
        length are then verified.
    :raises DamagedError: when the stream is damaged or truncated.
    :raises UnprovableError: when anything follows it.
    """
    unpacker = zlib.decompressobj(window_bits)
    for packed in pieces:
        waiting, is_full = packed, False
        while (waiting or is_full) and not unpacker.eof:
            try:
                piece = unpacker.decompress(waiting, PIECE)
            except zlib.error as error:
                raise DamagedError("holds damaged compressed data") from error
            budget.spend(len(piece))
            waiting, is_full = unpacker.unconsumed_tail, len(piece) == PIECE
            if piece:
                yield piece
        if waiting or unpacker.unused_data:
            raise UnprovableError("holds bytes behind compressed data")
    if not unpacker.eof:
        raise DamagedError("holds compressed data without an end")


class Stream:
    """Bytes that are read once, in order, in any amounts.

    :param pieces: the bytes, in non-empty pieces.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = b""
        self._used = 0
        self.position = 0

    def some(self, most: int) -> bytes:
        """Return 1 to ``most`` bytes, or ``b""`` at the end."""
        if self._used == len(self._piece):
            self._piece, self._used = next(self._pieces, b""), 0
        part = self._piece[self._used : self._used + most]
        self._used += len(part)
        self.position += len(part)
        return part

    def pieces(self, size: int) -> Iterator[bytes]:
        """Exactly ``size`` bytes, in pieces.

        :raises UnprovableError: when there are fewer.
        """
        while size:
            part = self.some(size)
            if not part:
                raise UnprovableError("ends too early")
            size -= len(part)
            yield part

    def take(self, size: int) -> bytes:
        """Exactly ``size`` bytes, in memory; only for small sizes."""
        return b"".join(self.pieces(size))


def digest(pieces: Iterator[bytes]) -> bytes:
    """SHA-256 of the pieces."""
    sha256 = hashlib.sha256()
    for piece in pieces:
        sha256.update(piece)
    return sha256.digest()


class Inventory:
    """The members of one archive: for each place (normalised path) its kind and a digest of everything that counts.

    Their order does not count, and must not matter: no two members may have the same place, none may be below one that
    is not a folder, and a hard link has to follow its target.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._names_left = MAX_NAMES
        self._records: dict[bytes, bytes] = {}

    def add(self, name: bytes, kind: bytes, facts: tuple[bytes | int, ...]) -> None:
        """Add a member, with all facts that count in a comparison.

        :raises UnprovableError: when the name is invalid or a duplicate, or there are too many members.
        """
        if not 0 < len(name) <= MAX_NAME or b"\0" in name:
            raise UnprovableError("holds a name that is empty, too long, or holds NUL")
        place = _place(name)
        if place in self._records:
            raise UnprovableError(f"holds the name {show(place)!r} twice")
        self._names_left -= len(name)
        if len(self._records) >= self._most or self._names_left < 0:
            raise LimitError("holds more members than are read")
        self._records[place] = kind + hashlib.sha256(repr((name, *facts)).encode("ascii")).digest()

    def require_file(self, name: bytes) -> None:
        """:raises UnprovableError: unless a file of this name has been added before."""
        if not self._records.get(_place(name), b"").startswith(FILE):
            raise UnprovableError("holds a hard link to something that is no file before it")

    def finish(self) -> dict[bytes, bytes]:
        """All members: place → kind and digest.

        :raises UnprovableError: when there is none, or one is below one that is not a folder.
        """
        if not self._records:
            raise UnprovableError("holds no members")
        places = sorted(self._records)
        for place, record in self._records.items():
            if record.startswith(FOLDER):
                continue
            below = place + b"/" if place else b""
            index = bisect_left(places, below)
            index += index < len(places) and places[index] == place  # the root, which is below itself
            if index < len(places) and places[index].startswith(below):
                raise UnprovableError(f"holds a member below {show(place)!r}, which is no folder")
        return self._records


def show(name: bytes) -> str:
    """A member's name for a message."""
    return name.decode("utf-8", "backslashreplace")


def _place(name: bytes) -> bytes:
    """The normalised path of a name; ``\\`` counts as a separator too, as readers differ on it."""
    parts = [part for part in name.replace(b"\\", b"/").split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise UnprovableError("holds a name with ..")
    return b"/".join(parts)
