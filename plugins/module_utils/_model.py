# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data types of the modules, and how they are returned. Private to this collection."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from typing import Any

from . import _names, _sentences
from ._failures import BACKUP_INCOMPLETE, BACKUP_MISSING, IDENTITY_WRONG, LISTING_LONG, MACHINE_OTHER
from ._text import printable, shorten

SIZE = "size"
DIGEST = "digest"
ARCHIVE = "archive"
CONTENT = "content"
"""Ways to verify a backup or its transfer; the option ``verify`` offers all except ``digest``."""


MAX_BACKUPS = 100_000
"""Rows of a listing; they take about 30 MB of memory."""

MAX_EXAMPLES = 5
"""Names that a warning shows."""

MAX_FACT = 255
"""Characters of a machine id or a firmware version."""


@dataclass(frozen=True)
class BackupFile:
    """A row of a listing: name, and size in bytes (``None`` for a backup that does not exist yet)."""

    __slots__ = ("name", "size")  # a system may have very many

    name: str
    size: int | None


@dataclass(frozen=True)
class Listing:
    """The backups of a system, in its order.

    :ivar incomplete: why backups that were checked are not complete, by name.
    :ivar passed_over: a warning about unusable rows; empty when there were none.
    :ivar taken_at: when the listing was taken, in seconds of the client's clock.
    """

    backups: tuple[BackupFile, ...] = ()
    incomplete: Mapping[str, str] = field(default_factory=dict)
    passed_over: str = ""
    taken_at: float | None = field(default=None, compare=False)

    @property
    def names(self) -> set[str]:
        """The names of all backups."""
        return {each.name for each in self.backups}

    def find(self, name: str) -> BackupFile | None:
        """The backup of exactly this name, complete or not."""
        return next((each for each in self.backups if each.name == name), None)

    def require(self, name: str) -> BackupFile:
        """The backup of this name.

        :raises NotFoundError: which lists the existing names.
        """
        found = self.find(name)
        if found is None:
            raise BACKUP_MISSING.error(name=name, there=_sentences.names(self.names))
        return found

    def is_complete(self, name: str) -> bool:
        """Whether the backup is listed and not known to be incomplete."""
        return self.find(name) is not None and name not in self.incomplete

    def require_complete(self, name: str) -> BackupFile:
        """The backup of this name, which this listing has checked.

        :raises NotFoundError: when it is missing.
        :raises IncompleteBackupError: when it is not complete.
        """
        found = self.require(name)
        if name in self.incomplete:
            raise BACKUP_INCOMPLETE.error(why=self.incomplete[name])
        return found

    def with_incomplete(self, name: str, why: str) -> Listing:
        """The same listing, with one more incomplete backup."""
        return replace(self, incomplete={**self.incomplete, name: why})

    def only(self, names: Container[str]) -> Listing:
        """The same listing, reduced to these backups."""
        return replace(self, backups=tuple(each for each in self.backups if each.name in names))


def listed(rows: Iterable[tuple[str, int]]) -> Listing:
    """Make a listing from the rows that a system sent; both transports do so before anything uses a name.

    An illegal name could point to another folder or URL. So its row is skipped, and so are rows that list one name with
    several sizes, as one of them would hide the others.

    :param rows: names, and sizes in bytes.
    :raises ProtocolError: when there are more than :data:`MAX_BACKUPS`.
    """
    found: dict[str, BackupFile] = {}
    doubtful: set[str] = set()
    passed_over = 0
    examples: list[str] = []
    for number, (name, size) in enumerate(rows):
        if number == MAX_BACKUPS:
            raise LISTING_LONG.error(most=MAX_BACKUPS)
        flaw = _names.why_illegal(name)
        if not flaw and (name in doubtful or found.setdefault(name, BackupFile(name, size)).size != size):
            flaw = "is listed with several sizes"
            doubtful.add(name)
        if flaw:
            passed_over += 1
            if len(examples) < MAX_EXAMPLES:
                examples.append(f"{shorten(name, _names.MAX_SHOWN)!r} {flaw}")
    backups = tuple(each for each in found.values() if each.name not in doubtful)
    if not passed_over:
        return Listing(backups)
    shown = ", ".join(examples) + (", ..." if passed_over > len(examples) else "")
    warning = f"rows of the system's listing that can't be used were passed over ({passed_over}): {shown}"
    return Listing(backups, passed_over=warning)


@dataclass(frozen=True)
class System:
    """The system that was reached. ``machineid`` and ``distversion`` are ``None`` if they were not read."""

    host: str
    machineid: str | None = None
    distversion: str | None = None

    @classmethod
    def reported(cls, host: str, machineid: str, distversion: str) -> System:
        """The system by its own description.

        :raises ProtocolError: when that is not a short printable text.
        """
        for what, text in (("machine id", machineid), ("version", distversion)):
            if len(text) > MAX_FACT or printable(text) != text:
                raise IDENTITY_WRONG.error(what=what, most=MAX_FACT)
        return cls(host, machineid, distversion)

    def require_machine(self, expected: str | None) -> None:
        """:raises ConflictError: when the system does not have the expected machine id."""
        if expected is not None and self.machineid != expected:
            raise MACHINE_OTHER.error(found=self.machineid, expected=expected)

    def to_result(self) -> dict[str, Any]:
        """Return value ``system``."""
        return {"host": self.host, "machineid": self.machineid, "distversion": self.distversion}


@dataclass(frozen=True)
class Received:
    """A complete download: sizes in bytes, SHA-256 in hex, and whether the gateway confirmed that digest."""

    size: int
    sha256: str
    digest_confirmed: bool
    bytes_transferred: int
    resumed_from: int = 0


@dataclass(frozen=True)
class Sent:
    """An upload that the system accepted: size in bytes and SHA-256 (hex) of the sent content."""

    size: int
    sha256: str


def describe(backup: BackupFile, now: datetime, zone: tzinfo | None) -> dict[str, Any]:
    """Return value ``backup``, from the listing and the name.

    :param now: an aware datetime, for ``age_seconds``.
    :param zone: the time zone of names that the system chose, see :func:`_names.created_at`.
    """
    created = _names.created_at(backup.name, zone)
    age = _names.age_at(now, created)
    return {
        "name": backup.name,
        "size": backup.size,
        "created": None if created is None else created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "created_source": "unknown" if created is None else "name",
        "age_seconds": None if age is None else int(age.total_seconds()),
        "purpose": _names.purpose(backup.name),
    }


def listing_to_result(backups: tuple[BackupFile, ...]) -> list[dict[str, Any]]:
    """A listing for ``diff``: names and sizes, sorted by name."""
    return [{"name": each.name, "size": each.size} for each in sorted(backups, key=lambda each: each.name)]
