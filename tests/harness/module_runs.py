# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of one module without Ansible, for what the module itself does."""

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
"""Within which a module ends."""

FAILED = 2
"""What the command ``ansible`` exits with when the module failed; the runs here say the same."""


class ModuleRunner:
    """Modules in processes of their own, for one system that is reached in one way.

    :param system: the one that a run is about unless it names another.
    :ivar hurry: whether pauses between two looks are short, for what does not depend on their length.
    :ivar fork: whether the process is forked from one that has imported the modules, for what does not depend on how
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
        """Start a module; an option that is None is left out."""
        login = login_options(self.lab, host or self.system, self.way, retries=1, retry_delay=0.1)
        given = {key: value for key, value in {**login, **options}.items() if value is not None}
        given |= {"_ansible_check_mode": check, "_ansible_diff": diff, "_ansible_remote_tmp": str(self.folder)}
        surroundings = {"ACTIVELOGIC_EMBEDDED_ROOT": str(self.lab.root), "HOME": str(self.folder)}
        begin = start_forked if self.fork else start_module
        return begin(module, given, {**surroundings, **(environment or {})}, hurry=self.hurry)

    def run(self, module: str, *, host: str | None = None, **more: Any) -> Run:
        """Run a module to its end; ``more`` is what :meth:`start` takes.

        :raises AssertionError: when its output is more, or less, than one result.
        """
        system = host or self.system
        process = self.start(module, host=host, **more)
        try:
            output, _none = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
        return run_of(system, module, process.returncode, output)


def run_of(system: str, module: str, returncode: int, output: str) -> Run:
    """What a process of a module did.

    :raises AssertionError: when its output is more, or less, than one result.
    """
    try:
        result = json.loads(output)
    except ValueError:
        raise AssertionError(f"the module {module} exited with {returncode} and printed no result: {output}") from None
    assert (returncode != 0) is result.get("failed", False), output
    shown = {key: value for key, value in result.items() if key not in ("diff", "invocation")}
    line = {"host": system, "task": module, "result": shown, "diff": result.get("diff")}
    return Run(FAILED if returncode else 0, output, [line], system)
