# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs forked from a process that has already imported them: each starts in a few milliseconds.

Use it where neither the way a program starts nor its command line matters. A program's own child processes, such as
the gateway's fork server, start as usual.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path

GATEWAY = "activelogic_gateway.cli:main"
EMBEDDED = "activelogic_embedded.cli:main"

_imported = ["activelogic_gateway.cli", "activelogic_embedded.cli", "tests.harness.forked_programs"]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_imported)


def import_before_forking(*modules: str) -> None:
    """Import more modules before forking; call this before the first fork."""
    _imported.extend(modules)
    _context.set_forkserver_preload(_imported)


def stop_forking() -> None:
    """Stop the process that programs are forked from, and wait for it; it restarts when needed."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


class ForkedProgram:
    """A running program, used like a :class:`subprocess.Popen`.

    :param function: the function that the program runs, as ``module:name``.
    :param arguments: its command-line arguments, without the program name.
    :param environment: its complete environment.
    :param stdout: file to which its output is appended; ``stderr`` likewise.
    :param stdin: file for standard input, which is empty by default.
    """

    def __init__(
        self,
        function: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdout: Path,
        stderr: Path,
        stdin: Path = Path(os.devnull),
        folder: Path | None = None,
    ) -> None:
        files = (str(stdin), str(stdout), str(stderr))
        given = (function, list(arguments), dict(environment), files, str(folder or Path.cwd()))
        self._process = _context.Process(target=_run, args=given, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """The process ID."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The exit status, or the negated number of the signal that ended the process; ``None`` while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the process to end, and return the same as :meth:`poll`.

        :param timeout: in seconds.
        :raises subprocess.TimeoutExpired: if it is still running then.
        """
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send the process a signal if it is still running."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process if it is still running."""
        self.send_signal(signal.SIGKILL)


def run_forked(
    function: str,
    *arguments: str,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, and return its exit status and output.

    :param environment: of the program; by default that of the tests.
    :param timeout: in seconds.
    :raises subprocess.TimeoutExpired: if it was still running then and was killed.
    """
    with tempfile.TemporaryDirectory() as name:
        read, stdout, stderr = (Path(name, each) for each in ("stdin", "stdout", "stderr"))
        read.write_bytes(stdin.encode("utf-8"))
        files = {"stdin": read, "stdout": stdout, "stderr": stderr}
        process = ForkedProgram(
            function, arguments, os.environ if environment is None else environment, folder=folder, **files
        )
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        printed = [path.read_text(encoding="utf-8") for path in (stdout, stderr)]
    return subprocess.CompletedProcess(arguments, code, *printed)


def _run(
    function: str, arguments: list[str], environment: dict[str, str], files: tuple[str, str, str], folder: str
) -> None:
    """Run the program in this process, with this environment, working directory and standard streams."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for target, path in enumerate(files):
        descriptor = os.open(path, os.O_RDONLY if target == 0 else os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(descriptor, target)
        if descriptor != target:
            os.close(descriptor)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    tempfile.tempdir = None
    module, _, name = function.partition(":")
    sys.argv = [module, *arguments]
    sys.exit(getattr(importlib.import_module(module), name)())
