# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Truncated or damaged files of common archive formats are detected; other files get no verdict."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import shutil
import subprocess
import sys
import tarfile
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils._archive import _whole
from ansible_collections.netops.activelogic.plugins.module_utils._archive._reading import Budget, Limits
from ansible_collections.netops.activelogic.plugins.module_utils._archive._whole import Finding, inspect
from ansible_collections.netops.activelogic.plugins.module_utils._deadline import Deadline
from ansible_collections.netops.activelogic.plugins.module_utils._errors import LocalFileError
from ansible_collections.netops.activelogic.plugins.module_utils._files._access import local_errors

from tests.unit.archives import (
    Entry,
    altered,
    descriptor,
    extra,
    pax,
    tar,
    tar_header,
    tar_member,
    with_checksum,
    zipped,
)

CHANCE = random.Random(7)  # noqa: S311 - not for security
CONTENT = CHANCE.randbytes(9_000) + b"the same over and over " * 500
HALVES = (1 / 4, 1 / 2, 3 / 4)


def _tar() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("a", "n" * 150, "z"):  # one name is too long for a plain header
            member = tarfile.TarInfo(name)
            member.size = len(CONTENT)
            archive.addfile(member, io.BytesIO(CONTENT))
    return target.getvalue()


def _zip(method: int, comment: bytes = b"") -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name in ("a", "z"):
            archive.writestr(name, CONTENT)
        archive.comment = comment
    return target.getvalue()


def _sparse_tar() -> bytes:
    """GNU's old sparse format: the map of holes continues after the header; the content is stored without holes."""
    header = tar_header(b"holes", b"S", size=len(CONTENT), magic=b"ustar  \0")
    start = with_checksum(header[:482] + b"\1" + header[483:]) + bytes(504) + b"\1" + bytes(7) + bytes(512)
    return start + CONTENT + bytes(-len(CONTENT) % 512) + tar(tar_member(b"z", CONTENT))


def _signed(header: bytes) -> bytes:
    """The header with the checksum of old writers, which summed signed bytes."""
    total = sum(header[:148]) + sum(header[156:]) + 8 * 32 - 256 * sum(each > 127 for each in header)
    return header[:148] + f"{total:06o}".encode() + b"\0 " + header[156:]


def _with_filter(packed: bytes, number: int) -> bytes:
    """An xz stream whose first block header names another filter than LZMA2."""
    assert packed[14] == 0x21
    size = (packed[12] + 1) * 4
    head = packed[12:14] + bytes([number]) + packed[15 : 12 + size - 4]
    return packed[:12] + head + zlib.crc32(head).to_bytes(4, "little") + packed[12 + size :]


PACKED = Entry(b"a", CONTENT, method=8)
SIZE = len(PACKED.body())
STREAMED = replace(PACKED, flags=8, local_size=0, local_crc=0)


WHOLE = {
    "gzip": gzip.compress(_tar()),
    "gzip of no tar": gzip.compress(CONTENT),
    "tar": _tar(),
    "zip, deflated": _zip(zipfile.ZIP_DEFLATED),
    "zip, stored": _zip(zipfile.ZIP_STORED),
    "zip, in bzip2": _zip(zipfile.ZIP_BZIP2),
    "zip, in LZMA": _zip(zipfile.ZIP_LZMA),
    "zip, with a comment": _zip(zipfile.ZIP_DEFLATED, b"a comment"),
    "zip, streamed": zipped(replace(STREAMED, behind=descriptor(CONTENT, SIZE)), Entry(b"z", CONTENT)),
    "zip, streamed without a signature": zipped(replace(STREAMED, behind=descriptor(CONTENT, SIZE)[4:])),
    "zip, streamed in 64 bits": zipped(replace(STREAMED, behind=descriptor(CONTENT, SIZE, "<LQQ"))),
    "zip, in 64 bits": zipped(PACKED, Entry(b"z", CONTENT), wide=True),
    "zip, sizes in 64 bits": zipped(
        replace(PACKED, size=0xFFFFFFFF, extra=extra(1, len(CONTENT).to_bytes(8, "little")), local_size=0xFFFFFFFF)
    ),
    "zip, with fields that nobody knows": zipped(
        replace(PACKED, extra=extra(0xCAFE, b"known"), comment=b"text"), Entry(b"z", CONTENT)
    ),
    "bzip2": bz2.compress(CONTENT),
    "bzip2, two streams": bz2.compress(CONTENT) + bz2.compress(CONTENT[:7000]),
    "xz": lzma.compress(CONTENT),
    "xz, two streams": lzma.compress(CONTENT) + bytes(8) + lzma.compress(CONTENT[:7000]),
    "xz, preset 9": lzma.compress(CONTENT, preset=9),
    "xz, without a checksum": lzma.compress(CONTENT, check=lzma.CHECK_NONE),
}
SECOND_STREAM = {
    "bzip2, two streams": [len(bz2.compress(CONTENT))],
    "xz, two streams": range(len(lzma.compress(CONTENT)), len(lzma.compress(CONTENT)) + 9),
}
"""Offsets between the end of the first stream and the start of the second."""

