# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the real ansible commands against a laboratory, and look at the systems without the collection's help."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import activelogic_embedded
import yaml
from activelogic_embedded.quirks import Quirks

BACKUP = "netops.activelogic.activelogic_backup"
INFO = "netops.activelogic.activelogic_backup_info"
TRANSFER = "netops.activelogic.activelogic_backup_transfer"

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
GATEWAY = "gateway"
DIRECT = "direct"
WAYS = (GATEWAY, DIRECT)


@dataclass
class Run:
    """What one command did: its exit code, all that it printed, and the result of each task."""

    code: int
    output: str
    results: list[dict[str, Any]] = field(default_factory=list)

    def result(self, host: str = "edge1", task: str | None = None) -> dict[str, Any]:
        """The last result of a host, or of one of its tasks."""
        found: dict[str, Any] = self._last(host, task)["result"]
        return found

    def diff(self, host: str = "edge1") -> Any:
        """What the last task of a host returned as its diff."""
        return self._last(host, None)["diff"]

    def _last(self, host: str, task: str | None) -> dict[str, Any]:
        fitting = [each for each in self.results if each["host"] == host and task in (None, each["task"])]
        assert fitting, f"no result of {host}: {self.output}"
        return fitting[-1]


def succeeded(run: Run) -> Run:
    """The run itself, when its command succeeded."""
    assert run.code == 0, run.output
    return run


class Runner:
    """Ansible commands in a clean environment, with an inventory of the laboratory's systems."""

    def __init__(self, lab: Any, way: str, folder: Path) -> None:
        self.lab = lab
        self.way = way
        self.folder = folder
        self.variables: dict[str, Any] = {
            "ansible_connection": "local",
            "activelogic_username": lab.username,
            "activelogic_password": lab.password,
            "activelogic_retries": 1,
            "activelogic_retry_delay": 0.1,
        }
        if way == GATEWAY:
            self.variables |= {"activelogic_gateway_url": lab.url, "activelogic_ca_path": str(lab.ca_path)}
        else:
            self.variables |= {"activelogic_sdk_module": "activelogic_embedded"}
        self.hosts = tuple(lab.systems)

    def inventory(self, **variables: Any) -> str:
        """Write an inventory; a variable that is None is left out."""
        merged = {key: value for key, value in {**self.variables, **variables}.items() if value is not None}
        document = {"all": {"hosts": {host: {} for host in self.hosts}, "vars": merged}}
        path = self.folder / "inventory.yml"
        path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
        return str(path)

    def environment(self, more: Mapping[str, str | None]) -> dict[str, str]:
        """The environment of a command: nothing of this machine's user, no proxy, no bundle of certificates.

        A value of ``more`` that is None takes a variable away.
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
        """Run a command of Ansible to its end, at most five minutes long."""
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
        """Run a module of the collection on a host, with options as a user gives them."""
        command = ["ansible", host, "-i", self.inventory(**(variables or {})), "-m", f"netops.activelogic.{module}"]
        if options:
            command += ["-a", json.dumps(options)]
        return self.run([*command, *(["--check"] if check else []), *(["--diff"] if diff else [])], environment)

    def playbook(self, playbook: str, *, check: bool = False, variables: Mapping[str, Any] | None = None) -> Run:
        """Run a playbook, by its path or its name in the collection."""
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
        """Run a play of these tasks, with more keywords of the play, and more arguments of the command."""
        document = [{"hosts": hosts, "gather_facts": False, "tasks": [dict(task) for task in tasks], **keywords}]
        path = self.folder / "play.yml"
        path.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), encoding="utf-8")
        return self.run(["ansible-playbook", "-i", self.inventory(), str(path), *arguments], process_environment)


def until(done: Callable[[], Any]) -> None:
    """Wait until something is done, at most a minute."""
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def backups_on(lab: Any, system: str) -> dict[str, int]:
    """Names and sizes of the backups of a system, read from its disk."""
    return {each.name: each.stat().st_size for each in (Path(lab.root) / system / "backups").iterdir()}


def configuration_of(lab: Any, system: str) -> Any:
    """All configuration data of a system, as its own command shows it."""
    command = [str(BIN / "activelogic-embedded"), "show", str(lab.root), system]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)


def change_configuration(lab: Any, system: str, resource: str, key: str, value: str) -> None:
    """Change a value on a system with the system's own command."""
    command = [str(BIN / "activelogic-embedded"), "set", str(lab.root), system, resource, key, value]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def add_user(lab: Any, system: str, username: str, password: str) -> None:
    """Add a user who may do everything to a system."""
    command = [str(BIN / "activelogic-embedded"), "user", str(lab.root), system, username, "--privilege", "write"]
    subprocess.run([*command, "--password-file", "-"], input=f"{password}\n", text=True, check=True, timeout=60)


def log_in(lab: Any, system: str) -> Any:
    """A session with a system, without the collection."""
    os.environ["ACTIVELOGIC_EMBEDDED_ROOT"] = str(lab.root)
    return activelogic_embedded.sync_connect(system, lab.username, lab.password)


def set_quirks(lab: Any, system: str, **quirks: Any) -> None:
    """Give a system the quirks of :class:`activelogic_embedded.quirks.Quirks`, and no others."""
    given = {**asdict(Quirks()), **quirks}
    command = [str(BIN / "activelogic-embedded"), "quirks", str(lab.root), system]
    command += [f"{key}={json.dumps(value)}" for key, value in given.items()]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def restores_on(lab: Any, system: str) -> int:
    """How often a backup was restored on a system, read from its database."""
    with contextlib.closing(sqlite3.connect(Path(lab.root) / system / "system.sqlite")) as database:
        return int(database.execute("SELECT value FROM facts WHERE key = 'restores'").fetchone()[0])


def digest_of_systems(lab: Any) -> str:
    """A digest of everything that all systems hold."""
    command = [str(BIN / "activelogic-embedded"), "digest", str(lab.root)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def digest_of_tree(folder: Path) -> dict[str, tuple[int, int, int, str]]:
    """Inode, mode, time of change and content of everything in a folder."""
    found = {}
    for each in sorted(folder.rglob("*")):
        status = each.lstat()
        content = hashlib.sha256(each.read_bytes()).hexdigest() if each.is_file() else ""
        found[str(each.relative_to(folder))] = (status.st_ino, status.st_mode, status.st_mtime_ns, content)
    return found
