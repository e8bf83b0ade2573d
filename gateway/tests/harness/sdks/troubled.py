# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An SDK for the gateway's tests: the embedded one, which records its calls and misbehaves on request.

``TROUBLE_FOLDER`` holds ``calls`` (one line per call), ``notes`` (a JSON line when a command on backups begins, and
one when it ends) and ``trouble.json``: for the name of a call (``connect``, ``list``, ``create_new``, ..., ``close``;
``list@HOST`` for one system) one of ``hang`` (awaits forever), ``block`` (blocks the loop), ``block_thread`` (blocks a
thread of the loop's executor), ``block_pool`` (blocks a thread of a separate executor), ``lost`` (PLDBIOError before
the command), ``lost_after`` (the same after the command), ``stale`` (PLDBNewDataCommitted), ``short`` (a download or
upload that is one byte short), ``endless`` (a download that never ends), ``endless_thread`` (the same, and it can't be
cancelled), ``refuse`` (refuses uploads whose content begins with "bad"), ``bug`` (an undocumented exception),
``raise:CLASS`` (an exception of the SDK or of Python), ``unreadable`` (an exception whose ``str()`` fails), ``full``
(a full disk), ``tell`` (the password in the log and in an exception), ``tell_late`` (in the log, after three seconds),
``first`` (a session repeats its first listing), or ``slow:SECONDS``.

The entries of :data:`HARM` damage their process: they crash it, hold the interpreter lock, exhaust memory, print
endlessly, leave child processes behind, and more.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import ctypes
import errno
import itertools
import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import activelogic_embedded as embedded
from activelogic_embedded import BackupFile, exception
from activelogic_embedded.exception import PLDBError, PLDBIOError, PLDBNewDataCommitted
from tests.harness.sdks.password_forms import forms

__all__ = ["BackupFile", "async_connect"]

FOLDER = Path(os.environ["TROUBLE_FOLDER"])


