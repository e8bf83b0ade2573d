# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives that try to exhaust the time or memory of their reader.

Functions write them to files, since some are larger than this process should become.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.unit.archives import (
    END_OF_TAR,
    Entry,
    extra,
    gzip,
    pax_record,
    tar,
    tar_header,
    tar_member,
    with_checksum,
    zipped,
)

MIB = 1024 * 1024
GIB = 1024 * MIB

WHOLE, DAMAGED, LIMIT, UNKNOWN = "whole", "damaged", "limit", "unknown"


@dataclass(frozen=True)
class Hostile:
    """An archive, the expected outcome, and the expected limit, if one stops the reader.

    :param seconds: time allowed for inspecting it.
    :param sparse: size of the file in bytes, if larger than what is written; the rest is a hole.
    """

    write: Callable[[], Iterator[bytes]]
    outcome: str
    limit: str = ""
    sparse: int = 0
    seconds: float = 60

    def to_file(self, path: Path) -> None:
        with open(path, "wb") as file:
            file.writelines(self.write())
            if self.sparse:
                file.truncate(self.sparse)


def _once(make: Callable[[], bytes]) -> Callable[[], Iterator[bytes]]:
    return lambda: iter([make()])


def _binary(size: int) -> bytes:
    """A size in GNU's base-256 encoding."""
    return b"\x80" + size.to_bytes(11, "big")


def _extended(content: bytes, kind: bytes = b"x") -> bytes:
    return tar(tar_member(b"pax", content, kind), tar_member(b"a", b"one"))


def _many_members(count: int) -> Iterator[bytes]:
    for index in range(count):
        yield tar_header(b"%d" % index)
    yield END_OF_TAR


def _sparse_chain(count: int) -> bytes:
    header = tar_header(b"a", b"S", magic=b"ustar  \0")
    header = with_checksum(header[:482] + b"\1" + header[483:])
    more = bytes(504) + b"\1" + bytes(7)
    return header + more * count + bytes(512) + END_OF_TAR


