# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many plays in one run of ``ansible-playbook``, each on hosts of its own, so that a failure in one hides no other.

Most of the time that a test with Ansible takes is the start of the command, so tests share one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.harness.ansible_runs import FAILURES, Run, Runner
from tests.harness.lab import Lab
from tests.harness.login import WAYS, route_options

PASSWORD = "{{ password_of_the_lab }}"  # noqa: S105 - a reference
USERNAME = "{{ username_of_the_lab }}"
WAY = "{{ way_of_the_test }}"
FOLDER = "{{ folder_of_the_test }}"
"""What a play may refer to: the login, the way that a host is reached, and a folder for the files of the run."""

PREFIX = "activelogic_"


@dataclass(frozen=True, eq=False)
class Play:
    """One play, of which every task runs, also after one that failed.

    :ivar name: unique in a run, of letters, digits and hyphens.
    :ivar variables: of each host, beside or in place of the login; None leaves one out.
    :ivar systems: one host of the inventory stands for each, in each way.
    :ivar keywords: more keywords of the play.
    """

    name: str
    tasks: Sequence[Mapping[str, Any]]
    variables: Mapping[str, Any] = field(default_factory=dict)
    systems: Sequence[str] = ("edge1",)
    ways: Sequence[str] = WAYS
    keywords: Mapping[str, Any] = field(default_factory=dict)

    def host(self, way: str, system: str = "edge1") -> str:
        """The name of a host in the inventory."""
        return f"{self.name}-{way}-{system}"

    def in_way(self, way: str) -> dict[str, Any]:
        """The play as a playbook has it, of the hosts that are reached in this way."""
        hosts = ",".join(self.host(way, system) for system in self.systems)
        tasks = [{"ignore_errors": True, **task} for task in self.tasks]
        title = f"{self.name} {way}"
        return {"name": title, "hosts": hosts, "gather_facts": False, "tasks": tasks, **self.keywords}


RunOf = Callable[[Play], Run]
"""What a play did in the way that the test goes."""


class PlaysRun:
    """The run of these plays, one host at a time, in the order in which they are given.

    :param hosts: more hosts of the inventory, with their variables.
    :param arguments: more arguments of ``ansible-playbook``.
    :param environment: of the command.
    """

    def __init__(
        self,
        lab: Lab,
        folder: Path,
        plays: Sequence[Play],
        *,
        hosts: Mapping[str, Mapping[str, Any]] | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        self.lab = lab
        self.folder = folder
        inventory: dict[str, Any] = {name: dict(variables) for name, variables in (hosts or {}).items()}
        for play in plays:
            inventory |= self._hosts(play)
        assert len({play.name for play in plays}) == len(plays), "two plays have one name"
        playbook = [play.in_way(way) for play in plays for way in play.ways]
        written = {"hosts.yml": {"all": {"hosts": inventory}}, "plays.yml": playbook}
        for name, document in written.items():
            (folder / name).write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), encoding="utf-8")
        command = ["ansible-playbook", "-i", "hosts.yml", "--forks", "1", "plays.yml", *arguments]
        self._run = Runner(lab, WAYS[0], folder).run(command, environment)

    def of(self, play: Play, way: str) -> Run:
        """What one play did in one way: its results by system, and what the screen showed of it.

        :raises AssertionError: when the play was never begun.
        """
        begin = f"PLAY [{play.name} {way}] "
        assert begin in self._run.output, self._run.output
        shown = self._run.output.partition(begin)[2].partition("\nPLAY ")[0]
        systems = {play.host(way, system): system for system in play.systems}
        lines = [{**line, "host": systems[line["host"]]} for line in self._run.results if line["host"] in systems]
        has_failed = any(line["outcome"] in FAILURES for line in lines)
        return Run(2 if has_failed else 0, shown, lines, play.systems[0])

    def _hosts(self, play: Play) -> dict[str, dict[str, Any]]:
        """The hosts of a play; ``ansible_host`` names the system as the name of a host in the inventory would."""
        found = {}
        for way in play.ways:
            of_test = {
                "password_of_the_lab": self.lab.password,
                "username_of_the_lab": self.lab.username,
                "way_of_the_test": way,
                "folder_of_the_test": str(self.folder),
                "systems_of_the_lab": str(self.lab.root),
            }
            login = Runner(self.lab, way, self.folder).variables
            options = {key.removeprefix(PREFIX): login[key] for key in login if key.startswith(PREFIX)}
            login = {**login, **of_test, "connection_of_the_test": options}
            for system in play.systems:
                variables = {**login, "ansible_host": system, **play.variables}
                given = {key: value for key, value in variables.items() if value is not None}
                found[play.host(way, system)] = given
        return found


def connection(way: str) -> dict[str, str]:
    """The options of the connection in this way, as references to their values."""
    options = ("username", "password", "retries", "retry_delay", *route_options(way))
    return {option: f"{{{{ connection_of_the_test.{option} }}}}" for option in options}


NO_CONNECTION = dict.fromkeys(f"{PREFIX}{option}" for way in WAYS for option in connection(way))
"""Variables of a host that leave all options of the connection out."""


def look(name: str, system: str = "edge1") -> dict[str, Any]:
    """A task that tells the names of a system's backups without any module: see :func:`looked`."""
    command = f"'ls -1 ' ~ (systems_of_the_lab | quote) ~ '/{system}/backups'"
    return {"name": name, "ansible.builtin.debug": {"msg": "{{ lookup('ansible.builtin.pipe', " + command + ") }}"}}


def looked(run: Run, name: str, beginning: str = "") -> set[str]:
    """What :func:`look` saw: the names that begin like that."""
    return {each for each in run.result(task=name)["msg"].splitlines() if each.startswith(beginning)}
