# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The process of the vendor's package, forked from one that has imported it: it starts in a few milliseconds.

For tests that do not depend on how that process starts. It runs the same program with the same arguments as the
client would, in its own session (setsid), with no open file but the socket, and its output is discarded.
"""

from __future__ import annotations

import importlib
import multiprocessing
import multiprocessing.reduction
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

_PLUGINS = "ansible_collections.netops.activelogic.plugins"
_SDK = f"{_PLUGINS}.module_utils._transport"

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["activelogic_embedded", "activelogic_embedded.generation1", f"{_SDK}._sdk_session"])


class ForkedChild:
    """A process forked from this one, which must have no threads (a module's process has none).

    Takes the arguments of the client's :class:`subprocess.Popen` and has its interface.
    """

    def __init__(self, program: Sequence[str], *, pass_fds: Sequence[int], **_same: Any) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _become(program, pass_fds[0])

    def poll(self) -> int | None:
        """The exit code, or the negative number of the signal that ended it; ``None`` while it is running."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait at most ``timeout`` seconds for it to end.

        :raises subprocess.TimeoutExpired: when it is still running.
        """
        pause, deadline = 0.0005, None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("package", timeout or 0)
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return code

    def kill(self) -> None:
        """Kill the process if it is still running."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


class ServedChild:
    """A process forked by a separate fork server, which has imported the package and has no threads.

    Takes the arguments of the client's :class:`subprocess.Popen` and has its interface.
    """

    def __init__(self, program: Sequence[str], *, pass_fds: Sequence[int], **_same: Any) -> None:
        arguments = (program, dict(os.environ), _Descriptor(pass_fds[0]))
        self._process = _context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code that :meth:`poll` or :meth:`wait` last saw."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The exit code, or the negative number of the signal that ended it; ``None`` while it is running."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait at most ``timeout`` seconds for it to end.

        :raises subprocess.TimeoutExpired: when it is still running.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("package", timeout or 0)
        return self._process.exitcode

    def kill(self) -> None:
        """Kill the process if it is still running."""
        self._process.kill()


class _Descriptor:
    """A file descriptor passed to a process that the fork server starts."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _detached, (multiprocessing.reduction.DupFd(self._number),)


def _detached(duplicate: Any) -> int:
    number: int = duplicate.detach()
    return number


def fork_packages(child: type[ForkedChild | ServedChild]) -> None:
    """Make the client in this process fork the package's process from now on."""
    client: Any = importlib.import_module(f"{_SDK}._sdk_process")
    client.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": child})


@contextmanager
def packages_forked() -> Iterator[None]:
    """Within the block, a fork server starts the package's processes."""
    fork_packages(ServedChild)
    try:
        yield
    finally:
        start_packages()


def start_packages() -> None:
    """Make the client start the package's process in its normal way again."""
    client: Any = importlib.import_module(f"{_SDK}._sdk_process")
    client.subprocess = subprocess


def _serve(program: Sequence[str], environment: dict[str, str], descriptor: int) -> None:
    os.environ.clear()
    os.environ.update(environment)
    _become(program, descriptor)


def _become(program: Sequence[str], descriptor: int) -> None:
    """Run the program of ``python -c`` in this process; one descriptor stays open under the number it expects."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        os.closerange(3, descriptor)
        os.closerange(descriptor + 1, os.sysconf("SC_OPEN_MAX"))
        _executable, _option, text, path, session, _number, module = program
        sys.argv = ["-c", path, session, str(descriptor), module]
        exec(text, {"__name__": "__main__"})  # noqa: S102 - the client's own program
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        os._exit(code)
