# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The other answers to what the vendor's documentation leaves open, and the troubles of real systems, set per system.

A system without ``quirks.json`` in its folder has none, and never looks further. What comes of them is in
:mod:`.troubles`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

COMMANDS = ("connect", "list", "create_new", "restore", "remove", "download", "upload", "commit")
TRANSFERS = ("download", "upload")

NEVER = -1.0
"""In ``complete_after``: a backup stays incomplete."""


class QuirkError(ValueError):
    """What was asked for is no quirk; the text says why."""


@dataclass(frozen=True)
class Fault:
    """One trouble with one command.

    :param command: one of :data:`COMMANDS`.
    :param does: ``wait`` (awaiting), ``block`` (blocks the loop), ``thread`` (blocks a thread of the loop's executor),
        ``pool`` (blocks a thread of this package's own, which the interpreter waits for at its end);
        ``lose`` (the session is lost), ``refuse`` (an error of the system), ``stale`` (another session has committed);
        in a transfer also ``cut`` (ends short, without an error) and ``flip`` (one byte is another).
    :param when: ``before`` the command does anything, ``after`` everything is done but the answer, or ``during`` a
        transfer.
    :param seconds: how long the first four last, times ``time_factor``; ``None`` is for ever.
    :param at: byte of the transfer where ``during`` happens.
    :param times: how often it happens; ``None`` is always.
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
    """What is other than usual with a system. All times are seconds, and are multiplied by ``time_factor``.

    :param volatile: ``times``: two backups of an unchanged system differ in the times of their members; ``content``:
        also in a member's content, so that nothing shows that they are equal.
    :param create_new_overwrites: ``create_new`` with the name of a backup replaces it.
    :param upload_overwrites: ``upload`` with the name of a backup replaces it.
    :param complete_after: how long a new backup is listed before its file is complete; -1 is for ever.
    :param incomplete_size: what is listed meanwhile: ``growing``, ``empty``, or ``short`` (half, and steady).
    :param restart_after: when after the beginning of a restore every session is cut off; ``None`` is never.
    :param outage: how long the system is down after that, or after :func:`begin_outage`.
    :param outage_kind: what a login meets meanwhile: ``refuse`` (ConnectionRefusedError), ``timeout`` (TimeoutError),
        ``io_error`` (PLDBIOError, as for a wrong password), or ``list`` (it succeeds, and every command is an error).
    :param connect: ``io_error``: every login meets PLDBIOError, whatever the password.
    :param lock: ``until_commit``: the first command of a session that changes something takes a lock, which others
        meet as PLDBError until the session commits, rolls back or ends. Holds for sessions that log in afterwards.
    :param visible: ``after_commit``: the same lock, and others see what a session did only after it committed or ended;
        what a session did that is lost or killed is undone.
    :param offers_commit: the Backup resource has the coroutines ``commit`` and ``rollback``.
    :param cached_listings: a Backup resource lists once, and gives the same answer for as long as it is used.
    :param restored_password: the password of all users after a restore.
    :param restores_otherwise: a restore brings back something else than the backup holds.
    :param faults: troubles with single commands.
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
        """Quirks of what JSON can hold: ``faults`` is a list of objects.

        :raises QuirkError: for an unknown one, and a value that it can't have.
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
