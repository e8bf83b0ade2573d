# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The other answers to what the vendor's documentation leaves open, and the troubles of real systems, set per system.

A system without ``quirks.json`` in its folder has none, and never looks further. That file holds what was set and what
came of it so far: when sessions were cut off, until when nobody gets in, which backups are still incomplete. It is no
part of the system's digest, because reading commands change it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn, Protocol

from .exception import PLDBError, PLDBIOError, PLDBNewDataCommitted

COMMANDS = ("connect", "list", "create_new", "restore", "remove", "download", "upload")
TRANSFERS = ("download", "upload")
FOR_EVER = 24 * 60 * 60.0
"""Seconds that a command hangs: longer than anybody waits, and still an end."""

AGES = 60 * 60.0
"""Seconds after which a cut connection or an outage is forgotten: no session is as old, and no test."""

NEVER = -1.0
"""In ``complete_after``: a backup stays incomplete."""

GROWTH = 64
"""Bytes a second by which a backup grows that never becomes complete."""


GLANCE = 0.1
"""Seconds after which a command that waits notices that its session was cut off."""


class Line(Protocol):
    """What a session is to its troubles."""

    def lose(self) -> None:
        """The session is lost from now on."""

    def require_uncut(self) -> None:
        """:raises PLDBIOError: when the system has cut the session off."""


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
        or ``list`` (it succeeds, and every command is an error).
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
    restored_password: str | None = None
    restores_otherwise: bool = False
    faults: tuple[Fault, ...] = field(default=())

    def __post_init__(self) -> None:
        _require("volatile", self.volatile, ("", "times", "content"))
        _require("incomplete_size", self.incomplete_size, ("growing", "empty", "short"))
        _require("outage_kind", self.outage_kind, ("refuse", "timeout", "list"))
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