def _bomb(mib: int) -> bytes:
    """Zeros compressed a thousandfold, without compressing all of them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = packer.compress(b"x") + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(16 * MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + zeros * (mib // 16)


def _xz_with_dictionary(code: int) -> bytes:
    """A stream whose header asks for a dictionary of 2**12 bytes (0) to 4 GiB (40)."""
    packed = bytearray(lzma.compress(b"configuration " * 100))
    size = (packed[12] + 1) * 4
    assert packed[14:16] == b"\x21\x01"  # LZMA2 filter with one byte of properties
    packed[16] = code
    packed[12 + size - 4 : 12 + size] = struct.pack("<L", zlib.crc32(packed[12 : 12 + size - 4]))
    return bytes(packed)


def _lzma_member(dictionary: int) -> Entry:
    packed = b"\x09\x14\x05\0\x5d" + struct.pack("<L", dictionary) + bytes(100)
    return Entry(method=14, packed=packed, content=b"x" * 1000)


def _zip_of_many(count: int) -> Iterator[bytes]:
    """Empty members, written one by one, each with a local header and a directory entry."""
    names = [b"%07d" % index for index in range(count)]
    for name in names:
        yield Entry(name, b"").local()
    step, length = len(Entry(names[0], b"").local()), 0
    for index, name in enumerate(names):
        central = Entry(name, b"").central(index * step)
        length += len(central)
        yield central
    start = step * count
    yield b"PK\6\6" + struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, count, count, length, start)
    yield b"PK\6\7" + struct.pack("<LQL", 0, start + length, 1)
    yield b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 0xFFFF, 0xFFFF, length, 0xFFFFFFFF, 0)


def _overlapping(count: int) -> bytes:
    """A zip archive whose directory entries all refer to the same data."""
    entry = Entry(b"a", method=8, packed=_bomb(64), content=b"")
    local, central = entry.local(), entry.central(0)
    end = struct.pack("<4H2LH", 0, 0, count, count, len(central) * count, len(local), 0)
    return local + central * count + b"PK\5\6" + end


def _zip_with_end(**numbers: int) -> bytes:
    """A valid archive whose end record claims other numbers."""
    whole = zipped(Entry(), wide=True)
    given = {"count": 1, "length": len(Entry().central(0)), "start": len(Entry().local())} | numbers
    wide = struct.pack("<4Q", given["count"], given["count"], given["length"], given["start"])
    return whole[:-74] + wide + whole[-42:]


FAST = {"id": lzma.FILTER_LZMA2, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3, "nice_len": 273, "depth": 1}
BIG = Entry(name=b"n" * 65535, extra=extra(0xCAFE, b"x" * 65531), comment=b"c" * 65535)
EXTRAS = Entry(extra=extra(0xCAFE, b"") * 16383)
TINY_RECORDS = b"5 a=\n"

HOSTILE = {
    "pax: 2 MiB of digits": Hostile(_once(lambda: _extended(b"1" * 2 * MIB)), LIMIT, "extended header"),
    "pax: 1 MiB of digits": Hostile(_once(lambda: _extended(b"1" * MIB)), UNKNOWN),
    "pax: 100,000 digits": Hostile(_once(lambda: _extended(b"1" * 100_000)), UNKNOWN),
    "pax: a length of 4,299 digits": Hostile(_once(lambda: _extended(b"9" * 4299 + b" a=b\n")), UNKNOWN),
    "pax: a length of zero": Hostile(_once(lambda: _extended(b"0 a=b\n")), UNKNOWN),
    "pax: a size of 4,299 digits": Hostile(_once(lambda: _extended(pax_record(b"size", b"9" * 4299))), UNKNOWN),
    "pax: a size of other digits": Hostile(_once(lambda: _extended(pax_record(b"size", "\u00b2".encode()))), UNKNOWN),
    "pax: a million records": Hostile(_once(lambda: _extended(TINY_RECORDS * 1_000_000)), LIMIT, "extended header"),
    "pax: many records": Hostile(_once(lambda: _extended(TINY_RECORDS * 200_000)), WHOLE),
    "pax: many headers of many records": Hostile(
        lambda: iter([tar_member(b"pax", TINY_RECORDS * 200_000, b"g")] * 5 + [tar(tar_member(b"a"))]), WHOLE
    ),
    "pax: 8 GiB that are not there": Hostile(
        _once(lambda: tar_header(b"pax", b"x", size_field=_binary(8 * GIB))), DAMAGED
    ),
    "pax: 8 GiB": Hostile(
        _once(lambda: tar_header(b"pax", b"x", size_field=_binary(8 * GIB))), LIMIT, "extended header", 9 * GIB
    ),
    "pax: blanks": Hostile(_once(lambda: _extended(b" " * MIB)), UNKNOWN),
    "tar: a name of 600 MiB": Hostile(
        _once(lambda: tar_header(b"L", b"L", size=600 * MIB)), UNKNOWN, "", 600 * MIB + 2048
    ),
    "tar: a size of 88 bits": Hostile(_once(lambda: tar_header(b"a", size_field=b"\x80" + b"\xff" * 11)), DAMAGED),
    "tar: a size below zero": Hostile(_once(lambda: tar_header(b"a", size_field=b"\xff" * 12)), UNKNOWN),
    "tar: 50,000 members": Hostile(lambda: _many_members(50_000), WHOLE),
    "tar: 20,000 maps of holes": Hostile(_once(lambda: _sparse_chain(20_000)), WHOLE),
    "tar: maps of holes without an end": Hostile(_once(lambda: _sparse_chain(20_000)[:-1536]), DAMAGED),
    "tar: a file of 1 TiB": Hostile(
        _once(lambda: tar_header(b"a", size_field=_binary(1024 * GIB - 1536))), WHOLE, "", 1024 * GIB
    ),
    "tar: 1 TiB of zeros behind the end": Hostile(_once(lambda: tar(tar_header(b"a"))), LIMIT, "time", 1024 * GIB, 1),
    "gzip: a bomb": Hostile(_once(lambda: gzip(b"")[:10] + _bomb(512)), LIMIT, "unpacks to more"),
    "gzip: members without end": Hostile(_once(lambda: gzip(b"") * 100_000), UNKNOWN),
    "gzip: a name of 20 MiB": Hostile(_once(lambda: gzip(b"x", flags=8, optional=b"n" * 20 * MIB + b"\0")), WHOLE),
    "gzip: a name without end": Hostile(_once(lambda: gzip(b"", flags=8)[:10] + b"n" * 20 * MIB), DAMAGED),
    "gzip: empty blocks": Hostile(_once(lambda: gzip(b"")[:10] + b"\0\0\0\xff\xff" * 2 * MIB), DAMAGED),
    "gzip: gzip in gzip": Hostile(_once(lambda: gzip(gzip(gzip(bytes(10 * MIB))))), WHOLE),
    "bzip2: a bomb": Hostile(_once(lambda: bz2.compress(bytes(8 * MIB)) * 40), LIMIT, "unpacks to more"),
    "bzip2: empty streams": Hostile(_once(lambda: bz2.compress(b"") * 100_000), WHOLE),
    "xz: a dictionary of 4 GiB": Hostile(_once(lambda: _xz_with_dictionary(40)), LIMIT, "memory"),
    "xz: a dictionary of 96 MiB": Hostile(_once(lambda: _xz_with_dictionary(29)), LIMIT, "memory"),
    "xz: a dictionary of 64 MiB": Hostile(_once(lambda: _xz_with_dictionary(28)), WHOLE),
    "xz: a dictionary of 64 MiB that is used": Hostile(
        _once(lambda: lzma.compress(bytes(44 * MIB), filters=[{**FAST, "dict_size": 64 * MIB}])),
        LIMIT,
        "memory",
    ),
    "xz: a dictionary of 4 GiB behind a good stream": Hostile(
        _once(lambda: lzma.compress(b"one") + _xz_with_dictionary(40)), LIMIT, "memory"
    ),
    "xz: a bomb": Hostile(_once(lambda: lzma.compress(bytes(16 * MIB)) * 20), LIMIT, "unpacks to more"),
    "xz: empty streams": Hostile(_once(lambda: lzma.compress(b"") * 100_000), WHOLE),
    "xz: 64 MiB of zeros behind": Hostile(_once(lambda: lzma.compress(b"one")), WHOLE, "", 64 * MIB),
    "zip: 30,000 members": Hostile(lambda: _zip_of_many(30_000), WHOLE),
    "zip: entries that overlap": Hostile(_once(lambda: _overlapping(60_000)), DAMAGED),
    "zip: entries of one member": Hostile(
        _once(lambda: zipped(Entry(), central=(Entry(),), in_directory=Entry().central(0) * 50_000, count=50_001)),
        UNKNOWN,
    ),
    "zip: a directory of 4 GiB": Hostile(_once(lambda: _zip_with_end(length=4 * GIB)), DAMAGED),
    "zip: a directory of 16 EiB": Hostile(_once(lambda: _zip_with_end(length=(1 << 64) - 1)), DAMAGED),
    "zip: a directory at 16 EiB": Hostile(_once(lambda: _zip_with_end(start=(1 << 64) - 1)), DAMAGED),
    "zip: 16 E members": Hostile(_once(lambda: _zip_with_end(count=(1 << 64) - 1)), UNKNOWN),
    "zip: a bomb": Hostile(_once(lambda: zipped(Entry(method=8, packed=_bomb(512)))), LIMIT, "unpacks to more"),
    "zip: LZMA with a dictionary of 4 GiB": Hostile(_once(lambda: zipped(_lzma_member(0xFFFFFFFF))), LIMIT, "memory"),
    "zip: LZMA of zeros": Hostile(_once(lambda: zipped(_lzma_member(MIB))), DAMAGED),
    "zip: an end full of ends": Hostile(_once(lambda: zipped(Entry()) + b"PK\5\6" * 16_000), UNKNOWN),
    "zip: texts as long as can be": Hostile(
        _once(lambda: zipped(*(replace(BIG, name=b"%03d" % index + b"n" * 65532) for index in range(20)))), WHOLE
    ),
    "zip: very many extra fields": Hostile(
        _once(lambda: zipped(*(replace(EXTRAS, name=b"%d" % index) for index in range(100)))), WHOLE
    ),
    "zip: member at 16 EiB": Hostile(
        _once(
            lambda: zipped(
                Entry(), central=(replace(Entry(size=0xFFFFFFFF), extra=extra(1, b"\xff" * 8), local_extra=b""),)
            )
        ),
        DAMAGED,
    ),
    "tar: a member with a name that a zip begins with": Hostile(_once(lambda: tar(tar_member(b"PK\3\4.txt"))), UNKNOWN),
    "gzip: 200,000 global headers": Hostile(
        _once(lambda: gzip(tar_member(b"pax", pax_record(b"comment", b"x"), b"g") * 200_000 + tar(tar_member(b"a")))),
        WHOLE,
    ),
    "zip: cut behind an archive inside": Hostile(
        _once(lambda: zipped(Entry(content=zipped(Entry()) + b"more"), Entry(b"b"))[:-200]), DAMAGED
    ),
}
"""Archives that must be read with limits; the sizes are a fraction of what an attacker would use."""
