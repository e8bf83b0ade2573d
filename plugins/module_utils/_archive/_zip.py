# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a zip archive (PKWARE APPNOTE 6.3) strictly. Private to this collection.

The members have to fill the file without gaps up to the central directory, in its order, and the directory has to reach
to the end. Both descriptions of each member have to agree. These facts about a member count: name, kind, attributes
(the mode) with their host system, owner, content. Times and compression do not. Anything else is rejected: encryption,
methods other than stored and deflate, comments, names in an unknown encoding, several disks, unknown extra fields.
"""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import zlib
from typing import Any, BinaryIO, NamedTuple

from ._reading import (
    FILE,
    FOLDER,
    SYMBOLIC_LINK,
    Budget,
    Inventory,
    Stream,
    UnprovableError,
    file_pieces,
    inflate,
)

LOCAL = b"PK\x03\x04"
"""The first bytes of a zip archive with members."""

CENTRAL = b"PK\x01\x02"
DESCRIPTOR = b"PK\x07\x08"
END = struct.Struct("<4s4H2LH")
END_SIGNATURE = b"PK\x05\x06"
LOCATOR = struct.Struct("<4sLQL")
LOCATOR_SIGNATURE = b"PK\x06\x07"
WIDE_END = struct.Struct("<4sQ2H2L4Q")
WIDE_END_SIGNATURE = b"PK\x06\x06"

COMMON = struct.Struct("<5H3L2H")
CENTRAL_REST = struct.Struct("<3H2L")
FULL = 0xFFFFFFFF
"""Placeholder for a number that is too large for its field; the number is elsewhere, in 64 bits."""

_NEWEST_VERSION = 63
"""Readers reject a member that needs a later version of the format than they know."""

STORED, DEFLATED = 0, 8
ENCRYPTED = 1
HAS_DESCRIPTOR = 1 << 3
_UTF_8 = 1 << 11
_KNOWN_FLAGS = 0b110 | HAS_DESCRIPTOR | _UTF_8
_DOS_FOLDER = 0x10

WIDE, _OWNER = 0x0001, 0x7875
_EXTRAS = {
    WIDE: re.compile(rb"(.{8}){1,3}", re.DOTALL),
    _OWNER: re.compile(rb"\x01\x04.{4}\x04.{4}", re.DOTALL),
    0x5455: re.compile(rb"[\0-\x07](.{4}){0,3}", re.DOTALL),  # times of Unix
    0x000A: re.compile(rb"\0{4}\x01\0\x18\0.{24}", re.DOTALL),  # times of NTFS
}


class Common(NamedTuple):
    """The fields that both descriptions of a member share, in this order; sizes in bytes."""

    needed: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    packed: int
    size: int
    name_size: int
    extra_size: int


class _Entry(NamedTuple):
    """An entry of the central directory, with 64-bit numbers resolved."""

    common: Common
    name: bytes
    owner: bytes
    host: int
    attributes: int
    offset: int


def read_zip(file: BinaryIO, size: int, inventory: Inventory, budget: Budget) -> None:
    """Add the members of a whole archive to the inventory.

    :param size: of the file, in bytes.
    :raises UnprovableError: when anything is invalid or not understood.
    """
    count, start, stop = _find_directory(file, size, budget)
    directory = Stream(file_pieces(file, start, stop, budget))
    data = Stream(file_pieces(file, 0, start, budget))
    for _index in range(count):
        entry = _read_entry(directory)
        if entry.offset != data.position:
            raise UnprovableError("holds bytes between its members, or has them in another order")
        name, kind = _kind_of(entry)
        local_owner, content = _read_member(entry, data, budget)
        inventory.add(name, kind, (entry.host, entry.attributes, entry.owner, local_owner, content))
    if data.position != start or directory.position != stop - start:
        raise UnprovableError("holds bytes around its directory")


def _find_directory(file: BinaryIO, size: int, budget: Budget) -> tuple[int, int, int]:
    """Number of members, and start and end of the central directory."""
    stop = size - END.size
    signature, disk, first_disk, count_here, count, length, start, comment = _unpack_at(file, stop, END, budget)
    if signature != END_SIGNATURE or comment or disk or first_disk or count_here != count:
        raise UnprovableError("has a comment, bytes behind its end, or no end")
    narrow = (count, length, start)
    locator = _unpack_at(file, stop - LOCATOR.size, LOCATOR, budget)
    if locator[0] == LOCATOR_SIGNATURE:
        stop -= LOCATOR.size + WIDE_END.size
        wide = _unpack_at(file, stop, WIDE_END, budget)
        count_here, *numbers = wide[6:]
        is_usual = wide[:2] == (WIDE_END_SIGNATURE, WIDE_END.size - 12) and wide[4:6] == (0, 0)
        if not is_usual or locator[1:] != (0, stop, 1) or count_here != numbers[0]:
            raise UnprovableError("has an end that is not understood")
        full = (0xFFFF, FULL, FULL)
        if any(short not in (most, number) for short, most, number in zip(narrow, full, numbers)):
            raise UnprovableError("has two ends that contradict each other")
        count, length, start = numbers
    if start + length != stop:
        raise UnprovableError("holds bytes before or behind its directory")
    return count, start, stop


def _unpack_at(file: BinaryIO, offset: int, form: struct.Struct, budget: Budget) -> tuple[Any, ...]:
    if offset < 0:
        raise UnprovableError("ends too early")
    return form.unpack(Stream(file_pieces(file, offset, offset + form.size, budget)).take(form.size))


def _read_entry(directory: Stream) -> _Entry:
    """The next member of the central directory."""
    signature, _version, host = directory.take(4), directory.take(1), directory.take(1)[0]
    common = Common._make(COMMON.unpack(directory.take(COMMON.size)))
    comment_size, disk, inner, attributes, offset = CENTRAL_REST.unpack(directory.take(CENTRAL_REST.size))
    if signature != CENTRAL or comment_size or disk or inner > 1:
        raise UnprovableError("holds a comment, or an entry of its directory that is not understood")
    if common.flags & ENCRYPTED:
        raise UnprovableError("holds an encrypted member")
    if common.flags & ~_KNOWN_FLAGS or common.method not in (STORED, DEFLATED) or common.needed > _NEWEST_VERSION:
        raise UnprovableError("holds a member that is packed in a way that is not understood")
    name = directory.take(common.name_size)
    if not _is_clear(name, bool(common.flags & _UTF_8)):
        raise UnprovableError("holds a name in an encoding that is not known")
    extras = _read_extras(directory, common.extra_size)
    wide = iter(struct.iter_unpack("<Q", extras.get(WIDE, b"")))
    numbers = [next(wide, (FULL,))[0] if each == FULL else each for each in (common.size, common.packed, offset)]
    if next(wide, None) is not None or FULL in numbers:
        raise UnprovableError("holds sizes that are not understood")
    size, packed, offset = numbers
    return _Entry(common._replace(size=size, packed=packed), name, extras.get(_OWNER, b""), host, attributes, offset)


def _is_clear(name: bytes, is_utf_8: bool) -> bool:
    """Whether every reader decodes a name in the same way."""
    try:
        name.decode("utf-8" if is_utf_8 else "ascii")
    except UnicodeDecodeError:
        return False
    return True


def _read_extras(stream: Stream, left: int) -> dict[int, bytes]:
    """Parse extra fields, each of a known kind and at most once; ``left`` is their size in bytes."""
    found: dict[int, bytes] = {}
    while left:
        kind, size = struct.unpack("<2H", stream.take(4))
        left -= 4 + size
        if left < 0 or kind in found or kind not in _EXTRAS:
            raise UnprovableError("holds an extra field that is not understood")
        found[kind] = stream.take(size)
        if _EXTRAS[kind].fullmatch(found[kind]) is None:
            raise UnprovableError("holds an extra field that is not understood")
    return found


def _read_member(entry: _Entry, data: Stream, budget: Budget) -> tuple[bytes, bytes]:
    """Read a member with its local header and descriptor; returns the owner there, and the content's SHA-256."""
    central = entry.common
    signature, local = data.take(4), Common._make(COMMON.unpack(data.take(COMMON.size)))
    name, extras = data.take(local.name_size), _read_extras(data, local.extra_size)
    found = (local.crc, *_local_sizes(local, extras.get(WIDE)))
    wanted = (central.crc, central.packed, central.size)
    has_descriptor = bool(central.flags & HAS_DESCRIPTOR)
    if signature != LOCAL or name != entry.name or local[1:5] != central[1:5] or local.needed > _NEWEST_VERSION:
        raise UnprovableError("holds a member that its directory describes otherwise")
    if any(here != there and not (has_descriptor and here == 0) for here, there in zip(found, wanted)):
        raise UnprovableError("holds a member whose size or checksum its directory has otherwise")
    content = _read_content(central, data, budget)
    if has_descriptor:
        form = struct.Struct("<4sLQQ" if WIDE in extras else "<4sLLL")
        if form.unpack(data.take(form.size)) != (DESCRIPTOR, *wanted):
            raise UnprovableError("holds something else behind a member than its size and checksum")
    return extras.get(_OWNER, b""), content


