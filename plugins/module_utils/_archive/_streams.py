# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unpack bzip2, xz and LZMA in pieces and with limited memory. Private to this collection.

The decoders of xz and LZMA allocate at once what the header asks for, up to 4 GiB, so it is limited in advance. bzip2
needs less than 4 MiB.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

from .._files._access import PIECE
from ._reading import Budget, DamagedError, LimitError, UnprovableError

XZ_MEMORY = 36 * 1024**2
"""Bytes of memory for the usual presets of xz: up to -8, which asks for 33 MiB."""

XZ_MOST_MEMORY = 68 * 1024**2
XZ_MOST_UNPACKED = 40 * 1024**2
"""Preset -9 asks for 65 MiB but uses only what it unpacks, so small files may have it."""

PORTION = 32 * 1024
"""Bytes passed to a decoder at a time: the rest is copied at the end of each stream, and streams can be tiny."""

_BZIP2_MAGIC = b"BZh"
_XZ_MAGIC = b"\xfd7zXZ\0"


class _MemoryNeededError(Exception):
    """The data needs more memory than allowed; never leaves this file."""


def unpack_bzip2(pieces: Callable[[], Iterator[bytes]], budget: Budget) -> Iterator[bytes]:
    """Unpack all streams of a bzip2 file, in pieces.

    :param pieces: returns the bytes of the file from its start, in pieces.
    :raises DamagedError: when a stream is damaged or truncated.
    :raises UnprovableError: when anything follows the last one, or this Python lacks bzip2.
    """
    bz2 = _module("bz2")
    yield from _Streams(bz2.BZ2Decompressor, _BZIP2_MAGIC, budget).unpack(pieces())


def unpack_xz(pieces: Callable[[], Iterator[bytes]], budget: Budget) -> Iterator[bytes]:
    """Unpack all streams of an xz file, in pieces, starting again if it needs more memory; see :func:`unpack_bzip2`.

    :raises LimitError: when that needs more than about 40 MiB of memory.
    """
    lzma = _module("lzma")

    def streams(memory: int) -> Iterator[bytes]:
        def new() -> Any:
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=memory)

        return _Streams(new, _XZ_MAGIC, budget, padding=4).unpack(pieces())

    try:
        yield from streams(XZ_MEMORY)
    except _MemoryNeededError:
        size = 0
        try:
            for piece in streams(XZ_MOST_MEMORY):
                size += len(piece)
                if size > XZ_MOST_UNPACKED:
                    raise _MemoryNeededError
                yield piece
        except _MemoryNeededError:
            raise LimitError("needs more memory to be unpacked than it may have") from None


def unpack_lzma_member(pieces: Iterator[bytes], size: int, budget: Budget) -> Iterator[bytes]:
    """Unpack a zip member that is compressed with LZMA (APPNOTE 5.8.8), in pieces.

    :param size: its unpacked bytes; an end marker is optional.
    """
    lzma = _module("lzma")
    first = next(pieces, b"")
    properties = first[4:9]
    if first[2:4] != b"\5\0" or len(properties) != 5 or properties[0] >= 9 * 5 * 5:
        raise UnprovableError("holds a member that is packed in a way that is not understood")
    dictionary = int.from_bytes(properties[1:], "little")
    if dictionary > XZ_MEMORY:
        raise LimitError("needs more memory to be unpacked than it may have")
    bits, rest = properties[0] % 9, properties[0] // 9
    coder = {"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": bits, "lp": rest % 5, "pb": rest // 5}
    waiting = first[9:]
    try:
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[coder])
    except (lzma.LZMAError, ValueError):
        raise UnprovableError("holds a member that is packed in a way that is not understood") from None
    while size:
        if unpacker.eof or (unpacker.needs_input and not waiting):
            waiting = b"" if unpacker.eof else next(pieces, b"")
            if not waiting:
                raise DamagedError("holds compressed data without an end")
        piece = _call(unpacker, waiting, min(PIECE, size))
        budget.spend(len(piece))
        waiting = b""
        size -= len(piece)
        if piece:
            yield piece


class _Streams:
    """Concatenated compressed streams, as the programs ``bzip2`` and ``xz`` read them.

    :param new: returns a new decoder for one stream.
    :param magic: the first bytes of each stream.
    :param padding: a multiple of this many zeros may follow a stream; 0 for none.
    """

    def __init__(self, new: Callable[[], Any], magic: bytes, budget: Budget, padding: int = 0) -> None:
        self._new = new
        self._magic = magic
        self._budget = budget
        self._padding = padding
        self._unpacker: Any = None
        self._waiting = b""
        self._zeros = 0

    def unpack(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        portions = (packed[start : start + PORTION] for packed in pieces for start in range(0, len(packed), PORTION))
        for portion in portions:
            self._waiting += portion
            while self._begin():
                piece = _call(self._unpacker, self._waiting, PIECE)
                self._budget.spend(len(piece))
                self._waiting = b""
                if piece:
                    yield piece
                if self._unpacker.eof:
                    self._waiting, self._unpacker = self._unpacker.unused_data, None
        if self._unpacker is not None or self._waiting:
            raise DamagedError("holds compressed data without an end")
        self._require_padding()

    def _begin(self) -> bool:
        """Make sure that there is a decoder for the waiting bytes; False when more bytes are needed."""
        if self._unpacker is not None:
            return bool(self._waiting) or not self._unpacker.needs_input
        if self._padding:
            rest = self._waiting.lstrip(b"\0")
            self._zeros += len(self._waiting) - len(rest)
            self._waiting = rest
        head = self._waiting[: len(self._magic)]
        if not self._magic.startswith(head):
            raise UnprovableError("holds bytes behind compressed data")
        if head != self._magic:
            return False
        self._require_padding()
        self._zeros = 0
        self._unpacker = self._new()
        return True

    def _require_padding(self) -> None:
        if self._padding and self._zeros % self._padding:
            raise UnprovableError("holds bytes behind compressed data")


def _call(unpacker: Any, packed: bytes, most: int) -> bytes:
    """Unpack at most ``most`` bytes, which takes milliseconds."""
    try:
        piece: bytes = unpacker.decompress(packed, most)
    except (EOFError, OSError, ValueError) as error:  # raised by bzip2
        raise DamagedError("holds damaged compressed data") from error
    except Exception as error:
        if type(error).__name__ != "LZMAError":
            raise
        text = str(error).lower()
        if "memory" in text:
            raise _MemoryNeededError from error
        if "support" in text:  # this liblzma lacks a filter or a check
            raise UnprovableError("holds data that are packed in a way that is not understood") from error
        raise DamagedError("holds damaged compressed data") from error
    return piece


def _module(name: str) -> Any:
    """Import an optional module; :raises UnprovableError: when this Python lacks it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UnprovableError(f"can't be unpacked where the module runs, whose Python has no {name}") from None
