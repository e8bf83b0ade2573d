# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit log (JSON lines), the program's log (stderr), and the redaction of passwords."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from .line_writer import LineWriter
from .redaction import Secret, redact


class Secrets:
    """The passwords that are in use, counted by holder; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Counter[Secret] = Counter()

    def add(self, secret: str) -> None:
        """Add a holder of ``secret``."""
        with self._lock:
            self._held[Secret(secret)] += 1

    def discard(self, secret: str) -> None:
        """Remove a holder of ``secret``; without holders it is forgotten."""
        key = Secret(secret)
        with self._lock:
            self._held[key] -= 1
            if self._held[key] <= 0:
                del self._held[key]

    @contextmanager
    def held(self, secret: str) -> Iterator[None]:
        """Hold ``secret`` during a ``with`` block."""
        self.add(secret)
        try:
            yield
        finally:
            self.discard(secret)

    def all(self) -> tuple[Secret, ...]:
        """Return all secrets that are held."""
        with self._lock:
            return tuple(self._held)


class RedactingFilter(logging.Filter):
    """Redacts the passwords in use from everything that a handler writes, including tracebacks."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets
        self._formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record; never drops it."""
        secrets = self._secrets.all()
        record.msg = redact(record.getMessage(), secrets)
        record.args = ()
        if record.exc_info:
            record.exc_text = redact(record.exc_text or self._formatter.formatException(record.exc_info), secrets)
            record.exc_info = None
        return True


CLOSE_SECONDS = 2.0
"""Maximum number of seconds that the gateway waits at exit to write the rest of a log."""

_MEMBERS = ("client", "system", "user", "command", "name", "operation", "method", "outcome", "bytes", "milliseconds")


class AuditLog:
    """One JSON object per line, written to a file, or to standard output if ``path`` is ``None``.

    Every line has every member. ``event`` is ``request``, ``refused`` (refused before it became a request),
    ``operation`` (the end of one), or ``lost`` (lines that could not be written); ``user`` is null before a login;
    ``bytes`` is the size of a request's bodies (in and out), or of the operation's backup if known.
    """

    def __init__(self, path: Path | None) -> None:
        """Open the log; raises ``OSError``."""
        self._path = path
        self._writer = LineWriter(
            self._open,
            lambda lost: _audit_line("lost", outcome={"lines": lost}),
            lambda what: logging.getLogger(__name__).error("the audit log %s", what),
        )

    def _open(self) -> TextIO:
        if self._path is None:
            return os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", errors="backslashreplace")
        return open(self._path, "a", encoding="utf-8", errors="backslashreplace", opener=_private)

    def reopen(self) -> None:
        """Reopen the file after log rotation."""
        self._writer.reopen()

    def write(self, event: str, **members: Any) -> None:
        """Queue a line; adds ``time`` (UTC, RFC 3339). Never blocks; write errors, such as a full disk, are logged."""
        self._writer.write(_audit_line(event, **members))

    def close(self) -> None:
        """Write the queued lines, for at most :data:`CLOSE_SECONDS`, and close the file."""
        if not self._writer.close(CLOSE_SECONDS):
            logging.getLogger(__name__).error("the audit log does not take its last lines")


def _audit_line(event: str, **members: Any) -> str:
    return json.dumps({"time": now_text(), "event": event, **dict.fromkeys(_MEMBERS), **members}, default=str)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def now_text() -> str:
    """Return the current time in UTC with milliseconds, in RFC 3339 format."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _LineHandler(logging.Handler):
    """Hands formatted records to a :class:`LineWriter`, so that logging never blocks."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Format and queue the record."""
        try:
            self._writer.write(self.format(record))
        except Exception:  # as in every handler: a bad record must not raise in the code that logs it
            self.handleError(record)


def set_up(secrets: Secrets) -> LineWriter:
    """Send all logging to standard error through the redacting filter; returns the writer, for closing it."""
    writer = LineWriter(
        lambda: os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", errors="backslashreplace"),
        lambda lost: f"WARNING {__name__}: {lost} lines of this log were lost",
        lambda _what: None,  # there is nowhere else to report it
    )
    handler = _LineHandler(writer)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(RedactingFilter(secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # refused requests are in the audit log
    return writer