class Temper:
    """The quirks of one system, and what came of them so far; shared by all processes."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "quirks.json"
        self._lock = folder / "quirks.lock"

    # What was set, and what came of it

    def _read(self) -> tuple[Quirks, dict[str, Any]] | None:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return Quirks.of(found["quirks"]), found["state"]

    @contextlib.contextmanager
    def _change(self) -> Iterator[dict[str, Any]]:
        """Change the document under a lock; it is replaced whole at the end of the block."""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if self._path.exists():
                document = json.loads(self._path.read_text(encoding="utf-8"))
            else:
                document = {"quirks": asdict(Quirks()), "state": {}}
            yield document
            new = self._path.with_suffix(".new")
            new.touch(mode=0o600)
            new.write_text(json.dumps(document), encoding="utf-8")
            new.rename(self._path)
        finally:
            os.close(descriptor)

    @property
    def quirks(self) -> Quirks:
        """What is set now."""
        found = self._read()
        return Quirks() if found is None else found[0]

    def set(self, quirks: Quirks) -> None:
        """Replace what is set; what came of earlier quirks stays."""
        with self._change() as document:
            document["quirks"] = asdict(quirks)
            document["state"]["happened"] = {}

    def begin_outage(self) -> None:
        """Cut every session off, and be down for ``outage`` from now on."""
        self._restart(time.time())

    def _restart(self, at: float) -> None:
        with self._change() as document:
            quirks = Quirks.of(document["quirks"])
            kept = [each for each in document["state"].get("restarts", []) if each["until"] > time.time() - AGES]
            until = at + quirks.outage * quirks.time_factor
            document["state"]["restarts"] = [*kept, {"at": at, "until": until, "kind": quirks.outage_kind}]

    # What a session meets

    def is_cut(self, opened_at: float) -> bool:
        """Whether a session that was opened at a time (seconds since the epoch) has been cut off since."""
        found = self._read()
        if found is None:
            return False
        now = time.time()
        return any(opened_at <= each["at"] <= now for each in found[1].get("restarts", []))

    def _outage(self, state: Mapping[str, Any]) -> str | None:
        now = time.time()
        kinds = [each["kind"] for each in state.get("restarts", []) if each["at"] <= now < each["until"]]
        return kinds[-1] if kinds else None

    def let_in(self) -> None:
        """:raises ConnectionRefusedError, TimeoutError: while the system is down."""
        found = self._read()
        kind = None if found is None else self._outage(found[1])
        if kind == "refuse":
            raise ConnectionRefusedError("the system is restarting")
        if kind == "timeout":
            raise TimeoutError("the system does not answer")

    async def meet(self, command: str, when: str, line: Line) -> None:
        """What happens before or after a command.

        :raises PLDBError, PLDBIOError: as the quirks have it.
        """
        found = self._read()
        if found is None:
            return
        quirks, state = found
        if when == "before" and command != "connect" and self._outage(state) == "list":
            raise PLDBError("the system is starting")
        for fault in self._due(quirks, command, when):
            await _happen(fault, quirks.time_factor, line)

    def _due(self, quirks: Quirks, command: str, when: str) -> list[Fault]:
        """The faults that happen now; those with a number of times are counted."""
        due = []
        for number, fault in enumerate(quirks.faults):
            if (fault.command, fault.when) == (command, when) and (fault.times is None or self._counts(number, fault)):
                due.append(fault)
        return due

    def _counts(self, number: int, fault: Fault) -> bool:
        with self._change() as document:
            happened = document["state"].setdefault("happened", {})
            count: int = happened.get(str(number), 0)
            happened[str(number)] = count + 1
        return count < (fault.times or 0)

    def pump(self, command: str, line: Line) -> Pump:
        """How the bytes of a transfer go."""
        quirks = self.quirks
        faults = sorted(self._due(quirks, command, "during"), key=lambda fault: fault.at)
        return Pump(faults, quirks.time_factor, line)

    # Backups that are listed before they are complete

    def placed(self, name: str) -> None:
        """A new backup stands under a name."""
        found = self._read()
        if found is None or not (found[0].complete_after or name in found[1].get("growing", {})):
            return
        with self._change() as document:
            quirks = Quirks.of(document["quirks"])
            growing = document["state"].setdefault("growing", {})
            growing.pop(name, None)
            if quirks.complete_after:
                after = NEVER if quirks.complete_after == NEVER else quirks.complete_after * quirks.time_factor
                growing[name] = {"since": time.time(), "after": after, "size": quirks.incomplete_size}

    def removed(self, name: str) -> None:
        """There is no backup of a name any more."""
        found = self._read()
        if found is not None and name in found[1].get("growing", {}):
            with self._change() as document:
                document["state"]["growing"].pop(name, None)

    def visible(self, name: str, size: int) -> int | None:
        """Bytes of a backup of ``size`` bytes that can be seen by now; ``None`` when it is complete."""
        found = self._read()
        growth = None if found is None else found[1].get("growing", {}).get(name)
        if growth is None:
            return None
        elapsed = time.time() - growth["since"]
        if growth["after"] != NEVER and elapsed >= growth["after"]:
            return None
        if growth["size"] == "empty":
            return 0
        if growth["size"] == "short":
            return size // 2
        if growth["after"] == NEVER:
            return size // 2 + int(elapsed * GROWTH)
        return int(size * (0.25 + 0.5 * elapsed / growth["after"]))

    def require_complete(self, name: str, size: int) -> None:
        """:raises PLDBError: when only a part of a backup is there."""
        if self.visible(name, size) is not None:
            raise PLDBError(f"the backup {name!r} is not complete")

    # Restores

    def restoring(self) -> None:
        """A restore begins."""
        quirks = self.quirks
        if quirks.restart_after is not None:
            self._restart(time.time() + quirks.restart_after * quirks.time_factor)


class Pump:
    """Copies the bytes of one transfer, with its troubles."""

    def __init__(self, faults: list[Fault], time_factor: float, line: Line) -> None:
        self._faults = faults
        self._time_factor = time_factor
        self._line = line

    def copy(
        self, read: Callable[[int], bytes], write: Callable[[bytes], object], piece: int, limit: int | None = None
    ) -> None:
        """Copy all bytes, or the first ``limit`` (beyond the source's end zeros), at most ``piece`` at once.

        :raises PLDBIOError: when the session is lost on the way.
        """
        faults, position = list(self._faults), 0
        while limit is None or position < limit:
            wanted = piece if limit is None else min(piece, limit - position)
            while faults and faults[0].at < position:
                faults.pop(0)
            if faults:
                wanted = min(wanted, faults[0].at - position) or 1
            content = read(wanted)
            if not content and limit is not None:
                content = b"\x00" * wanted
            if not content:
                return
            if faults and faults[0].at == position:
                fault = faults.pop(0)
                if fault.does == "cut":
                    return
                if fault.does == "flip":
                    content = bytes([content[0] ^ 0x01]) + content[1:]
                elif fault.does == "lose":
                    _lose(self._line)
                else:
                    time.sleep(_seconds(fault, self._time_factor))
            write(content)
            position += len(content)


def _seconds(fault: Fault, time_factor: float) -> float:
    return FOR_EVER if fault.seconds is None else fault.seconds * time_factor


def _lose(line: Line) -> NoReturn:
    line.lose()
    raise PLDBIOError("the connection was lost")


async def _happen(fault: Fault, time_factor: float, line: Line) -> None:
    if fault.does == "lose":
        _lose(line)
    if fault.does == "refuse":
        raise PLDBError(f"the system can't do {fault.command} now")
    if fault.does == "stale":
        raise PLDBNewDataCommitted("another session committed to the resource Backup")
    seconds = _seconds(fault, time_factor)
    if fault.does == "block":
        time.sleep(seconds)  # noqa: ASYNC251 - blocking the loop is the point
    elif fault.does == "thread":
        await asyncio.to_thread(time.sleep, seconds)
    elif fault.does == "pool":
        await asyncio.get_running_loop().run_in_executor(ThreadPoolExecutor(1), time.sleep, seconds)
    else:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(left, GLANCE))
            line.require_uncut()
