# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two backup files count as equal only when that is proven.

Each row of the tables has a plain archive, a second one that a lenient reader considers equal (or that is equal, but
written differently), and the expected outcome, which must not depend on their order.
"""

from __future__ import annotations

import gzip as gzip_module
import io
import os
import random
import re
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils._archive._equal import (
    MOST_DIFFERING,
    Comparison,
    Outcome,
    compare,
)
from ansible_collections.netops.activelogic.plugins.module_utils._archive._reading import (
    MAX_NAME,
    MAX_NAMES,
    Budget,
    Limits,
    UnprovableError,
    file_pieces,
    inflate,
)
from ansible_collections.netops.activelogic.plugins.module_utils._errors import LocalFileError
from ansible_collections.netops.activelogic.plugins.module_utils._files._access import PIECE

from tests.unit.archives import (
    END_OF_TAR,
    Entry,
    altered,
    descriptor,
    extra,
    gzip,
    number,
    padded,
    pax,
    pax_record,
    tar,
    tar_header,
    tar_member,
    with_checksum,
    zipped,
)

EQUAL, DIFFERENT, UNKNOWN = Outcome.EQUAL, Outcome.DIFFERENT, Outcome.UNKNOWN
MIB = 1024 * 1024


class Pair(NamedTuple):
    """Two files, the expected outcome of comparing them, and a part of the reason."""

    first: bytes
    second: bytes
    outcome: Outcome
    reason: str = ""


A = tar_member(b"a", b"one")
TAR = tar(A)
LONG = b"folder/" * 30 + b"file"
TARS = {
    "same bytes": Pair(TAR, TAR, EQUAL, "same bytes"),
    "time": Pair(TAR, tar(tar_member(b"a", b"one", mtime=number(77, 12))), EQUAL),
    "time before 1970": Pair(TAR, tar(tar_member(b"a", b"one", mtime=b"\xff" * 12)), EQUAL),
    "times in an extended header": Pair(
        TAR, tar(pax((b"mtime", b"-1.5"), (b"atime", b"3"), (b"ctime", b"0.25")), A), EQUAL
    ),
    "content": Pair(TAR, tar(tar_member(b"a", b"two")), DIFFERENT),
    "length": Pair(TAR, tar(tar_member(b"a", b"one\0")), DIFFERENT),
    "name": Pair(TAR, tar(tar_member(b"b", b"one")), DIFFERENT),
    "another way to write a name": Pair(TAR, tar(tar_member(b"./a", b"one")), DIFFERENT),
    "mode": Pair(TAR, tar(tar_member(b"a", b"one", mode=0o600)), DIFFERENT),
    "mode with set-user-id": Pair(TAR, tar(tar_member(b"a", b"one", mode=0o4644)), DIFFERENT),
    "owner's number": Pair(TAR, tar(tar_member(b"a", b"one", uid=number(7, 8))), DIFFERENT),
    "group's number": Pair(TAR, tar(tar_member(b"a", b"one", gid=number(7, 8))), DIFFERENT),
    "group's name": Pair(TAR, tar(tar_member(b"a", b"one", gname=b"al")), DIFFERENT),
    "owner's name": Pair(TAR, tar(tar_member(b"a", b"one", uname=b"al")), DIFFERENT),
    "kind": Pair(TAR, tar(tar_member(b"a", b"one", b"7")), DIFFERENT),
    "one member more": Pair(TAR, tar(A, tar_member(b"b")), DIFFERENT),
    "order": Pair(tar(A, tar_member(b"b")), tar(tar_member(b"b"), A), EQUAL),
    "old letter of a file": Pair(TAR, tar(tar_member(b"a", b"one", b"\0")), EQUAL),
    "symbolic links to two targets": Pair(
        tar(tar_header(b"l", b"2", link=b"x")), tar(tar_header(b"l", b"2", link=b"y")), DIFFERENT
    ),
    "hard links to two files": Pair(
        tar(A, tar_member(b"b", b"one"), tar_header(b"l", b"1", link=b"a")),
        tar(A, tar_member(b"b", b"one"), tar_header(b"l", b"1", link=b"b")),
        DIFFERENT,
    ),
    "two devices": Pair(
        tar(tar_header(b"d", b"3", major=number(1, 8))), tar(tar_header(b"d", b"3", major=number(2, 8))), DIFFERENT
    ),
    "two devices of one driver": Pair(
        tar(tar_header(b"d", b"3", minor=number(1, 8))), tar(tar_header(b"d", b"3", minor=number(2, 8))), DIFFERENT
    ),
    "character device and block device": Pair(tar(tar_header(b"d", b"3")), tar(tar_header(b"d", b"4")), DIFFERENT),
    "folder with and without a slash": Pair(tar(tar_header(b"d/", b"5")), tar(tar_header(b"d", b"5")), EQUAL),
    "root folder": Pair(tar(tar_header(b"./", b"5"), A), tar(tar_header(b"./", b"5", mtime=number(1, 12)), A), EQUAL),
    "GNU and POSIX": Pair(TAR, tar(tar_member(b"a", b"one", magic=b"ustar  \0")), EQUAL),
    "long name of GNU, of POSIX and of ustar": Pair(
        tar(tar_member(b"././@LongLink", LONG + b"\0", b"L"), tar_member(LONG[:100], b"one")),
        tar(pax((b"path", LONG)), tar_member(b"short", b"one")),
        EQUAL,
    ),
    "long name in two fields": Pair(
        tar(tar_member(b"b" * 90, b"one", prefix=b"a" * 90)),
        tar(pax((b"path", b"a" * 90 + b"/" + b"b" * 90)), tar_member(b"b", b"one")),
        EQUAL,
    ),
    "long target of GNU and of POSIX": Pair(
        tar(tar_member(b"././@LongLink", LONG + b"\0", b"K"), tar_header(b"l", b"2", link=LONG[:100])),
        tar(pax((b"linkpath", LONG)), tar_header(b"l", b"2", link=b"x")),
        EQUAL,
    ),
    "other long name": Pair(tar(pax((b"path", LONG)), A), tar(pax((b"path", LONG + b"x")), A), DIFFERENT),
    "size in binary": Pair(TAR, tar(tar_header(b"a", size_field=b"\x80" + bytes(10) + b"\3"), padded(b"one")), EQUAL),
    "size in both headers": Pair(TAR, tar(pax((b"size", b"3")), A), EQUAL),
    "number that only fits the extended header": Pair(
        tar(pax((b"uid", b"2097152")), A),
        tar(tar_member(b"a", b"one", uid=b"\x80" + (2097152).to_bytes(7, "big"))),
        EQUAL,
    ),
    "filled up to a record": Pair(TAR, TAR + bytes(10240 - len(TAR)), EQUAL),
    "filled up to more than a record": Pair(TAR, TAR + bytes(10240), UNKNOWN, "behind the end"),
    "not filled up to a block": Pair(TAR, TAR + bytes(100), UNKNOWN, "behind the end"),
    "bytes behind the end": Pair(TAR, TAR + b"x" + bytes(511), UNKNOWN, "behind the end"),
    "a second archive behind the end": Pair(TAR, TAR + TAR, UNKNOWN, "behind the end"),
    "member behind one block of zeros": Pair(TAR, A + bytes(512) + A + END_OF_TAR, UNKNOWN, "behind the end"),
    "no end": Pair(TAR, A, UNKNOWN, "ends too early"),
    "half an end": Pair(TAR, A + bytes(512), UNKNOWN, "ends too early"),
    "content cut off": Pair(TAR, A[:514], UNKNOWN, "ends too early"),
    "nothing but an end": Pair(END_OF_TAR, END_OF_TAR + bytes(512), UNKNOWN, "neither"),
    "bytes before the first member": Pair(TAR, b"x" * 512 + TAR, UNKNOWN, "neither"),
    "bytes behind a content": Pair(TAR, tar(tar_header(b"a", size=3) + padded(b"one", b"x")), UNKNOWN, "fills up"),
    "bytes behind an extended header": Pair(
        TAR, tar(tar_header(b"x", b"x", size=11) + padded(b"11 mtime=1\n", b"x"), A), UNKNOWN, "fills up"
    ),
    "wrong checksum": Pair(TAR, tar(A, A[:100] + b"0000600" + A[107:]), UNKNOWN, "checksum"),
    "name twice": Pair(tar(A, A), tar(A, tar_member(b"a", b"one", mtime=number(1, 12))), UNKNOWN, "twice"),
    "name twice, the last one the same": Pair(TAR, tar(tar_member(b"a", b"two"), A), UNKNOWN, "twice"),
    "name twice, in two ways": Pair(TAR, tar(tar_member(b"./a", b"two"), A), UNKNOWN, "twice"),
    "name twice, with a backslash": Pair(
        tar(tar_member(b"d/a")), tar(tar_member(b"d\\a"), tar_member(b"d/a")), UNKNOWN, "twice"
    ),
    "name twice, absolute": Pair(TAR, tar(tar_member(b"/a", b"two"), A), UNKNOWN, "twice"),
    "name that leads out": Pair(TAR, tar(A, tar_member(b"b/../a", b"two")), UNKNOWN, r"\.\."),
    "name below a symbolic link": Pair(
        TAR,
        tar(tar_member(b"d/a", b"two"), tar_header(b"d", b"2", link=b"."), A),
        UNKNOWN,
        "below 'd', which is no folder",
    ),
    "name below a root that is no folder": Pair(
        TAR, tar(tar_header(b".", b"2", link=b"x"), A), UNKNOWN, "below '', which is no folder"
    ),
    "hard link before its file": Pair(
        tar(A, tar_header(b"l", b"1", link=b"a")), tar(tar_header(b"l", b"1", link=b"a"), A), UNKNOWN, "hard link"
    ),
    "hard link to a file outside": Pair(TAR, tar(tar_header(b"l", b"1", link=b"b"), A), UNKNOWN, "hard link"),
    "hard link to a symbolic link": Pair(
        TAR, tar(tar_header(b"s", b"2", link=b"a"), tar_header(b"l", b"1", link=b"s"), A), UNKNOWN, "hard link"
    ),
    "hard link with a content": Pair(TAR, tar(A, tar_member(b"l", b"x", b"1", link=b"a")), UNKNOWN, "content"),
    "folder with a content": Pair(TAR, tar(A, tar_member(b"d", b"x", b"5")), UNKNOWN, "content"),
    "file with a link target": Pair(TAR, tar(tar_member(b"a", b"one", link=b"b")), UNKNOWN, "link target"),
    "link without a target": Pair(TAR, tar(A, tar_header(b"l", b"2")), UNKNOWN, "link target"),
    "file with a device number": Pair(TAR, tar(tar_member(b"a", b"one", major=number(1, 8))), UNKNOWN, "device"),
    "mode that also tells the kind": Pair(TAR, tar(tar_member(b"a", b"one", mode=0o100644)), UNKNOWN, "mode"),
    "file that is a folder by its name": Pair(TAR, tar(A, tar_member(b"d/")), UNKNOWN, "by its name"),
    "empty name": Pair(TAR, tar(A, tar_member(b"")), UNKNOWN, "empty"),
    "name that is too long": Pair(
        TAR, tar(A, pax((b"path", b"b" * (MAX_NAME + 1))), tar_member(b"b")), UNKNOWN, "too long"
    ),
    "name with NUL": Pair(TAR, tar(pax((b"path", b"a\0b")), A), UNKNOWN, "NUL"),
    "bytes behind a name": Pair(TAR, tar(tar_member(b"a\0b", b"one")), UNKNOWN, "behind a text"),
    "bytes behind an owner's name": Pair(
        TAR, tar(tar_member(b"a", b"one", uname=b"root\0x")), UNKNOWN, "behind a text"
    ),
    "bytes behind the header": Pair(TAR, tar(tar_member(b"a", b"one", unused=b"x")), UNKNOWN, "where a tar header"),
    "GNU's own times": Pair(
        TAR, tar(tar_member(b"a", b"one", magic=b"ustar  \0", prefix=number(5, 12))), UNKNOWN, "where a tar header"
    ),
    "bytes in GNU's own fields": Pair(
        TAR, tar(tar_member(b"a", b"one", magic=b"ustar  \0", prefix=bytes(24) + b"x")), UNKNOWN, "where a tar header"
    ),
    "bytes in a field of an extended header that nobody needs": Pair(
        TAR, tar(tar_member(b"x", pax_record(b"mtime", b"1"), b"x", uid=b"hidden"), A), UNKNOWN, "number"
    ),
    "bytes in a time": Pair(TAR, tar(tar_member(b"a", b"one", mtime=b"0 hidden")), UNKNOWN, "number"),
    "unknown magic": Pair(TAR, tar(tar_member(b"a", b"one", magic=b"ustar\x0001")), UNKNOWN, "unknown kind"),
    "negative size": Pair(TAR, tar(tar_header(b"a", size_field=b"\xff" * 12)), UNKNOWN, "negative"),
    "sparse file of GNU": Pair(TAR, tar(tar_member(b"a", b"one", b"S")), UNKNOWN, "kind"),
    "sparse file of POSIX": Pair(TAR, tar(pax((b"GNU.sparse.major", b"1")), A), UNKNOWN, "not understood"),
    "unknown kind": Pair(TAR, tar(A, tar_member(b"b", b"", b"V")), UNKNOWN, "kind"),
    "global header": Pair(TAR, tar(tar_member(b"x", pax_record(b"comment", b"x"), b"g"), A), UNKNOWN, "kind"),
    "comment": Pair(TAR, tar(pax((b"comment", b"hidden")), A), UNKNOWN, "not understood"),
    "bytes in the times of an extended header": Pair(TAR, tar(pax((b"mtime", b"1 x")), A), UNKNOWN, "not understood"),
    "nothing in an extended header": Pair(TAR, tar(pax((b"uname", b"")), A), UNKNOWN, "not understood"),
    "key twice": Pair(TAR, tar(pax((b"path", b"b"), (b"path", b"a")), A), UNKNOWN, "not understood"),
    "key in two extended headers": Pair(TAR, tar(pax((b"path", b"b")), pax((b"path", b"a")), A), UNKNOWN, "twice"),
    "name in two extended headers": Pair(
        TAR, tar(tar_member(b"L", b"a\0", b"L"), pax((b"path", b"a")), A), UNKNOWN, "twice"
    ),
    "long name that is empty": Pair(TAR, tar(tar_member(b"L", b"\0", b"L"), A), UNKNOWN, "long name"),
    "empty extended header": Pair(TAR, tar(pax(), A), UNKNOWN, "empty"),
    "times without a member": Pair(TAR, tar(A, pax((b"mtime", b"1"))), UNKNOWN, "without a member"),
    "first folders of a name alone": Pair(TAR, tar(A, tar_member(b"", prefix=b"b")), UNKNOWN, "by its name"),
    "extended header without a member": Pair(TAR, tar(A, pax((b"path", b"b"))), UNKNOWN, "without a member"),
    "extended header of wrong lengths": Pair(
        TAR, tar(tar_member(b"x", b"12 mtime=1\n", b"x"), A), UNKNOWN, "can't be read"
    ),
    "extended header without lengths": Pair(
        TAR, tar(tar_member(b"x", b"mtime=1\n", b"x"), A), UNKNOWN, "can't be read"
    ),
    "extended header that is too large": Pair(TAR, tar(tar_member(b"x", bytes(65537), b"x"), A), UNKNOWN, "too large"),
    "long name without NUL": Pair(TAR, tar(tar_member(b"L", b"ab", b"L"), A), UNKNOWN, "long name"),
    "bytes behind a long name": Pair(TAR, tar(tar_member(b"L", b"a\0x\0", b"L"), A), UNKNOWN, "long name"),
    "two sizes": Pair(TAR, tar(pax((b"size", b"3")), tar_header(b"a"), padded(b"one")), UNKNOWN, "contradicts"),
    "two owners": Pair(TAR, tar(pax((b"uid", b"7")), A), UNKNOWN, "contradicts"),
}

NAMED = gzip(TAR, flags=8, optional=b"a.tar\0")
GZIPS = {
    "packed and not": Pair(TAR, gzip(TAR), EQUAL),
    "packed in two ways": Pair(gzip(TAR), gzip(TAR, level=0), EQUAL),
    "time of packing": Pair(gzip(TAR), gzip(TAR, mtime=7), EQUAL),
    "file name": Pair(gzip(TAR), NAMED, EQUAL),
    "content": Pair(gzip(TAR), gzip(tar(tar_member(b"a", b"two"))), DIFFERENT),
    "file name without an end": Pair(TAR, gzip(TAR, flags=8, optional=b"x" * 300 + b"\0"), UNKNOWN, "gzip header"),
    "extra field": Pair(TAR, gzip(TAR, flags=4, optional=b"\x06\0hidden"), UNKNOWN, "gzip header"),
    "comment": Pair(TAR, gzip(TAR, flags=16, optional=b"hidden\0"), UNKNOWN, "gzip header"),
    "bytes behind": Pair(TAR, gzip(TAR) + b"x", UNKNOWN, "behind compressed"),
    "zeros behind": Pair(TAR, gzip(TAR) + bytes(512), UNKNOWN, "behind compressed"),
    "second gzip member": Pair(TAR, gzip(A) + gzip(END_OF_TAR), UNKNOWN, "behind compressed"),
    "empty second gzip member": Pair(TAR, gzip(TAR) + gzip(b""), UNKNOWN, "behind compressed"),
    "bytes behind the end of tar": Pair(TAR, gzip(TAR + b"x"), UNKNOWN, "behind the end"),
    "nothing but an end": Pair(gzip(END_OF_TAR), gzip(END_OF_TAR, mtime=1), UNKNOWN, "no members"),
    "wrong checksum": Pair(TAR, gzip(TAR, crc=1), UNKNOWN, "damaged"),
    "end cut off": Pair(TAR, gzip(TAR)[:-1], UNKNOWN, "without an end"),
    "gzip in gzip": Pair(TAR, gzip(gzip(TAR)), UNKNOWN, "too early"),
    "no archive inside": Pair(TAR, gzip(b"x" * 2048), UNKNOWN, "checksum"),
    "zip inside": Pair(gzip(zipped(Entry())), zipped(Entry()), UNKNOWN, "too early"),
}

ONE, TWO = Entry(), Entry(b"b", b"two")
ZIP = zipped(ONE)
BOTH = zipped(ONE, TWO)
ENDED_WIDE = zipped(ONE, wide=True)
PACKED = Entry(method=8, content=b"one" * 100)
STREAMED = replace(ONE, flags=8, local_size=0, local_crc=0, behind=descriptor(b"one", 3))
WIDE = extra(1, b"\x03" + bytes(7) + b"\x03" + bytes(7))
OWNER = extra(0x7875, b"\1\4\0\0\0\0\4\0\0\0\0")
OTHER_OWNER = extra(0x7875, b"\1\4\1\0\0\0\4\0\0\0\0")
UNIX_TIMES = extra(0x5455, b"\3aaaabbbb")
FOLDER = Entry(b"d/", b"", mode=0o40755)
LINK = Entry(b"l", b"a", mode=0o120777)
ZIPS = {
    "time": Pair(ZIP, zipped(replace(ONE, time=9)), EQUAL),
    "times of Unix": Pair(ZIP, zipped(replace(ONE, extra=UNIX_TIMES)), EQUAL),
    "times of NTFS": Pair(ZIP, zipped(replace(ONE, extra=extra(10, bytes(4) + b"\1\0\x18\0" + b"t" * 24))), EQUAL),
    "method": Pair(zipped(PACKED), zipped(replace(PACKED, method=0)), EQUAL),
    "streamed": Pair(ZIP, zipped(STREAMED), EQUAL),
    "streamed, sizes in 64 bits": Pair(
        ZIP,
        zipped(
            replace(
                STREAMED, local_size=0xFFFFFFFF, local_extra=extra(1, bytes(16)), behind=descriptor(b"one", 3, "<LQQ")
            )
        ),
        EQUAL,
    ),
    "sizes in 64 bits": Pair(ZIP, zipped(replace(ONE, local_size=0xFFFFFFFF, local_extra=WIDE)), EQUAL),
    "end in 64 bits": Pair(ZIP, ENDED_WIDE, EQUAL),
    "order": Pair(BOTH, zipped(TWO, ONE), EQUAL),
    "flag of UTF-8 for a name in ASCII": Pair(ZIP, zipped(replace(ONE, flags=1 << 11)), EQUAL),
    "name in UTF-8": Pair(
        zipped(replace(ONE, name="ä".encode(), flags=1 << 11)),
        zipped(replace(ONE, name="ä".encode(), flags=1 << 11, time=1)),
        EQUAL,
    ),
    "content": Pair(ZIP, zipped(replace(ONE, content=b"two")), DIFFERENT),
    "name": Pair(ZIP, zipped(replace(ONE, name=b"b")), DIFFERENT),
    "mode": Pair(ZIP, zipped(replace(ONE, mode=0o100600)), DIFFERENT),
    "attributes of DOS": Pair(ZIP, zipped(replace(ONE, dos=1)), DIFFERENT),
    "kind of system": Pair(ZIP, zipped(replace(ONE, host=0)), DIFFERENT),
    "owner": Pair(zipped(replace(ONE, extra=OWNER)), zipped(replace(ONE, extra=OTHER_OWNER)), DIFFERENT),
    "owner in the directory alone": Pair(
        zipped(replace(ONE, extra=OWNER)), zipped(replace(ONE, extra=OTHER_OWNER, local_extra=OWNER)), DIFFERENT
    ),
    "owner before the content alone": Pair(
        zipped(replace(ONE, extra=OWNER)), zipped(replace(ONE, extra=OWNER, local_extra=OTHER_OWNER)), DIFFERENT
    ),
    "one member more": Pair(ZIP, BOTH, DIFFERENT),
    "file and symbolic link": Pair(zipped(replace(LINK, mode=0o100777)), zipped(LINK), DIFFERENT),
    "links to two targets": Pair(zipped(LINK), zipped(replace(LINK, content=b"b")), DIFFERENT),
    "folder": Pair(zipped(FOLDER), zipped(replace(FOLDER, mode=0o40700)), DIFFERENT),
    "zip and tar": Pair(ZIP, TAR, UNKNOWN, "the .* file is a (zip|tar) archive"),
    "bytes before": Pair(ZIP, zipped(ONE, before=b"x"), UNKNOWN, "neither"),
    "archive before": Pair(ZIP, zipped(ONE, before=ZIP), UNKNOWN, "between its members"),
    "bytes between members": Pair(BOTH, zipped(ONE, TWO, gap=b"x"), UNKNOWN, "between its members"),
    "member that is not in the directory": Pair(ZIP, zipped(ONE, TWO, count=1, central=(ONE,)), UNKNOWN, "directory"),
    "member between that is not in the directory": Pair(
        BOTH, zipped(ONE, TWO, gap=Entry(b"c").local()), UNKNOWN, "between its members"
    ),
    "bytes before the directory": Pair(ZIP, zipped(ONE, between=b"x"), UNKNOWN, "around its directory"),
    "bytes behind the directory": Pair(ZIP, zipped(ONE, before_end=b"x"), UNKNOWN, "behind its directory"),
    "bytes behind": Pair(ZIP, zipped(ONE, behind=b"x"), UNKNOWN, "behind its end"),
    "second archive behind": Pair(ZIP, zipped(ONE, behind=ZIP), UNKNOWN, "directory"),
    "comment": Pair(ZIP, zipped(ONE, comment=b"hidden"), UNKNOWN, "comment"),
    "comment that ends like an archive": Pair(ZIP, zipped(ONE, comment=ZIP[-22:]), UNKNOWN, "directory"),
    "comment of a member": Pair(ZIP, zipped(replace(ONE, comment=b"hidden")), UNKNOWN, "comment"),
    "directory of another order": Pair(BOTH, zipped(ONE, TWO, central=(TWO, ONE)), UNKNOWN, "describes otherwise"),
    "name that differs from the directory": Pair(ZIP, zipped(replace(ONE, local_name=b"b")), UNKNOWN, "otherwise"),
    "time that differs from the directory": Pair(ZIP, zipped(replace(ONE, local_time=5)), UNKNOWN, "otherwise"),
    "method that differs from the directory": Pair(ZIP, zipped(replace(ONE, local_method=8)), UNKNOWN, "otherwise"),
    "size that differs from the directory": Pair(ZIP, zipped(replace(ONE, local_size=2)), UNKNOWN, "otherwise"),
    "checksum that differs from the directory": Pair(ZIP, zipped(replace(ONE, local_crc=2)), UNKNOWN, "otherwise"),
    "checksum that is missing": Pair(ZIP, zipped(replace(ONE, local_crc=0)), UNKNOWN, "otherwise"),
    "wrong checksum": Pair(ZIP, zipped(replace(ONE, crc=2)), UNKNOWN, "another size or checksum"),
    "wrong size": Pair(zipped(PACKED), zipped(replace(PACKED, size=299)), UNKNOWN, "another size or checksum"),
    "wrong number of members": Pair(ZIP, zipped(ONE, TWO, count=1), UNKNOWN, "directory"),
    "bytes in the directory": Pair(ZIP, zipped(ONE, in_directory=b"x"), UNKNOWN, "around its directory"),
    "comment that is missing": Pair(ZIP, altered(ZIP, -2), UNKNOWN, "comment"),
    "no end": Pair(ZIP, altered(ZIP, -22), UNKNOWN, "no end"),
    "end on another disk": Pair(ZIP, altered(ZIP, -18), UNKNOWN, "no end"),
    "directory on another disk": Pair(ZIP, altered(ZIP, -16), UNKNOWN, "no end"),
    "more members on other disks": Pair(ZIP, altered(ZIP, -12), UNKNOWN, "no end"),
    "no end in 64 bits": Pair(ZIP, altered(ENDED_WIDE, -98), UNKNOWN, "not understood"),
    "end in 64 bits with more data": Pair(ZIP, altered(ENDED_WIDE, -94), UNKNOWN, "not understood"),
    "end in 64 bits on another disk": Pair(ZIP, altered(ENDED_WIDE, -82), UNKNOWN, "not understood"),
    "directory of 64 bits on another disk": Pair(ZIP, altered(ENDED_WIDE, -78), UNKNOWN, "not understood"),
    "more members of 64 bits on other disks": Pair(ZIP, altered(ENDED_WIDE, -66), UNKNOWN, "not understood"),
    "locator of another disk": Pair(ZIP, altered(ENDED_WIDE, -38), UNKNOWN, "not understood"),
    "locator of another place": Pair(ZIP, altered(ENDED_WIDE, -34), UNKNOWN, "not understood"),
    "locator of more disks": Pair(ZIP, altered(ENDED_WIDE, -26), UNKNOWN, "not understood"),
    "ends that contradict each other": Pair(ZIP, altered(ENDED_WIDE, -10), UNKNOWN, "contradict"),
    "no entry in the directory": Pair(ZIP, altered(ZIP, len(ONE.local())), UNKNOWN, "not understood"),
    "no member before the content": Pair(BOTH, altered(BOTH, len(ONE.local())), UNKNOWN, "otherwise"),
    "later version before the content": Pair(ZIP, altered(ZIP, 4, 64), UNKNOWN, "otherwise"),
    "size that stands nowhere": Pair(ZIP, zipped(replace(ONE, size=0xFFFFFFFF)), UNKNOWN, "sizes"),
    "no members": Pair(zipped(), zipped(comment=b"x"), UNKNOWN, "neither"),
    "end cut off": Pair(ZIP, ZIP[:-1], UNKNOWN, "end"),
    "beginning of a zip archive alone": Pair(ZIP, b"PK\3\4", UNKNOWN, "too early"),
    "bytes behind compressed data": Pair(
        zipped(PACKED), zipped(replace(PACKED, packed=PACKED.body() + b"x")), UNKNOWN, "behind compressed"
    ),
    "compressed data without an end": Pair(
        zipped(PACKED), zipped(replace(PACKED, packed=PACKED.body()[:-1])), UNKNOWN, "without an end"
    ),
    "damaged compressed data": Pair(zipped(PACKED), zipped(replace(PACKED, packed=b"\xff")), UNKNOWN, "damaged"),
    "name twice": Pair(zipped(ONE, ONE), zipped(ONE, replace(ONE, time=1)), UNKNOWN, "twice"),
    "name twice, the last one the same": Pair(ZIP, zipped(replace(ONE, content=b"two"), ONE), UNKNOWN, "twice"),
    "name twice, as folder and as file": Pair(zipped(Entry(b"d")), zipped(FOLDER, Entry(b"d")), UNKNOWN, "twice"),
    "name twice, with a backslash": Pair(
        zipped(Entry(b"d/a")), zipped(Entry(b"d\\a"), Entry(b"d/a")), UNKNOWN, "twice"
    ),
    "name with NUL": Pair(ZIP, zipped(replace(ONE, name=b"a\0b")), UNKNOWN, "NUL"),
    "name below a symbolic link": Pair(ZIP, zipped(ONE, Entry(b"l/a"), LINK), UNKNOWN, "no folder"),
    "name in a guessed encoding": Pair(ZIP, zipped(replace(ONE, name="ä".encode())), UNKNOWN, "encoding"),
    "name that is no UTF-8": Pair(ZIP, zipped(replace(ONE, name=b"\xff", flags=1 << 11)), UNKNOWN, "encoding"),
    "encrypted": Pair(ZIP, zipped(replace(ONE, flags=1)), UNKNOWN, "encrypted"),
    "strongly encrypted": Pair(ZIP, zipped(replace(ONE, flags=1 << 6)), UNKNOWN, "packed in a way"),
    "unknown method": Pair(ZIP, zipped(replace(ONE, method=12, packed=b"one")), UNKNOWN, "packed in a way"),
    "later version": Pair(ZIP, zipped(replace(ONE, needed=64)), UNKNOWN, "packed in a way"),
    "other disk": Pair(ZIP, zipped(replace(ONE, disk=1)), UNKNOWN, "not understood"),
    "bytes in the inner attributes": Pair(ZIP, zipped(replace(ONE, inner=2)), UNKNOWN, "not understood"),
    "unknown extra field": Pair(ZIP, zipped(replace(ONE, extra=extra(0xCAFE, b"hidden"))), UNKNOWN, "extra field"),
    "unknown extra field before the content alone": Pair(
        ZIP, zipped(replace(ONE, local_extra=extra(0xCAFE, b"hidden"))), UNKNOWN, "extra field"
    ),
    "other name in an extra field": Pair(
        ZIP,
        zipped(replace(ONE, extra=extra(0x7075, b"\1" + zlib.crc32(b"a").to_bytes(4, "little") + b"b"))),
        UNKNOWN,
        "extra",
    ),
    "extra field twice": Pair(ZIP, zipped(replace(ONE, extra=UNIX_TIMES * 2)), UNKNOWN, "extra field"),
    "bytes in an extra field of times": Pair(
        ZIP, zipped(replace(ONE, extra=extra(0x5455, b"\3hidden"))), UNKNOWN, "extra field"
    ),
    "extra field that is longer than all of them": Pair(
        ZIP, zipped(replace(ONE, extra=b"UT\x09\0\3")), UNKNOWN, "extra field"
    ),
    "size in 64 bits that nobody asks for": Pair(ZIP, zipped(replace(ONE, extra=WIDE)), UNKNOWN, "sizes"),
    "two sizes before the content": Pair(
        ZIP, zipped(replace(ONE, local_extra=extra(1, b"\x04" + bytes(7) + b"\x03" + bytes(7)))), UNKNOWN, "two sizes"
    ),
    "two packed sizes before the content": Pair(
        ZIP, zipped(replace(ONE, local_extra=extra(1, b"\x03" + bytes(7) + b"\x04" + bytes(7)))), UNKNOWN, "two sizes"
    ),
    "one size of two before the content": Pair(
        ZIP, zipped(replace(ONE, local_extra=extra(1, b"\x03" + bytes(7)))), UNKNOWN, "sizes"
    ),
    "streamed, other size behind": Pair(
        ZIP, zipped(replace(STREAMED, behind=descriptor(b"one", 4))), UNKNOWN, "behind a member"
    ),
    "streamed, nothing behind": Pair(BOTH, zipped(replace(STREAMED, behind=b""), TWO), UNKNOWN, "behind a member"),
    "kind that is no file": Pair(ZIP, zipped(replace(ONE, mode=0o20644)), UNKNOWN, "kind"),
    "folder by its mode alone": Pair(ZIP, zipped(replace(ONE, mode=0o40755)), UNKNOWN, "kind"),
    "folder by its attribute alone": Pair(ZIP, zipped(replace(ONE, mode=0, dos=0x10)), UNKNOWN, "kind"),
    "folder by its name alone": Pair(ZIP, zipped(Entry(b"d/")), UNKNOWN, "kind"),
    "folder with a content": Pair(ZIP, zipped(replace(FOLDER, content=b"x")), UNKNOWN, "content"),
}

OTHERS = {
    "empty files": Pair(b"", b"", EQUAL, "same bytes"),
    "empty and not": Pair(b"", TAR, UNKNOWN, "neither"),
    "no archives, the same": Pair(b"\0opaque", b"\0opaque", EQUAL, "same bytes"),
    "no archives, of one length": Pair(b"\0opaque", b"\0opaquE", UNKNOWN, "bytes differ"),
    "no archives, of two lengths": Pair(b"\0opaque", b"\0opaque!", UNKNOWN, "bytes differ"),
    "more than one piece, the last byte differs": Pair(
        bytes(2 * MIB) + b"x", bytes(2 * MIB) + b"y", UNKNOWN, "bytes differ"
    ),
    "zeros of two lengths": Pair(bytes(10240), bytes(20480), UNKNOWN, "neither"),
}
TABLES = {"tar": TARS, "gzip": GZIPS, "zip": ZIPS, "other": OTHERS}
PAIRS = [pytest.param(pair, id=f"{kind}: {name}") for kind, table in TABLES.items() for name, pair in table.items()]


def compared(folder: Path, first: bytes, second: bytes, **options: object) -> Comparison:
    (folder / "first").write_bytes(first)
    (folder / "second").write_bytes(second)
    return compare(str(folder / "first"), str(folder / "second"), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("pair", PAIRS)
def test_pair_gives_this_outcome_in_either_order(tmp_path: Path, pair: Pair) -> None:
    for files in ((pair.first, pair.second), (pair.second, pair.first)):
        found = compared(tmp_path, *files)
        assert found.outcome is pair.outcome, found.reason
        assert found.is_equal is (pair.outcome is EQUAL)
        assert bool(found.differing) is (pair.outcome is DIFFERENT)
        assert re.search(pair.reason, found.reason), found.reason


def test_differing_members_are_named_in_order_and_counted(tmp_path: Path) -> None:
    first = tar(tar_member(b"d"), tar_member(b"c", b"one"), tar_member(b"b"), tar_member(b"\xff"))
    second = tar(tar_member(b"a"), tar_member(b"c", b"two"), tar_member(b"b"))
    found = compared(tmp_path, first, second)
    assert found.differing == ("a", "c", "d", "\\xff")
    assert "members differ (4)" in found.reason


def test_differing_members_are_not_listed_without_end(tmp_path: Path) -> None:
    many = tar(*(tar_member(b"%d" % index) for index in range(MOST_DIFFERING + 5)))
    found = compared(tmp_path, many, TAR)
    assert len(found.differing) == MOST_DIFFERING
    assert f"members differ ({MOST_DIFFERING + 6})" in found.reason


# Archives of common writers


class Member(NamedTuple):
    """An archive member, for all formats."""

    name: str
    kind: bytes
    mode: int
    owner: int
    link: str
    content: bytes


def some_members(chance: random.Random) -> list[Member]:
    """Folders, files and links, with short and long names, in an order in which they can be unpacked."""
    members = [Member("d", tarfile.DIRTYPE, 0o755, 0, "", b"")]
    for index in range(chance.randint(2, 8)):
        folder = chance.choice(["", "d/", "ä" * 60 + "/", "long" * 40 + "/"])
        size = chance.choice([0, 1, 511, 512, 513, chance.randint(0, 3000), MIB + 7 if index == 0 else 5])
        content = chance.randbytes(size)
        members.append(Member(f"{folder}{index}", tarfile.REGTYPE, chance.choice([0o644, 0o600]), index, "", content))
    members.append(Member("s", tarfile.SYMTYPE, 0o777, 0, chance.choice(["x", "long" * 40]), b""))
    members.append(Member("h", tarfile.LNKTYPE, 0o644, 0, members[1].name, b""))
    return members


def written_tar(members: Iterable[Member], form: int, mode: str, mtime: float) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.type, info.mode, info.uid, info.linkname = member.kind, member.mode, member.owner, member.link
            info.size, info.mtime = len(member.content), mtime
            archive.addfile(info, io.BytesIO(member.content))
    return target.getvalue()


def written_zip(members: Iterable[Member], method: int, seconds: int) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for member in members:
            if member.kind == tarfile.LNKTYPE:
                continue
            is_folder = member.kind == tarfile.DIRTYPE
            info = zipfile.ZipInfo(member.name + "/" * is_folder, (2001, 2, 3, 4, 5, seconds))
            info.create_system = 3
            info.compress_type = zipfile.ZIP_STORED if is_folder else method
            kind = {tarfile.DIRTYPE: 0o40000, tarfile.SYMTYPE: 0o120000}.get(member.kind, 0o100000)
            info.external_attr = (kind | member.mode) << 16
            archive.writestr(info, member.link.encode() or member.content)
    return target.getvalue()


def other_order(members: list[Member], chance: random.Random) -> list[Member]:
    """The members shuffled, hard links last."""
    return sorted(chance.sample(members, len(members)), key=lambda each: each.kind == tarfile.LNKTYPE)


def changed(members: list[Member], chance: random.Random) -> tuple[list[Member], str]:
    """The members with one property of one of them changed, and its name."""
    index = chance.randrange(1, len(members) - 2)
    old = members[index]
    flipped = bytes([old.content[0] ^ 1]) + old.content[1:] if old.content else b"x"
    new = chance.choice([old._replace(content=flipped), old._replace(mode=old.mode ^ 1)])
    return [*members[:index], new, *members[index + 1 :]], old.name


TAR_FORMS = [(form, mode) for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT) for mode in ("w", "w:gz")]


@pytest.mark.parametrize("seed", range(20))
def test_written_in_any_way_the_same_members_are_equal_and_others_are_not(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a fixed seed
    members = some_members(chance)
    others, name = changed(members, chance)

    def as_tar(content: list[Member]) -> bytes:
        form, mode = chance.choice(TAR_FORMS)
        return written_tar(other_order(content, chance), form, mode, chance.choice([0, 7, 1.5, -3.25, 2e9]))

    def as_zip(content: list[Member]) -> bytes:
        method = chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
        return written_zip(other_order(content, chance), method, chance.randrange(0, 60, 2))

    for write in (as_tar, as_zip):
        found = compared(tmp_path, write(members), write(members))
        assert found.outcome is EQUAL, found.reason
        found = compared(tmp_path, write(members), write(others))
        assert found.outcome is DIFFERENT, found.reason
        assert found.differing == (name,)


def test_zip_that_was_written_to_a_pipe_is_understood(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.written = b""

        def writable(self) -> bool:
            return True

        def write(self, content: object) -> int:
            self.written += bytes(content)  # type: ignore[call-overload]
            return len(content)  # type: ignore[arg-type]

    def write(target: io.IOBase, is_wide: bool, method: int) -> None:
        with zipfile.ZipFile(target, "w", method) as archive, archive.open("a", "w", force_zip64=is_wide) as member:
            member.write(b"one" * 1000)

    plain = io.BytesIO()
    write(plain, False, zipfile.ZIP_STORED)
    for is_wide in (False, True):
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            pipe = Pipe()
            write(pipe, is_wide, method)
            found = compared(tmp_path, plain.getvalue(), pipe.written)
            assert found.outcome is EQUAL, found.reason


# One byte changed


def tar_facts(packed: bytes) -> object:
    """The members as a lenient reader sees them; ``None`` if it rejects the tar archive."""
    try:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            return {
                each.name: (
                    each.type, each.mode, each.uid, each.gid, each.uname, each.gname, each.linkname,
                    archive.extractfile(each).read() if each.isreg() else b"",  # type: ignore[union-attr]
                )
                for each in archive
            }  # fmt: skip
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError):
        return None


def zip_facts(packed: bytes) -> object:
    """The members as a lenient reader sees them; ``None`` if it rejects the zip archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            return {
                each.filename: (each.create_system, each.external_attr, archive.read(each))
                for each in archive.infolist()
            }
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, ValueError, NotImplementedError, RuntimeError):
        return None


