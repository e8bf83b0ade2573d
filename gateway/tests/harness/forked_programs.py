# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs in processes that are forked from one that has imported them: each starts in a few milliseconds.

For what does not depend on how the process of a program starts, or on its command line. What a program starts itself,
as the gateway does with the process of its sessions, starts as ever.
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
    """Have modules imported before programs are forked, too; to be called before the first one is."""
    _imported.extend(modules)
    _context.set_forkserver_preload(_imported)


def stop_forking() -> None:
    """End the process that programs are forked from, and wait for it; it starts again when it is needed."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


class ForkedProgram:
    """A program that runs; to be used like its :class:`subprocess.Popen`.

    :param function: what the program runs, as ``module:name``.
    :param arguments: of its command line, without the program.
    :param environment: all of it.
    :param stdout: file that gets what it prints, after what is there; ``stderr`` likewise.
    :param stdin: file that it reads; it reads nothing without one.
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
        """The number of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """What the process exited with, or the signal that ended it, negative; ``None`` while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return what :meth:`poll` does.

        :param timeout: in seconds.
        :raises subprocess.TimeoutExpired: when it still runs then.
        """
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send the process a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process if it still runs."""
        self.send_signal(signal.SIGKILL)


def run_forked(
    function: str,
    *arguments: str,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, and return what it exited with and has printed.

    :param environment: of the program; that of the tests without one.
    :param timeout: in seconds.
    :raises subprocess.TimeoutExpired: when it still runs then; it was killed.
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
    """Become the program: with this environment, in this folder, and with these files as its streams."""
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
