# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything of an HTTP answer but its body, read within bounds. Private to this collection.

That is status line, headers, interim answers (1xx), and in a chunked body the sizes and the trailer. ``http.client``
and ``urllib3`` limit some of these lines, and not all of them, and none of their numbers; a size of a chunk below zero
makes them read until the connection ends.
"""

from __future__ import annotations

from http.client import HTTPResponse
from typing import Any

from ._documents import wrong

MAX_HEAD = 64 * 1024
"""Bytes of lines, in all; a gateway's heads have some hundred."""

LINES_PER_BYTE = 16
"""Bytes of lines for each byte of the body, beyond that: the smallest chunk needs 6."""


class BoundedResponse(HTTPResponse):
    """Reads from its connection within bounds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp: Any = _BoundedFile(self.fp)


class _BoundedFile:
    """The file of a connection. What is not here goes to the file itself.

    :raises ProtocolError: from what reads, when the bounds are reached.
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
