# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a tar archive strictly: ustar, pax (POSIX.1-2017, utility pax), and GNU's long names.

Private to this collection. These facts about a member count: name, kind, mode, owner (numbers and names), link target,
device numbers, content. Times and the encoding of the rest do not. Anything else is rejected: sparse files, global and
unknown extended headers, and bytes where there should be none.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from ._reading import FILE, FOLDER, HARD_LINK, SYMBOLIC_LINK, Inventory, Stream, UnprovableError, digest

BLOCK = 512
RECORD = 20 * BLOCK
"""Zeros pad an archive to at most a multiple of this many bytes (the default of every tar)."""

MAX_EXTENDED = 64 * 1024
"""Bytes of an extended header."""

_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12s")
CHECKSUM = slice(148, 156)
_USTAR = b"ustar\x0000"
_GNU = b"ustar  \0"

_EXTENDED = b"x"
_LONG_NAMES = {b"L": b"path", b"K": b"linkpath"}
_DEVICES = (b"3", b"4")
_KINDS = (FILE, HARD_LINK, SYMBOLIC_LINK, *_DEVICES, FOLDER, b"6", b"7")

_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
_DECIMAL = re.compile(rb"[0-9]{1,19}")
_TIME = re.compile(rb"-?[0-9]{1,19}(\.[0-9]{1,19})?")
_RECORD_START = re.compile(rb"([1-9][0-9]{0,4}) ([^=]+)=")
_TIMES = (b"mtime", b"atime", b"ctime")
_NUMBERS = (b"size", b"uid", b"gid")
_TEXTS = (b"path", b"linkpath", b"uname", b"gname")


class _Header(NamedTuple):
    """The fields of a header that count, as every reader understands them."""

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    kind: bytes
    link: bytes
    uname: bytes
    gname: bytes
    major: int
    minor: int


def is_header(block: bytes) -> bool:
    """Whether a block is a header, by its checksum; a block of zeros is not."""
    return checksum_in(block) == sum(block) - sum(block[CHECKSUM]) + 8 * ord(" ")


def checksum_in(block: bytes) -> int | None:
    """The checksum stored in a header: the sum of its bytes, with spaces in place of the checksum."""
    found = _OCTAL.fullmatch(block[CHECKSUM])
    return None if found is None else int(found[1] or b"0", 8)


def read_tar(stream: Stream, inventory: Inventory) -> None:
    """Add the members of a whole archive to the inventory.

    :raises UnprovableError: when anything is invalid or not understood.
    """
    extended: dict[bytes, bytes] = {}
    for block in iter(lambda: stream.take(BLOCK), bytes(BLOCK)):
        header = _parse(block)
        if header.kind == _EXTENDED or header.kind in _LONG_NAMES:
            for key, value in _read_extended(header, stream).items():
                if key in extended:
                    raise UnprovableError("holds an extended header that says something twice")
                extended[key] = value
        else:
            _read_member(header, extended, stream, inventory)
            extended = {}
    if extended:
        raise UnprovableError("holds an extended header without a member")
    _read_end(stream)