def _trouble(call: str, host: str) -> str:
    """The trouble set for a call, on this host or on all."""
    if call != "close":  # closing is not a command
        _note_call(call)
    try:
        trouble: dict[str, str] = json.loads((FOLDER / "trouble.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    return trouble.get(f"{call}@{host}", trouble.get(call, ""))


def _note_call(call: str) -> None:
    with (FOLDER / "calls").open("a", encoding="utf-8") as stream:
        stream.write(call + "\n")


def _note(**members: object) -> None:
    """Use a single write, so that lines of concurrent threads and of a killed process stay intact."""
    handle = os.open(FOLDER / "notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, (json.dumps(members) + "\n").encode())
    finally:
        os.close(handle)


async def _meet(call: str, host: str) -> str:
    trouble = _trouble(call, host)
    if trouble in HARM:
        HARM[trouble]()
    elif trouble == "hang":
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
    elif trouble.startswith("raise:"):
        name = trouble[6:]
        raise (getattr(exception, name, None) or getattr(builtins, name))("as told")
    elif trouble.startswith("slow:"):
        await asyncio.sleep(float(trouble[5:]))
    return trouble


def _keep_the_interpreter() -> None:
    ctypes.PyDLL(None).sleep(30)  # unlike CDLL, PyDLL does not release the GIL


def _eat_memory() -> None:
    eaten = []
    while True:
        eaten.append(bytearray(10_000_000))


def _eat_memory_slowly() -> None:
    """Allocate small pieces, and free none when memory runs out."""
    eaten.extend(str(number) for number in iter(int, 1))


eaten: list[str] = []


def _print_for_ever() -> None:
    while True:
        print("x" * 1000)


def _print_natively() -> None:
    libc = ctypes.CDLL(None)
    for number in (1, 2):
        os.write(number, b"written to descriptor %d\n" % number)
    libc.puts(b"written by C")
    libc.fflush(None)


def _leave_children() -> None:
    """One blocks signals, one is in another process session, and one is an orphan in another process session."""
    for kind in ("deaf", "own_session", "orphan"):
        if os.fork() == 0:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP, signal.SIGINT})
            if kind != "deaf":
                os.setsid()
            if kind == "orphan" and os.fork() > 0:
                os._exit(0)
            time.sleep(3600)


def _be_deaf() -> None:
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(each, signal.SIG_IGN)
    while True:
        time.sleep(1)


def _write_everywhere() -> None:
    """Write to every open descriptor, one of which leads to the gateway."""
    for number in range(3, 40):
        with contextlib.suppress(OSError):
            os.write(number, b"\xff\xff\xff\xffthis is no answer")


class _UnreadableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nobody can read this")

    __repr__ = __str__


def _raise_unreadable() -> None:
    raise _UnreadableError


def _raise_huge() -> None:
    raise PLDBError("x" * 50_000_000)


HARM: dict[str, Callable[[], object]] = {
    "exit": lambda: os._exit(3),
    "sys_exit": lambda: sys.exit(4),
    "abort": os.abort,
    "segfault": lambda: ctypes.string_at(0),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "interpreter": _keep_the_interpreter,
    "regex": lambda: re.match("(a|a)*b", "a" * 40),
    "memory": _eat_memory,
    "memory_slowly": _eat_memory_slowly,
    "print": _print_for_ever,
    "print_lines": lambda: print("y\n" * 5000),
    "print_natively": _print_natively,
    "print_escapes": lambda: print("\x1b[31mred\u202e\rERROR forged"),
    "children": _leave_children,
    "deaf": _be_deaf,
    "write_everywhere": _write_everywhere,
    "unreadable": _raise_unreadable,
    "huge": _raise_huge,
}


async def _write_for_ever(path: str) -> None:
    """Write at most 50 MB per second."""
    with Path(path).open("wb", buffering=0) as stream:  # noqa: ASYNC230
        while True:
            stream.write(bytes(500_000))
            await asyncio.sleep(0.01)


def _shorten(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes()[:-1])


def _tell_late(password: str) -> None:
    time.sleep(3)
    logging.getLogger(__name__).error("late, the password is %s", password)


class _Backup:
    def __init__(self, real: Any, host: str, listed: list[Any]) -> None:
        self._real = real
        self._host = host
        self._listed = listed

    @asynccontextmanager
    async def _noted(self, call: str, name: str) -> AsyncIterator[str]:
        """Yield the trouble that the command itself must handle; afterwards, lose the answer if requested."""
        note = {"call": call, "host": self._host, "name": name}
        _note(begins=True, **note)
        try:
            trouble = await _meet(call, self._host)
            yield trouble
        finally:
            _note(begins=False, **note)
        if trouble == "lost_after":
            raise PLDBIOError("the connection was lost")

    async def list(self, cls: type) -> Any:
        trouble = await _meet("list", self._host)
        if trouble == "first":
            self._listed[:] = self._listed or [await self._real.list(cls)]
            return self._listed[0]
        if trouble == "endless":
            return (BackupFile(f"{number}.plb", 1) for number in itertools.count())
        if trouble == "odd":
            return [BackupFile("x" * 5000, 1)]
        if trouble.startswith("many:"):
            return [BackupFile(f"{number}-\U0001f600{'x' * 200}.plb", number) for number in range(int(trouble[5:]))]
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


class _CommittingBackup(_Backup):
    async def commit(self) -> None:
        await self._real.commit()


class _Connection:
    def __init__(self, real: Any, host: str) -> None:
        self._real = real
        self._host = host
        self._listed: list[Any] = []
        self.machineid = real.machineid
        self.distversion = real.distversion

    async def __aenter__(self) -> _Connection:
        await self._real.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await _meet("close", self._host)
        await self._real.__aexit__(*details)

    async def backup(self) -> _Backup:
        real = await self._real.backup()
        return (_CommittingBackup if hasattr(real, "commit") else _Backup)(real, self._host, self._listed)


async def async_connect(host: str, username: str, password: str) -> _Connection:
    trouble = await _meet("connect", host)
    if trouble == "tell_late":
        await asyncio.to_thread(_tell_late, password)
    if trouble == "tell_forms":
        for form in forms(username, password):
            print(form, flush=True)
    if trouble == "tell":
        logging.getLogger(__name__).error("the password is %s", password)
        raise PLDBError(f"{username} with {password!r} is not welcome")
    return _Connection(await embedded.async_connect(host, username, password), host)
