# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run single modules without Ansible, to test what the module itself does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.harness.ansible_runs import Run
from tests.harness.forked_modules import ForkedModule, start_forked
from tests.harness.lab import Lab
from tests.harness.login import login_options
from tests.harness.module_process import start_module

SECONDS = 120.0
"""Timeout of a module."""

FAILED = 2
"""Exit code of the command ``ansible`` when a module failed; the runs here use it too."""


class ModuleRunner:
    """Runs modules in processes of their own, for one system that is reached in one way.

    :param system: the default system of a run.
    :ivar hurry: whether to shorten polling pauses, for tests that do not depend on their length.
    :ivar fork: whether to fork the process from one that has imported the modules, for tests that do not depend on how
        it starts and ends.
    """

    def __init__(self, lab: Lab, way: str, folder: Path, system: str = "edge1") -> None:
        self.lab = lab
        self.way = way
        self.folder = folder
        self.system = system
        self.hurry = True
        self.fork = True
        self.hosts = tuple(lab.systems)

    def start(
        self,
        module: str,
        *,
        host: str | None = None,
        check: bool = False,
        diff: bool = False,
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> subprocess.Popen[str] | ForkedModule:
        """Start a module, without the options that are None."""
        login = login_options(self.lab, host or self.system, self.way, retries=1, retry_delay=0.1)
        given = {key: value for key, value in {**login, **options}.items() if value is not None}
        given |= {"_ansible_check_mode": check, "_ansible_diff": diff, "_ansible_remote_tmp": str(self.folder)}
        surroundings = {"ACTIVELOGIC_EMBEDDED_ROOT": str(self.lab.root), "HOME": str(self.folder)}
        begin = start_forked if self.fork else start_module
        return begin(module, given, {**surroundings, **(environment or {})}, hurry=self.hurry)

    def run(self, module: str, *, host: str | None = None, **more: Any) -> Run:
        """Run a module to completion; ``more`` is passed to :meth:`start`.

        :raises AssertionError: when it does not print exactly one result.
        """
        system = host or self.system
        process = self.start(module, host=host, **more)
        try:
            output, _none = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
        return run_of(system, module, process.returncode, output)


def run_of(system: str, module: str, returncode: int, output: str) -> Run:
    """Build a run from the exit code and output of a module.

    :raises AssertionError: when the output is not exactly one result.
    """
    try:
        result = json.loads(output)
    except ValueError:
        raise AssertionError(f"the module {module} exited with {returncode} and printed no result: {output}") from None
    assert (returncode != 0) is result.get("failed", False), output
    shown = {key: value for key, value in result.items() if key not in ("diff", "invocation")}
    line = {"host": system, "task": module, "result": shown, "diff": result.get("diff")}
    return Run(FAILED if returncode else 0, output, [line], system)
