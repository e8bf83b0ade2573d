# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup's way from a system into the spool, bounded in bytes: the SDK writes the file, and it may never end."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from .problems import Problem
from .spool import Remains, Spool
from .vendor_session import Session

LOOK_SECONDS = 0.2
"""How often the size of the file is looked at."""

MARGIN = 1024 * 1024
"""Bytes that a file may have beyond the listed size before its download is given up."""


async def fetch(spool: Spool, session: Session, key: str, suffix: str, name: str, size: int, seconds: float) -> Path:
    """Download the backup ``name``, which the system lists with ``size`` bytes, to the spool file of ``key``.

    :param seconds: for the whole download.
    :raises Problem: ``transfer_incomplete`` when far more bytes arrive than were listed, or no file does.
    :raises CommandFailed, TimeLimit: as :meth:`Session.download`. After any exception the file is gone.
    """
    path = spool.path(key, suffix)
    download = asyncio.ensure_future(session.download(name, path, seconds))
    try:
        while not download.done():
            await asyncio.wait({download}, timeout=LOOK_SECONDS)
            written = spool.written(path.name)
            if written > size + MARGIN:
                raise Problem("transfer_incomplete", f"{name}: {written} bytes and more came, the system lists {size}")
        await download
        if not path.is_file():
            raise Problem("transfer_incomplete", f"{name}: the download left no file")
    except BaseException:
        download.cancel()  # its session is given up with it
        session.aftermath = asyncio.create_task(_keep_empty(spool.remains(path.name), session))
        raise
    return path


async def _keep_empty(remains: Remains, session: Session) -> None:
    """An abandoned call may go on writing: what it writes must not fill the disk."""
    try:
        while not session.ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(session.ended.wait(), LOOK_SECONDS)
            remains.clear()
    finally:
        remains.close()
