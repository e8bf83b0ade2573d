# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start the process that runs the vendor's package, and talk to it. Private to this collection.

The process isolates the package: its output is dropped (it may hold secrets), a crash ends only this process, its
memory is limited, and a call that hangs is killed, with all processes that it started. Requests and answers are lines
of JSON on a pair of sockets. The login is sent there too, never in arguments or the environment. The package could
write to the sockets as well, so lines are limited in length, numbered, and validated.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._deadline import Deadline

if TYPE_CHECKING:  # the process runs it; Ansible sends along only what is imported
    from . import _sdk_session  # noqa: F401

GRACE = 2.0
"""Seconds for the process to close its session and exit before it is killed."""

ALIVE_CHECK_EVERY = 0.5
"""Seconds between checks that the process is alive: a child of it may hold its socket open."""

MAX_LINE = 1024 * 1024
"""Bytes of a line; the longest is a batch of rows of a listing, with up to 6000 for each name."""

_PIECE = 64 * 1024
_PROGRAM = """\
import importlib, json, sys
sys.path[:] = json.loads(sys.argv[1])
importlib.import_module(sys.argv[2]).main(int(sys.argv[3]), sys.argv[4])
"""


class SdkExpiredError(Exception):
    """The process did not answer in time; it has been ended."""


class SdkEndedError(Exception):
    """The process ended, or was ended for an invalid answer; the text continues a sentence after the package's name."""


class SdkProcess:
    """A process with the package; it serves one request at a time.

    :param module: name of the package.
    :raises OSError: when no process can be started.
    """

    def __init__(self, module: str) -> None:
        self._socket, theirs = socket.socketpair()
        self._received = bytearray()
        self._number = 0
        session = f"{__name__.rpartition('.')[0]}._sdk_session"
        program = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), session, str(theirs.fileno()), module]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program; the module name is one argument
                program,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # signals for the module's group are handled by the module
            )
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()

    def ask(
        self,
        seconds: float,
        descriptor: int | None = None,
        take: Callable[[Iterator[tuple[str, int]]], Any] | None = None,
        **request: Any,
    ) -> dict[str, Any]:
        """Send a request, and wait for its answer.

        :param descriptor: an open file to pass along.
        :param take: called with the rows of a listing while they arrive; its result becomes the value of the answer.
        :raises SdkExpiredError, SdkEndedError: see there; the process has ended then.
        """
        self._number += 1
        try:
            self._send({**request, "seconds": seconds, "number": self._number}, descriptor)
            return self.read(seconds, take)
        except OSError:
            raise SdkEndedError(self._how()) from None
        except SdkEndedError:
            raise
        except BaseException:
            self.end()
            raise

    def read(self, seconds: float, take: Callable[[Iterator[tuple[str, int]]], Any] | None = None) -> dict[str, Any]:
        """Wait for an answer without sending a request, such as the first one.

        :raises SdkExpiredError, SdkEndedError: see there; the process has ended then.
        """
        deadline = Deadline("", seconds)
        answers: list[dict[str, Any]] = []

        def rows() -> Iterator[tuple[str, int]]:
            while "rows" in (answer := self._line(deadline)):
                yield from _rows_of(answer["rows"])
            answers.append(answer)

        try:
            value = None if take is None else take(rows())
            answer = answers[0] if answers else self._line(deadline)
            _require_answer(answer)
        except _UnreadableError:
            self._kill()
            raise SdkEndedError("gave an answer that can't be read") from None
        if take is not None and "value" in answer:
            answer["value"] = value
        return answer

    def _line(self, deadline: Deadline) -> dict[str, Any]:
        """The next line of the answer to the last request.

        :raises _UnreadableError: when it is not one.
        """
        while (stop := self._received.find(b"\n")) < 0:
            if len(self._received) > MAX_LINE:
                raise _UnreadableError
            self._receive(deadline)
        line = bytes(self._received[:stop])
        del self._received[: stop + 1]
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise _UnreadableError from None
        if not isinstance(found, dict) or found.pop("number", None) != self._number:
            raise _UnreadableError
        return found

    def _receive(self, deadline: Deadline) -> None:
        left = deadline.left()
        if left <= 0:
            self.end()
            raise SdkExpiredError
        has_ended = self._process.poll() is not None
        self._socket.settimeout(min(left, ALIVE_CHECK_EVERY))
        try:
            piece = self._socket.recv(_PIECE)
        except socket.timeout:
            if has_ended:
                raise SdkEndedError(self._how()) from None
            return
        if not piece:
            raise SdkEndedError(self._how())
        self._received += piece

    def _send(self, request: dict[str, Any], descriptor: int | None = None) -> None:
        self._socket.settimeout(GRACE)
        line = json.dumps({**request, "with_file": descriptor is not None}).encode("ascii") + b"\n"
        sent = 0 if descriptor is None else socket.send_fds(self._socket, [line], [descriptor])
        self._socket.sendall(line[sent:])

    def end(self) -> None:
        """Let the process close its session and exit; kill it if it does not. Safe to call twice."""
        if self._process.returncode is None:
            with suppress(OSError):
                self._send({"do": "end"})
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
        self._kill()

    def _kill(self) -> None:
        """Kill the process, and those that it started in its process group."""
        with suppress(OSError):  # the group may be gone
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._socket.close()

    def _how(self) -> str:
        """How the process ended, for a message; kills it if it is still running."""
        try:
            code = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            return "ended its process without an answer"
        finally:
            self._kill()
        if code >= 0:
            return f"ended its process with exit status {code}"
        with suppress(ValueError):
            return f"ended its process by signal {signal.Signals(-code).name}"
        return f"ended its process by signal {-code}"