SMALL = [
    Member("d", tarfile.DIRTYPE, 0o755, 0, "", b""),
    Member("d/" + "long" * 30, tarfile.REGTYPE, 0o644, 3, "", b"one" * 50),
    Member("b", tarfile.REGTYPE, 0o600, 0, "", b"two"),
    Member("s", tarfile.SYMTYPE, 0o777, 0, "b", b""),
    Member("h", tarfile.LNKTYPE, 0o600, 0, "b", b""),
]
CHANGED_FILES = {
    "pax": (written_tar(SMALL, tarfile.PAX_FORMAT, "w", 1.5), tar_facts),
    "gnu": (written_tar(SMALL, tarfile.GNU_FORMAT, "w", 2), tar_facts),
    "tar.gz": (written_tar(SMALL, tarfile.PAX_FORMAT, "w:gz", 3), tar_facts),
    "stored zip": (written_zip(SMALL, zipfile.ZIP_STORED, 4), zip_facts),
    "deflated zip": (written_zip(SMALL, zipfile.ZIP_DEFLATED, 6), zip_facts),
}


@pytest.mark.parametrize("kind", sorted(CHANGED_FILES))
@pytest.mark.parametrize("change", ["another", "one less", "one more"])
def test_after_a_change_of_one_byte_equal_means_that_the_members_are_the_same(
    tmp_path: Path, kind: str, change: str
) -> None:
    original, facts = CHANGED_FILES[kind]
    chance = random.Random(f"{kind} {change}")  # noqa: S311 - a fixed seed
    equal = 0
    for _number in range(1000):
        place = chance.randrange(len(original))
        byte = bytes([original[place] ^ chance.choice([1, 2, 4, 8, 16, 32, 64, 128, 255])])
        behind = original[place + 1 :] if change != "one more" else original[place:]
        altered = original[:place] + (b"" if change == "one less" else byte) + behind
        found = compared(tmp_path, original, altered)
        if found.is_equal and altered != original:
            equal += 1
            assert facts(altered) == facts(original), f"byte {place}: {found.reason}"
    assert equal < 150  # only times, the file name in gzip's header, and number formats may change


