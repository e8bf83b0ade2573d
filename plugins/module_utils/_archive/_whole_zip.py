# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check whether a zip archive (PKWARE APPNOTE 6.3) is intact, in constant memory. Private to this collection.

The members have to fill the file without gaps up to the central directory, in its order, and the directory has to reach
to the end. So no member is read twice, and a checksum covers every byte of content. Names are not kept; comments,
attributes and unknown extra fields are ignored.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from ._reading import Budget, DamagedError, LimitError, Stream, UnprovableError, file_pieces, inflate
from ._streams import unpack_bzip2, unpack_lzma_member
from ._zip import (
    CENTRAL,
    CENTRAL_REST,
    COMMON,
    DEFLATED,
    ENCRYPTED,
    END,
    END_SIGNATURE,
    FULL,
    HAS_DESCRIPTOR,
    LOCAL,
    LOCATOR,
    LOCATOR_SIGNATURE,
    STORED,
    WIDE,
    WIDE_END,
    WIDE_END_SIGNATURE,
    Common,
)

_BZIP2, _LZMA = 12, 14
_FULL_COUNT = 0xFFFF
_STRONGLY_ENCRYPTED = 1 << 6
_HIDDEN = 1 << 13
_MAX_COMMENT = 0xFFFF
_LOCAL = struct.Struct(f"<4s{COMMON.format[1:]}")
_CENTRAL = struct.Struct(f"<4s2x{COMMON.format[1:]}{CENTRAL_REST.format[1:]}")
_DESCRIPTORS = (0, 12, 16, 20, 24)
"""Possible sizes of the data descriptor after a member: with and without a signature and 64-bit numbers."""


class _Directory(NamedTuple):
    """Position of the central directory, and its number of members; ``None`` if the field is too small for it."""

    members: int | None
    start: int
    stop: int


class _Member(NamedTuple):
    """An entry of the central directory, with 64-bit numbers resolved; sizes in bytes."""

    common: Common
    name: bytes
    offset: int


def read_zip_to_its_end(file: BinaryIO, size: int, budget: Budget) -> None:
    """Read all members and compare them with their checksums.

    :param size: of the file, in bytes.
    :raises DamagedError: when a member is damaged, or anything is missing.
    :raises UnprovableError: when anything in it is not understood.
    """
    where = _find_directory(file, size, budget)
    directory = Stream(file_pieces(file, where.start, where.stop, budget))
    count, position = 0, 0
    gaps: tuple[int, ...] = _DESCRIPTORS[:1]
    while directory.position < where.stop - where.start:
        member = _read_entry(directory)
        _require_gap(member.offset - position, gaps)
        position = _read_member(file, member, where.start, budget)
        gaps = _DESCRIPTORS if member.common.flags & HAS_DESCRIPTOR else _DESCRIPTORS[:1]
        count += 1
    _require_gap(where.start - position, gaps)
    if where.members not in (None, count):
        raise UnprovableError("holds another number of members than it says")


def _require_gap(gap: int, usual: tuple[int, ...]) -> None:
    if gap not in usual:
        raise UnprovableError("holds members that overlap, bytes between them, or has them in another order")


def _find_directory(file: BinaryIO, size: int, budget: Budget) -> _Directory:
    end_at, end = _find_end(file, size, budget)
    _signature, disk, first_disk, count_here, count, length, start, _comment = END.unpack(end)
    if disk or first_disk or count_here != count:
        raise UnprovableError("is one of several parts")
    numbers: tuple[int | None, int, int] = (None if count == _FULL_COUNT else count, length, start)
    stop = end_at
    locator = os.pread(file.fileno(), LOCATOR.size, max(0, end_at - LOCATOR.size))
    if locator.startswith(LOCATOR_SIGNATURE):
        _signature, disk, stop, disks = LOCATOR.unpack(locator)
        wide = os.pread(file.fileno(), WIDE_END.size, min(stop, size))
        if len(wide) < WIDE_END.size or stop + WIDE_END.size != end_at - LOCATOR.size or (disk, disks) != (0, 1):
            raise UnprovableError("has an end that is not understood")
        signature, length, _made, _needed, *disks_and_count, count, length_there, start_there = WIDE_END.unpack(wide)
        if (signature, length) != (WIDE_END_SIGNATURE, WIDE_END.size - 12) or disks_and_count != [0, 0, count]:
            raise UnprovableError("has an end that is not understood")
        numbers = (count, length_there, start_there)
    many, length, start = numbers
    if locator[:4] != LOCATOR_SIGNATURE and FULL in (length, start):
        raise UnprovableError("has an end that is not understood")
    if start + length > stop:
        raise DamagedError("lacks bytes before its end")
    if start + length < stop:
        raise UnprovableError("holds bytes before or behind its directory")
    return _Directory(many, start, stop)


