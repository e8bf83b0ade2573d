# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run Ansible's commands in a clean environment with an inventory of the lab's systems."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.harness.lab import BIN, Lab
from tests.harness.login import WAYS, login_options

BACKUP = "netops.activelogic.activelogic_backup"
INFO = "netops.activelogic.activelogic_backup_info"
TRANSFER = "netops.activelogic.activelogic_backup_transfer"

FAILURES = ("failed", "unreachable")
"""Task outcomes, as the callback ``record`` names them, that make a command fail."""

HERE = Path(__file__).parent


@dataclass
class Run:
    """The outcome of one command: its exit code, its whole output, and the result of each task.

    :ivar host: default host for the methods below.
    """

    code: int
    output: str
    results: list[dict[str, Any]] = field(default_factory=list)
    host: str = "edge1"

    def result(self, host: str | None = None, task: str | None = None) -> dict[str, Any]:
        """The last result of a host, or of one task on it."""
        found: dict[str, Any] = self._last(host, task)["result"]
        return found

    def diff(self, host: str | None = None) -> Any:
        """The diff returned by a host's last task."""
        return self._last(host, None)["diff"]

    def of_task(self, name: str) -> Run:
        """Restrict the run to one task and its output.

        :raises AssertionError: when the task did not run.
        """
        lines = [line for line in self.results if line["task"] == name]
        begin = f"TASK [{name}] "
        assert lines, self.output
        assert begin in self.output, self.output
        shown = self.output.partition(begin)[2].partition("\nTASK [")[0]
        return Run(2 if any(line["outcome"] in FAILURES for line in lines) else 0, shown, lines, self.host)

    def _last(self, host: str | None, task: str | None) -> dict[str, Any]:
        host = host or self.host
        fitting = [each for each in self.results if each["host"] == host and task in (None, each["task"])]
        assert fitting, f"no result of {host}: {self.output}"
        return fitting[-1]


def succeeded(run: Run) -> Run:
    """Assert that the command succeeded; returns the run."""
    assert run.code == 0, run.output
    return run


def _given(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in variables.items() if value is not None}


class Runner:
    """Runs Ansible commands in a clean environment, with an inventory of the lab's systems.

    :ivar variables: variables of all hosts.
    :ivar host_variables: variables of single hosts, which override those; None removes one.
    """

    def __init__(self, lab: Lab, way: str, folder: Path) -> None:
        self.lab = lab
        self.way = way
        self.folder = folder
        self.variables: dict[str, Any] = {"ansible_connection": "local", **self._login(way)}
        self.host_variables: dict[str, dict[str, Any]] = {}
        self.hosts = tuple(lab.systems)

    def reach(self, host: str, way: str) -> None:
        """Reach one host in this way, whichever way the others use."""
        others = {key: None for each in WAYS for key in self._login(each)}
        self.host_variables.setdefault(host, {}).update({**others, **self._login(way)})

    def _login(self, way: str) -> dict[str, Any]:
        login = login_options(self.lab, "", way, retries=1, retry_delay=0.1)
        del login["host"]  # the inventory's host name is used instead
        return {f"activelogic_{option}": value for option, value in login.items()}

    def inventory(self, **variables: Any) -> str:
        """Write an inventory, without the variables that are None; returns its path."""
        merged = {**self.variables, **variables}
        differing = {key for own in self.host_variables.values() for key in own}
        hosts = {
            host: _given({**{key: merged.get(key) for key in differing}, **self.host_variables.get(host, {})})
            for host in self.hosts
        }
        of_all = _given({key: value for key, value in merged.items() if key not in differing})
        document = {"all": {"hosts": hosts, "vars": of_all}}
        path = self.folder / "inventory.yml"
        path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
        return str(path)

    def environment(self, more: Mapping[str, str | None]) -> dict[str, str]:
        """The environment of a command, without user settings, proxies and certificate bundles of this machine.

        A value of None in ``more`` removes a variable.
        """
        variables = {
            "PATH": f"{BIN}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": os.environ["ANSIBLE_COLLECTIONS_PATH"],
            "ANSIBLE_HOME": str(self.folder / ".ansible"),
            "ANSIBLE_ASYNC_DIR": str(self.folder / ".ansible_async"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_DEPRECATION_WARNINGS": "1",
            "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "record",
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
            "RECORD_FILE": str(self.folder / "record.jsonl"),
            "ACTIVELOGIC_EMBEDDED_ROOT": str(self.lab.root),
            **more,
        }
        return {name: value for name, value in variables.items() if value is not None}

    def run(self, command: list[str], environment: Mapping[str, str | None] | None = None) -> Run:
        """Run an Ansible command; it may take five minutes."""
        record = self.folder / "record.jsonl"
        record.unlink(missing_ok=True)
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            cwd=self.folder,
            env=self.environment(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
        return Run(done.returncode, done.stdout, [json.loads(line) for line in lines])

    def ad_hoc(
        self,
        module: str,
        *,
        host: str = "edge1",
        check: bool = False,
        diff: bool = False,
        environment: Mapping[str, str] | None = None,
        variables: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Run:
        """Run a module of the collection on a host, with the options written as a user writes them."""
        command = ["ansible", host, "-i", self.inventory(**(variables or {})), "-m", f"netops.activelogic.{module}"]
        if options:
            command += ["-a", json.dumps(options)]
        return self.run([*command, *(["--check"] if check else []), *(["--diff"] if diff else [])], environment)

    def playbook(self, playbook: str, *, check: bool = False, variables: Mapping[str, Any] | None = None) -> Run:
        """Run a playbook, given by path or by name within the collection."""
        command = ["ansible-playbook", "-i", self.inventory(), playbook]
        command += ["-e", json.dumps(variables)] if variables else []
        return self.run([*command, *(["--check"] if check else [])])

    def play(
        self,
        *tasks: Mapping[str, Any],
        hosts: str = "edge1",
        arguments: Sequence[str] = (),
        process_environment: Mapping[str, str | None] | None = None,
        **keywords: Any,
    ) -> Run:
        """Run these tasks as a play, with further play keywords and command-line arguments."""
        document = [{"hosts": hosts, "gather_facts": False, "tasks": [dict(task) for task in tasks], **keywords}]
        path = self.folder / "play.yml"
        path.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), encoding="utf-8")
        return self.run(["ansible-playbook", "-i", self.inventory(), str(path), *arguments], process_environment)
