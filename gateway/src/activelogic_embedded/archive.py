# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes and reads the content of the embedded system's ``.plb`` files.

It is a gzipped tar of ``manifest.json`` and one JSON document for each resource. It does not depend on the time or on
the backup's name: two backups of an unchanged system are identical, unless quirks make them volatile.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FORMAT = 1
MANIFEST = "manifest.json"
MAX_UNPACKED = 64 * 1024 * 1024
"""Maximum unpacked size of an archive, in bytes."""

_HEADER = b"\x1f\x8b\x08" + b"\x00" * 6 + b"\x03"
"""The gzip header (RFC 1952), without a name, a time, or anything else that could differ."""

_NOT_OURS = (
    tarfile.TarError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OSError,
    EOFError,
    OverflowError,
    RecursionError,
)
"""Exceptions that parsing foreign bytes may raise."""


class ArchiveError(ValueError):
    """The bytes are not a complete archive of this format."""


@dataclass(frozen=True)
class Archive:
    """A backup's content: the data of its resources by name.

    It does not name its system: systems with the same configuration make identical backups.

    :param made: modification time of its members, in seconds since the epoch.
    :param mark: any text; part of the manifest if not empty.
    """

    resources: Mapping[str, Any]
    made: float = 0
    mark: str = ""


def dump(archive: Archive) -> bytes:
    """Write an archive."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(_tar(archive)) + packer.flush()


def load(packed: bytes) -> Archive:
    """Read an archive, strictly.

    :raises ArchiveError: unless writing the result again gives the same unpacked bytes, which proves that no bytes are
        missing, changed or added.
    """
    if not packed.startswith(_HEADER):
        raise ArchiveError("it is not compressed as a backup is")
    unpacker = zlib.decompressobj(31)
    try:
        unpacked = unpacker.decompress(packed, MAX_UNPACKED)
    except zlib.error as error:
        raise ArchiveError("it is not compressed as a backup is, or it is damaged") from error
    if not unpacker.eof:
        raise ArchiveError("it ends too early, or is too large")
    if unpacker.unused_data:
        raise ArchiveError("bytes follow its end")
    try:
        archive = _parse(unpacked)
        is_whole = _tar(archive) == unpacked
    except _NOT_OURS as error:
        raise ArchiveError("it is not made as a backup is") from error
    if not is_whole:
        raise ArchiveError("its content is not what its digests say")
    return archive


def _tar(archive: Archive) -> bytes:
    documents = {name: _json(data) for name, data in sorted(archive.resources.items())}
    manifest = {
        "format": FORMAT,
        "resources": {name: hashlib.sha256(document).hexdigest() for name, document in documents.items()},
    }
    if archive.mark:
        manifest["mark"] = archive.mark
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, MANIFEST, _json(manifest), archive.made)
        for name, document in documents.items():
            _add(tar, _member(name), document, archive.made)
    return target.getvalue()


def _parse(unpacked: bytes) -> Archive:
    documents: dict[str, bytes] = {}
    made: float = 0
    with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as tar:
        for member in tar:
            if not member.isreg() or member.issparse() or member.name in documents:
                raise ArchiveError("unexpected member")
            source = tar.extractfile(member)
            documents[member.name] = b"" if source is None else source.read()
            made = member.mtime
    manifest = json.loads(documents.pop(MANIFEST))
    if manifest["format"] != FORMAT:
        raise ArchiveError("unknown format")
    resources = {name: json.loads(documents[_member(name)]) for name in manifest["resources"]}
    if not all(isinstance(data, dict) for data in resources.values()):
        raise ArchiveError("a resource without data")
    return Archive(resources, made, manifest.get("mark", ""))


def _member(resource: str) -> str:
    return f"resources/{resource}.json"


def _json(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, ensure_ascii=False, indent=1).encode("utf-8")


def _add(tar: tarfile.TarFile, name: str, content: bytes, made: float) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mtime = made
    tar.addfile(info, io.BytesIO(content))
