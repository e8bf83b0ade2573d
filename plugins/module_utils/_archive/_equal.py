# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prove that two backup files are equal. Private to this collection.

The format of backups is not public, so there are two kinds of proof: the files have the same bytes; or both are zip
archives, or both tar archives (perhaps with gzip), which are understood to the last byte and have the same members by
name, kind, mode, owner, link target and content, but not by times.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO

from .._files._access import open_regular
from .._text import shorten
from ._reading import Budget, Inventory, Limits, Stream, UnprovableError, file_pieces, inflate, show
from ._tar import BLOCK, is_header, read_tar
from ._zip import LOCAL, read_zip

MOST_DIFFERING = 1000
"""Maximum number of names in a comparison."""

LONGEST_SHOWN = 256
"""Bytes of a name in a comparison: without it, a thousand long names with escapes could take 16 MB."""

_GZIP = b"\x1f\x8b\x08"
_GZIP_HEADER = 10
_HAS_NAME = 8
_LONGEST_NAME = 255


class Outcome(Enum):
    """The outcome of a comparison. It is about two files, not about the systems that they come from."""

    EQUAL = "equal"
    """Proven: restoring either has the same effect."""

    DIFFERENT = "different"
    """Both were read to the last byte, and at least one member differs or is missing in one of them. That alone does
    not prove that a system has changed, as the backups of some systems differ each time."""

    UNKNOWN = "unknown"
    """Their bytes differ, or the time was up; it is not known whether their meaning differs."""


@dataclass(frozen=True)
class Comparison:
    """The outcome, its reason as a sentence, and for DIFFERENT the names of the differing members, sorted.

    ``differing`` has the first 1000 names; the reason has their number. ``same_names`` says for DIFFERENT that neither
    side lacks a member, and ``is_readable`` for UNKNOWN that at least all bytes were compared.
    """

    outcome: Outcome
    reason: str
    differing: tuple[str, ...] = ()
    same_names: bool = False
    is_readable: bool = True

    @property
    def is_equal(self) -> bool:
        """Whether equality is proven."""
        return self.outcome is Outcome.EQUAL


def _never() -> bool:
    return False


def compare(
    first: str, second: str, *, limits: Limits | None = None, expired: Callable[[], bool] = _never
) -> Comparison:
    """Compare two local files, in constant memory; nothing is written.

    :param limits: for reading each file as an archive; equal bytes are found at any size.
    :param expired: called at least once for every 256 KiB; when it returns true, the outcome is UNKNOWN.
    :raises LocalFileError: when one of them can't be read, or is not a regular file.
    """
    with open_regular(first) as one, open_regular(second) as two:
        try:
            if _have_same_bytes(one, two, expired):
                return Comparison(Outcome.EQUAL, "they have the same bytes")
        except UnprovableError as error:
            return Comparison(Outcome.UNKNOWN, f"a file {error}", is_readable=False)
        read = []
        for number, file in (("first", one), ("second", two)):
            try:
                read.append(_read(file, limits or Limits(), expired))
            except UnprovableError as error:
                return Comparison(Outcome.UNKNOWN, f"their bytes differ, and the {number} file {error}")
    return _judge(*read)


def _judge(one: tuple[str, dict[bytes, bytes]], two: tuple[str, dict[bytes, bytes]]) -> Comparison:
    """Compare two archives by format and members."""
    if one[0] != two[0]:
        return Comparison(Outcome.UNKNOWN, f"the first file is a {one[0]} archive, the second one is {two[0]}")
    mine, theirs = one[1], two[1]
    differing = [name for name, record in mine.items() if theirs.get(name) != record]
    differing += [name for name in theirs if name not in mine]
    if not differing:
        return Comparison(Outcome.EQUAL, f"they are {one[0]} archives with the same members ({len(mine)})")
    reason = f"they are {one[0]} archives, and members differ ({len(differing)})"
    shown = tuple(shorten(show(name[:LONGEST_SHOWN]), LONGEST_SHOWN) for name in sorted(differing)[:MOST_DIFFERING])
    return Comparison(Outcome.DIFFERENT, reason, shown, mine.keys() == theirs.keys())


def _have_same_bytes(one: BinaryIO, two: BinaryIO, expired: Callable[[], bool]) -> bool:
    size = _size(one)
    if size != _size(two):
        return False
    unlimited = Budget(Limits(unpacked=2 * size), 2 * size, expired)
    pairs = zip(file_pieces(one, 0, size, unlimited), file_pieces(two, 0, size, unlimited))
    return all(mine == theirs for mine, theirs in pairs)


def _read(file: BinaryIO, limits: Limits, expired: Callable[[], bool]) -> tuple[str, dict[bytes, bytes]]:
    """Format and members of an archive, which is read to the last byte.

    :raises UnprovableError: when it is not an archive, or any part of it is not understood.
    """
    size = _size(file)
    budget = Budget(limits, size, expired)
    inventory = Inventory(limits.members)
    head = next(file_pieces(file, 0, min(size, BLOCK), budget), b"")
    whole = file_pieces(file, 0, size, budget)
    if head.startswith(LOCAL):
        kind = "zip"
        read_zip(file, size, inventory, budget)
    elif head.startswith(_GZIP) or is_header(head):
        kind = "tar"
        if head.startswith(_GZIP):
            _check_gzip_header(head)
            whole = inflate(whole, 31, budget)
        read_tar(Stream(whole), inventory)
    else:
        raise UnprovableError("is neither a zip nor a tar archive")
    return kind, inventory.finish()


def _check_gzip_header(head: bytes) -> None:
    """Reject optional parts of a gzip header (RFC 1952, section 2.3) except the file name, as they could hide data."""
    flags = head[len(_GZIP)]
    name = head[_GZIP_HEADER : _GZIP_HEADER + _LONGEST_NAME + 1]
    if flags not in (0, _HAS_NAME) or (flags == _HAS_NAME and b"\0" not in name):
        raise UnprovableError("holds more than a file name in its gzip header")


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size
