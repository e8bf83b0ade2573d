# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a case works with: one system of the lab, a folder, and the module in a process of its own."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from activelogic_embedded import admin
from activelogic_embedded.store import EVERY_RESOURCE, Level

from tests.errors.odd_gateway import OddGateway
from tests.harness.ansible_runs import Runner
from tests.harness.forked_modules import ForkedModule, start_forked
from tests.harness.lab import Lab
from tests.harness.login import DIRECT, GATEWAY, WAYS, login_options
from tests.harness.module_process import start_module
from tests.harness.observer import backups_on, digest_of_tree, has_begun
from tests.harness.systems import log_in, set_quirks

BACKUP = "activelogic_backup"
INFO = "activelogic_backup_info"
TRANSFER = "activelogic_backup_transfer"
ODD_GATEWAY = "odd gateway"
"""Marks cases that use the test double of the gateway, for behavior that the real one does not show on demand."""

HERE = Path(__file__).parent
PLUGINS = Path(next(iter(importlib.import_module("ansible_collections.netops.activelogic").__path__))) / "plugins"
SECONDS = 60.0
"""Timeout of a module."""

Facts = Mapping[str, Any]
"""Values of a message's placeholders; a :class:`re.Pattern` if a value is not known in advance."""


@dataclass
class Outcome:
    """The outcome of a module: exit code and output, and the earlier state of the system and the files."""

    code: int
    output: str
    digest_before: str
    files_before: Any

    @property
    def result(self) -> dict[str, Any]:
        """The result that Ansible would receive."""
        found: dict[str, Any] = json.loads(self.output)
        return found


