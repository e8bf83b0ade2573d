# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes lines to a file, pipe or terminal in a thread, so that a blocked reader never blocks the gateway."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TextIO

MOST_LINES = 10_000
"""Maximum length of the queue, in lines; when it is full, further lines are dropped and counted."""

LONGEST_LINE = 65_536
"""Maximum length of a line, in characters; longer ones are truncated."""


class LineWriter:
    """Queues lines without blocking, and writes and flushes each in its thread.

    :param open_stream: opens the stream to write to; :meth:`reopen` causes another call.
    :param lost_line: returns the line to write in place of a number of lost lines.
    :param report: called with a description of an error, in the thread; not repeated for the same error in a row.
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
        self._reported = ""
        self._stream = open_stream()
        self._thread = threading.Thread(target=self._run, name="activelogic-lines", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Number of lines that were lost and are not reported yet."""
        return self._lost

    def write(self, line: str) -> None:
        """Queue a line, given without its line end; never blocks and never fails."""
        try:
            self._queue.put_nowait(line[:LONGEST_LINE] + "\n")
        except queue.Full:
            self._lose(1)

    def _lose(self, number: int) -> None:
        with self._lost_lock:
            self._lost += number

    def reopen(self) -> None:
        """Reopen the stream before the next line, after log rotation; if that fails, the old stream stays in use."""
        self._is_to_reopen.set()
        self.write("")

    def close(self, seconds: float) -> bool:
        """Write the queued lines within so many seconds; returns whether all of them were written."""
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
                self._reopen_stream()
            if line.strip():
                self._put(line)
            if self._lost and self._queue.empty():
                self._write_lost()
        self._write_lost()
        self._stream.close()

    def _reopen_stream(self) -> None:
        try:
            stream = self._open_stream()
        except OSError as error:
            self._report_once(f"can't be reopened: {error}")
            return
        self._stream, former = stream, self._stream
        former.close()

    def _put(self, line: str) -> bool:
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError) as error:  # such as a full disk, or a pipe without a reader
            self._lose(1)
            self._report_once(f"can't be written: {error}")
            return False
        self._reported = ""
        return True

    def _write_lost(self) -> None:
        with self._lost_lock:
            lost = self._lost
        if lost and self._put(self._lost_line(lost) + "\n"):
            self._lose(-lost)

    def _report_once(self, what: str) -> None:
        if what != self._reported:
            self._reported = what
            self._report(what)
