# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits for everything in an HTTP response except its body. Private to this collection.

That is the status line, headers, interim responses (1xx), and the chunk sizes and trailer of a chunked body.
``http.client`` and ``urllib3`` limit the length of some of these lines, and the number of none; a negative chunk size
makes them read until the connection ends.
"""

from __future__ import annotations

from http.client import HTTPResponse
from typing import Any

from ._documents import wrong

MAX_HEAD = 64 * 1024
"""Total bytes of such lines; the headers of a gateway have some hundred."""

LINES_PER_BYTE = 16
"""Additional bytes of lines for each byte of the body; the smallest chunk needs 6."""


class BoundedResponse(HTTPResponse):
    """A response that is read within these limits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp: Any = _BoundedFile(self.fp)


class _BoundedFile:
    """Wraps the file of a connection, and delegates everything else to it.

    :raises ProtocolError: from each reading method, when a limit is exceeded.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left = MAX_HEAD

    def readline(self, limit: int = -1) -> bytes:
        most = MAX_HEAD if limit < 0 else min(limit, MAX_HEAD)
        line: bytes = self._file.readline(most)
        self._left -= len(line)
        if self._left < 0:
            raise wrong(f"has a head, or sizes of chunks, of more than {MAX_HEAD} bytes")
        return line

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(_checked(size))
        self._left += LINES_PER_BYTE * len(data)
        return data

    def read1(self, size: int = -1) -> bytes:
        data: bytes = self._file.read1(_checked(size))
        self._left += LINES_PER_BYTE * len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        size: int = self._file.readinto(buffer)
        self._left += LINES_PER_BYTE * size
        return size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _checked(size: int | None) -> int:
    if size is None or size < 0:
        raise wrong("has a length that makes no sense")
    return size