class _UnreadableError(Exception):
    """The process sent something invalid; never leaves this file."""


def _rows_of(found: Any) -> Iterator[tuple[str, int]]:
    """:raises _UnreadableError: when these are not rows of a listing."""
    if not isinstance(found, list):
        raise _UnreadableError
    for row in found:
        if not isinstance(row, list) or len(row) != 2:
            raise _UnreadableError
        name, size = row
        if not isinstance(name, str) or not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise _UnreadableError
        yield name, size


def _require_answer(answer: Mapping[str, Any]) -> None:
    """:raises _UnreadableError: when a line is not the last line of an answer."""
    if "value" in answer:
        is_one = _is_value(answer["value"])
    elif "error" in answer:
        is_one = _is_error(answer["error"])
    else:
        is_one = isinstance(answer.get("flaw"), str)
    if not is_one or not isinstance(answer.get("phase", ""), str):
        raise _UnreadableError


def _is_value(value: Any) -> bool:
    """Whether it is ``None``, a Boolean, facts, or the result of a command."""
    if value is None or isinstance(value, bool):
        return True
    if not isinstance(value, dict):
        return False
    texts = {key: text for key, text in value.items() if key != "is_committed"}
    is_command = isinstance(value.get("is_committed"), bool) and texts.keys() in ({"result"}, {"other_machine"})
    if not is_command and value.keys() != {"machineid", "distversion"}:
        return False
    return all(isinstance(text, str) or (is_command and text is None) for text in texts.values())


def _is_error(error: Any) -> bool:
    """Whether it describes an exception."""
    if not isinstance(error, dict) or not _has_names(error) or not isinstance(error.get("text"), str):
        return False
    behind = error.get("system_error", error)
    if not isinstance(error.get("is_not_connected"), bool) or behind is error:
        return False
    if behind is None:
        return True
    return (
        isinstance(behind, dict)
        and _has_names(behind)
        and {"number", "path", "is_itself"} <= behind.keys()
        and isinstance(behind.get("why"), str)
        and isinstance(behind["number"], (int, type(None)))
        and isinstance(behind["path"], (str, type(None)))
    )


def _has_names(error: dict[str, Any]) -> bool:
    names = error.get("names")
    return isinstance(names, list) and bool(names) and all(isinstance(each, str) for each in names)
