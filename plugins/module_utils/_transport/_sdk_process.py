# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The process in which the vendor's package runs, seen from the module's. Private to this collection.

Whatever the package does, it does to that process alone: what it prints is dropped (its text may hold secrets), a crash
ends it, too much memory is refused to it, and a call that hangs is killed. Requests and answers are lines of JSON on a
pair of sockets; the login goes there too, never into arguments or the environment.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what the process runs; named here so that it comes along wherever a module is sent
    from . import _sdk_session  # noqa: F401

GRACE = 2.0
"""Seconds that a process has to end its session and itself before it is killed."""

MAX_ANSWER = 64 * 1024 * 1024
"""Bytes of an answer; a listing of 250,000 backups with the longest names fits in."""

_PIECE = 64 * 1024
_PROGRAM = """\
import importlib, json, sys
sys.path[:] = json.loads(sys.argv[1])
importlib.import_module(sys.argv[2]).main(int(sys.argv[3]), sys.argv[4])
"""


class SdkExpiredError(Exception):
    """The process did not answer in time, and was ended."""


class SdkEndedError(Exception):
    """The process ended by itself; the text says how."""


class SdkProcess:
    """One process with the package, which serves one request after the other.

    :param module: name of the package.
    :raises OSError: when no process can be started.
    """

    def __init__(self, module: str) -> None:
        self._socket, theirs = socket.socketpair()
        self._received = bytearray()
        session = f"{__name__.rpartition('.')[0]}._sdk_session"
        program = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), session, str(theirs.fileno()), module]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program, and a module's name as one word
                program,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a signal for the module's group is for the module to act on
            )
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()

    def ask(self, seconds: float, descriptor: int | None = None, **request: Any) -> dict[str, Any]:
        """Send a request, and wait for its answer.

        :param descriptor: an open file that goes with it.
        :raises SdkExpiredError, SdkEndedError: see there; the process has ended then.
        """
        try:
            self._send({**request, "seconds": seconds}, descriptor)
            return self.read(seconds)
        except OSError:
            raise SdkEndedError(self._how()) from None
        except SdkEndedError:
            raise
        except BaseException:
            self.end()
            raise

    def read(self, seconds: float) -> dict[str, Any]:
        """Wait for an answer without a request, such as the first one.

        :raises SdkExpiredError, SdkEndedError: see there; the process has ended then.
        """
        deadline = time.monotonic() + seconds
        while b"\n" not in self._received[-_PIECE:]:
            left = deadline - time.monotonic()
            if left <= 0:
                self.end()
                raise SdkExpiredError
            self._socket.settimeout(left)
            try:
                piece = self._socket.recv(_PIECE)
            except socket.timeout:
                continue
            self._received += piece
            if not piece or len(self._received) > MAX_ANSWER:
                raise SdkEndedError(self._how())
        line, self._received = bytes(self._received), bytearray()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _send(self, request: dict[str, Any], descriptor: int | None = None) -> None:
        self._socket.settimeout(GRACE)
        line = json.dumps({**request, "with_file": descriptor is not None}).encode("ascii") + b"\n"
        sent = 0 if descriptor is None else socket.send_fds(self._socket, [line], [descriptor])
        self._socket.sendall(line[sent:])

    def end(self) -> None:
        """Let the process end its session and itself, or kill it. Safe to call twice."""
        if self._process.returncode is None:
            with suppress(OSError):
                self._send({"do": "end"})
            try:
                self._process.wait(GRACE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._socket.close()

    def _how(self) -> str:
        """How the process ended, or what ended it; it has ended afterwards."""
        try:
            code = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return "without an answer"
        finally:
            self._socket.close()
        if code >= 0:
            return f"with exit status {code}"
        with suppress(ValueError):
            return f"by signal {signal.Signals(-code).name}"
        return f"by signal {-code}"
