# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backup format: written archives can be read, and nothing else is accepted."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import replace
from typing import Any

import pytest

from activelogic_embedded.archive import Archive, ArchiveError, dump, load

ARCHIVE = Archive({"Config": {"ä": [1, None, "x"]}, "Ruleset": {"rules": []}})


def pack(members: dict[str, bytes], change: Any = None) -> bytes:
    """A compressed tar with these members."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if change is not None:
                change(info)
            tar.addfile(info, io.BytesIO(content))
    packed = gzip.compress(target.getvalue(), mtime=0)
    return packed[:8] + b"\x00\x03" + packed[10:]


def members_of(packed: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def made_by_hand(resources: dict[str, Any], /, **changed: Any) -> bytes:
    """An archive with a matching manifest, except for ``changed``."""
    documents = {
        name: json.dumps(data, sort_keys=True, ensure_ascii=False, indent=1) for name, data in resources.items()
    }
    manifest = {
        "format": 1,
        "resources": {name: hashlib.sha256(each.encode("utf-8")).hexdigest() for name, each in documents.items()},
        **changed,
    }
    members = {"manifest.json": json.dumps(manifest, sort_keys=True, ensure_ascii=False, indent=1).encode("utf-8")}
    members.update({f"resources/{name}.json": each.encode("utf-8") for name, each in documents.items()})
    return pack(members)


def test_what_is_written_is_read_again_and_is_the_same_each_time() -> None:
    assert load(dump(ARCHIVE)) == ARCHIVE
    volatile = replace(ARCHIVE, made=1764000000.123456, mark="anything")
    assert load(dump(volatile)) == volatile
    assert dump(ARCHIVE) == dump(Archive(dict(reversed(list(ARCHIVE.resources.items())))))


def test_an_archive_made_by_hand_is_read() -> None:
    assert load(made_by_hand(dict(ARCHIVE.resources))) == ARCHIVE


def test_no_flipped_bit_changes_what_is_read() -> None:
    packed = dump(ARCHIVE)
    accepted = 0
    for number in range(len(packed) * 8):
        flipped = bytearray(packed)
        flipped[number // 8] ^= 1 << number % 8
        try:
            assert load(bytes(flipped)) == ARCHIVE
            accepted += 1
        except ArchiveError:
            pass
    assert accepted < len(packed) * 8 / 100  # only a few bits of a compressed stream are insignificant (RFC 1951)


def test_no_part_of_an_archive_is_one() -> None:
    packed = dump(ARCHIVE)
    for length in range(len(packed)):
        with pytest.raises(ArchiveError):
            load(packed[:length])


@pytest.mark.parametrize("more", [b"\x00", b"x", dump(ARCHIVE)], ids=["NUL", "letter", "archive"])
def test_bytes_before_or_behind_are_refused(more: bytes) -> None:
    for packed in (more + dump(ARCHIVE), dump(ARCHIVE) + more):
        if packed != more:
            with pytest.raises(ArchiveError):
                load(packed)


def deep(levels: int) -> Any:
    data: dict[str, Any] = {}
    for _number in range(levels):
        data = {"a": data}
    return data


@pytest.mark.parametrize(
    "packed",
    [
        made_by_hand({"Config": {}}, format=2),
        made_by_hand({"Config": {}}, resources={}),
        made_by_hand({"Config": {}}, resources={"Config": "0" * 64}),
        made_by_hand({"Config": {}}, resources=["Config"]),
        made_by_hand({"Config": {}}, resources={"Config": "", "Ruleset": ""}),
        made_by_hand({"Config": {}}, more=1),
        made_by_hand({"Config": [1]}),
        made_by_hand({"Config": 5}),
        made_by_hand({"Config": None}),
        pack({}),
        pack({"manifest.json": b"{}"}),
        pack({"manifest.json": b"no JSON"}),
        pack({"manifest.json": b"\xff"}),
        pack({"manifest.json": b'"\\ud800"'}),
        pack({"manifest.json": b"[" * 100000}),
        pack({**members_of(dump(ARCHIVE)), "more": b""}),
        pack({"./" + name: content for name, content in members_of(dump(ARCHIVE)).items()}),
        pack(dict(reversed(list(members_of(dump(ARCHIVE)).items())))),
        pack(members_of(dump(ARCHIVE)), lambda info: setattr(info, "mtime", len(info.name))),
        pack(members_of(dump(ARCHIVE)), lambda info: setattr(info, "mode", 0o777)),
        gzip.compress(b"", mtime=0),
        b"",
    ],
    ids=[str(number) for number in range(22)],
)
def test_whatever_dump_would_not_write_is_refused(packed: bytes) -> None:
    with pytest.raises(ArchiveError):
        load(packed)


def test_lone_surrogates_and_deep_documents_are_refused_and_not_a_crash() -> None:
    surrogate = pack(
        {
            "manifest.json": b'{\n "format": 1,\n "mark": "\\ud800",\n "resources": {}\n}',
        }
    )
    with pytest.raises(ArchiveError):
        load(surrogate)
    nested = pack({"manifest.json": b'{"format": 1, "resources": ' + b'{"a":' * 50000 + b"1" + b"}" * 50001})
    with pytest.raises(ArchiveError):
        load(nested)
    assert load(made_by_hand({"Config": deep(50)})).resources["Config"] == deep(50)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_members_that_are_no_files_are_refused(kind: bytes) -> None:
    def change(info: tarfile.TarInfo) -> None:
        if info.name == "resources/Config.json":
            info.type, info.linkname, info.size = kind, info.name, 0

    with pytest.raises(ArchiveError):
        load(pack(members_of(dump(ARCHIVE)), change))


def test_a_member_that_claims_more_than_there_is_costs_no_memory() -> None:
    info = tarfile.TarInfo("manifest.json")
    info.size = 2**40
    sparse = tarfile.TarInfo("manifest.json")
    sparse.size = 0
    sparse.pax_headers = {
        "GNU.sparse.map": f"{2**40},0",
        "GNU.sparse.size": str(2**40),
        "GNU.sparse.name": "manifest.json",
    }
    for header in (info.tobuf(tarfile.PAX_FORMAT), sparse.tobuf(tarfile.PAX_FORMAT)):
        packed = gzip.compress(header + b"\x00" * 10240, mtime=0)
        with pytest.raises(ArchiveError):
            load(packed[:8] + b"\x00\x03" + packed[10:])


def test_a_bomb_is_refused() -> None:
    packed = gzip.compress(b"\x00" * (80 * 1024 * 1024), mtime=0)
    with pytest.raises(ArchiveError):
        load(packed[:8] + b"\x00\x03" + packed[10:])
