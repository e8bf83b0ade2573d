# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build archives field by field, including some that no library would write."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

END_OF_TAR = bytes(1024)


def number(value: int, size: int) -> bytes:
    """A number as a tar field of ``size`` bytes."""
    return f"{value:0{size - 1}o}".encode() + b"\0"


def tar_header(
    name: bytes,
    kind: bytes = b"0",
    *,
    size: int = 0,
    mode: int = 0o644,
    uid: bytes = number(0, 8),
    gid: bytes = number(0, 8),
    mtime: bytes = number(0, 12),
    link: bytes = b"",
    magic: bytes = b"ustar\x0000",
    uname: bytes = b"root",
    gname: bytes = b"root",
    major: bytes = number(0, 8),
    minor: bytes = number(0, 8),
    prefix: bytes = b"",
    unused: bytes = b"",
    size_field: bytes | None = None,
) -> bytes:
    """A tar header block of 512 bytes with a valid checksum."""
    fields = struct.pack(
        "100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12s",
        name,
        number(mode, 8),
        uid,
        gid,
        number(size, 12) if size_field is None else size_field,
        mtime,
        b" " * 8,
        kind,
        link,
        magic,
        uname,
        gname,
        major,
        minor,
        prefix,
        unused,
    )
    return with_checksum(fields)


def with_checksum(header: bytes) -> bytes:
    """The header with its checksum corrected."""
    total = sum(header[:148]) + sum(header[156:]) + 8 * 32
    return header[:148] + f"{total:06o}".encode() + b"\0 " + header[156:]


def padded(content: bytes, filler: bytes = b"\0") -> bytes:
    return content + filler * (-len(content) % 512)


def tar_member(name: bytes, content: bytes = b"", kind: bytes = b"0", **fields: object) -> bytes:
    return tar_header(name, kind, size=len(content), **fields) + padded(content)  # type: ignore[arg-type]


def pax(*records: tuple[bytes, bytes]) -> bytes:
    """A POSIX extended header."""
    return tar_member(b"pax", b"".join(pax_record(*record) for record in records), b"x")


def pax_record(key: bytes, value: bytes) -> bytes:
    size = len(key) + len(value) + 3
    while len(b"%d" % size) + len(key) + len(value) + 3 != size:
        size += 1
    return b"%d %s=%s\n" % (size, key, value)


def tar(*parts: bytes) -> bytes:
    return b"".join(parts) + END_OF_TAR


def gzip(
    content: bytes, *, flags: int = 0, mtime: int = 0, optional: bytes = b"", level: int = 6, crc: int | None = None
) -> bytes:
    header = b"\x1f\x8b\x08" + struct.pack("<BLBB", flags, mtime, 0, 3) + optional
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush()
    return header + packed + struct.pack("<LL", zlib.crc32(content) if crc is None else crc, len(content) & 0xFFFFFFFF)


@dataclass(frozen=True)
class Entry:
    """A zip member. The ``local_...`` fields override the local header where it may differ from the directory."""

    name: bytes = b"a"
    content: bytes = b"one"
    method: int = 0
    flags: int = 0
    time: int = 0
    mode: int = 0o100644
    host: int = 3
    needed: int = 20
    inner: int = 0
    dos: int = 0
    extra: bytes = b""
    comment: bytes = b""
    disk: int = 0
    crc: int | None = None
    size: int | None = None
    packed: bytes | None = None
    local_name: bytes | None = None
    local_time: int | None = None
    local_method: int | None = None
    local_crc: int | None = None
    local_size: int | None = None
    local_extra: bytes | None = None
    behind: bytes = b""

    def body(self) -> bytes:
        if self.packed is not None:
            return self.packed
        if self.method == 0:
            return self.content
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        return packer.compress(self.content) + packer.flush()

    def numbers(self) -> tuple[int, int, int]:
        """CRC, compressed and uncompressed size, as in the central directory."""
        crc = zlib.crc32(self.content) if self.crc is None else self.crc
        return crc, len(self.body()), len(self.content) if self.size is None else self.size

    def local(self) -> bytes:
        crc, packed, size = self.numbers()
        crc = crc if self.local_crc is None else self.local_crc
        size, packed = (size, packed) if self.local_size is None else (self.local_size, self.local_size)
        name = self.name if self.local_name is None else self.local_name
        time = self.time if self.local_time is None else self.local_time
        method = self.method if self.local_method is None else self.local_method
        extra = self.extra if self.local_extra is None else self.local_extra
        header = (self.needed, self.flags, method, time, 33, crc, packed, size, len(name), len(extra))
        return b"PK\3\4" + struct.pack("<5H3L2H", *header) + name + extra + self.body() + self.behind

    def central(self, offset: int) -> bytes:
        header = (self.needed, self.flags, self.method, self.time, 33, *self.numbers(), len(self.name), len(self.extra))
        rest = (len(self.comment), self.disk, self.inner, self.mode << 16 | self.dos, offset)
        start = b"PK\1\2" + struct.pack("<BB5H3L2H", 63, self.host, *header) + struct.pack("<3H2L", *rest)
        return start + self.name + self.extra + self.comment


def zipped(
    *entries: Entry,
    before: bytes = b"",
    gap: bytes = b"",
    between: bytes = b"",
    in_directory: bytes = b"",
    before_end: bytes = b"",
    comment: bytes = b"",
    behind: bytes = b"",
    count: int | None = None,
    wide: bool = False,
    central: tuple[Entry, ...] | None = None,
) -> bytes:
    """A zip archive: ``gap`` follows the first member, ``between`` the last one, ``before_end`` the directory.

    The last 22 bytes are the end record (if ``comment`` and ``behind`` are empty). With ``wide``, 56 bytes of zip64 end
    record and 20 bytes of locator precede it.
    """
    data, offsets = before, []
    for entry in entries:
        offsets.append(len(data))
        data += entry.local() + (gap if len(offsets) == 1 else b"")
    data += between
    start = len(data)
    for entry, offset in zip(entries if central is None else central, offsets):
        data += entry.central(offset)
    data += in_directory
    length = len(data) - start
    count = len(offsets) if count is None else count
    data += before_end
    if wide:
        end = len(data)
        data += b"PK\6\6" + struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, count, count, length, start)
        data += b"PK\6\7" + struct.pack("<LQL", 0, end, 1)
        count, start = 0xFFFF, 0xFFFFFFFF
    return data + b"PK\5\6" + struct.pack("<4H2LH", 0, 0, count, count, length, start, len(comment)) + comment + behind


def extra(kind: int, content: bytes) -> bytes:
    """An extra field of a zip header."""
    return struct.pack("<2H", kind, len(content)) + content


def descriptor(content: bytes, packed: int, form: str = "<LLL") -> bytes:
    """The data descriptor that follows a member whose size was unknown at its start."""
    return b"PK\7\x08" + struct.pack(form, zlib.crc32(content), packed, len(content))


def altered(content: bytes, at: int, byte: int = 9) -> bytes:
    """The bytes with one of them changed; a negative index counts from the end."""
    changed = bytearray(content)
    changed[at] = byte
    return bytes(changed)
