# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Quirks: behaviour that the vendor's documentation leaves open, and faults of real systems, set per system.

A system without ``quirks.json`` in its folder has none. :mod:`.troubles` implements their effects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

COMMANDS = ("connect", "list", "create_new", "restore", "remove", "download", "upload", "commit")
TRANSFERS = ("download", "upload")

NEVER = -1.0
"""Value of ``complete_after`` for a backup that never becomes complete."""


class QuirkError(ValueError):
    """An unknown quirk or an invalid value; the text says which."""


@dataclass(frozen=True)
class Fault:
    """One fault of one command.

    :param command: one of :data:`COMMANDS`.
    :param does: ``wait`` (awaits), ``block`` (blocks the loop), ``thread`` (blocks a thread of the loop's executor),
        ``pool`` (blocks a thread of the package's own, for which the interpreter waits at exit);
        ``lose`` (the session is lost), ``refuse`` (an error of the system), ``stale`` (another session has committed);
        in a transfer also ``cut`` (ends early, without an error) and ``flip`` (changes one byte).
    :param when: ``before`` the command does anything, ``after`` everything is done but the response is not sent, or
        ``during`` a transfer.
    :param seconds: duration of the first four, multiplied by ``time_factor``; ``None`` means for ever.
    :param at: position of a fault ``during`` a transfer, in bytes.
    :param times: how often it happens; ``None`` means always.
    """

    command: str
    does: str
    when: str = "before"
    seconds: float | None = None
    at: int = 0
    times: int | None = None

    def __post_init__(self) -> None:
        _require("command", self.command, COMMANDS)
        _require("does", self.does, ("wait", "block", "thread", "pool", "lose", "refuse", "stale", "cut", "flip"))
        _require("when", self.when, ("before", "during", "after"))
        if self.when == "during" and (self.command not in TRANSFERS or self.does in ("refuse", "stale")):
            raise QuirkError("only a download or an upload has something during it, and it can't be refused there")
        if self.does in ("cut", "flip") and self.when != "during":
            raise QuirkError(f"{self.does} happens during a transfer")
        if (self.seconds or 0) < 0 or self.at < 0 or (self.times or 0) < 0:
            raise QuirkError("seconds, at and times are not negative")


@dataclass(frozen=True)
class Quirks:
    """The unusual behaviour of a system. All times are in seconds, and are multiplied by ``time_factor``.

    :param volatile: ``times``: two backups of an unchanged system differ in the times of their members; ``content``:
        also in a member's content, so that equality can't be proved.
    :param create_new_overwrites: ``create_new`` with the name of an existing backup replaces it.
    :param upload_overwrites: ``upload`` with the name of an existing backup replaces it.
    :param complete_after: how long a new backup is listed before its file is complete; -1 means for ever.
    :param incomplete_size: the size that is listed meanwhile: ``growing``, ``empty``, or ``short`` (half, constant).
    :param restart_after: time from the start of a restore until every session is disconnected; ``None`` means never.
    :param outage: how long the system is down after that, or after :func:`begin_outage`.
    :param outage_kind: what a login gets meanwhile: ``refuse`` (ConnectionRefusedError), ``timeout`` (TimeoutError),
        ``io_error`` (PLDBIOError, as for a wrong password), or ``list`` (it succeeds, but every command fails).
    :param connect: ``io_error``: every login fails with PLDBIOError, even with the right password.
    :param lock: ``until_commit``: a session's first write takes a lock; writes of other sessions fail with PLDBError
        until the session commits, rolls back or ends. Applies to sessions that log in afterwards.
    :param visible: ``after_commit``: the same lock, and other sessions see changes only after the session committed or
        ended; the changes of a session that is lost or killed are undone.
    :param offers_commit: the Backup resource has the coroutines ``commit`` and ``rollback``.
    :param cached_listings: a Backup resource lists once, and always returns the same listing.
    :param restored_password: the password of all users after a restore.
    :param restores_otherwise: a restore restores something else than the backup contains.
    :param faults: faults of single commands.
    """

    time_factor: float = 1.0
    volatile: str = ""
    create_new_overwrites: bool = False
    upload_overwrites: bool = False
    complete_after: float = 0.0
    incomplete_size: str = "growing"
    restart_after: float | None = None
    outage: float = 0.0
    outage_kind: str = "refuse"
    connect: str = ""
    lock: str = ""
    visible: str = ""
    offers_commit: bool = False
    cached_listings: bool = False
    restored_password: str | None = None
    restores_otherwise: bool = False
    faults: tuple[Fault, ...] = field(default=())

    def __post_init__(self) -> None:
        _require("volatile", self.volatile, ("", "times", "content"))
        _require("incomplete_size", self.incomplete_size, ("growing", "empty", "short"))
        _require("outage_kind", self.outage_kind, ("refuse", "timeout", "io_error", "list"))
        _require("connect", self.connect, ("", "io_error"))
        _require("lock", self.lock, ("", "until_commit"))
        _require("visible", self.visible, ("", "after_commit"))
        if self.time_factor <= 0 or self.outage < 0 or (self.restart_after or 0) < 0:
            raise QuirkError("time_factor is above 0, outage and restart_after are not negative")
        if self.complete_after < 0 and self.complete_after != NEVER:
            raise QuirkError(f"complete_after is not negative, or {NEVER:g} for never")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Quirks:
        """Create quirks from JSON data, in which ``faults`` is a list of objects.

        :raises QuirkError: for an unknown quirk or an invalid value.
        """
        unknown = sorted(set(given) - {each.name for each in fields(cls)})
        if unknown:
            raise QuirkError(f"there is no quirk {unknown[0]!r}")
        try:
            faults = tuple(Fault(**each) for each in given.get("faults", ()))
            return cls(**{**given, "faults": faults})
        except TypeError as error:
            raise QuirkError(f"that is no quirk: {error}") from error


def _require(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise QuirkError(f"{name} is one of {', '.join(each or 'an empty string' for each in allowed)}, not {value!r}")