def _local_sizes(local: Common, wide: bytes | None) -> tuple[int, int]:
    """Packed and unpacked size in bytes; in a local header both or none have 64 bits (APPNOTE 4.5.3)."""
    if wide is None:
        return local.packed, local.size
    if len(wide) != 16:
        raise UnprovableError("holds sizes that are not understood")
    size, packed = struct.unpack("<2Q", wide)
    if local.size not in (FULL, size) or local.packed not in (FULL, packed):
        raise UnprovableError("holds a member with two sizes")
    return packed, size


def _read_content(common: Common, data: Stream, budget: Budget) -> bytes:
    """Verify size and checksum of a member's content; returns its SHA-256."""
    packed = data.pieces(common.packed)
    sha256, size, crc = hashlib.sha256(), 0, 0
    for piece in packed if common.method == STORED else inflate(packed, -15, budget):
        sha256.update(piece)
        size += len(piece)
        crc = zlib.crc32(piece, crc)
    if (size, crc) != (common.size, common.crc):
        raise UnprovableError("holds a member of another size or checksum than it says")
    return sha256.digest()


def _kind_of(entry: _Entry) -> tuple[bytes, bytes]:
    """Name, for folders without the final slash, and kind, on which name and attributes have to agree."""
    name, attributes = entry.name, entry.attributes
    is_folder = name.endswith(b"/")
    by_name = FOLDER if is_folder else FILE
    kinds = {0: by_name, stat.S_IFREG: FILE, stat.S_IFDIR: FOLDER, stat.S_IFLNK: SYMBOLIC_LINK}
    kind = kinds.get(stat.S_IFMT(attributes >> 16))
    if kind is None or is_folder != (kind == FOLDER) or (attributes & _DOS_FOLDER and not is_folder):
        raise UnprovableError("holds a member whose kind is not clear")
    if is_folder and entry.common.size:
        raise UnprovableError("holds a folder with a content")
    return (name[:-1] if is_folder else name), kind
