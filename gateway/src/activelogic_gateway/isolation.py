# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Session processes, seen from the gateway: it lets the fork server fork them, and ends them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from typing import Any

from . import fork_server
from .config import Isolation
from .fork_server import PACKET, become_subreaper, children, describe_status
from .logs import Secrets
from .output import Output
from .problems import Problem
from .vendor_package import SdkMissing
from .wire import SessionLost

logger = logging.getLogger(__name__)

GRACE = 2.0
"""Seconds that a session has to exit before it is killed; and that a killed one has before it counts as stuck."""

IMPORT_SECONDS = 60.0
"""Time limit for importing the package, in seconds."""

MOST_STARTS = 5
START_WINDOW = 60.0
"""Maximum number of starts of the fork server within a window of so many seconds."""

_PROGRAM = (
    "import json, sys; given = json.loads(sys.argv[1]); sys.path[:] = given.pop('path');"
    " from activelogic_gateway.fork_server import Settings, main; main(Settings(**given))"
)


class Process:
    """The process of one session."""

    def __init__(self, number: int, connection: socket.socket, output: Output) -> None:
        self.number = number
        self.connection = connection
        self.output = output
        self.ended = asyncio.Event()
        """Set when the process and all its descendants have ended."""
        self.killed_at: float | None = None
        self.how = ""
        """How the process ended, for messages."""
        self.ended_with_server = False
        """Whether it ended only because the fork server ended."""

    def end(self, how: str) -> None:
        """Record that the process has ended."""
        self.how = how
        self.output.finish()
        self.ended.set()

    def lost(self) -> SessionLost:
        """Return the exception for a command that was not answered because the process ended."""
        if self.how.startswith("signal 9"):
            return SessionLost("its process was killed (signal 9), as happens when the machine runs out of memory")
        if self.how.startswith("signal"):
            return SessionLost(f"the package crashed ({self.how})")
        if self.how.startswith("exit"):
            return SessionLost(f"the package ended its process ({self.how})")
        return SessionLost(f"its process ended {self.how}".rstrip())


