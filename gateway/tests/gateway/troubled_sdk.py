# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An SDK for the gateway's tests: the embedded one, which notes its calls and can be told to misbehave.

``TROUBLE_FOLDER`` holds ``calls`` (one line a call) and ``trouble.json``: for a call's name (``connect``, ``list``,
``create_new``, ...) one of ``hang`` (awaits for ever), ``block`` (blocks the thread), ``lost`` (PLDBIOError before
the command), ``lost_after`` (the same when it has happened), ``stale`` (PLDBNewDataCommitted), ``short`` (a download
or upload that is one byte short), ``refuse`` (an upload of what begins with "bad" is refused), ``bug`` (an exception
that nobody documented), or ``slow:SECONDS``.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import activelogic_embedded as embedded
from activelogic_embedded import BackupFile
from activelogic_embedded.exception import PLDBError, PLDBIOError, PLDBNewDataCommitted

__all__ = ["BackupFile", "async_connect"]

FOLDER = Path(os.environ["TROUBLE_FOLDER"])


def _trouble(call: str) -> str:
    with (FOLDER / "calls").open("a", encoding="utf-8") as stream:
        stream.write(call + "\n")
    try:
        trouble: dict[str, str] = json.loads((FOLDER / "trouble.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    return trouble.get(call, "")


async def _meet(call: str) -> str:
    trouble = _trouble(call)
    if trouble == "hang":
        await asyncio.sleep(3600)
    elif trouble == "block":
        time.sleep(30)  # noqa: ASYNC251 (blocking the loop is the point)
    elif trouble == "lost":
        raise PLDBIOError("the connection was lost")
    elif trouble == "stale":
        raise PLDBNewDataCommitted("another session committed")
    elif trouble == "bug":
        raise KeyError("nobody documented this")
    elif trouble.startswith("slow:"):
        await asyncio.sleep(float(trouble[5:]))
    return trouble


def _shorten(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes()[:-1])


class _Backup:
    def __init__(self, real: Any) -> None:
        self._real = real

    async def _command(self, call: str, *args: Any, **kwargs: Any) -> Any:
        trouble = await _meet(call)
        result = await getattr(self._real, call)(*args, **kwargs)
        if trouble == "lost_after":
            raise PLDBIOError("the connection was lost")
        return result

    async def list(self, cls: type) -> Any:
        return await self._command("list", cls)

    async def create_new(self, name: str = "", resource_name: str | None = None) -> Any:
        return await self._command("create_new", name, resource_name)

    async def restore(self, name: str, resource_name: str | None = None) -> Any:
        return await self._command("restore", name, resource_name)

    async def remove(self, name: str) -> Any:
        return await self._command("remove", name)

    async def download(self, backup_name: str, *, dest_path: str) -> Any:
        trouble = await _meet("download")
        await self._real.download(backup_name, dest_path=dest_path)
        if trouble == "short":
            _shorten(Path(dest_path), Path(dest_path))

    async def upload(self, backup_name: str, *, in_path: str) -> Any:
        trouble = await _meet("upload")
        if trouble == "short":
            part = FOLDER / "part"
            _shorten(Path(in_path), part)
            in_path = str(part)
        if trouble == "refuse" and Path(in_path).read_bytes().startswith(b"bad"):  # noqa: ASYNC240
            raise PLDBError("this is no backup")
        await self._real.upload(backup_name, in_path=in_path)
        if trouble == "lost_after":
            raise PLDBIOError("the connection was lost")


class _Connection:
    def __init__(self, real: Any) -> None:
        self._real = real
        self.machineid = real.machineid
        self.distversion = real.distversion

    async def __aenter__(self) -> _Connection:
        await self._real.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._real.__aexit__(*details)

    async def backup(self) -> _Backup:
        return _Backup(await self._real.backup())


async def async_connect(host: str, username: str, password: str) -> _Connection:
    await _meet("connect")
    return _Connection(await embedded.async_connect(host, username, password))