def _find_end(file: BinaryIO, size: int, budget: Budget) -> tuple[int, bytes]:
    """Position and bytes of the end record, which a comment may follow.

    :raises DamagedError: when it is missing.
    """
    first = max(0, size - END.size - _MAX_COMMENT)
    tail = b"".join(file_pieces(file, first, size, budget))
    at = len(tail)
    seen: list[bytes] = []
    while (at := tail.rfind(END_SIGNATURE, 0, at)) >= 0:
        end = tail[at : at + END.size]
        if len(end) == END.size:
            comment = END.unpack(end)[-1]
            if at + END.size + comment == len(tail):
                return first + at, end
            length, start = END.unpack(end)[5:7]
            if at + END.size + comment < len(tail) and start + length == first + at:
                seen.append(end)
    if seen:
        raise UnprovableError("holds bytes behind its end")
    raise DamagedError("has no end")


def _read_entry(directory: Stream) -> _Member:
    """The next member of the central directory."""
    try:
        signature, *fields = _CENTRAL.unpack(directory.take(_CENTRAL.size))
        common = Common._make(fields[: len(Common._fields)])
        comment_size, disk, _inner, _attributes, offset = fields[len(Common._fields) :]
        if signature != CENTRAL:
            raise DamagedError("holds a damaged directory")
        name, extra, _text = (directory.take(each) for each in (common.name_size, common.extra_size, comment_size))
    except DamagedError:
        raise
    except UnprovableError as error:
        raise _as_damage(error) from error
    if common.flags & (ENCRYPTED | _STRONGLY_ENCRYPTED | _HIDDEN):
        raise UnprovableError("holds an encrypted member")
    if disk not in (0, _FULL_COUNT):
        raise UnprovableError("is one of several parts")
    wide = iter(struct.iter_unpack("<Q", _wide_numbers(extra)))
    numbers = [next(wide, (FULL,))[0] if each == FULL else each for each in (common.size, common.packed, offset)]
    if FULL in numbers:
        raise UnprovableError("holds sizes that are not understood")
    unpacked, packed, offset = numbers
    return _Member(common._replace(size=unpacked, packed=packed), name, offset)


def _as_damage(error: UnprovableError) -> UnprovableError:
    """A truncated directory counts as damage; a limit stays a limit."""
    is_final = isinstance(error, (DamagedError, LimitError))
    return error if is_final else DamagedError("holds a damaged directory")


def _wide_numbers(extra: bytes) -> bytes:
    """The extra field with 64-bit numbers; empty without one."""
    start = 0
    while start + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, start)
        start += 4 + size
        if kind == WIDE:
            return extra[start - size : start - size % 8]
    return b""


def _read_member(file: BinaryIO, member: _Member, limit: int, budget: Budget) -> int:
    """Read and verify a member; returns the position of its end.

    :param limit: the start of the directory.
    """
    budget.spend(0)
    head = os.pread(file.fileno(), _LOCAL.size, member.offset)
    start = member.offset + _LOCAL.size
    if len(head) < _LOCAL.size or not head.startswith(LOCAL):
        raise DamagedError("lacks a member that its directory has")
    central, local = member.common, Common._make(_LOCAL.unpack(head)[1:])
    if os.pread(file.fileno(), local.name_size, start) != member.name:
        raise DamagedError("has another member than its directory says")
    if (local.flags, local.method) != (central.flags, central.method):
        raise UnprovableError("holds a member that its directory describes otherwise")
    start += local.name_size + local.extra_size
    stop = start + central.packed
    if stop > limit:
        raise DamagedError("lacks bytes of a member")
    size, crc = 0, 0
    for piece in _unpacked(file, start, stop, central, budget):
        size += len(piece)
        crc = zlib.crc32(piece, crc)
    if (size, crc) != (central.size, central.crc):
        raise DamagedError("holds a member of another size or checksum than it says")
    return stop


def _unpacked(file: BinaryIO, start: int, stop: int, common: Common, budget: Budget) -> Iterator[bytes]:
    def packed() -> Iterator[bytes]:
        return file_pieces(file, start, stop, budget)

    if common.method == STORED:
        return packed()
    if common.method == DEFLATED:
        return inflate(packed(), -15, budget)
    if common.method == _BZIP2:
        return unpack_bzip2(packed, budget)
    if common.method == _LZMA:
        return unpack_lzma_member(packed(), common.size, budget)
    raise UnprovableError("holds a member that is packed in a way that is not understood")
