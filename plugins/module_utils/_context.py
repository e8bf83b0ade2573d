# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the work of a module gets. Private to this collection.

It does not meet AnsibleModule: :class:`Ansible` is all that it can ask of that.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Protocol

from ._client import Client
from ._errors import ActiveLogicError
from ._notice import Notice
from ._text import printable


class Ansible(Protocol):
    """What Ansible does for the work of a module. Paths are texts that every locale can write."""

    @property
    def temporary_folder(self) -> str:
        """Where files of this task may stand; Ansible removes it afterwards."""

    def warn(self, text: str) -> None:
        """Warn the user."""

    def run(self, command: list[str]) -> tuple[int, str]:
        """Run a program to its end; returns its exit status and what it wrote to standard error.

        :raises OSError: when it can't be started.
        """

    def program(self, name: str) -> str | None:
        """The path of a program, where there is one of that name."""

    def mode_from(self, status: os.stat_result, text: str) -> int:
        """The permissions that a symbolic mode such as ``u=rw`` gives a file of that status."""

    def flags_of(self, path: str) -> Mapping[str, Any]:
        """The attributes of a file (chattr(1)), as core's ``get_file_attributes`` returns them."""

    def set_security_context(self, path: str) -> bool:
        """Give a file the SELinux context that the task asks for; returns whether that changed anything."""


class Notes:
    """What has to be said of this run if it fails, whatever ends it: an error, a signal, a defect.

    :ivar hint: where something is, and what to do with it, as a clause.
    :ivar facts: return values that hold in spite of the failure.
    """

    def __init__(self, system: str, notice: Notice) -> None:
        self.hint = ""
        self.facts: dict[str, Any] = {}
        self._system = system
        self._notice = notice

    def say(self, hint: str, **facts: Any) -> None:
        """Say this from now on, and nothing else."""
        self.hint, self.facts = hint, facts
        self._notice.write(f"ActiveLogic system {self._system}: {hint}." if hint else "")

    def clear(self) -> None:
        """There is nothing to be said any more."""
        self.say("")

    def complete(self, error: ActiveLogicError) -> None:
        """Let a failure say it too; what the failure itself knows goes before."""
        if self.hint:
            error.hint = f"{error.hint}; {self.hint}" if error.hint else self.hint
        error.facts = {**self.facts, **error.facts}


@dataclass(frozen=True)
class Context:
    """What a module's work gets: its options, the client, whether it may write, the time, and what a failure says.

    :param now: when the task began, an aware datetime.
    :param zone: the time zone of names that the system made; ``None`` when it is not known.
    :param diff: whether the task returns what was there before and what is there now.
    """

    params: Mapping[str, Any]
    client: Client
    check_mode: bool
    ansible: Ansible
    now: datetime
    zone: tzinfo | None
    notes: Notes
    diff: bool = False

    def warn(self, text: str) -> None:
        """Warn the user; Ansible prints a warning as it is, so whatever comes from outside is escaped here."""
        self.ansible.warn(printable(text))