class Processes:
    """Starts the fork server, restarts it when it ends, and lets it fork and kill session processes.

    All methods but :meth:`start` and :meth:`close` must be called on the gateway's event loop.

    :param sdk: name of the module with the vendor's API.
    :param secrets: passwords to redact from the output of processes, which goes to the log.
    """

    def __init__(self, sdk: str, isolation: Isolation, secrets: Secrets) -> None:
        self._sdk = sdk
        self._isolation = isolation
        self._secrets = secrets
        self._program: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._output: Output | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._numbers = itertools.count(1)
        self._alive: dict[int, Process] = {}
        self._starting: asyncio.Task[str] | None = None
        self._foreign = set(children())
        """Children that this process already had before the gateway ran in it."""
        self._pongs: dict[int, asyncio.Event] = {}
        self._starts: deque[float] = deque(maxlen=MOST_STARTS)

    @property
    def stuck(self) -> int:
        """Number of processes that were killed a while ago but have not ended, since they are stuck in the kernel."""
        now = time.monotonic()
        return sum(1 for each in self._alive.values() if each.killed_at is not None and now - each.killed_at > GRACE)

    # The fork server

    def start(self) -> None:
        """Start the fork server, and wait until it has imported the package. Blocks.

        :raises SdkMissing: if that fails; all its processes are killed then.
        """
        become_subreaper()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reading, writing = os.pipe()
        given = {
            "sdk": self._sdk,
            "preload": self._isolation.preload,
            "memory_bytes": self._isolation.memory_bytes,
            "control": theirs.fileno(),
            "path": sys.path,
        }
        output = Output(reading, f"package {self._sdk}", self._secrets)
        try:
            program = subprocess.Popen(
                [sys.executable or "python3", "-P", "-c", _PROGRAM, json.dumps(given)],
                executable="/proc/self/exe",  # this interpreter, even if the user may no longer access its path
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                # Each thread's malloc arena counts towards the limit of address space, even if unused.
                env={"MALLOC_ARENA_MAX": "2", **os.environ},
            )
        except OSError as error:
            ours.close()
            output.finish()
            raise SdkMissing(
                f"the process that imports the Python package {self._sdk!r} (sdk) can't be started: {error.strerror}"
            ) from error
        finally:
            theirs.close()
            os.close(writing)
        try:
            self._await_import(program, ours, output)
        except BaseException:
            ours.close()
            program.kill()
            program.wait()
            self._kill_children()
            output.finish()
            raise
        ours.setblocking(False)
        self._program, self._control, self._output = program, ours, output

    def _await_import(self, program: subprocess.Popen[bytes], control: socket.socket, output: Output) -> None:
        deadline = time.monotonic() + IMPORT_SECONDS
        poll = select.poll()
        poll.register(control, select.POLLIN)
        poll.register(output.descriptor, select.POLLIN)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise SdkMissing(
                    f"the Python package {self._sdk!r} (sdk) was not imported within {IMPORT_SECONDS:g} seconds"
                )
            for descriptor, _ in poll.poll(1000 * left):
                if descriptor == output.descriptor and not output.take():
                    poll.unregister(descriptor)
                if descriptor == control.fileno():
                    said = _read(control)
                    if said is None:
                        how = describe_status(_status(program))
                        raise SdkMissing(
                            f"the Python package {self._sdk!r} (sdk) ended the process that imported it ({how})"
                        )
                    if "broken" in said:
                        raise SdkMissing(str(said["broken"]))
                    return

    def close(self) -> None:
        """Stop the fork server, and with it all sessions. Blocks for a few seconds at most."""
        if self._control is not None:
            self._control.close()  # the fork server exits at the end of the stream
        if self._program is not None:
            try:
                self._program.wait(2 * fork_server.END_SECONDS)
            except subprocess.TimeoutExpired:
                self._program.kill()
                self._program.wait()
            self._program = None
            self._kill_children()
        if self._output is not None:
            self._output.finish()

    def _attach(self) -> None:
        """Handle the fork server's packets and output on the running event loop."""
        loop = asyncio.get_running_loop()
        if self._loop is None and self._control is not None and self._output is not None:
            self._loop = loop
            loop.add_reader(self._control, self._hear)
            self._output.attach(loop)

    def _hear(self) -> None:
        while self._control is not None:
            try:
                said = _read(self._control)
            except BlockingIOError:
                return
            if said is None:
                self._lost()
                return
            if said.get("pong") in self._pongs:
                self._pongs[said["pong"]].set()
            process = self._alive.pop(said.get("ended", 0), None)
            if process is not None:
                why = said.get("why")
                process.end(f"before it began ({why})" if why else describe_status(said["status"]))

    def _lost(self) -> None:
        """Handle the end of the fork server, and with it of all sessions; the next session starts another."""
        program, control, output = self._program, self._control, self._output
        if program is None or control is None or output is None or self._loop is None:
            return
        self._loop.remove_reader(control)
        control.close()
        status = _status(program)
        self._kill_children()
        output.finish()
        self._program = self._control = self._output = self._loop = None
        logger.error("the process that sessions are forked from has ended (%s)", describe_status(status))
        for each in self._alive.values():
            each.ended_with_server = True
            each.end("with the process that it was forked from")
        self._alive.clear()

    async def _ready(self) -> socket.socket:
        """Return the control socket of the fork server; start one if there is none.

        :raises SessionLost: if it can't be started now.
        """
        if self._control is None:
            if self._starting is None:
                self._starting = asyncio.create_task(self._start_again())
            why = await asyncio.shield(self._starting)
            if why:
                raise SessionLost(why)
        self._attach()
        if self._control is None:
            raise SessionLost("the process that sessions are forked from has ended")
        return self._control

    async def _start_again(self) -> str:
        """Start another fork server; returns why that failed, or an empty string."""
        try:
            if len(self._starts) == MOST_STARTS and time.monotonic() - self._starts[0] < START_WINDOW:
                return "the process that sessions are forked from ends again and again; try again in a minute"
            self._starts.append(time.monotonic())
            await asyncio.to_thread(self.start)
        except (SdkMissing, OSError) as error:
            logger.error("%s", error)
            return str(error)
        finally:
            self._starting = None
        return ""

    async def check_responding(self) -> None:
        """Ping the fork server, and kill it if it does not respond; another is started then."""
        number = next(self._numbers)
        answered = self._pongs[number] = asyncio.Event()
        try:
            if self._control is not None and self._loop is not None and self._program is not None:
                program = self._program
                with contextlib.suppress(OSError):
                    self._control.send(json.dumps({"ping": number}).encode("ascii"))
                try:
                    await asyncio.wait_for(answered.wait(), GRACE)
                except TimeoutError:
                    logger.error("the process that sessions are forked from does not answer, and is killed")
                    program.kill()
        finally:
            del self._pongs[number]

    def _kill_children(self) -> None:
        """Kill the orphans of the fork server: the gateway, a subreaper, adopts them and has no other children."""
        deadline = time.monotonic() + GRACE
        while (left := set(children()) - self._foreign) and time.monotonic() < deadline:
            for each in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(each, signal.SIGKILL)
            for each in left:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(each, os.WNOHANG)
            time.sleep(0.002)

    # Processes of sessions

    async def new(self, label: str) -> Process:
        """Start a session process.

        :param label: prefix of each line of its output in the log.
        :raises SessionLost: if the fork server is not available now.
        :raises Problem: ``too_busy`` if the gateway is out of file descriptors.
        """
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as undo:
            try:
                ours, theirs = socket.socketpair()
                undo.callback(ours.close)
                stack.callback(theirs.close)
                reading, writing = os.pipe()
                stack.callback(os.close, writing)
            except OSError as error:
                raise Problem(
                    "too_busy", f"the gateway can't open another session: {error.strerror}", retry_after=5
                ) from error
            process = Process(next(self._numbers), ours, Output(reading, label, self._secrets))
            undo.callback(process.output.finish)
            try:
                await self._request({"new": process.number}, [theirs.fileno(), writing])
            except ConnectionError:  # the fork server ended unnoticed
                self._lost()
                await self._request({"new": process.number}, [theirs.fileno(), writing])
            undo.pop_all()
        ours.setblocking(False)
        self._alive[process.number] = process
        process.output.attach(asyncio.get_running_loop())
        return process

    async def _request(self, message: dict[str, Any], descriptors: list[int]) -> None:
        """Send a request; raises ``ConnectionError`` if the fork server has ended, ``SessionLost`` as :meth:`new`."""
        control = await self._ready()
        data = json.dumps(message).encode("ascii")
        for _ in range(int(GRACE / 0.01)):
            try:
                socket.send_fds(control, [data], descriptors)
            except ConnectionError:
                raise
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.ETOOMANYREFS):
                    raise SessionLost("the process that sessions are forked from has ended") from error
                await asyncio.sleep(0.01)
            else:
                return
        raise SessionLost("the process that sessions are forked from does not answer")

    def kill(self, process: Process) -> None:
        """Kill a process; it may remain for a while if it is stuck in the kernel."""
        if process.ended.is_set():
            return
        process.killed_at = process.killed_at or time.monotonic()
        if self._control is not None and self._loop is not None:
            with contextlib.suppress(OSError):
                self._control.send(json.dumps({"kill": process.number}).encode("ascii"))

    async def finish(self, process: Process) -> None:
        """Wait up to :data:`GRACE` for a process to exit, then kill it. One that still does not end counts as stuck."""
        for _ in range(2):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.ended.wait(), GRACE)
                return
            self.kill(process)
        await self.check_responding()


def check(sdk: str, isolation: Isolation) -> None:
    """Check that the package can be imported. Blocks.

    :raises SdkMissing: if it can't; the text says why.
    """
    processes = Processes(sdk, isolation, Secrets())
    processes.start()
    processes.close()


def _read(control: socket.socket) -> dict[str, Any] | None:
    """Read the next packet from the fork server; ``None`` when it has ended."""
    try:
        packet = control.recv(PACKET)
    except BlockingIOError:
        raise
    except OSError:
        return None
    found = json.loads(packet) if packet else None
    return found if isinstance(found, dict) else None


def _status(program: subprocess.Popen[bytes]) -> int:
    """Wait for a process that is ending, or kill it; returns its status in the form of ``waitpid``."""
    try:
        code = program.wait(GRACE / 10)
    except subprocess.TimeoutExpired:
        program.kill()
        code = program.wait()
    return -code if code < 0 else code << 8