WITHOUT_CHECKSUM = ("tar", "xz, without a checksum")
OTHER_TARS = {
    "GNU": tar(tar_member(b"L", b"n" * 150 + b"\0", b"L"), tar_member(b"n", CONTENT, magic=b"ustar  \0")),
    "holes": _sparse_tar(),
    "size in the extended header": tar(
        pax((b"size", b"%d" % len(CONTENT))), tar_header(b"a"), CONTENT + bytes(-len(CONTENT) % 512)
    ),
    "comment for all": tar(tar_member(b"g", b"13 comment=x\n", b"g"), tar_member(b"a", CONTENT)),
    "extended header that is filled up": tar(tar_member(b"x", b"11 mtime=1\n" + bytes(9), b"x"), tar_member(b"a")),
    "attributes": tar(pax((b"SCHILY.xattr.user.a", bytes(range(256)) * 400)), tar_member(b"a", CONTENT)),
    "size in binary": tar(
        tar_header(b"a", size_field=b"\x80" + len(CONTENT).to_bytes(11, "big")), CONTENT + bytes(-len(CONTENT) % 512)
    ),
    "no magic": tar(tar_member(b"a", CONTENT, magic=b"")),
    "signed checksum": tar(tar_member(b"a", CONTENT), _signed(tar_header("ä".encode()))),
    "volume label": tar(tar_header(b"label", b"V"), tar_member(b"a", CONTENT)),
    "folder, links and devices": tar(*(tar_header(b"x", b"%d" % kind) for kind in range(1, 7))),
    "filled up to a large record": tar(tar_member(b"a", CONTENT)) + bytes(100 * 512),
}
UNKNOWN = {
    "nothing": b"",
    "text": b"configuration = 1\n" * 40,
    "random bytes": CHANCE.randbytes(5000),
    "gzip with a signature behind": gzip.compress(CONTENT) + b"-----SIGNATURE-----",
    "two gzip members": gzip.compress(CONTENT) + gzip.compress(CONTENT),
    "bzip2 with a signature behind": bz2.compress(CONTENT) + b"-----SIGNATURE-----",
    "xz with a signature behind": lzma.compress(CONTENT) + b"-----SIGNATURE-----",
    "xz that is filled up to no multiple of four": lzma.compress(CONTENT) + bytes(3),
    "xz with a filter that nobody knows": _with_filter(lzma.compress(CONTENT), 0x31),
    "tar with a signature behind": _tar() + b"-----SIGNATURE-----",
    "tar behind tar": tar(tar_member(b"a", CONTENT)) + tar(tar_member(b"a", CONTENT)),
    "tar with a block of zeros inside": tar_member(b"a", CONTENT) + bytes(512) + tar(tar_member(b"a", CONTENT)),
    "tar of a kind that nobody knows": tar(tar_member(b"a", CONTENT, b"Z")),
    "tar of several volumes": tar(tar_member(b"a", CONTENT, b"M")),
    "tar of a link with a content": tar(tar_member(b"a", CONTENT, b"1")),
    "tar of a folder with a content": tar(tar_member(b"a/", CONTENT)),
    "tar of holes in a form that nobody knows": tar(tar_member(b"a", CONTENT, b"S")),
    "tar of two sizes": tar(pax((b"size", b"5"), (b"size", b"6")), tar_member(b"a", b"12345")),
    "tar of two extended headers": tar(pax((b"size", b"5")), pax((b"mtime", b"6")), tar_member(b"a", b"12345")),
    "tar with a size for all": tar(tar_member(b"g", b"8 size=5\n", b"g"), tar_member(b"a", b"12345")),
    "tar with an extended header for nothing": tar(tar_member(b"a", CONTENT), pax((b"mtime", b"6"))),
    "tar with an extended header that is none": tar(tar_member(b"x", b"mtime=6\n", b"x"), tar_member(b"a")),
    "zip of an unknown method": _zip(zipfile.ZIP_STORED).replace(
        b"PK\x01\x02\x14\x03\x14\0\0\0\0\0", b"PK\x01\x02\x14\x03\x14\0\0\0\x63\0"
    ),
    "zip of two methods": zipped(replace(PACKED, local_method=0)),
    "zip, encrypted": _zip(zipfile.ZIP_STORED).replace(
        b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0"
    ),
    "zip with a signature behind": zipped(PACKED) + b"-----SIGNATURE-----",
    "zip behind zip": zipped(PACKED) + zipped(PACKED),
    "zip with bytes between its members": zipped(PACKED, Entry(b"z"), gap=b"gap"),
    "zip with bytes before its directory": zipped(PACKED, between=b"gap"),
    "zip in another order": zipped(PACKED, Entry(b"z"), central=())[:-22]
    + Entry(b"z").central(len(PACKED.local()))
    + zipped(PACKED, Entry(b"z"), central=(PACKED,))[len(PACKED.local() + Entry(b"z").local()) : -22]
    + zipped(PACKED, Entry(b"z"))[-22:],
    "zip with one member more than it says": zipped(PACKED, Entry(b"z"), count=1),
    "zip that lacks its end in 64 bits": zipped(PACKED, wide=True)[:-98] + zipped(PACKED, wide=True)[-22:],
    "zip of several parts": zipped(replace(PACKED, disk=1)),
}
DAMAGED = {
    "tar with a damaged header": tar(tar_member(b"a", CONTENT), altered(tar_member(b"b", CONTENT), 3)),
    "tar with text in place of a header": tar(tar_member(b"a", CONTENT), b"configuration = 1\n" * 256),
    "tar with half an end": tar_member(b"a", CONTENT) + bytes(512),
    "tar that ends behind a member": tar_member(b"a", CONTENT),
    "tar of a member of zeros that ends inside": tar_header(b"a", size=8192) + bytes(4096),
    "zip with another name before the content": zipped(replace(PACKED, local_name=b"b")),
    "zip with a wrong checksum": zipped(replace(PACKED, crc=1)),
    "zip with a wrong size": zipped(replace(PACKED, size=1)),
    "zip that lacks bytes in its middle": zipped(PACKED, Entry(b"z"))[:40] + zipped(PACKED, Entry(b"z"))[41:],
    "zip without the first byte of its directory": altered(zipped(PACKED), len(PACKED.local())),
    "zip that lacks a member": zipped(PACKED, Entry(b"z"), central=(PACKED,))[: len(PACKED.local())]
    + zipped(PACKED, in_directory=Entry(b"z").central(len(PACKED.local())), count=2)[len(PACKED.local()) :],
    "bzip2 that ends in the name of its second stream": bz2.compress(CONTENT) + b"BZ",
    "xz that ends in the name of its second stream": lzma.compress(CONTENT) + bytes(4) + b"\xfd7z",
    "gzip with a wrong checksum": altered(gzip.compress(CONTENT), -8),
}


