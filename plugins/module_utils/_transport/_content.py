# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Download and upload the content of backups through a gateway. Private to this collection."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

from .. import _failures, _sentences
from .._connection import Settings
from .._deadline import Deadline
from .._errors import AccessDeniedError, ActiveLogicError, UnreachableError
from .._files._access import PIECE, Opener, local_errors, shown
from .._model import Received
from ._base import Attempts, pause
from ._documents import byte_count, digest
from ._http import Http, PassedOnError
from ._problems import error_from_response

OCTETS = "application/octet-stream"


class _HashingReader:
    """The body of an upload: read once, in order, and hashed while it is read.

    It has a length and no ``tell``, so ``requests`` sends it with Content-Length, in the pieces that ``read`` returns.
    """

    def __init__(self, source: BinaryIO, path: str, size: int, deadline: Deadline) -> None:
        self._source = source
        self._path = path
        self._size = size
        self._deadline = deadline
        self._digest = hashlib.sha256()
        self.sent = 0

    def __len__(self) -> int:
        return self._size

    def read(self, amount: int = -1) -> bytes:
        """Return the next piece; never more than :data:`PIECE`, whatever ``amount`` says, so memory stays constant.

        :raises ActiveLogicError: for a problem with the file, which would otherwise look like a lost connection.
        """
        if self._deadline.is_over():
            raise _TransferExpiredError
        with local_errors(self._path):
            piece = self._source.read(min(PIECE, self._size - self.sent))
        if not piece and self.sent < self._size:
            raise _failures.PUSH_CHANGED.error(path=shown(self._path))
        self._digest.update(piece)
        self.sent += len(piece)
        return piece

    def sha256(self) -> str:
        return self._digest.hexdigest()


class _TransferExpiredError(PassedOnError):
    """The deadline passed while a body was being sent; never leaves this file."""


class Content:
    """Receives and sends the content of operations."""

    def __init__(self, http: Http, settings: Settings, sleep: Callable[[float], None]) -> None:
        self._http = http
        self._settings = settings
        self._sleep = sleep

    def receive(
        self, url: str, path: str, size: int, sha256: str, deadline: Deadline, opener: Opener | None
    ) -> Received:
        """Stream the content of a finished download into ``path``, resuming after a lost connection.

        If the peer ignores the range and sends the whole content again, start over.
        """
        digest = hashlib.sha256()
        received = transferred = resumed_from = furthest = 0
        number = 0
        with local_errors(path), open(path, "wb", opener=opener or _private) as target:
            while received < size:
                try:
                    for position, piece in self._pieces(url, received, sha256, deadline):
                        if position != received:
                            target.seek(0)
                            target.truncate()
                            digest = hashlib.sha256()
                            received = resumed_from = 0
                        target.write(piece)
                        digest.update(piece)
                        received += len(piece)
                        transferred += len(piece)
                        if received > size:
                            raise _failures.CONTENT_LONG.error(size=size)
                    if received < size:
                        raise _failures.CONTENT_SHORT.error(repeatable=True)
                except (UnreachableError, AccessDeniedError) as error:
                    if deadline.is_over():
                        raise _late(deadline, received, size) from error
                    number = 0 if received > furthest else number + 1
                    furthest = max(furthest, received)
                    if number > self._settings.retries or not error.repeatable:
                        raise
                    self._http.tries += 1
                    resumed_from = received
                    self._sleep(min(pause(number, self._settings, error), max(0.0, deadline.left())))
                if deadline.is_over():
                    raise _late(deadline, received, size)
            target.flush()
            os.fsync(target.fileno())
        if digest.hexdigest() != sha256:
            raise _failures.CONTENT_OTHER.error(size=size, arrived=digest.hexdigest(), announced=sha256)
        return Received(size, sha256, True, transferred, resumed_from)

    def _pieces(self, url: str, offset: int, sha256: str, deadline: Deadline) -> Iterator[tuple[int, bytes]]:
        """The content from ``offset``, or all of it, as pairs of position and piece."""
        headers = {"Accept": OCTETS}
        if offset:
            headers.update({"Range": f"bytes={offset}-", "If-Range": f'"{sha256}"'})
        with self._http.answer("GET", url, deadline, headers=headers) as response:
            if response.status_code not in ((200, 206) if offset else (200,)):
                raise error_from_response(response, self._http.read_document(response), self._settings)
            media_type = response.headers.get("Content-Type", OCTETS).partition(";")[0].strip().lower()
            if media_type != OCTETS:  # such as the login page of a proxy
                raise _failures.GATEWAY_ANSWER_WRONG.error(flaw=f"is no content of a backup ({media_type[:40]})")
            position = offset if response.status_code == 206 else 0
            part = response.headers.get("Content-Range", "")
            if position and not part.lower().startswith(f"bytes {offset}-"):
                raise _failures.GATEWAY_ANSWER_WRONG.error(flaw=f"is not the part that was asked for ({part[:60]})")
            try:
                for piece in response.raw.stream(PIECE, decode_content=False):
                    yield position, piece
                    position += len(piece)
            except Exception as error:
                raise self._http.translate(error) from error

    def send(self, url: str, source: BinaryIO, path: str, size: int, deadline: Deadline) -> str:
        """Send the content of an upload to the gateway, which does not forward it yet, and return its SHA-256 (hex)."""
        timeout = (self._settings.read_timeout, self._settings.read_timeout)  # the first also limits writes
        attempts = Attempts(self._settings, self._sleep, self._http.count)
        while True:
            with attempts:
                source.seek(0)
                reader = _HashingReader(source, path, size, deadline)
                headers = {"Content-Type": OCTETS}
                try:
                    with self._http.answer(
                        "PUT", url, deadline, headers=headers, data=reader, timeout=timeout
                    ) as response:
                        document = self._http.read_document(response)
                        if response.status_code not in (200, 201):
                            raise error_from_response(response, document, self._settings)
                except _TransferExpiredError:
                    raise _late(deadline, reader.sent, size) from None
                except UnreachableError as error:
                    if not deadline.is_over():
                        raise
                    raise _late(deadline, reader.sent, size) from error
                if (digest(document), byte_count(document, "size")) != (reader.sha256(), size):
                    raise _failures.CONTENT_SENT_OTHER.error()
                return reader.sha256()


def _late(deadline: Deadline, done: int, size: int) -> ActiveLogicError:
    return _failures.TRANSFER_LATE.error(
        seconds=deadline.seconds, done=_sentences.size(done), size=_sentences.size(size)
    )


def _private(path: str, flags: int) -> int:
    """Opener that makes new files readable by their owner only, as they may hold secrets."""
    return os.open(path, flags, 0o600)
