# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the contract tests need from a stand-in for the vendor's package beyond the API: one small class per stand-in.

The tests know a stand-in only by the name of its Python module and by a class with the interface of :class:`Standin`.
``--standin FILE.py:CLASS`` replaces the embedded system by another one.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

# Behavior that the vendor's documentation leaves open, as declared by a stand-in. One that declares nothing passes too:
# tests then require less, or are skipped if nothing would remain to test.

REFUSES_TAKEN_NAMES = "refuses taken names"
"""create_new and upload are refused if the name exists (otherwise they overwrite)."""

REFUSES_MISSING_NAMES = "refuses missing names"
"""remove is refused if no backup has the name (otherwise nothing happens)."""

REFUSES_ILLEGAL_NAMES = "refuses illegal names"
"""Names that the collection's client considers illegal are refused."""

TAKES_LEGAL_NAMES = "takes legal names"
"""Names that the client considers legal are accepted unchanged (otherwise only plain ones that end in .plb)."""

EXACT_NAMES = "exact names"
"""Names of backups and resources are compared exactly: case matters, blanks and patterns have no meaning."""

GENERATED_NAMES_COLLIDE = "generated names collide"
"""A generated name contains only the minute, and is refused if it exists."""

REFUSES_ABSENT_RESOURCES = "refuses absent resources"
"""Restoring a resource that the backup does not contain is refused (otherwise nothing happens)."""

EQUAL_BACKUPS = "equal backups"
"""Two backups of an unchanged system are identical, byte for byte."""

STRICT_FILE_OBJECTS = "strict file objects"
"""A file object must be one of Python's own types; lookalikes are refused."""

UNBUFFERED_FILES = "unbuffered files"
"""A file object may be unbuffered."""

FILES_WHERE_THEY_STAND = "files where they stand"
"""A file object is read and written from its current position, not from its start."""

REFUSES_DAMAGED_BACKUPS = "refuses damaged backups"
"""Restoring bytes that are not an intact backup is refused, and changes nothing."""

RESTORES_OTHER_MACHINES = "restores other machines"
"""A backup made by another machine can be restored."""

RESTORE_COMMITS = "a restore commits"
"""For other sessions, a restore counts as new data of the Backup resource."""

KEEPS_SESSIONS = "keeps sessions"
"""A restore keeps all sessions open, and its call returns."""

COMMITS_AT_THE_END = "commits at the end"
"""An upload locks the resource only after it has read its file, so that others may commit in the meantime."""

RESOURCES_APART = "resources apart"
"""Two resources of one session become stale through each other's commits."""

RESOURCE_MEMBERS = "resource members"
"""The module has the class ``Resource``, which turns a number into a member."""

PLAIN_ERRORS = "plain errors"
"""A refused command raises PLDBError, one in a closed session PLDBIOError, an unreachable address
ConnectionRefusedError or TimeoutError, a missing local file OSError."""

NO_FILE_ON_REFUSAL = "no file on refusal"
"""A refused download creates no file at dest_path."""

TELLS_CAUSES = "tells causes"
"""A TypeError names the parameter and the cause in the reference's words."""

LISTS_EXACT_CLASS = "lists the exact class"
"""list accepts no subclass of the right class."""

CLOSES = "closes"
"""A connection has ``close`` and is a context manager (otherwise it ends when its object is deleted)."""

ALL_EXCEPTIONS = "all exceptions"
"""The module has all exceptions of the vendor's current package, including PLDBDetached."""

CLOSES_TWICE = "closes twice"
"""A second close does nothing."""

BLOCKS_INSIDE_LOOPS = "blocks inside loops"
"""sync_connect works even if an event loop is running in the same thread."""

RESOURCES_KEEP_CONNECTIONS = "resources keep connections"
"""A session lives as long as one of its resources, even without a reference to its connection."""

OVERVIEW_OF_HOSTS = "overview of hosts"
"""The overview lists all systems of the stand-in, by the name used to connect."""

MD5_OF_EVERYTHING = "md5 of everything"
"""configmd5 follows every change of the configuration, and a restore brings back the earlier one."""


QUIRKS = "quirks"
"""The systems support quirks; see :meth:`Standin.set_quirks`."""


