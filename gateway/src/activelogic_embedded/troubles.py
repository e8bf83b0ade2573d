# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The effects of a system's quirks: disconnected sessions, outages, and faults of commands.

Their state is stored in ``quirks.json`` together with the quirks. That file is not part of the system's digest, because
reads change it too. Times in it are from the monotonic clock, which all processes share; after a reboot of the machine
they mean nothing, and restarts and growing backups from before are over.
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
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, Protocol

from .exception import PLDBError, PLDBIOError, PLDBNewDataCommitted
from .quirks import NEVER, Fault, Quirks

FOR_EVER = 24 * 60 * 60.0
"""Seconds for which a command hangs "for ever": longer than any test waits, but not endless."""

RESTARTS_KEPT = 60 * 60.0
"""Seconds after which a restart or outage is forgotten: no session or test lasts as long."""

GROWTH = 64
"""Growth of a backup that never becomes complete, in bytes per second."""

CUT_CHECK_PAUSE = 0.1
"""How often a waiting command checks whether its session was disconnected, in seconds."""


def _boot_id() -> str:
    """Return an id of the current boot of the machine; empty if the platform has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


BOOT_ID = _boot_id()


def now() -> float:
    """Return the time of the clock that this module uses, in seconds."""
    return time.monotonic()


class Line(Protocol):
    """What faults need of a session."""

    def lose(self) -> None:
        """Mark the session as lost."""

    def require_uncut(self) -> None:
        """Raise ``PLDBIOError`` if the system has disconnected the session."""


class QuirkState:
    """The quirks of one system and their state; shared by all processes."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "quirks.json"
        self._lock = folder / "quirks.lock"

    # The quirks and their state

    def _read(self) -> tuple[Quirks, dict[str, Any]] | None:
        document = self._load()
        return None if document is None else (Quirks.of(document["quirks"]), document["state"])

    def _load(self) -> dict[str, Any] | None:
        try:
            document: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        state = document["state"]
        if state.get("boot", BOOT_ID) != BOOT_ID:
            state["restarts"] = []
            state["growing"] = {
                name: {**each, "since": 0.0}
                for name, each in state.get("growing", {}).items()
                if each["after"] == NEVER
            }
        state["boot"] = BOOT_ID
        return document

    @contextlib.contextmanager
    def _change(self) -> Iterator[dict[str, Any]]:
        """Change the document under a lock; it is replaced atomically at the end of the block."""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            document = self._load() or {"quirks": asdict(Quirks()), "state": {"boot": BOOT_ID}}
            yield document
            new = self._path.with_suffix(".new")
            new.touch(mode=0o600)
            new.write_text(json.dumps(document), encoding="utf-8")
            new.rename(self._path)
        finally:
            os.close(descriptor)

    @property
    def quirks(self) -> Quirks:
        """The current quirks."""
        found = self._read()
        return Quirks() if found is None else found[0]

    def set(self, quirks: Quirks) -> None:
        """Replace the quirks; restarts and growing backups caused by earlier quirks stay."""
        with self._change() as document:
            document["quirks"] = asdict(quirks)
            document["state"]["happened"] = {}

    def begin_outage(self) -> None:
        """Disconnect every session, and be down for ``outage`` from now on."""
        self._restart(now())

    def _restart(self, at: float) -> None:
        with self._change() as document:
            quirks = Quirks.of(document["quirks"])
            kept = [each for each in document["state"].get("restarts", []) if each["until"] > now() - RESTARTS_KEPT]
            until = at + quirks.outage * quirks.time_factor
            document["state"]["restarts"] = [*kept, {"at": at, "until": until, "kind": quirks.outage_kind}]

    # Effects on sessions

    def is_cut(self, opened_at: float) -> bool:
        """Whether a session that was opened at a time (of :func:`now`) has been disconnected since."""
        return opened_at <= self.restarted_at()

    def restarted_at(self) -> float:
        """Return when all sessions were last disconnected (time of :func:`now`); -1 for never."""
        found = self._read()
        if found is None:
            return -1.0
        moment = now()
        return max((float(each["at"]) for each in found[1].get("restarts", []) if each["at"] <= moment), default=-1.0)

    def _outage(self, state: Mapping[str, Any]) -> str | None:
        moment = now()
        kinds = [each["kind"] for each in state.get("restarts", []) if each["at"] <= moment < each["until"]]
        return kinds[-1] if kinds else None

    def require_reachable(self) -> None:
        """Raise ``ConnectionRefusedError``, ``TimeoutError`` or ``PLDBIOError`` while the quirks allow no login."""
        found = self._read()
        if found is None:
            return
        kind = self._outage(found[1]) or found[0].connect
        if kind == "refuse":
            raise ConnectionRefusedError("the system is restarting")
        if kind == "timeout":
            raise TimeoutError("the system does not answer")
        if kind == "io_error":
            raise PLDBIOError("the connection can't be established")

    async def apply_faults(self, command: str, when: str, line: Line) -> None:
        """Apply the faults of a command, before or after it.

        :raises PLDBError, PLDBIOError, PLDBNewDataCommitted: as the quirks say.
        """
        found = self._read()
        if found is None:
            return
        quirks, state = found
        if when == "before" and command != "connect" and self._outage(state) == "list":
            raise PLDBError("the system is starting")
        for fault in self._due(quirks, command, when):
            await _apply(fault, quirks.time_factor, line)

    def _due(self, quirks: Quirks, command: str, when: str) -> list[Fault]:
        """Return the faults that happen now; count those that happen a limited number of times."""
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
        """Return the pump for a transfer, with its faults."""
        quirks = self.quirks
        faults = sorted(self._due(quirks, command, "during"), key=lambda fault: fault.at)
        return Pump(faults, quirks.time_factor, line)

    # Backups that are listed before they are complete

    def placed(self, name: str) -> None:
        """Record that a new backup has been stored under this name."""
        found = self._read()
        if found is None or not (found[0].complete_after or name in found[1].get("growing", {})):
            return
        with self._change() as document:
            quirks = Quirks.of(document["quirks"])
            growing = document["state"].setdefault("growing", {})
            growing.pop(name, None)
            if quirks.complete_after:
                after = NEVER if quirks.complete_after == NEVER else quirks.complete_after * quirks.time_factor
                growing[name] = {"since": now(), "after": after, "size": quirks.incomplete_size}

    def removed(self, name: str) -> None:
        """Record that the backup with this name has been removed."""
        found = self._read()
        if found is not None and name in found[1].get("growing", {}):
            with self._change() as document:
                document["state"]["growing"].pop(name, None)

    def visible(self, name: str, size: int) -> int | None:
        """Return how many of a backup's ``size`` bytes are visible now; ``None`` if it is complete."""
        return self.visible_sizes({name: size})[name]

    def visible_sizes(self, sizes: Mapping[str, int]) -> dict[str, int | None]:
        """Like :meth:`visible` for several backups, by name, at the same moment."""
        found = self._read()
        growing = {} if found is None else found[1].get("growing", {})
        return {name: self._visible(growing.get(name), size) for name, size in sizes.items()}

    @staticmethod
    def _visible(growth: Mapping[str, Any] | None, size: int) -> int | None:
        if growth is None:
            return None
        elapsed = now() - growth["since"]
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
        """Raise ``PLDBError`` if the backup is not complete."""
        if self.visible(name, size) is not None:
            raise PLDBError(f"the backup {name!r} is not complete")

    # Restores

    def restoring(self) -> None:
        """Record that a restore begins, and schedule the restart that follows it."""
        quirks = self.quirks
        if quirks.restart_after is not None:
            self._restart(now() + quirks.restart_after * quirks.time_factor)


class Pump:
    """Copies the bytes of one transfer, with its faults."""

    def __init__(self, faults: list[Fault], time_factor: float, line: Line) -> None:
        self._faults = faults
        self._time_factor = time_factor
        self._line = line

    def copy(
        self, read: Callable[[int], bytes], write: Callable[[bytes], object], piece: int, limit: int | None = None
    ) -> None:
        """Copy all bytes, or ``limit`` bytes (padded with zeros), in chunks of at most ``piece`` bytes.

        :raises PLDBIOError: if the session is lost during the transfer.
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


async def _apply(fault: Fault, time_factor: float, line: Line) -> None:
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
            await asyncio.sleep(min(left, CUT_CHECK_PAUSE))
            line.require_uncut()
