# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of operations in the spool: receiving that of uploads, and handing out that of downloads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from .operations import Operation
from .spool import Content, Receiver, Spool


class OperationContents:
    """Receives, checks and returns the content of operations."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def of(self, operation: Operation) -> Content:
        """Return the content of a finished download.

        :raises Problem: ``no_content``, ``conflict`` (not finished or not succeeded) or ``content_gone``.
        """
        uuid = operation.key.uuid
        if operation.request.action != "download":
            raise operation.problem("no_content", f"operation {uuid} is not a download")
        if operation.state != "succeeded":
            raise operation.problem("conflict", f"operation {uuid} is {operation.state}")
        if operation.content is None:
            raise operation.problem("content_gone", f"the content of operation {uuid} is no longer kept")
        return operation.content

    async def receive(self, operation: Operation, pieces: AsyncIterator[bytes]) -> Content:
        """Receive the content of an upload into the spool; a new attempt supersedes one that is in progress.

        :raises Problem: ``conflict`` if it awaits no content, or this attempt was superseded; ``spool_full``.
        """
        if operation.state != "awaiting_content":
            raise operation.problem("conflict", f"operation {operation.key.uuid} is {operation.state}")
        spool_key = operation.spool_key
        self._spool.check(spool_key, operation.request.size or 0)
        token = operation.receiving = object()
        operation.receptions += 1
        part = f"{operation.receptions}.in"
        receiver = await asyncio.to_thread(Receiver, self._spool.path(spool_key, part))
        content: Content | None = None
        try:
            async for piece in pieces:
                self._require_receiving(operation, token)
                self._spool.grow(spool_key, part, len(piece))
                await receiver.write(piece)
                operation.received = time.monotonic()
            self._require_receiving(operation, token)
            content = await receiver.finish()
            self._require_receiving(operation, token)
            former, operation.content = operation.content, content
            if former is not None:
                self._drop_content(operation, former)
            return content
        finally:
            if operation.receiving is token:
                operation.receiving = None
            operation.touch()
            if operation.content is not content or content is None:
                await receiver.abort()
                self._spool.release(spool_key, part)

    def _drop_content(self, operation: Operation, content: Content) -> None:
        content.path.unlink(missing_ok=True)
        self._spool.release(operation.spool_key, content.path.name.partition(".")[2])

    @staticmethod
    def _require_receiving(operation: Operation, token: object) -> None:
        if operation.state != "awaiting_content" or operation.receiving is not token:
            said = f"operation {operation.key.uuid} took other content, or was ended"
            raise operation.problem("conflict", said)

    def check_committed(self, operation: Operation, sha256: str) -> None:
        """Check that an upload can start: its content is complete, and has this digest.

        :raises Problem: ``digest_mismatch`` (the content is deleted), ``conflict``.
        """
        uuid, content = operation.key.uuid, operation.content
        if operation.state != "awaiting_content" or content is None or operation.receiving is not None:
            state = "has no content yet" if operation.state == "awaiting_content" else f"is {operation.state}"
            raise operation.problem("conflict", f"operation {uuid} {state}")
        if content.sha256 != sha256:
            operation.content = None
            self._drop_content(operation, content)
            said = f"the content has the SHA-256 {content.sha256}, not {sha256}; it was dropped"
            raise operation.problem("digest_mismatch", said)
