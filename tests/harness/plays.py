# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many plays in one run of ``ansible-playbook``, each on its own hosts, so that a failure in one hides no other.

Tests share a run because most of their time would go into starting the command.
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
"""Variables for plays: the login, the way to reach a host, and a folder for the files of the run."""

PREFIX = "activelogic_"


@dataclass(frozen=True, eq=False)
class Play:
    """One play; all of its tasks run, even after a failure.

    :ivar name: unique within a run; letters, digits and hyphens.
    :ivar variables: variables of each host, which extend or override the login; None removes one.
    :ivar systems: the inventory has one host for each of them in each way.
    :ivar keywords: further play keywords.
    """

    name: str
    tasks: Sequence[Mapping[str, Any]]
    variables: Mapping[str, Any] = field(default_factory=dict)
    systems: Sequence[str] = ("edge1",)
    ways: Sequence[str] = WAYS
    keywords: Mapping[str, Any] = field(default_factory=dict)

    def host(self, way: str, system: str = "edge1") -> str:
        """The inventory name of a host."""
        return f"{self.name}-{way}-{system}"

    def in_way(self, way: str) -> dict[str, Any]:
        """The play as in a playbook, for the hosts that are reached in this way."""
        hosts = ",".join(self.host(way, system) for system in self.systems)
        tasks = [{"ignore_errors": True, **task} for task in self.tasks]
        title = f"{self.name} {way}"
        return {"name": title, "hosts": hosts, "gather_facts": False, "tasks": tasks, **self.keywords}


RunOf = Callable[[Play], Run]
"""Returns the outcome of a play in the current test's way."""


class PlaysRun:
    """A run of these plays, in order, one host at a time.

    :param hosts: further hosts of the inventory, with their variables.
    :param arguments: further arguments of ``ansible-playbook``.
    :param environment: environment of the command.
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
        """The outcome of one play in one way: its results by system, and its output.

        :raises AssertionError: when the play did not start.
        """
        begin = f"PLAY [{play.name} {way}] "
        assert begin in self._run.output, self._run.output
        shown = self._run.output.partition(begin)[2].partition("\nPLAY ")[0]
        systems = {play.host(way, system): system for system in play.systems}
        lines = [{**line, "host": systems[line["host"]]} for line in self._run.results if line["host"] in systems]
        has_failed = any(line["outcome"] in FAILURES for line in lines)
        return Run(2 if has_failed else 0, shown, lines, play.systems[0])

    def _hosts(self, play: Play) -> dict[str, dict[str, Any]]:
        """The hosts of a play; ``ansible_host`` is the system, as the inventory's host name would be."""
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
    """The connection options of this way, as Jinja references to their values."""
    options = ("username", "password", "retries", "retry_delay", *route_options(way))
    return {option: f"{{{{ connection_of_the_test.{option} }}}}" for option in options}


NO_CONNECTION = dict.fromkeys(f"{PREFIX}{option}" for way in WAYS for option in connection(way))
"""Host variables that remove all connection options."""


def look(name: str, system: str = "edge1") -> dict[str, Any]:
    """A task that lists a system's backups on disk, without any module: see :func:`looked`."""
    command = f"'ls -1 ' ~ (systems_of_the_lab | quote) ~ '/{system}/backups'"
    return {"name": name, "ansible.builtin.debug": {"msg": "{{ lookup('ansible.builtin.pipe', " + command + ") }}"}}


def looked(run: Run, name: str, beginning: str = "") -> set[str]:
    """The names with this prefix that :func:`look` listed."""
    return {each for each in run.result(task=name)["msg"].splitlines() if each.startswith(beginning)}