def _inspect(folder: Path, content: bytes) -> Finding:
    path = folder / "backup.plb"
    path.write_bytes(content)
    return inspect(str(path), Deadline("transfer_timeout", 60))


def _damage(folder: Path, content: bytes) -> str:
    return _inspect(folder, content).damage or ""


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_archive_is_whole(name: str, tmp_path: Path) -> None:
    assert _inspect(tmp_path, WHOLE[name]) == Finding(name.partition(",")[0].partition(" ")[0])


@pytest.mark.parametrize("name", WHOLE)
def test_an_archive_that_was_cut_anywhere_is_damaged(name: str, tmp_path: Path) -> None:
    whole = WHOLE[name]
    places = {int(len(whole) * part) for part in HALVES} | {len(whole) - 1, 1024, 1536}
    places |= set(CHANCE.sample(range(600, len(whole)), 20))
    for place in sorted(places):
        if name == "tar" and not any(whole[place - 1024 : place]):
            continue  # only trailing zeros are missing
        if name in SECOND_STREAM and place in SECOND_STREAM[name]:
            continue  # cut between two streams
        assert "damaged" in _damage(tmp_path, whole[:place]), place


@pytest.mark.parametrize("name", sorted(WHOLE.keys() - set(WITHOUT_CHECKSUM)))
def test_a_bit_that_flipped_is_found(name: str, tmp_path: Path) -> None:
    flipped = bytearray(WHOLE[name])
    flipped[len(flipped) // 3] ^= 0x10
    assert "damaged" in _damage(tmp_path, bytes(flipped))


@pytest.mark.parametrize("name", OTHER_TARS)
def test_a_tar_of_any_writer_is_whole_and_when_it_is_cut_damaged(name: str, tmp_path: Path) -> None:
    whole = OTHER_TARS[name]
    assert _inspect(tmp_path, whole) == Finding("tar")
    end = len(whole.rstrip(b"\0"))
    for place in CHANCE.sample(range(512, end), 10):
        assert "damaged" in _damage(tmp_path, whole[:place]), place


@pytest.mark.parametrize("name", DAMAGED)
def test_what_no_reader_takes_is_damaged(name: str, tmp_path: Path) -> None:
    assert "damaged" in _damage(tmp_path, DAMAGED[name])


@pytest.mark.parametrize("name", UNKNOWN)
def test_of_anything_else_nothing_is_said(name: str, tmp_path: Path) -> None:
    assert _inspect(tmp_path, UNKNOWN[name]) == Finding()


@pytest.mark.parametrize("name", WHOLE)
def test_any_change_of_a_byte_is_survived(name: str, tmp_path: Path) -> None:
    """A changed byte may lead to any finding, but never to an exception."""
    whole = WHOLE[name]
    for place in [*range(30), *range(-60, 0), *CHANCE.sample(range(len(whole)), 60)]:
        _inspect(tmp_path, altered(whole, place, CHANCE.choice([0, 1, 0x7F, 0x80, 0xFF])))


def test_when_the_time_is_up_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "backup.plb"
    for whole in WHOLE.values():
        path.write_bytes(whole)
        assert inspect(str(path), Deadline("transfer_timeout", 0)) == Finding(
            limit="could not be read in the time that was left"
        )


def test_what_unpacks_to_very_much_is_not_read_to_its_end(tmp_path: Path) -> None:
    found = _inspect(tmp_path, gzip.compress(bytes(300 * 1024**2), 1))
    assert found == Finding(limit="unpacks to more bytes than are read")


LITTLE_MEMORY = """
import resource, sys
from ansible_collections.netops.activelogic.plugins.module_utils._archive._whole import inspect
from ansible_collections.netops.activelogic.plugins.module_utils._deadline import Deadline

inspect(sys.argv[1], Deadline("transfer_timeout", 0))
with open("/proc/self/statm") as numbers:
    used = int(numbers.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 32 * 1024**2,) * 2)
print(inspect(sys.argv[1], Deadline("transfer_timeout", 60)).limit)
"""


def test_without_memory_nothing_is_known(tmp_path: Path) -> None:
    path = tmp_path / "backup.plb"
    path.write_bytes(lzma.compress(CONTENT, preset=9))
    done = subprocess.run([sys.executable, "-c", LITTLE_MEMORY, path], check=True, capture_output=True, text=True)
    assert done.stdout == "needs more memory than there is\n"


# Archives of common programs


def _source(folder: Path) -> Path:
    source = folder / "source"
    (source / ("d" * 120) / ("e" * 120)).mkdir(parents=True)
    (source / ("d" * 120) / ("e" * 120) / "file").write_bytes(CONTENT)
    (source / "text").write_text("configuration = 1\n", encoding="utf-8")
    (source / "ümlaut").write_bytes(CONTENT)
    (source / "link").symlink_to("text")
    os.link(source / "text", source / "hard")
    with open(source / "holes", "wb") as holes:
        for place in range(40):
            holes.seek(place * 65536)
            holes.write(b"x")
    return source


PROGRAMS = [
    *(["tar", f"--format={each}", "-cf", "-", "."] for each in ("v7", "oldgnu", "gnu", "ustar", "pax")),
    *(["tar", f"--format={each}", "--sparse", "-cf", "-", "."] for each in ("gnu", "oldgnu")),
    *(
        ["tar", "--format=pax", "--sparse", f"--sparse-version={each}", "-cf", "-", "."]
        for each in ("0.0", "0.1", "1.0")
    ),
    ["tar", "--label=label", "--blocking-factor=200", "-cf", "-", "."],
    ["tar", "--listed-incremental=/dev/null", "-cf", "-", "."],
    ["tar", "-czf", "-", "."],
    ["tar", "-cjf", "-", "."],
    ["tar", "-cJf", "-", "."],
    ["zip", "-qr", "-", "."],
    ["zip", "-qr0", "-", "."],
    ["zip", "-qr", "-Z", "bzip2", "-", "."],
    ["bzip2", "-c", "text"],
    ["xz", "-9", "-c", "text"],
    ["xz", "-T2", "--block-size=65536", "-c", "holes"],
    ["xz", "--check=sha256", "-c", "text"],
    ["gzip", "-c", "text"],
]


@pytest.mark.parametrize("command", PROGRAMS, ids=" ".join)
def test_what_the_usual_programs_write_is_whole(command: list[str], tmp_path: Path) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} here")
    written = subprocess.run(command, cwd=_source(tmp_path), check=False, capture_output=True, timeout=60)
    kinds = {"tar": "tar", "-czf": "gzip", "-cjf": "bzip2", "-cJf": "xz"}
    found = _inspect(tmp_path, written.stdout)
    assert found == Finding(kinds.get(command[1], kinds.get(command[0], command[0])))
    end = len(written.stdout.rstrip(b"\0")) if found.kind == "tar" else len(written.stdout)
    for part in HALVES:
        assert "damaged" in _damage(tmp_path, written.stdout[: int(end * part)])


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LocalFileError):
        inspect(str(tmp_path / "pipe"), Deadline("transfer_timeout", 60))
    with pytest.raises(LocalFileError):
        inspect(str(tmp_path / "missing"), Deadline("transfer_timeout", 60))


@pytest.mark.parametrize("name", ["tar", "zip, deflated", "bzip2", "xz", "gzip"])
def test_a_file_that_the_disk_does_not_give_is_not_taken_for_a_damaged_one(name: str, tmp_path: Path) -> None:
    path = tmp_path / "backup"
    path.write_bytes(WHOLE[name])
    descriptor = os.open(path, os.O_WRONLY)  # write-only, so every read fails
    try:
        source = io.FileIO(descriptor, "rb", closefd=False)
        budget = Budget(Limits(), len(WHOLE[name]), lambda: False)
        with pytest.raises(LocalFileError) as caught, local_errors(str(path)):
            _whole._READERS[name.split(",", maxsplit=1)[0]](source, len(WHOLE[name]), budget)
    finally:
        os.close(descriptor)
    assert "Bad file descriptor" in str(caught.value)