@pytest.mark.parametrize("kind", ["pax", "gnu"])
def test_after_a_change_of_a_tar_header_and_its_checksum_equal_means_the_same(tmp_path: Path, kind: str) -> None:
    original, facts = CHANGED_FILES[kind]
    chance = random.Random(kind)  # noqa: S311 - a fixed seed
    headers = [at for at in range(0, len(original), 512) if original[at + 257 : at + 262] == b"ustar"]
    assert len(headers) >= len(SMALL)
    equal = set()
    for at in headers:
        block = original[at : at + 512]
        for place in chance.sample(range(512), 150):
            byte = bytes([block[place] ^ chance.choice([1, 2, 4, 8, 16, 32, 64, 128, 255])])
            header = with_checksum(block[:place] + byte + block[place + 1 :])
            altered = original[:at] + header + original[at + 512 :]
            found = compared(tmp_path, original, altered)
            if found.is_equal and altered != original:
                equal.add(place)
                assert facts(altered) == facts(original), f"header at {at}, byte {place}: {found.reason}"
    assert equal & set(range(136, 147))  # the mtime field


# Pieces


def test_bytes_behind_compressed_data_are_seen_in_the_next_piece() -> None:
    budget = Budget(Limits(), MIB, lambda: False)
    assert b"".join(inflate(iter([gzip(TAR)]), 31, budget)) == TAR
    with pytest.raises(UnprovableError, match="behind compressed"):
        list(inflate(iter([gzip(TAR), b"x"]), 31, budget))