class Scene:
    """One system, reached in one way.

    :ivar may_change: whether the case changes the system; it then checks the system's state itself.
    :ivar hint: pattern of the hint, if it differs from the table's.
    """

    def __init__(self, lab: Lab, system: str, way: str, folder: Path) -> None:
        self.lab = lab
        self.system = system
        self.way = way
        self.folder = folder
        self.archive = folder / "archive"
        self.archive.mkdir()
        self.site = folder / "site"
        self.site.mkdir()
        self.environment: dict[str, str] = {}
        self.wrapper: Sequence[str] = ()
        self.host = system
        self.secrets = [lab.password]
        self.may_change = False
        self.hint: str | None = None
        self.outcome: Outcome | None = None
        self.odd = OddGateway()

    # The system, and its faults

    @property
    def backups(self) -> Path:
        """The folder of the system's backups."""
        return self.lab.root / self.system / "backups"

    def listed(self) -> dict[str, int]:
        """Names and sizes of the system's backups."""
        return backups_on(self.lab, self.system)

    def make(self, name: str) -> bytes:
        """Make a backup on the system; returns its content."""
        with log_in(self.lab, self.system) as connection:
            connection.backup().create_new(name)
        return (self.backups / name).read_bytes()

    def place(self, name: str, content: bytes) -> None:
        """Put a backup with any content on the system's disk."""
        (self.backups / name).write_bytes(content)

    def quirks(self, **quirks: Any) -> None:
        """Replace the system's quirks by these."""
        set_quirks(self.lab, self.system, **quirks)

    def fault(self, command: str, does: str, **more: Any) -> None:
        """Give the system one fault."""
        self.quirks(faults=[{"command": command, "does": does, **more}])

    def has_begun(self) -> bool:
        """Whether the fault has been triggered; it must have ``times``."""
        return has_begun(self.lab, self.system)

    def begin_outage(self) -> None:
        """Take the system down now, for as long as the quirk ``outage`` says."""
        admin.begin_outage(self.lab.root, self.system)

    def reader(self) -> None:
        """Add the read-only user ``reader``, with the same password."""
        admin.set_user(self.lab.root, self.system, "reader", self.lab.password, {EVERY_RESOURCE: Level.READ})

    def file(self, name: str, content: bytes = b"the content of a file") -> str:
        """Create a file where the module runs; returns its path."""
        path = self.archive / name
        path.write_bytes(content)
        return str(path)

    def odd_sdk(self, oddity: str) -> None:
        """Make the module use ``odd_sdk`` with this oddity."""
        self.environment |= {"ODD_SDK": oddity, "ODD_SDK_FILE": str(self.archive / "pushed.plb")}

    def trick(self, at: str, does: str) -> None:
        """Make the module use ``odd_sdk`` with this trick in one place."""
        self.odd_sdk("Tricky")
        self.environment |= {"ODD_SDK_AT": at, "ODD_SDK_TRICK": does, "ODD_SDK_PASSWORD": self.lab.password}

    def python(self, file: str, text: str) -> None:
        """Add a Python file at the front of the module's import path."""
        (self.site / file).write_text(text, encoding="utf-8")

    # The module

    def options(self) -> dict[str, Any]:
        """The connection options."""
        if self.way == ODD_GATEWAY:
            there = {"gateway_url": self.odd.url, "ca_path": None}
            return login_options(self.lab, self.host, GATEWAY, retries=0, **there)
        package = {"sdk_module": "odd_sdk"} if "ODD_SDK" in self.environment and self.way == DIRECT else {}
        return login_options(self.lab, self.host, self.way, retries=0, **package)

    def start(self, module: str, **options: Any) -> subprocess.Popen[str] | ForkedModule:
        """Start a module, without the options that are None; forked unless it needs a wrapper, environment or path."""
        given = {key: value for key, value in {**self.options(), **options}.items() if value is not None}
        self.host = given["host"]
        environment = {"ACTIVELOGIC_EMBEDDED_ROOT": str(self.lab.root), **self.environment}
        self._before = (self.digest(), digest_of_tree(self.archive))
        if not (self.wrapper or self.environment or any(self.site.iterdir())):
            return start_forked(module, given, environment)
        path = os.pathsep.join([str(self.site), str(HERE), os.environ["PYTHONPATH"]])
        return start_module(module, given, {"PYTHONPATH": path, **environment}, wrapper=self.wrapper)

    def ansible(
        self,
        module: str,
        *,
        variables: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        **options: Any,
    ) -> None:
        """Run the module with ``ansible``, for errors that only its action plugin detects; no secret may be shown.

        :param variables: further inventory variables, in addition to the connection's; None removes one.
        """
        given = {f"activelogic_{name}": value for name, value in self.options().items() if name != "host"}
        runner = Runner(self.lab, self.way, self.folder)
        runner.hosts = (self.host,)
        runner.variables = {"ansible_connection": "local", **given, **(variables or {})}
        self._before = (self.digest(), digest_of_tree(self.archive))
        command = ["ansible", self.host, "-i", runner.inventory(), "-m", f"netops.activelogic.{module}", *arguments]
        run = runner.run([*command, *(["-a", json.dumps(options)] if options else [])], environment)
        for secret in self.secrets:
            assert secret not in run.output
        result = {**run.result(self.host), "failed": run.code == 2}
        self.outcome = Outcome(1 if run.code == 2 else 0, json.dumps(result), *self._before)

    def run_module_file(self, module: str, interpreter: str) -> None:
        """Run a module's file with another Python, without options, so that messages name no system."""
        self._before = (self.digest(), digest_of_tree(self.archive))
        self.host = ""
        command = [interpreter, str(PLUGINS / "modules" / f"{module}.py")]
        done = subprocess.run(command, input="", capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.stderr == ""
        self.outcome = Outcome(done.returncode, done.stdout, *self._before)

    def end(self, process: subprocess.Popen[str] | ForkedModule) -> None:
        """Wait for a module to end."""
        try:
            output, _none = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
        self.outcome = Outcome(process.returncode, output, *self._before)

    def run(self, module: str, **options: Any) -> None:
        """Run a module to completion."""
        self.end(self.start(module, **options))

    def digest(self) -> str:
        """A digest of the system's whole state."""
        return admin.digest(self.lab.root, self.system)


@dataclass(frozen=True)
class Case:
    """A function that triggers a row of the table in one way."""

    row: str
    way: str
    bring_about: Callable[[Scene], Facts]

    def __str__(self) -> str:
        return f"{self.row}-{self.bring_about.__name__}-{self.way}".replace(" ", "_")


@dataclass
class Cases:
    """All cases, in the order of definition."""

    found: list[Case] = field(default_factory=list)

    def __call__(
        self, row: str, *ways: str
    ) -> Callable[[Callable[[Scene], Facts | None]], Callable[[Scene], Facts | None]]:
        """Register a function that triggers a row in these ways (default: both) and returns the row's facts."""

        def keep(function: Callable[[Scene], Facts | None]) -> Callable[[Scene], Facts | None]:
            def bring_about(scene: Scene) -> Facts:
                return function(scene) or {}

            bring_about.__name__ = function.__name__
            self.found += [Case(row, way, bring_about) for way in ways or WAYS]
            return function

        return keep


case = Cases()
