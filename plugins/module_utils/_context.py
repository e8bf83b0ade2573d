# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The context in which a module's work runs. Private to this collection.

The work never uses AnsibleModule directly, only the protocol :class:`Ansible`.
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
    """What a module's work needs from Ansible. Paths are in Ansible's form, see :func:`_access.exact`."""

    @property
    def temporary_folder(self) -> str:
        """A folder for temporary files of this task; Ansible removes it afterwards."""

    def warn(self, text: str) -> None:
        """Warn the user."""

    def run(self, command: list[str]) -> tuple[int, str]:
        """Run a program to its end; returns its exit status and what it wrote to standard error.

        :raises OSError: when it can't be started.
        """

    def program(self, name: str) -> str | None:
        """The path of a program, or ``None`` if it is not installed."""

    def mode_from(self, status: os.stat_result, text: str) -> int:
        """The permissions that a symbolic mode such as ``u=rw`` gives to a file with this status."""

    def flags_of(self, path: str) -> Mapping[str, Any]:
        """The attributes of a file (chattr(1)), as core's ``get_file_attributes`` returns them."""

    def set_security_context(self, path: str) -> bool:
        """Give a file the SELinux context that the task asks for; returns whether that changed anything."""


class Notes:
    """What a failure of this run has to report, whatever its cause: an error, a signal or a bug.

    :ivar hint: what the run left and what to do about it, as a clause.
    :ivar facts: return values that are valid in spite of the failure.
    """

    def __init__(self, system: str, notice: Notice) -> None:
        self.hint = ""
        self.facts: dict[str, Any] = {}
        self._system = system
        self._notice = notice

    def say(self, hint: str, **facts: Any) -> None:
        """Report this from now on, instead of anything before."""
        self.hint, self.facts = hint, facts
        self._notice.write(f"ActiveLogic system {self._system}: {hint}." if hint else "")

    def clear(self) -> None:
        """Report nothing any more."""
        self.say("")

    def complete(self, error: ActiveLogicError) -> None:
        """Add this to an error, after the error's own hint; the error's own facts win."""
        if self.hint:
            error.hint = f"{error.hint}; {self.hint}" if error.hint else self.hint
        error.facts = {**self.facts, **error.facts}


@dataclass(frozen=True)
class Context:
    """Everything that a module's work needs: options, client, check mode, time, and notes for a failure.

    :param now: when the task began, an aware datetime.
    :param zone: the time zone of names that the system chose; ``None`` when it is not known.
    :param diff: whether the task returns the state before and after.
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
        """Warn the user. Ansible prints warnings unchanged, so untrusted characters are escaped here."""
        self.ansible.warn(printable(text))
