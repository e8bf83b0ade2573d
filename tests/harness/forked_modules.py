# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules forked from a process that has already imported them: each starts in a few milliseconds.

For tests that do not depend on how the module's process starts or on its import path. The process of the vendor's
package is in turn forked from the module's.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import IO, Any

from tests.harness.forked_packages import ForkedChild, fork_packages
from tests.harness.module_process import COLLECTION, MODULES, run_module

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "ansible.module_utils.testing",
        "requests",
        "activelogic_embedded",
        f"{COLLECTION}.module_utils._transport._sdk_session",
        *(f"{COLLECTION}.modules.{each}" for each in MODULES),
    ]
)


class ForkedModule:
    """A running module, with the interface of the :class:`subprocess.Popen` that ``start_module`` returns."""

    def __init__(self, name: str, options: Mapping[str, Any], environment: Mapping[str, str], point: str, hurry: bool):
        self._output: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed by communicate
        path = f"/proc/{os.getpid()}/fd/{self._output.fileno()}"
        arguments = (name, json.dumps(dict(options)), {**os.environ, **environment}, point, hurry, path)
        self._process = _context.Process(target=_run, args=arguments, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int:
        """The exit code, or the negative number of the signal that ended the process.

        :raises AssertionError: if it is still running.
        """
        code = self._process.exitcode
        assert code is not None, "the module still runs"
        return code

    def poll(self) -> int | None:
        """The exit code; ``None`` while it is running."""
        return self._process.exitcode

    def communicate(self, timeout: float = 60) -> tuple[str, None]:
        """Wait for the process to end and return its output.

        :raises subprocess.TimeoutExpired: when it takes longer than ``timeout`` seconds.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("module", timeout)
        with self._output as output:
            output.seek(0)
            return output.read(), None

    def send_signal(self, number: int) -> None:
        """Send the process a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process if it is still running."""
        self._process.kill()


def start_forked(
    name: str, options: Mapping[str, Any], environment: Mapping[str, str], *, point: str = "", hurry: bool = True
) -> ForkedModule:
    """Like ``start_module``, but forked."""
    return ForkedModule(name, options, environment, point, hurry)


def _run(name: str, options: str, environment: dict[str, str], point: str, hurry: bool, output: str) -> None:
    """Become the module: set up its environment and output, and drop what belongs to the parent."""
    os.environ.clear()
    os.environ.update(environment)
    descriptor = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    tempfile.tempdir = None
    fork_packages(ForkedChild)
    try:
        run_module(name, json.loads(options), point, hurry=hurry)
    finally:
        sys.stdout.flush()
        atexit._run_exitfuncs()
