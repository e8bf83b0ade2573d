# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An SDK for the gateway's tests: the embedded one, which notes its calls and can be told to misbehave.

``TROUBLE_FOLDER`` holds ``calls`` (one line a call), ``notes`` (a JSON line when a command on backups begins, and one
when it ends) and ``trouble.json``: for a call's name (``connect``, ``list``, ``create_new``, ...; ``connect@HOST``
for one system) one of ``hang`` (awaits for ever), ``block`` (blocks the loop), ``block_thread`` (blocks a thread of
the loop's executor), ``block_pool`` (blocks a thread of an executor of its own), ``lost`` (PLDBIOError before the
command), ``lost_after`` (the same when it has happened), ``stale`` (PLDBNewDataCommitted), ``short`` (a download or
upload that is one byte short), ``endless`` (a download that goes on), ``endless_thread`` (the same, and it can't be
cancelled), ``refuse`` (an upload of what begins with "bad" is refused), ``bug`` (an exception that nobody
documented), ``raise:CLASS`` (an exception of the SDK or of Python), ``unreadable`` (an exception whose text can't be
had), ``full`` (a full disk), ``tell`` (the password in the log and in an exception), ``tell_late`` (in the log, after
five seconds), or ``slow:SECONDS``.
"""

from __future__ import annotations

import asyncio
import builtins
import errno
import json
import logging
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import activelogic_embedded as embedded
from activelogic_embedded import BackupFile, exception
from activelogic_embedded.exception import PLDBError, PLDBIOError, PLDBNewDataCommitted

__all__ = ["BackupFile", "async_connect"]

FOLDER = Path(os.environ["TROUBLE_FOLDER"])


def _trouble(call: str, host: str = "") -> str:
    with (FOLDER / "calls").open("a", encoding="utf-8") as stream:
        stream.write(call + "\n")
    try:
        trouble: dict[str, str] = json.loads((FOLDER / "trouble.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    return trouble.get(f"{call}@{host}") or trouble.get(call, "")


def _note(**members: object) -> None:
    """In one write, so that lines of several threads and of a killed process stay whole."""
    handle = os.open(FOLDER / "notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, (json.dumps(members) + "\n").encode())
    finally:
        os.close(handle)


class _UnreadableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nobody can read this")


async def _meet(call: str, host: str = "") -> str:
    trouble = _trouble(call, host)
    if trouble == "hang":
        await asyncio.sleep(3600)
    elif trouble == "block":
        time.sleep(30)  # noqa: ASYNC251 (blocking the loop is the point)
    elif trouble == "block_thread":
        await asyncio.to_thread(time.sleep, 30)
    elif trouble == "block_pool":
        await asyncio.get_running_loop().run_in_executor(ThreadPoolExecutor(1), time.sleep, 30)
    elif trouble == "lost":
        raise PLDBIOError("the connection was lost")
    elif trouble == "stale":
        raise PLDBNewDataCommitted("another session committed")
    elif trouble == "bug":
        raise KeyError("nobody documented this")
    elif trouble == "full":
        raise OSError(errno.ENOSPC, "No space left on device")
    elif trouble == "unreadable":
        raise _UnreadableError
    elif trouble.startswith("raise:"):
        name = trouble[6:]
        raise (getattr(exception, name, None) or getattr(builtins, name))("as told")
    elif trouble.startswith("slow:"):
        await asyncio.sleep(float(trouble[5:]))
    return trouble


async def _write_for_ever(path: str) -> None:
    """At most 50 MB a second."""
    with Path(path).open("wb", buffering=0) as stream:  # noqa: ASYNC230
        while True:
            stream.write(bytes(500_000))
            await asyncio.sleep(0.01)


def _shorten(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes()[:-1])


def _tell_late(password: str) -> None:
    time.sleep(5)
    logging.getLogger(__name__).error("late, the password is %s", password)


class _Backup:
    def __init__(self, real: Any, host: str) -> None:
        self._real = real
        self._host = host

    @asynccontextmanager
    async def _noted(self, call: str, name: str) -> AsyncIterator[str]:
        """Yields the trouble that is left to the command; loses the answer afterwards where that was asked for."""
        note = {"call": call, "host": self._host, "name": name}
        _note(begins=True, **note)
        try:
            trouble = await _meet(call)
            yield trouble
        finally:
            _note(begins=False, **note)
        if trouble == "lost_after":
            raise PLDBIOError("the connection was lost")

    async def list(self, cls: type) -> Any:
        await _meet("list")
        return await self._real.list(cls)

    async def create_new(self, name: str = "", resource_name: str | None = None) -> Any:
        async with self._noted("create_new", name):
            return await self._real.create_new(name, resource_name)

    async def restore(self, name: str, resource_name: str | None = None) -> Any:
        async with self._noted("restore", name):
            return await self._real.restore(name, resource_name)

    async def remove(self, name: str) -> Any:
        async with self._noted("remove", name):
            return await self._real.remove(name)

    async def download(self, backup_name: str, *, dest_path: str) -> Any:
        async with self._noted("download", backup_name) as trouble:
            if trouble == "endless":
                await _write_for_ever(dest_path)
            if trouble == "endless_thread":
                await asyncio.to_thread(asyncio.run, _write_for_ever(dest_path))
            await self._real.download(backup_name, dest_path=dest_path)
            if trouble == "short":
                _shorten(Path(dest_path), Path(dest_path))

    async def upload(self, backup_name: str, *, in_path: str) -> Any:
        async with self._noted("upload", backup_name) as trouble:
            if trouble == "short":
                part = FOLDER / "part"
                _shorten(Path(in_path), part)
                in_path = str(part)
            if trouble == "refuse" and Path(in_path).read_bytes().startswith(b"bad"):  # noqa: ASYNC240
                raise PLDBError("this is no backup")
            await self._real.upload(backup_name, in_path=in_path)


class _Connection:
    def __init__(self, real: Any, host: str) -> None:
        self._real = real
        self._host = host
        self.machineid = real.machineid
        self.distversion = real.distversion

    async def __aenter__(self) -> _Connection:
        await self._real.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._real.__aexit__(*details)

    async def backup(self) -> _Backup:
        return _Backup(await self._real.backup(), self._host)


async def async_connect(host: str, username: str, password: str) -> _Connection:
    trouble = await _meet("connect", host)
    if trouble == "tell_late":
        await asyncio.to_thread(_tell_late, password)
    if trouble == "tell":
        logging.getLogger(__name__).error("the password is %s", password)
        raise PLDBError(f"{username} with {password!r} is not welcome")
    return _Connection(await embedded.async_connect(host, username, password), host)
