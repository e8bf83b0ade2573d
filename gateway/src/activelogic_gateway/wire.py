# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol between the gateway and session processes: JSON frames, so that no message can execute code.

A frame is a four-byte length (big-endian) and a JSON object. The vendor's code runs on the other side, so the gateway
limits the size of frames, and validates each member before it uses it.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

MOST_REPLY = 65536
"""Maximum size of a frame that the gateway accepts, in bytes."""

MOST_REQUEST = 1024 * 1024
"""Maximum size of a frame that a session accepts, in bytes: a password is limited by the size of a request head."""

MOST_BACKUPS = 20_000
"""Maximum number of rows in a listing."""

MOST_NAME = 1024
"""Maximum length of a name, in characters."""

MOST_SAID = 500
"""Maximum length of an exception's text, in characters."""

MOST_CLASSES = 20
MOST_CLASS_NAME = 100
"""Maximum number of an exception's classes, and of characters in their names."""

LENGTH = struct.Struct(">I")


class WireError(Exception):
    """An invalid frame, or an unexpected message; the text says why."""


class VendorError(Exception):
    """An exception of the vendor's package that was raised in a session process.

    :param class_names: names of its classes, most derived first.
    :param said: its text.
    :param number: its ``errno``, if it has one.
    """

    def __init__(self, class_names: list[str], said: str, number: int | None = None) -> None:
        super().__init__(said)
        self.class_names = class_names
        self.errno = number


class SessionLost(Exception):
    """The process of a session ended before it responded."""


def frame(message: dict[str, Any]) -> bytes:
    """Encode a message as a frame."""
    body = json.dumps(message).encode("ascii")
    return LENGTH.pack(len(body)) + body


async def receive(reader: asyncio.StreamReader, most: int) -> dict[str, Any]:
    """Wait for the next message.

    :raises WireError: if it is invalid, or has more than ``most`` bytes.
    :raises EOFError, OSError: if the other side has ended.
    """
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    if length > most:
        raise WireError("a message is too long")
    try:
        message = json.loads(await reader.readexactly(length))
    except (ValueError, RecursionError):
        raise WireError("a message is not JSON") from None
    if not isinstance(message, dict):
        raise WireError("a message is not an object")
    return message


def read_error(found: Any) -> VendorError:
    """Decode an exception from a message.

    :raises WireError: if it is invalid.
    """
    if isinstance(found, dict):
        names, said, number = found.get("names"), found.get("said"), found.get("errno")
        if (
            isinstance(names, list)
            and names
            and all(isinstance(each, str) for each in names)
            and isinstance(said, str)
            and (number is None or type(number) is int)
        ):
            return VendorError([each[:MOST_CLASS_NAME] for each in names[:MOST_CLASSES]], said[:MOST_SAID], number)
    raise WireError("a message contains no exception")


class BackupEntry(NamedTuple):
    """One backup in a listing; ``size`` in bytes."""

    name: str
    size: int


class Listing:
    """The backups of a system, in the order in which its session process sends them.

    They are kept as JSON text: as objects they take up to four times the memory, and many clients may request long
    listings at the same time.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0

    def add(self, rows: Any) -> None:
        """Add the rows of a message.

        :raises WireError: if the rows are invalid, or the listing gets too long.
        """
        if not isinstance(rows, list):
            raise WireError("a message contains no rows")
        for row in rows:
            match row:
                case [str(name), int(size)] if len(name) <= MOST_NAME and type(size) is int and 0 <= size < 2**63:
                    continue
            raise WireError("a message contains an invalid row")
        self._length += len(rows)
        if self._length > MOST_BACKUPS:
            raise WireError("a listing is too long")
        self._parts.append(json.dumps(rows).encode("ascii"))

    def __iter__(self) -> Iterator[BackupEntry]:
        for part in self._parts:
            for name, size in json.loads(part):
                yield BackupEntry(name, size)