class Standin(Protocol):
    """Systems behind a Python module with the vendor's API.

    Optional methods: ``distversion(system)``, which returns the firmware, and ``set_privilege(system, username,
    resource, privilege)``, which changes a user's privilege on one resource.
    """

    module: str
    """Name of the Python module."""

    environment: Mapping[str, str]
    """Environment variables that a process needs so that the module finds the systems."""

    answers: frozenset[str]
    """The declared behavior where the vendor's documentation leaves it open: a subset of the constants above."""

    def __init__(self, folder: Path) -> None:
        """Prepare for systems below ``folder``, which exists and is empty."""

    def make(self, system: str, username: str, password: str) -> None:
        """Make a system with some configuration, no backups, and one user with full privileges."""

    def add_user(self, system: str, username: str, password: str, privilege: str) -> None:
        """Add a user with the privilege ``none``, ``read`` or ``write`` on every resource."""

    def resources(self) -> tuple[str, ...]:
        """Names of the resources that a backup can contain, each with data: at least two."""

    def number(self, resource: str) -> int:
        """The number of a resource (see also :data:`RESOURCE_MEMBERS`)."""

    def configuration(self, system: str) -> dict[str, Any]:
        """All data of a system, by resource name."""

    def change(self, system: str, resource: str, value: str) -> None:
        """Change the data of a resource; ``value`` must appear somewhere in them."""

    def machineid(self, system: str) -> str:
        """The machine id."""

    def backups(self, system: str) -> dict[str, bytes]:
        """Contents of all backups by name, read without the vendor's API."""

    def restores(self, system: str) -> int:
        """The number of restores on the system."""

    def digest(self, system: str) -> str:
        """A digest of the system's whole state."""

    def set_quirks(self, system: str, quirks: Mapping[str, Any]) -> None:
        """Replace the system's quirks by these, see :class:`activelogic_embedded.quirks.Quirks`."""

    def happened(self, system: str) -> dict[str, int]:
        """How often each fault with ``times`` was triggered since the quirks were set, by index of the fault."""


class Embedded:
    """``activelogic_embedded``, through its command-line module and its files."""

    module = "activelogic_embedded"
    answers = frozenset(
        {
            REFUSES_TAKEN_NAMES,
            REFUSES_MISSING_NAMES,
            REFUSES_ILLEGAL_NAMES,
            TAKES_LEGAL_NAMES,
            EXACT_NAMES,
            GENERATED_NAMES_COLLIDE,
            REFUSES_ABSENT_RESOURCES,
            EQUAL_BACKUPS,
            STRICT_FILE_OBJECTS,
            UNBUFFERED_FILES,
            FILES_WHERE_THEY_STAND,
            REFUSES_DAMAGED_BACKUPS,
            RESTORES_OTHER_MACHINES,
            RESTORE_COMMITS,
            KEEPS_SESSIONS,
            COMMITS_AT_THE_END,
            RESOURCES_APART,
            RESOURCE_MEMBERS,
            PLAIN_ERRORS,
            NO_FILE_ON_REFUSAL,
            TELLS_CAUSES,
            LISTS_EXACT_CLASS,
            CLOSES,
            ALL_EXCEPTIONS,
            CLOSES_TWICE,
            BLOCKS_INSIDE_LOOPS,
            RESOURCES_KEEP_CONNECTIONS,
            OVERVIEW_OF_HOSTS,
            MD5_OF_EVERYTHING,
            QUIRKS,
        }
    )

    def __init__(self, folder: Path) -> None:
        self._root = folder
        self.environment = {"ACTIVELOGIC_EMBEDDED_ROOT": str(folder)}
        self._admin = importlib.import_module("activelogic_embedded.admin")
        self._store = importlib.import_module("activelogic_embedded.store")
        self._quirks = importlib.import_module("activelogic_embedded.quirks").Quirks

    def make(self, system: str, username: str, password: str) -> None:
        self._admin.create_system(self._root, system, username, password)

    def add_user(self, system: str, username: str, password: str, privilege: str) -> None:
        levels = {"*": self._store.Level[privilege.upper()]}
        self._admin.set_user(self._root, system, username, password, levels)

    def set_privilege(self, system: str, username: str, resource: str, privilege: str) -> None:
        levels = {resource: self._store.Level[privilege.upper()]}
        self._admin.set_user(self._root, system, username, None, levels)

    def resources(self) -> tuple[str, ...]:
        return "Ruleset", "System Diagnostics", "Config"

    def number(self, resource: str) -> int:
        return {title: int(member) for member, title in self._store.TITLES.items()}[resource]

    def configuration(self, system: str) -> dict[str, Any]:
        data: dict[str, Any] = self._admin.show(self._root, system)
        return data

    def change(self, system: str, resource: str, value: str) -> None:
        self._admin.set_value(self._root, system, resource, "contract", value)

    def distversion(self, system: str) -> str:
        return str(self._admin.open_system(self._root, system).fact("distversion"))

    def machineid(self, system: str) -> str:
        return str(self._admin.open_system(self._root, system).fact("machineid"))

    def backups(self, system: str) -> dict[str, bytes]:
        return {each.name: each.read_bytes() for each in (self._root / system / "backups").iterdir()}

    def restores(self, system: str) -> int:
        return int(self._admin.restore_count(self._root, system))

    def digest(self, system: str) -> str:
        return str(self._admin.digest(self._root, system))

    def set_quirks(self, system: str, quirks: Mapping[str, Any]) -> None:
        self._admin.set_quirks(self._root, system, **{**asdict(self._quirks()), **quirks})

    def happened(self, system: str) -> dict[str, int]:
        document = json.loads((self._root / system / "quirks.json").read_text(encoding="utf-8"))
        counts: dict[str, int] = document["state"]["happened"]
        return counts


