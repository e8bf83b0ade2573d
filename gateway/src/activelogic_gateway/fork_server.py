# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that sessions are forked from: it imports the vendor's package once, and has a single thread.

The gateway starts it and speaks to it over a socket, one JSON object a packet::

    gateway     {"new": number} with two descriptors: the session's socket, and where its output goes
                {"kill": number}, {"ping": number}
    fork server {"ready": true} or {"broken": sentence} once, then
                {"ended": number, "status": as of waitpid, or null with "why" when it could not be forked},
                {"pong": number}

It never sees a login: that goes over the session's own socket, to which the fork server has closed its end. When the
gateway's end of its socket closes, however that came about, it kills all sessions and ends; when it ends, however that
came about, the kernel kills the sessions. What a session has forked is killed with it, also where it moved to a
process group or session of its own: this program adopts what has lost its parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import logging
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from . import session_process
from .vendor_package import Sdk, SdkMissing, load_sdk

PACKET = 4096
"""Bytes of a packet at most."""

END_SECONDS = 2.0
"""How long the fork server goes on killing what is left, once the gateway has ended."""

CRASHED = 70
"""Exit status of a session that ended otherwise than it should."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 4, 15, 36
"""See prctl(2)."""

_MORE_LIKELY = "500"
"""A session is ended before the gateway when the machine runs out of memory (proc(5), oom_score_adj)."""


@dataclass(frozen=True)
class Settings:
    """What the gateway says on the command line; no secret is among it.

    :param sdk: name of the module with the vendor's API.
    :param preload: whether it is imported here, or by each session.
    :param memory_bytes: of each session, see :func:`session_process.run`.
    :param control: descriptor of the socket to the gateway.
    """

    sdk: str
    preload: bool
    memory_bytes: int
    control: int


def main(settings: Settings) -> NoReturn:
    """Be the fork server until the gateway ends."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, _ignore)  # a handler, which unlike SIG_IGN is not inherited by what a package starts
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    prctl(_PR_SET_NAME, b"activelogic-frk")
    become_subreaper()
    control = socket.socket(fileno=settings.control)
    control.set_inheritable(False)
    try:
        sdk = _import(settings)
    except SdkMissing as error:
        _send(control, {"broken": str(error)})
        os._exit(2)
    gc.collect()
    gc.freeze()  # what is here stays: no session copies it because of the collector
    _send(control, {"ready": True})
    _Server(control, settings, sdk).serve()


def _ignore(_signal: int, _frame: object) -> None:
    pass


