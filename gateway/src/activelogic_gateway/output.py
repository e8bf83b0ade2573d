# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The output of the vendor's package: read from a pipe, limited, redacted, and written to the log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os

from .logs import Secrets
from .redaction import excerpt

logger = logging.getLogger("activelogic_gateway.package")

MOST_BYTES = 32768
"""Limit for one process; the rest is read and dropped."""

MOST_LINES = 100
"""Limit for one process."""

MOST_LINE = 2000
"""Maximum length of a line, in characters."""

_PIECE = 65536
_PAUSE = 0.05
"""Seconds between two reads that are dropped: slows down a process that prints endlessly, and saves processor time."""


class Output:
    """The output of one process.

    :param descriptor: file descriptor to read from; :meth:`finish` closes it.
    :param label: prefix of each line.
    """

    def __init__(self, descriptor: int, label: str, secrets: Secrets) -> None:
        self.descriptor = descriptor
        os.set_blocking(descriptor, False)
        self._label = label
        self._secrets = secrets
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._line = bytearray()
        self._bytes = 0
        self._lines = 0
        self._dropped = 0
        self._is_open = True

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read on this event loop from now on."""
        self._loop = loop
        loop.add_reader(self.descriptor, self._readable)

    def _readable(self) -> None:
        if not self.take():
            self._detach()
        elif self._dropped and self._loop is not None:
            self._loop.remove_reader(self.descriptor)
            self._timer = self._loop.call_later(_PAUSE, self.attach, self._loop)

    def _detach(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._loop is not None:
            self._loop.remove_reader(self.descriptor)
            self._loop = None

    def take(self) -> bool:
        """Read one chunk of what is available; returns ``False`` at the end of the stream."""
        try:
            piece = os.read(self.descriptor, _PIECE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        kept = piece[: max(0, MOST_BYTES - self._bytes)] if self._lines < MOST_LINES else b""
        self._bytes += len(kept)
        self._dropped += len(piece) - len(kept)
        self._line += kept
        *whole, self._line = self._line.split(b"\n")
        for line in whole:
            self._write(line)
        return bool(piece)

    def _write(self, line: bytes | bytearray) -> None:
        if not line.strip():
            return
        self._lines += 1
        if self._lines > MOST_LINES:
            self._dropped += len(line)
            return
        text = excerpt(line.decode("utf-8", "backslashreplace"), self._secrets.all(), MOST_LINE)
        logger.warning("%s: %s", self._label, "".join(each if each.isprintable() else _escaped(each) for each in text))

    def finish(self) -> None:
        """Read the rest, up to the limits, and close the descriptor. Call it when the process has ended."""
        if not self._is_open:
            return
        self._is_open = False
        self._detach()
        with contextlib.suppress(OSError):
            while not self._dropped and (before := self._bytes) < MOST_BYTES and self.take() and self._bytes > before:
                pass
        if self._dropped:  # the last line may end in the middle of a password
            logger.warning("%s: more than %d bytes of its output were dropped", self._label, self._dropped)
        else:
            self._write(self._line)
        os.close(self.descriptor)


def _escaped(character: str) -> str:
    """Escape a control character, which could forge a log line or control a terminal."""
    return character.encode("unicode_escape").decode("ascii")
