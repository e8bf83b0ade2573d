# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads a backup from a system into the spool, with a size limit: the SDK writes the file, and may never stop."""

from __future__ import annotations

import asyncio
from pathlib import Path

from .problems import Problem
from .spool import Spool
from .vendor_session import Session

LOOK_SECONDS = 0.2
"""How often the total size of the files is checked; a resource limit bounds each single file."""

MARGIN = 1024 * 1024
"""Bytes by which a file may exceed the listed size before its download is aborted."""


async def fetch(spool: Spool, session: Session, key: str, suffix: str, name: str, size: int, seconds: float) -> Path:
    """Download the backup ``name``, which the system lists with ``size`` bytes, to the spool file of ``key``.

    :param seconds: time limit for the whole download.
    :raises Problem: ``transfer_incomplete`` if far more bytes arrive than were listed, or the SDK writes no file.
    :raises CommandFailed, TimeLimit: as :meth:`Session.download`. After any exception the file is gone.
    """
    path = spool.path(key, suffix)
    most = size + MARGIN
    download = asyncio.ensure_future(session.download(name, path, most, seconds))
    try:
        while not download.done() and spool.written(path.name) < most:
            await asyncio.wait({download}, timeout=LOOK_SECONDS)
        if spool.written(path.name) >= most:
            raise Problem("transfer_incomplete", f"{name}: {most} bytes and more came, the system lists {size}")
        await download
        if not path.is_file():
            raise Problem("transfer_incomplete", f"{name}: the download left no file")
    except BaseException:
        if not download.done():
            session.kill()  # otherwise it would keep writing
            download.cancel()
        await asyncio.wait({download})
        if not download.cancelled():
            download.exception()  # mark it as retrieved: the exception raised here reports it
        await session.close()
        spool.remove(path.name)
        raise
    return path