class Generation1(Embedded):
    """The embedded system, through a package of an earlier generation."""

    module = "activelogic_embedded.generation1"
    answers = Embedded.answers - {CLOSES, ALL_EXCEPTIONS, CLOSES_TWICE}


class Quirky(Embedded):
    """The embedded system with quirks from the start. Tests that set quirks themselves skip it."""

    quirks: Mapping[str, Any] = {}

    def make(self, system: str, username: str, password: str) -> None:
        super().make(system, username, password)
        self.set_quirks(system, self.quirks)


class Volatile(Quirky):
    """Backups of the same configuration always differ."""

    answers = Embedded.answers - {EQUAL_BACKUPS, QUIRKS}
    quirks: Mapping[str, Any] = {"volatile": "content"}


class Overwriting(Quirky):
    """``create_new`` and ``upload`` overwrite."""

    answers = Embedded.answers - {REFUSES_TAKEN_NAMES, GENERATED_NAMES_COLLIDE, QUIRKS}
    quirks: Mapping[str, Any] = {"create_new_overwrites": True, "upload_overwrites": True}


class Restarting(Quirky):
    """A restore ends all sessions at once, and logins fail for a while."""

    answers = Embedded.answers - {KEEPS_SESSIONS, QUIRKS}
    quirks: Mapping[str, Any] = {"restart_after": 0, "outage": 5, "time_factor": 0.1}


class RestartingLate(Quirky):
    """A restore ends all sessions after its answer, and for a while the system answers every command with an error."""

    answers = Embedded.answers - {KEEPS_SESSIONS, QUIRKS}
    quirks: Mapping[str, Any] = {"restart_after": 5, "outage": 5, "outage_kind": "list", "time_factor": 0.05}


class Slow(Quirky):
    """Every command takes a while and blocks its event loop."""

    answers = Embedded.answers - {QUIRKS}
    quirks: Mapping[str, Any] = {
        "faults": [
            {"command": command, "does": "block", "seconds": 0.05}
            for command in ("connect", "list", "create_new", "restore", "remove", "download", "upload")
        ]
    }


class Contrary(Quirky):
    """Volatile, Overwriting, Restarting and Slow at once."""

    answers = Volatile.answers & Overwriting.answers & Restarting.answers
    quirks: Mapping[str, Any] = {**Volatile.quirks, **Overwriting.quirks, **Restarting.quirks, **Slow.quirks}


def load(name: str) -> type[Standin]:
    """The class named by ``FILE.py:CLASS``, or by the name of a class in this file."""
    path, _colon, class_name = name.rpartition(":")
    if not path:
        found: type[Standin] = globals()[class_name]
        return found
    unique = "standin_" + hashlib.sha256(path.encode()).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(unique, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded: type[Standin] = getattr(module, class_name)
    return loaded
