# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A session on a production system that only allows what the command line permits.

Logging in, listing and the overview are always allowed. With write permission, backups whose names start with this
run's prefix can be made, downloaded and removed. A restore needs the system's machine id, and is limited to backups
that this run made with create_new.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.contract.ways import SdkSession, Way

PREFIX = "contract-"
"""Prefix of all backup names, common to all runs."""

OWN_NAME = re.compile(r"contract-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[a-z0-9]+\.plb")


class ForbiddenError(Exception):
    """The command was not allowed and has not been sent."""


@dataclass
class Leave:
    """What one run may do on one system, and what it has done.

    :param may_write: permission to make, download and remove backups of :attr:`prefix`.
    :param restore_on: machine id of the system on which these backups may be restored.
    """

    may_write: bool = False
    restore_on: str | None = None
    prefix: str = field(default_factory=lambda: f"{PREFIX}{uuid.uuid4()}-")
    sent: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)

    def name(self, word: str) -> str:
        """A backup name that belongs to this run."""
        return f"{self.prefix}{word}.plb"

    def require_own(self, name: object) -> str:
        """:raises ForbiddenError: unless the run may write and the name is its own."""
        if not self.may_write:
            raise ForbiddenError("nothing may be written (--allow-write)")
        if not isinstance(name, str) or not name.startswith(self.prefix) or not OWN_NAME.fullmatch(name):
            raise ForbiddenError(f"{name!r} is no name of this run, which all begin with {self.prefix}")
        return name


class GuardedSession:
    """A session of any way. When the block ends, even by a failure, the run's backups are removed from the system."""

    def __init__(self, way: Way, login: tuple[str, str, str], leave: Leave) -> None:
        self._leave = leave
        self._session = way.connect(*login)
        self._connect: Callable[[], Any] = lambda: way.connect(*login)

    def __enter__(self) -> GuardedSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove_leftovers()

    def remove_leftovers(self) -> None:
        """Remove all backups that this run has made, in a new session.

        :raises ForbiddenError: naming those that could not be removed.
        """
        if not self._leave.sent:
            return
        session = self._connect()
        for name in sorted(self._leave.sent & set(session.list())):
            self._leave.require_own(name)
            with contextlib.suppress(Exception):  # the listing below detects failures
                session.remove(name)
        left = sorted(self._leave.sent & set(self._connect().list()))
        if left:
            raise ForbiddenError(f"could not be removed from the system: {', '.join(left)}")
        self._leave.sent.clear()
        self._leave.made.clear()

    @property
    def sdk(self) -> Any:
        """The module of the vendor's API, on the ways of the Python API."""
        return self._session.sdk

    def identity(self) -> tuple[str, str]:
        """Machine id and firmware."""
        machineid, distversion = self._session.identity()
        return machineid, distversion

    def list(self) -> dict[str, int]:
        """Sizes in bytes by name."""
        return dict(self._session.list())

    def list_of(self, cls: Any) -> Any:
        """The result of the Python API's ``list`` for any argument."""
        return self._session.call("list", cls)

    def overview(self) -> dict[str, Any]:
        """The systems that this one knows, by machine id."""
        return dict(self._session.overview())

    @property
    def can_be_closed(self) -> bool:
        """Whether the package can close a connection; earlier generations can only drop the object."""
        return hasattr(self._session.connection, "close")

    def run_close(self) -> None:
        """End the session."""
        self._session.close()

    def fact(self, name: str) -> str:
        """``machineid`` or ``distversion`` of the Connection, even after it was closed."""
        if name not in ("machineid", "distversion"):
            raise ForbiddenError(f"{name} is no fact")
        return str(getattr(self._session.connection, name))

    def create_new(self, name: str, resource_name: str | None = None) -> str:
        """Create a backup of this run."""
        self._leave.sent.add(self._leave.require_own(name))
        created: str = self._session.create_new(name, resource_name)
        self._leave.made.add(name)
        return created

    def upload(self, name: str, path: Path) -> None:
        """Upload a backup of this run."""
        self._leave.sent.add(self._leave.require_own(name))
        self._leave.made.discard(name)
        self._session.upload(name, path)

    def download(self, name: str, path: Path) -> None:
        """Download a backup of this run."""
        self._session.download(self._leave.require_own(name), path)

    def remove(self, name: str) -> None:
        """Remove a backup of this run."""
        self._session.remove(self._leave.require_own(name))
        self._leave.made.discard(name)

    def restore(self, name: str, resource_name: str | None = None) -> None:
        """Restore a backup that this run has created, on the one permitted system."""
        if self._leave.require_own(name) not in self._leave.made:
            raise ForbiddenError(f"{name} was not created by this run")
        machineid = self.identity()[0]
        if machineid != self._leave.restore_on:
            raise ForbiddenError(f"the system {machineid} is not the one to be restored (--allow-restore)")
        self._session.restore(name, resource_name)

    def type_error(self, method: str, **named: Any) -> None:
        """Call download or upload with arguments that must be rejected before anything is sent.

        :raises ForbiddenError: for any other method, or a name that is not this run's.
        """
        if method not in ("download", "upload"):
            raise ForbiddenError(f"{method} has no TypeErrors")
        name = self._leave.require_own(named.get("backup_name"))
        if method == "upload":
            self._leave.sent.add(name)
        if not isinstance(self._session, SdkSession):
            raise ForbiddenError("only the Python API has TypeErrors")
        self._session.call(method, **named)
