# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fork server: a single-threaded program that imports the vendor's package once and forks the session processes.

The gateway starts it and talks to it over a socket, one JSON object per packet::

    gateway     {"new": number} with two descriptors: the session's socket, and a pipe for its output
                {"kill": number}, {"ping": number}
    fork server {"ready": true} or {"broken": sentence} once, then
                {"ended": number, "status": as from waitpid, or null with "why" if it could not be forked},
                {"pong": number}

It never sees a login: that goes over the session's own socket, whose end in the fork server is closed. When the gateway
closes its end of the control socket or dies, the fork server kills all sessions and exits; when the fork server exits
or dies, the kernel kills the sessions. The fork server also kills the descendants of a session, even those that moved
to a process group or session of their own: it is a subreaper, which adopts orphaned descendants.
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
"""Maximum size of a packet, in bytes."""

END_SECONDS = 2.0
"""Maximum number of seconds for killing the remaining processes after the gateway has exited."""

CRASHED = 70
"""Exit status of a session that ended unexpectedly."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 4, 15, 36
"""See prctl(2)."""

_OOM_SCORE = "500"
"""Makes the kernel kill a session before the gateway when memory runs out (proc(5), oom_score_adj)."""


@dataclass(frozen=True)
class Settings:
    """Settings from the gateway, passed on the command line; they contain no secret.

    :param sdk: name of the module with the vendor's API.
    :param preload: whether the fork server imports it, instead of each session.
    :param memory_bytes: memory limit of each session, see :func:`session_process.run`.
    :param control: descriptor of the socket to the gateway.
    """

    sdk: str
    preload: bool
    memory_bytes: int
    control: int


def main(settings: Settings) -> NoReturn:
    """Run the fork server until the gateway exits."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, _ignore)  # unlike SIG_IGN, a handler is not inherited by programs that the package starts
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
    gc.freeze()  # so that garbage collection in a session does not touch, and thereby copy, the shared memory pages
    _send(control, {"ready": True})
    _Server(control, settings, sdk).serve()


def _ignore(_signal: int, _frame: object) -> None:
    pass


def prctl(option: int, value: int | bytes) -> None:
    """Call prctl(2) for this process; raises ``OSError``."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def become_subreaper() -> None:
    """Make this process adopt its orphaned descendants, so that it can kill them."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children() -> list[int]:
    """Return the process ids of the children of this process."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def _send(control: socket.socket, message: dict[str, Any]) -> None:
    control.send(json.dumps(message).encode("ascii")[:PACKET])


def _import(settings: Settings) -> Sdk | None:
    """Import the package here; without ``preload``, only test in a child process that it can be imported.

    :raises SdkMissing: if it can't be imported, or starts threads on import, which makes forking unsafe.
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
    # Don't read to the end: a process that the package started may hold the pipe open.
    answer = os.read(reading, PACKET)
    os.close(reading)
    _, status = os.waitpid(process, 0)
    if not answer:
        how = describe_status(status)
        raise SdkMissing(f"the Python package {name!r} (sdk) ended the process that imported it ({how})")
    if answer[1:]:
        raise SdkMissing(answer[1:].decode("utf-8"))


def describe_status(status: int | None) -> str:
    """Describe how a process ended, from its status as returned by ``waitpid``."""
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
        """Processes that the package started when it was imported."""
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
        """Handle one packet; raises ``EOFError`` when the gateway has exited."""
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
        """Fork a session process, and close its descriptors in this process."""
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
            if os.getppid() != parent:  # the parent died before PDEATHSIG was set
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
        except SystemExit as error:  # raised in a task that the package started
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:
            logging.getLogger(__name__).exception("a session ended")
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
            os._exit(status & 0xFF)

    def _reap(self) -> None:
        """Reap processes that have ended, report ended sessions, and kill the processes that they left behind."""
        is_any = False
        ended: list[dict[str, Any]] = []
        with contextlib.suppress(ChildProcessError):
            while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                is_any = True
                if found.si_pid in self._sessions:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(found.si_pid, signal.SIGKILL)  # not reaped yet, so the id can't have been reused
                _, status = os.waitpid(found.si_pid, 0)
                number = self._sessions.pop(found.si_pid, None)
                if number is not None:
                    ended.append({"ended": number, "status": status})
        if is_any:
            self._kill_orphans()
        for each in ended:
            _send(self._control, each)

    def _kill_orphans(self) -> None:
        """Kill adopted processes, except those that belong to a session that is still running."""
        for process in children():
            if process not in self._sessions and process not in self._kept:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    if os.getsid(process) not in self._sessions:
                        os.kill(process, signal.SIGKILL)

    def _end(self) -> NoReturn:
        """Kill everything that is left, and exit: the gateway has gone."""
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
    """Kill a child that has not been reaped yet, and its process group if it leads one."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(process, signal.SIGKILL)


def _limit() -> None:
    """Disable core dumps, to files and to programs (core(5)), since they would contain the login; set the OOM score."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as stream:  # noqa: PTH123
        stream.write(_OOM_SCORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl(_PR_SET_DUMPABLE, 0)