def _read_end(stream: Stream) -> None:
    """Read the second of two blocks of zeros, and more of them up to a whole record."""
    end = -(-(stream.position + BLOCK) // RECORD) * RECORD
    zeros = stream.take(BLOCK)
    while len(zeros) <= RECORD:
        piece = stream.some(RECORD)
        if not piece:
            break
        zeros += piece
    if any(zeros) or stream.position > end or stream.position % BLOCK:
        raise UnprovableError("holds bytes behind the end of the archive")


def _parse(block: bytes) -> _Header:
    """Parse any header strictly: some readers reject an invalid number even in a field that they ignore."""
    if not is_header(block):
        raise UnprovableError("holds a tar header with a wrong checksum")
    name, mode, uid, gid, size, mtime, _checksum, kind, link, magic, *rest = _HEADER.unpack(block)
    uname, gname, major, minor, prefix, unused = rest
    if magic not in (_USTAR, _GNU):
        raise UnprovableError("holds a tar header of an unknown kind")
    # GNU puts times and maps of sparse files there, which other readers interpret as part of the name.
    if any(unused) or (magic == _GNU and any(prefix)):
        raise UnprovableError("holds bytes where a tar header has none")
    number_in(mtime, may_be_negative=True)
    folder = _text(prefix)
    return _Header(
        name=folder + b"/" + _text(name) if folder else _text(name),
        mode=number_in(mode),
        uid=number_in(uid),
        gid=number_in(gid),
        size=number_in(size),
        kind=kind,
        link=_text(link),
        uname=_text(uname),
        gname=_text(gname),
        major=number_in(major),
        minor=number_in(minor),
    )


def number_in(field: bytes, may_be_negative: bool = False) -> int:
    """A number in octal digits, or in GNU's form: 0x80 (0xff if negative), then the number in binary."""
    if field[0] in (0x80, 0xFF):
        number = int.from_bytes(field[1:], "big") - (0 if field[0] == 0x80 else 256 ** (len(field) - 1))
    else:
        found = _OCTAL.fullmatch(field)
        if found is None:
            raise UnprovableError("holds a tar header with a number that is none")
        number = int(found[1] or b"0", 8)
    if number < 0 and not may_be_negative:
        raise UnprovableError("holds a tar header with a negative number")
    return number


def _text(field: bytes) -> bytes:
    """A text that fills the field, or is padded with NUL bytes only."""
    text = field.rstrip(b"\0")
    if b"\0" in text:
        raise UnprovableError("holds bytes behind a text in a tar header")
    return text


def _read_extended(header: _Header, stream: Stream) -> dict[bytes, bytes]:
    """The content of an extended header for the next member, with the keys of pax."""
    if not 0 < header.size <= MAX_EXTENDED:
        raise UnprovableError("holds an extended header that is empty or too large")
    content = stream.take(header.size)
    _read_padding(header.size, stream)
    if header.kind == _EXTENDED:
        return _parse_extended(content)
    if content.find(b"\0") != len(content) - 1 or len(content) == 1:
        raise UnprovableError("holds a long name that is empty, or does not end with its first NUL")
    return {_LONG_NAMES[header.kind]: content[:-1]}


def _parse_extended(content: bytes) -> dict[bytes, bytes]:
    """Parse records ``<length of the record> <key>=<value>\\n`` (POSIX)."""
    found: dict[bytes, bytes] = {}
    start = 0
    while start < len(content):
        match = _RECORD_START.match(content, start)
        stop = start + int(match[1]) if match else 0
        if match is None or content[stop - 1 : stop] != b"\n":
            raise UnprovableError("holds an extended header that can't be read")
        key, value = match[2], content[match.end() : stop - 1]
        if key in found or not _is_understood(key, value):
            raise UnprovableError("holds an extended header with a key or value that is not understood")
        found[key] = value
        start = stop
    return found


def _is_understood(key: bytes, value: bytes) -> bool:
    if key in _TIMES:
        return _TIME.fullmatch(value) is not None
    if key in _NUMBERS:
        return _DECIMAL.fullmatch(value) is not None
    return key in _TEXTS and bool(value)


def _read_member(header: _Header, extended: dict[bytes, bytes], stream: Stream, inventory: Inventory) -> None:
    kind = FILE if header.kind == b"\0" else header.kind
    if kind not in _KINDS:
        raise UnprovableError("holds a member of a kind that is not understood")
    name = extended.get(b"path") or header.name
    link = extended.get(b"linkpath") or header.link
    size = _agreed(header.size, 11, extended.get(b"size"))
    if kind == FOLDER:
        name = name[:-1] if name.endswith(b"/") else name
    elif name.endswith(b"/"):
        raise UnprovableError("holds a member that is a folder by its name alone")
    is_plain = kind in (FILE, b"7")
    if bool(link) != (kind in (HARD_LINK, SYMBOLIC_LINK)) or (size and not is_plain):
        raise UnprovableError("holds a member with a link target or a content that it can't have")
    if header.mode > 0o7777 or (any((header.major, header.minor)) and kind not in _DEVICES):
        raise UnprovableError("holds a member with a mode or a device number that it can't have")
    if kind == HARD_LINK:
        inventory.require_file(link)
    owner = (
        _agreed(header.uid, 7, extended.get(b"uid")),
        _agreed(header.gid, 7, extended.get(b"gid")),
        extended.get(b"uname") or header.uname,
        extended.get(b"gname") or header.gname,
    )
    content = digest(stream.pieces(size))
    _read_padding(size, stream)
    inventory.add(name, kind, (header.mode, *owner, link, header.major, header.minor, content))


def _agreed(number: int, digits: int, extended: bytes | None) -> int:
    """The number of the header, or that of the extended header if it does not fit into the field."""
    if extended is None:
        return number
    if int(extended) != number and int(extended) < 8**digits:
        raise UnprovableError("holds an extended header that contradicts the header")
    return int(extended)


def _read_padding(size: int, stream: Stream) -> None:
    if any(stream.take(-size % BLOCK)):
        raise UnprovableError("holds bytes where tar fills up with zeros")
