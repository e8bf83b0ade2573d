# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The side files of a backup file: its manifest and its digest. Private to this collection.

A side file that exists but can't be used never counts as absent: it might have prevented a mistake.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, fields

from .._errors import LocalFileError
from ._access import PIECE, local_errors, open_regular, status_of

DIGEST_SUFFIX = ".sha256"
MANIFEST_SUFFIX = ".json"
SCHEMA_VERSION = 1
MAX_FILE_NAME = 255
"""Bytes of a file name, on all usual file systems."""

MAX_TEXT = 1024
"""Characters of a text in a manifest; names and addresses have at most 255."""

_ESCAPED = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r"}
_GNU_LINE = re.compile(rb"(\\?)([0-9a-fA-F]{64})(?: [ *](.+))?\Z", re.DOTALL)
_BSD_LINE = re.compile(rb"(\\?)SHA256 \((.+)\) ?= ?([0-9a-fA-F]{64})\Z", re.DOTALL)


class UnusableError(Exception):
    """A side file exists but can't be used; the text is a clause without a subject. Callers translate it."""


@dataclass(frozen=True)
class Manifest:
    """The facts about a fetched backup; ``size`` in bytes, ``sha256`` in hex, ``fetched_at`` in UTC (RFC 3339)."""

    machineid: str
    host: str
    distversion: str
    name: str
    size: int
    sha256: str
    fetched_at: str
    collection_version: str
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> bytes:
        """The content of the manifest file."""
        text = json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        return text.encode("utf-8", "backslashreplace")  # which JSON reads back


def side_file(path: str, suffix: str) -> str:
    """The path of a side file of ``path``: the same with ``suffix``.

    If the name would be too long for a file system, it is cut at a character, and a part of its SHA-256 distinguishes
    it from others with the same beginning.
    """
    folder, name = os.path.split(path)
    content = os.fsencode(name)
    if len(content) + len(DIGEST_SUFFIX) > MAX_FILE_NAME:
        mark = "~" + hashlib.sha256(content).hexdigest()[:16]
        start = content[: MAX_FILE_NAME - len(mark) - len(DIGEST_SUFFIX)].decode("utf-8", "ignore")
        name = os.fsdecode(start.encode("utf-8")) + mark
    return os.path.join(folder, name + suffix)


def digest_line(sha256: str, path: str) -> bytes:
    """The content of ``<file>.sha256``, as ``sha256sum -c`` reads it in the file's folder."""
    name = os.fsencode(os.path.basename(path))
    name = b"./-" if name == b"-" else name  # "-" would be standard input
    escaped = re.sub(rb"[\\\n\r]", lambda found: _ESCAPED[found.group()], name)
    return (b"\\" if escaped != name else b"") + sha256.encode("ascii") + b"  " + escaped + b"\n"


def read_manifest(manifest: str) -> Manifest | None:
    """Read a manifest file; ``None`` only if it does not exist.

    :raises UnusableError: when it is not a manifest of a known schema.
    """
    content = _read(manifest)
    if content is None:
        return None
    try:
        document = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise UnusableError("is cut off, or is not JSON") from None
    if not isinstance(document, dict) or "schema_version" not in document:
        raise UnusableError("is not a manifest of this collection")
    version = document["schema_version"]
    if not isinstance(version, int) or isinstance(version, bool) or version != SCHEMA_VERSION:
        raise UnusableError(f"has schema version {str(version)[:20]}, this collection knows {SCHEMA_VERSION}")
    for each in fields(Manifest):
        if not _is_value(each.name, document.get(each.name)):
            raise UnusableError(f"has no usable {each.name}")
    return Manifest(**{each.name: document[each.name] for each in fields(Manifest)})


def _is_value(name: str, value: object) -> bool:
    if name in ("size", "schema_version"):
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        return False
    return name != "sha256" or re.fullmatch("[0-9a-f]{64}", value) is not None


def read_digest(digest_file: str, path: str) -> str | None:
    """Read the SHA-256 (hex) of ``path`` from a file for ``sha256sum -c``; ``None`` only if it does not exist.

    A single line counts whatever name it contains, as both files may have been renamed.

    :raises UnusableError: when it contains no digest of the file.
    """
    content = _read(digest_file)
    if content is None:
        return None
    found = [_digest_in(line) for line in content.split(b"\n") if line.strip() and not line.startswith(b"#")]
    if len(found) != 1:
        name = os.fsencode(os.path.basename(path))
        found = [each for each in found if os.path.basename(each[1]) == name]
    if not found:
        raise UnusableError("holds no digest of it")
    digests = {each[0] for each in found}
    if len(digests) > 1:
        raise UnusableError("holds several digests of it")
    return digests.pop()


def _digest_in(line: bytes) -> tuple[str, bytes]:
    line = line.rstrip(b"\r")
    if found := _GNU_LINE.match(line):
        escaped, digest, name = found.group(1), found.group(2), found.group(3) or b""
    elif found := _BSD_LINE.match(line):
        escaped, digest, name = found.group(1), found.group(3), found.group(2)
    else:
        raise UnusableError("is not in the form of sha256sum")
    if escaped:
        for plain, written in _ESCAPED.items():
            name = name.replace(written, plain) if plain != b"\\" else name
        name = name.replace(b"\\\\", b"\\")
    return digest.decode("ascii").lower(), name


def _read(path: str) -> bytes | None:
    """The content of a small file; ``None`` only if it does not exist."""
    try:
        if status_of(path) is None:
            return None
        with local_errors(path), open_regular(path) as source:
            content = source.read(PIECE + 1)
    except LocalFileError as error:
        raise UnusableError(f"can't be read ({error.reason})") from error
    if len(content) > PIECE:
        raise UnusableError(f"has more than {PIECE} bytes")
    return content
