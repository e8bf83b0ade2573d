# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines on their way to a file, a pipe or a terminal, written by a thread: a reader that stops holds up nobody else."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TextIO

MOST_LINES = 10_000
"""Lines that wait to be written; more are counted, and lost."""

LONGEST_LINE = 65_536
"""Characters of a line; the rest of a longer one is cut off."""


class LineWriter:
    """Takes lines at any time without waiting, and writes each at once if it can.

    :param open_stream: opens what is written to; it is called again by :meth:`reopen`.
    :param lost_line: the line that stands for a number of lines that were lost.
    :param report: told in a sentence what went wrong; from the thread, at most once in a row for the same thing.
    """

    def __init__(
        self,
        open_stream: Callable[[], TextIO],
        lost_line: Callable[[int], str],
        report: Callable[[str], None],
    ) -> None:
        self._open_stream = open_stream
        self._lost_line = lost_line
        self._report = report
        self._queue: queue.Queue[str | None] = queue.Queue(MOST_LINES)
        self._lost = 0
        self._lost_lock = threading.Lock()
        self._is_to_reopen = threading.Event()
        self._said = ""
        self._stream = open_stream()
        self._thread = threading.Thread(target=self._run, name="activelogic-lines", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Lines that were lost and are not reported yet."""
        return self._lost

    def write(self, line: str) -> None:
        """Have a line written, without its end; never blocks and never fails."""
        try:
            self._queue.put_nowait(line[:LONGEST_LINE] + "\n")
        except queue.Full:
            self._lose(1)

    def _lose(self, number: int) -> None:
        with self._lost_lock:
            self._lost += number

    def reopen(self) -> None:
        """Open the stream anew before the next line, for whoever rotates the file; the old one stays if that fails."""
        self._is_to_reopen.set()
        self.write("")

    def close(self, seconds: float) -> bool:
        """Write what waits, for at most so many seconds; returns whether all of it was written."""
        deadline = time.monotonic() + seconds
        try:
            self._queue.put(None, timeout=seconds)
        except queue.Full:
            return False
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    # On the thread

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            if self._is_to_reopen.is_set():
                self._is_to_reopen.clear()
                self._open_anew()
            if line.strip():
                self._put(line)
            if self._lost and self._queue.empty():
                self._tell_lost()
        self._tell_lost()
        self._stream.close()

    def _open_anew(self) -> None:
        try:
            stream = self._open_stream()
        except OSError as error:
            self._say(f"is kept open as it was: {error}")
            return
        self._stream, former = stream, self._stream
        former.close()

    def _put(self, line: str) -> bool:
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError) as error:  # such as a full disk, or a pipe that nobody reads any more
            self._lose(1)
            self._say(f"can't be written: {error}")
            return False
        self._said = ""
        return True

    def _tell_lost(self) -> None:
        with self._lost_lock:
            lost = self._lost
        if lost and self._put(self._lost_line(lost) + "\n"):
            self._lose(-lost)

    def _say(self, what: str) -> None:
        if what != self._said:
            self._said = what
            self._report(what)