def prctl(option: int, value: int | bytes) -> None:
    """Change a property of this process."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def become_subreaper() -> None:
    """Adopt descendants whose parents have ended, so that they can be killed."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children() -> list[int]:
    """Processes whose parent this one is."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def _send(control: socket.socket, message: dict[str, Any]) -> None:
    control.send(json.dumps(message).encode("ascii")[:PACKET])


def _import(settings: Settings) -> Sdk | None:
    """Import the package, here or, where sessions do it, in a process of its own that only tries.

    :raises SdkMissing: also where it can't be forked.
    """
    if not settings.preload:
        _try_import(settings.sdk)
        return None
    sdk = load_sdk(settings.sdk)
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise SdkMissing(
            f"the Python package {settings.sdk!r} (sdk) starts threads when it is imported, so that no process can be"
            " forked from one that has imported it; set isolation.preload to false"
        )
    return sdk


def _try_import(name: str) -> None:
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        said = ""
        try:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            load_sdk(name)
        except SdkMissing as error:
            said = str(error)
        finally:
            os.write(writing, b"." + said.encode("utf-8", "backslashreplace")[: PACKET // 2])
            os._exit(0)
    os.close(writing)
    answer = os.read(reading, PACKET)  # and not to its end: what the package has started may hold it
    os.close(reading)
    _, status = os.waitpid(process, 0)
    if not answer:
        raise SdkMissing(f"the Python package {name!r} (sdk) ended the process that imported it ({told(status)})")
    if answer[1:]:
        raise SdkMissing(answer[1:].decode("utf-8"))


def told(status: int | None) -> str:
    """How a process ended."""
    if status is None:
        return "it is not known how"
    code = os.waitstatus_to_exitcode(status)
    return f"signal {-code}" if code < 0 else f"exit status {code}"


class _Server:
    def __init__(self, control: socket.socket, settings: Settings, sdk: Sdk | None) -> None:
        self._control = control
        self._settings = settings
        self._sdk = sdk
        self._sessions: dict[int, int] = {}
        self._kept = set(children())
        """What the package has started when it was imported."""
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        signal.signal(signal.SIGCHLD, _ignore)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)

    def serve(self) -> NoReturn:
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        try:
            while True:
                ready = {descriptor for descriptor, _ in poll.poll()}
                if self._woken.fileno() in ready:
                    self._woken.recv(PACKET)
                self._reap()
                if self._control.fileno() in ready:
                    self._take_request()
        except (EOFError, OSError):
            self._end()

    def _take_request(self) -> None:
        """:raises EOFError: when the gateway has ended."""
        packet, descriptors, _, _ = socket.recv_fds(self._control, PACKET, 2)
        if not packet:
            raise EOFError
        request = json.loads(packet)
        if "new" in request:
            self._fork(request["new"], descriptors)
        elif "ping" in request:
            _send(self._control, {"pong": request["ping"]})
        else:
            for process, number in self._sessions.items():
                if number == request["kill"]:
                    _kill_all(process)

    def _fork(self, number: int, descriptors: list[int]) -> None:
        """Begin a session, and close its descriptors here."""
        own = os.getpid()
        why = "too many open files" if len(descriptors) != 2 else ""
        try:
            if not why and (process := os.fork()) == 0:
                try:
                    self._become_session(own, *descriptors)
                finally:
                    os._exit(CRASHED)
        except OSError as error:
            why = error.strerror or type(error).__name__
        finally:
            for each in descriptors:
                os.close(each)
        if why:
            _send(self._control, {"ended": number, "status": None, "why": why})
        else:
            self._sessions[process] = number

    def _become_session(self, parent: int, connection: int, output: int) -> NoReturn:
        status = CRASHED
        try:
            os.setsid()
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it ended before the kernel was told
                os._exit(0)
            prctl(_PR_SET_NAME, b"activelogic-ses")
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (self._control, self._woken, self._waker):
                each.close()
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(output)
            _limit()
            sdk, name = self._sdk, self._settings.sdk
            load: Callable[[], Sdk] = (lambda: load_sdk(name)) if sdk is None else (lambda: sdk)
            os.set_inheritable(connection, False)
            session_process.run(socket.socket(fileno=connection), load, self._settings.memory_bytes)
            status = 0
        except SystemExit as error:  # of a task that the package has started
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:
            logging.getLogger(__name__).exception("a session ended")
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
            os._exit(status & 0xFF)

    def _reap(self) -> None:
        """Take leave of the processes that have ended, and of all that they have left behind."""
        is_any = False
        ended: list[dict[str, Any]] = []
        with contextlib.suppress(ChildProcessError):
            while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                is_any = True
                if found.si_pid in self._sessions:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(found.si_pid, signal.SIGKILL)  # not reaped yet: nobody else can have the number
                _, status = os.waitpid(found.si_pid, 0)
                number = self._sessions.pop(found.si_pid, None)
                if number is not None:
                    ended.append({"ended": number, "status": status})
        if is_any:
            self._kill_orphans()
        for each in ended:
            _send(self._control, each)

    def _kill_orphans(self) -> None:
        """Kill what was adopted, unless it is in the session of one that goes on."""
        for process in children():
            if process not in self._sessions and process not in self._kept:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    if os.getsid(process) not in self._sessions:
                        os.kill(process, signal.SIGKILL)

    def _end(self) -> NoReturn:
        """The gateway has gone."""
        deadline = time.monotonic() + END_SECONDS
        while (left := children()) and time.monotonic() < deadline:
            for process in left:
                _kill_all(process)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            time.sleep(0.005)
        os._exit(0)


def _kill_all(process: int) -> None:
    """Kill a child that was not reaped yet, and its process group if it leads one."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(process, signal.SIGKILL)


def _limit() -> None:
    """Leave no core, in a file or in the hands of a program (core(5)): it would hold the login."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as stream:  # noqa: PTH123
        stream.write(_MORE_LIKELY)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl(_PR_SET_DUMPABLE, 0)