def test_file_that_becomes_shorter_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"short")
    with open(tmp_path / "file", "rb") as file, pytest.raises(UnprovableError, match="shorter"):
        list(file_pieces(file, 0, 6, Budget(Limits(), MIB, lambda: False)))


# Limits


def test_too_many_members_are_unknown(tmp_path: Path) -> None:
    writers: tuple[Callable[[int], bytes], ...] = (
        lambda mtime: tar(*(tar_member(b"%d" % index, mtime=number(mtime, 12)) for index in range(6))),
        lambda time: zipped(*(Entry(b"%d" % index, time=time) for index in range(6))),
    )
    for write in writers:
        assert compared(tmp_path, write(1), write(2), limits=Limits(members=6)).outcome is EQUAL
        found = compared(tmp_path, write(1), write(2), limits=Limits(members=5))
        assert found.outcome is UNKNOWN
        assert "more members than" in found.reason


def test_too_many_bytes_of_names_are_unknown(tmp_path: Path) -> None:
    long = MAX_NAME - 8
    names = (b"%08d" % index + b"x" * long for index in range(MAX_NAMES // MAX_NAME + 1))
    many = gzip(tar(*(tar_member(b"L", name + b"\0", b"L") + tar_member(b"x") for name in names)))
    found = compared(tmp_path, TAR, many)
    assert found.outcome is UNKNOWN
    assert "more members than" in found.reason


@pytest.mark.parametrize(
    "write",
    [
        lambda mib: gzip(tar(tar_member(b"a", bytes(mib * MIB)))),
        lambda mib: zipped(Entry(method=8, content=bytes(mib * MIB))),
    ],
)
def test_what_unpacks_to_too_many_bytes_is_unknown(tmp_path: Path, write: Callable[[int], bytes]) -> None:
    found = compared(tmp_path, write(8), write(9), limits=Limits(unpacked=8 * MIB))
    assert found.outcome is UNKNOWN
    assert "more bytes than are read" in found.reason
    assert compared(tmp_path, write(8), write(9), limits=Limits(unpacked=10 * MIB)).outcome is DIFFERENT


def test_limit_of_bytes_does_not_hold_for_the_same_bytes(tmp_path: Path) -> None:
    assert compared(tmp_path, bytes(3 * MIB), bytes(3 * MIB), limits=Limits(unpacked=MIB)).outcome is EQUAL


def test_deflate_bomb_ends_soon(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = packer.compress(tar_header(b"a", size_field=b"\x80" + (1 << 43).to_bytes(11, "big")))
    start += packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(16 * MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = gzip(b"")[:10] + start + zeros * 150
    assert len(bomb) < 2.5 * MIB
    begun = time.monotonic()
    found = compared(tmp_path, bomb, TAR)
    assert found.outcome is UNKNOWN
    assert "more bytes than are read" in found.reason
    assert time.monotonic() - begun < 30  # reading all of its 2.3 GiB would take several times as long


def test_comparison_ends_when_the_time_is_up(tmp_path: Path) -> None:
    same = bytes(4 * PIECE)
    asked: list[int] = []

    def expires_after(pieces: int) -> Callable[[], bool]:
        asked.clear()
        return lambda: (asked.append(1), len(asked) > pieces)[1]  # type: ignore[func-returns-value]

    found = compared(tmp_path, same, same, expired=expires_after(3))
    assert found.outcome is UNKNOWN
    assert "time that was left" in found.reason
    assert len(asked) == 4
    assert compared(tmp_path, same, same, expired=expires_after(8)).outcome is EQUAL
    packed = gzip(tar(tar_member(b"a", bytes(4 * PIECE))))
    found = compared(tmp_path, packed, gzip(TAR), expired=expires_after(4))
    assert found.outcome is UNKNOWN
    assert "time that was left" in found.reason
    assert len(asked) == 5


MEASURE = """
import sys
from ansible_collections.netops.activelogic.plugins.module_utils._archive._equal import compare

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

before = peak()
found = compare(sys.argv[1], sys.argv[2])
print(found.outcome.value, peak() - before)
"""


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
def test_memory_is_constant(tmp_path: Path, form: str) -> None:
    size = 200 * MIB
    block = random.Random(1).randbytes(16 * 1024) + bytes(MIB - 16 * 1024)  # noqa: S311 - a fixed seed
    for name, seconds in (("first", 1), ("second", 2)):
        header = tar_header(b"a", size=size, mtime=number(seconds, 12))
        if form == "zip":
            info = zipfile.ZipInfo("a", (2001, 2, 3, 4, 5, 2 * seconds))
            info.compress_type = zipfile.ZIP_DEFLATED
            with zipfile.ZipFile(tmp_path / name, "w", compresslevel=1) as archive, archive.open(info, "w") as member:
                member.writelines([block] * 200)
        elif form == "tar.gz":
            with gzip_module.open(tmp_path / name, "wb", 1) as packed:
                packed.writelines([header, *[block] * 200, END_OF_TAR])
        else:
            with open(tmp_path / name, "wb") as file:
                file.writelines([header, *[block] * 200, END_OF_TAR])
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, tmp_path / "first", tmp_path / "second"],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    outcome, kib = done.stdout.split()
    assert outcome == "equal"
    assert int(kib) < 16 * 1024


# Files


def test_comparing_changes_nothing(tmp_path: Path) -> None:
    compared(tmp_path, TAR, gzip(TAR))
    assert (tmp_path / "first").read_bytes() == TAR
    assert (tmp_path / "second").read_bytes() == gzip(TAR)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["first", "second"]


def test_what_is_no_readable_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(TAR)
    os.mkfifo(tmp_path / "pipe")
    opened = os.listdir("/proc/self/fd")
    for name, reason in (("missing", "No such file"), ("pipe", "regular file"), (".", "regular file|directory")):
        for pair in ((name, "file"), ("file", name)):
            with pytest.raises(LocalFileError, match=reason):
                compare(*(str(tmp_path / each) for each in pair))
    assert os.listdir("/proc/self/fd") == opened
