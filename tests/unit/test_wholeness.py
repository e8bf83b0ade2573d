# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file of a usual format that is cut or damaged is found out; of any other nothing is said."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import tarfile
import zipfile
from pathlib import Path

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils._errors import LocalFileError
from ansible_collections.netops.activelogic.plugins.module_utils._wholeness import Finding, inspect

CHANCE = random.Random(7)  # noqa: S311 - no secret
CONTENT = CHANCE.randbytes(9_000) + b"the same over and over " * 500
HALVES = (1 / 4, 1 / 2, 3 / 4)


def _tar() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("a", "n" * 150, "z"):  # one name is so long that it has a header of its own
            member = tarfile.TarInfo(name)
            member.size = len(CONTENT)
            archive.addfile(member, io.BytesIO(CONTENT))
    return target.getvalue()


def _zip(method: int) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name in ("a", "z"):
            archive.writestr(name, CONTENT)
    return target.getvalue()


WHOLE = {
    "gzip": gzip.compress(_tar()),
    "gzip of no tar": gzip.compress(CONTENT),
    "tar": _tar(),
    "zip, deflated": _zip(zipfile.ZIP_DEFLATED),
    "zip, stored": _zip(zipfile.ZIP_STORED),
    "bzip2": bz2.compress(CONTENT),
    "xz": lzma.compress(CONTENT),
}
UNKNOWN = {
    "nothing": b"",
    "text": b"configuration = 1\n" * 40,
    "random bytes": CHANCE.randbytes(5000),
    "gzip with a signature behind": gzip.compress(CONTENT) + b"-----SIGNATURE-----",
    "two gzip members": gzip.compress(CONTENT) + gzip.compress(CONTENT),
    "gzip that unpacks to very much": gzip.compress(bytes(300 * 1024**2), 9),
    "zip of an unknown method": _zip(zipfile.ZIP_STORED).replace(
        b"PK\x01\x02\x14\x03\x14\0\0\0\0\0", b"PK\x01\x02\x14\x03\x14\0\0\0\x63\0"
    ),
    "zip, encrypted": _zip(zipfile.ZIP_STORED).replace(
        b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0"
    ),
}


def _inspect(folder: Path, content: bytes) -> Finding:
    path = folder / "backup.plb"
    path.write_bytes(content)
    return inspect(str(path), 60)


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
            continue  # as whole as it needs to be
        assert "damaged" in _inspect(tmp_path, whole[:place]).damage, place


@pytest.mark.parametrize("name", sorted(WHOLE.keys() - {"tar"}))
def test_a_bit_that_flipped_is_found(name: str, tmp_path: Path) -> None:
    flipped = bytearray(WHOLE[name])
    flipped[len(flipped) // 3] ^= 0x10
    assert "damaged" in _inspect(tmp_path, bytes(flipped)).damage


@pytest.mark.parametrize("name", UNKNOWN)
def test_of_anything_else_nothing_is_said(name: str, tmp_path: Path) -> None:
    assert _inspect(tmp_path, UNKNOWN[name]) == Finding()


def test_when_the_time_is_up_nothing_is_said(tmp_path: Path) -> None:
    path = tmp_path / "backup.plb"
    for whole in WHOLE.values():
        path.write_bytes(whole)
        assert inspect(str(path), 0) == Finding()


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LocalFileError):
        inspect(str(tmp_path / "pipe"), 60)
    with pytest.raises(LocalFileError):
        inspect(str(tmp_path / "missing"), 60)
