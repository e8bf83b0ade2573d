# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check whether a tar archive is intact: header by header, in constant memory. Private to this collection.

A tar archive has checksums of headers only, and no directory. It is intact when each header leads to the next one and
the last one to the end, and nothing follows. Names and contents are not checked.
"""

from __future__ import annotations

import os
from typing import BinaryIO

from .._files._access import PIECE
from ._reading import Budget, DamagedError, LimitError, UnprovableError
from ._tar import BLOCK, CHECKSUM, checksum_in, is_header, number_in

MAX_EXTENDED = 1024 * 1024
"""Bytes of an extended header; long lists of attributes or of holes take some tens of thousands."""

MAX_DIGITS = 20
RECORDS_AT_ONCE = 1000

_SIZE = slice(124, 136)
_KIND = slice(156, 157)
_MAGIC = slice(257, 265)
_GNU = b"ustar  \0"
_ZEROS = bytes(BLOCK)

_EXTENDED = (b"x", b"X")
_GLOBAL = b"g"
_SPARSE = b"S"
_FILES = (b"0", b"\0", b"7")
_WITH_CONTENT = (*_FILES, _SPARSE, b"D", b"L", b"K")
_WITHOUT_CONTENT = (b"1", b"2", b"3", b"4", b"5", b"6", b"V")
_ANNOUNCING = (b"L", b"K", *_EXTENDED)
_SPARSE_GOES_ON = 482
_MORE_SPARSE_GOES_ON = 504
"""Offsets of the flag in GNU's header of a sparse file, and in its continuations, that another one follows."""


def read_tar_to_its_end(file: BinaryIO, size: int, budget: Budget) -> None:
    """Follow the headers to the end.

    :param size: of the file, in bytes.
    :raises DamagedError: when a header is damaged, or anything is missing.
    :raises UnprovableError: when anything in it is not understood.
    """
    position = 0
    wide: int | None = None
    announced = b""
    while (header := _block(file, position, budget)) != _ZEROS:
        _require_checksum(header)
        kind, length = header[_KIND], number_in(header[_SIZE])
        position += BLOCK
        if kind in _EXTENDED or kind == _GLOBAL:
            if kind in announced:
                raise UnprovableError("holds two extended headers for one member")
            found = _size_in(_extended(file, position, length, size, budget), budget)
            if found is not None and kind == _GLOBAL:
                raise UnprovableError("holds an extended header that can't be read")
            wide = wide if kind == _GLOBAL else found
        elif kind not in _ANNOUNCING:
            position = _behind_map(file, header, position, budget)
            if wide is not None:
                length, wide = wide, None
            _require_known(header, kind, length)
        announced = announced + kind if kind in _ANNOUNCING else announced if kind == _GLOBAL else b""
        position += -(-length // BLOCK) * BLOCK
        if position > size:
            raise DamagedError("ends in the middle of a member")
    if announced:
        raise UnprovableError("holds an extended header without a member")
    _read_end(file, position + BLOCK, size, budget)


def _block(file: BinaryIO, position: int, budget: Budget) -> bytes:
    budget.spend(0)
    block = os.pread(file.fileno(), BLOCK, position)
    if len(block) < BLOCK:
        raise DamagedError("has no end")
    return block


def _require_checksum(header: bytes) -> None:
    """:raises DamagedError: when the checksum is wrong; old writers summed the bytes as signed numbers."""
    if is_header(header):
        return
    others = header[: CHECKSUM.start] + header[CHECKSUM.stop :]
    if checksum_in(header) != sum(others) + 8 * ord(" ") - 256 * sum(each > 127 for each in others):
        raise DamagedError("holds a header with a wrong checksum")


def _require_known(header: bytes, kind: bytes, length: int) -> None:
    """Accept only kinds of members on whose length all readers agree."""
    is_old_folder = kind in _FILES and header[:100].rstrip(b"\0").endswith(b"/")
    if kind not in _WITH_CONTENT and kind not in _WITHOUT_CONTENT:
        raise UnprovableError("holds a member of a kind that is not understood")
    if length and (kind in _WITHOUT_CONTENT or is_old_folder):
        raise UnprovableError("holds a member with a content that it can't have")


def _behind_map(file: BinaryIO, header: bytes, position: int, budget: Budget) -> int:
    """The start of the content: in GNU's old form, maps of the holes come before it."""
    if header[_KIND] != _SPARSE:
        return position
    if header[_MAGIC] != _GNU:
        raise UnprovableError("holds a member of a kind that is not understood")
    goes_on = header[_SPARSE_GOES_ON]
    while goes_on:
        goes_on = _block(file, position, budget)[_MORE_SPARSE_GOES_ON]
        position += BLOCK
    return position


def _extended(file: BinaryIO, position: int, length: int, size: int, budget: Budget) -> bytes:
    if position + length > size:
        raise DamagedError("ends in the middle of a member")
    if length > MAX_EXTENDED:
        raise LimitError("holds an extended header that is larger than is read")
    budget.spend(length)
    return os.pread(file.fileno(), length, position)


def _size_in(content: bytes, budget: Budget) -> int | None:
    """The member's size that an extended header (POSIX.1-2017, utility pax) gives, in bytes."""
    start, number, found = 0, 0, None
    while start < len(content) and content[start]:  # some writers pad it with zeros
        number += 1
        if number % RECORDS_AT_ONCE == 0:
            budget.spend(0)
        space = content.find(b" ", start, start + MAX_DIGITS)
        stop = start + _digits(content[start:space])
        if space < 0 or not space < stop <= len(content) or content[stop - 1 : stop] != b"\n":
            raise UnprovableError("holds an extended header that can't be read")
        if content.startswith(b"size=", space + 1):
            value = _digits(content[space + 6 : stop - 1])
            if found not in (None, value):
                raise UnprovableError("holds an extended header that says something twice")
            found = value
        start = stop
    return found


def _digits(text: bytes) -> int:
    if len(text) >= MAX_DIGITS or not text.isdigit():
        raise UnprovableError("holds an extended header that can't be read")
    return int(text)


def _read_end(file: BinaryIO, position: int, size: int, budget: Budget) -> None:
    """Read the second of two blocks of zeros; only more zeros may follow."""
    if _block(file, position, budget) != _ZEROS:
        raise UnprovableError("holds bytes behind its end")
    for start in range(position, size, PIECE):
        piece = os.pread(file.fileno(), PIECE, start)
        budget.spend(len(piece))
        if piece.strip(b"\0"):
            raise UnprovableError("holds bytes behind its end")
