# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs: the audit log (JSON lines), the program's own log (stderr), and the filter that keeps secrets out of both."""

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

from .problems import redact


class Secrets:
    """The passwords that are in memory right now; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()

    def add(self, secret: str) -> None:
        """Hold ``secret`` once more."""
        with self._lock:
            self._held[secret] += 1

    def discard(self, secret: str) -> None:
        """Hold ``secret`` once less; it is forgotten when nobody holds it."""
        with self._lock:
            self._held[secret] -= 1
            if self._held[secret] <= 0:
                del self._held[secret]

    @contextmanager
    def held(self, secret: str) -> Iterator[None]:
        """Hold ``secret`` for the time of a block."""
        self.add(secret)
        try:
            yield
        finally:
            self.discard(secret)

    def all(self) -> tuple[str, ...]:
        """What is held."""
        with self._lock:
            return tuple(self._held)


class RedactingFilter(logging.Filter):
    """Replaces the passwords in use in everything a handler writes, tracebacks included."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets
        self._formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; it is always kept."""
        secrets = self._secrets.all()
        record.msg = redact(record.getMessage(), secrets)
        record.args = ()
        if record.exc_info:
            record.exc_text = redact(record.exc_text or self._formatter.formatException(record.exc_info), secrets)
            record.exc_info = None
        return True


_MEMBERS = ("client", "system", "user", "command", "name", "operation", "method", "outcome", "bytes", "milliseconds")


class AuditLog:
    """One JSON object a line, to a file or to standard output; each line is written at once.

    Every line has every member. ``event`` is ``request``, ``refused`` (what never became a request) or ``operation``
    (its end); ``user`` is only there after a login; ``bytes`` are those of a request's bodies (in and out), or of the
    operation's backup where they are known.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stream = self._open()

    def _open(self) -> TextIO:
        if self._path is None:
            return sys.stdout
        return open(self._path, "a", encoding="utf-8", opener=_private)

    def reopen(self) -> None:
        """Open the file anew, for whoever rotates it."""
        with self._lock:
            stream, self._stream = self._stream, self._open()
            if stream is not sys.stdout:
                stream.close()

    def write(self, event: str, **members: Any) -> None:
        """Write one line; ``time`` (UTC, RFC 3339) is added. A full disk is only reported."""
        line = json.dumps({"time": now_text(), "event": event, **dict.fromkeys(_MEMBERS), **members}, default=str)
        try:
            with self._lock:
                self._stream.write(line + "\n")
                self._stream.flush()
        except (OSError, ValueError) as error:
            logging.getLogger(__name__).error("the audit log can't be written: %s", error)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._stream is not sys.stdout:
                self._stream.close()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def now_text() -> str:
    """The time in UTC with milliseconds, as RFC 3339 has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def set_up(secrets: Secrets) -> None:
    """Send all logging to standard error through the redacting filter."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(RedactingFilter(secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # refused requests are in the audit log
