# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the contract needs of a stand-in for the vendor's package beyond the vendor's API: one small class for each.

The suite knows a stand-in only through the name of its Python module and through a class with the members of
:class:`Standin`. Another one takes the place of the embedded system with ``--standin FILE.py:CLASS``.
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

# What a stand-in says of itself where the vendor's documentation leaves open how a system answers. One that says
# nothing passes too: a test then asks for less, or is skipped where nothing would be left of it.

REFUSES_TAKEN_NAMES = "refuses taken names"
"""create_new and upload are refused where the name exists (else they overwrite)."""

REFUSES_MISSING_NAMES = "refuses missing names"
"""remove is refused where there is no backup of the name (else nothing happens)."""

REFUSES_ILLEGAL_NAMES = "refuses illegal names"
"""Names that the collection's client takes for illegal are refused."""

TAKES_LEGAL_NAMES = "takes legal names"
"""Names that the client takes for legal are taken, and kept as they are (else only plain ones that end in .plb)."""

EXACT_NAMES = "exact names"
"""A name of a backup or resource is its alone: upper and lower case differ, blanks and patterns mean nothing."""

GENERATED_NAMES_COLLIDE = "generated names collide"
"""A generated name tells the minute and nothing else, and is refused where it exists."""

REFUSES_ABSENT_RESOURCES = "refuses absent resources"
"""A restore of a resource that the backup does not hold is refused (else nothing happens)."""

EQUAL_BACKUPS = "equal backups"
"""Two backups of an unchanged system are equal byte for byte."""

STRICT_FILE_OBJECTS = "strict file objects"
"""A file object has to be one of Python's own: what only behaves like one is refused."""

UNBUFFERED_FILES = "unbuffered files"
"""A file object may be one without a buffer."""

FILES_WHERE_THEY_STAND = "files where they stand"
"""A file object is read and written from where it stands, not from its start."""

REFUSES_DAMAGED_BACKUPS = "refuses damaged backups"
"""A restore of bytes that are no whole backup is refused, and changes nothing."""

RESTORES_OTHER_MACHINES = "restores other machines"
"""A backup that another machine made can be restored."""

RESTORE_COMMITS = "a restore commits"
"""A restore is new data of the Backup resource for other sessions."""

KEEPS_SESSIONS = "keeps sessions"
"""A restore leaves all sessions open, and its call returns."""

COMMITS_AT_THE_END = "commits at the end"
"""An upload takes the lock of the resource when it has read its file, so that others may commit meanwhile."""

RESOURCES_APART = "resources apart"
"""Two resources of one session are stale by each other's commits."""

RESOURCE_MEMBERS = "resource members"
"""The module has the class ``Resource``, which makes a member of a number."""

PLAIN_ERRORS = "plain errors"
"""A refused command raises PLDBError, one in a closed session PLDBIOError, nobody at the address
ConnectionRefusedError or TimeoutError, a missing local file OSError."""

NO_FILE_ON_REFUSAL = "no file on refusal"
"""A download that is refused makes no file at dest_path."""

TELLS_CAUSES = "tells causes"
"""A TypeError names the parameter and the cause in the reference's words."""

LISTS_EXACT_CLASS = "lists the exact class"
"""list takes no class that is derived from the right one."""

CLOSES = "closes"
"""A connection has ``close`` and is a context manager (else it ends when its object is gone)."""

ALL_EXCEPTIONS = "all exceptions"
"""The module has all exceptions of the vendor's current package, PLDBDetached among them."""

CLOSES_TWICE = "closes twice"
"""A second close does nothing."""

BLOCKS_INSIDE_LOOPS = "blocks inside loops"
"""sync_connect works where a loop runs in the same thread."""

RESOURCES_KEEP_CONNECTIONS = "resources keep connections"
"""A session lives as long as one of its resources, whatever became of the name of its connection."""

OVERVIEW_OF_HOSTS = "overview of hosts"
"""The overview lists all systems of the stand-in, by the name that one connects to."""

MD5_OF_EVERYTHING = "md5 of everything"
"""configmd5 follows every change of the configuration, and a restore brings the old one back."""


QUIRKS = "quirks"
"""It can be given troubles; see :meth:`Standin.set_quirks`."""


class Standin(Protocol):
    """Systems that answer to a Python module with the vendor's API.

    It may have ``distversion(system)`` too, the firmware, and ``set_privilege(system, username, resource, privilege)``,
    which changes what a user may do with one resource.
    """

    module: str
    """Name of that Python module."""

    environment: Mapping[str, str]
    """What a process needs in its environment so that the module finds the systems."""

    answers: frozenset[str]
    """Which of the answers above it gives to what the vendor's documentation leaves open."""

    def __init__(self, folder: Path) -> None:
        """Systems below ``folder``, which exists and is empty."""

    def make(self, system: str, username: str, password: str) -> None:
        """Make a system with some configuration, without backups, and one user who may do everything."""

    def add_user(self, system: str, username: str, password: str, privilege: str) -> None:
        """Add a user with the privilege ``none``, ``read`` or ``write`` on every resource."""

    def resources(self) -> tuple[str, ...]:
        """Names of the resources that a backup can hold, each with data: at least two."""

    def number(self, resource: str) -> int:
        """The number of a resource (see also :data:`RESOURCE_MEMBERS`)."""

    def configuration(self, system: str) -> dict[str, Any]:
        """All data of a system, by name of the resource."""

    def change(self, system: str, resource: str, value: str) -> None:
        """Make the data of a resource other than before; ``value`` is to stand somewhere in them."""

    def machineid(self, system: str) -> str:
        """The machine id."""

    def backups(self, system: str) -> dict[str, bytes]:
        """Contents of all backups by name, read without the vendor's API."""

    def restores(self, system: str) -> int:
        """How often something was restored on the system."""

    def digest(self, system: str) -> str:
        """A digest that differs whenever anything in the system differs."""

    def set_quirks(self, system: str, quirks: Mapping[str, Any]) -> None:
        """Give the system the quirks of :class:`activelogic_embedded.quirks.Quirks`, and no others."""

    def happened(self, system: str) -> dict[str, int]:
        """How often each fault with a number of times was met since the quirks were set, by its place in their list."""


class Embedded:
    """``activelogic_embedded``, seen through its command's module and its files."""

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
    """The embedded system with quirks from the start. Those that set quirks themselves have it without any."""

    quirks: Mapping[str, Any] = {}

    def make(self, system: str, username: str, password: str) -> None:
        super().make(system, username, password)
        self.set_quirks(system, self.quirks)


class Volatile(Quirky):
    """Backups that differ each time."""

    answers = Embedded.answers - {EQUAL_BACKUPS, QUIRKS}
    quirks: Mapping[str, Any] = {"volatile": "content"}


class Overwriting(Quirky):
    """``create_new`` and ``upload`` that overwrite."""

    answers = Embedded.answers - {REFUSES_TAKEN_NAMES, GENERATED_NAMES_COLLIDE, QUIRKS}
    quirks: Mapping[str, Any] = {"create_new_overwrites": True, "upload_overwrites": True}


class Restarting(Quirky):
    """A restore cuts all sessions off at once, and nobody gets in for a while."""

    answers = Embedded.answers - {KEEPS_SESSIONS, QUIRKS}
    quirks: Mapping[str, Any] = {"restart_after": 0, "outage": 5, "time_factor": 0.1}


class RestartingLate(Quirky):
    """A restore cuts all sessions off after its answer, and the system answers every command with an error."""

    answers = Embedded.answers - {KEEPS_SESSIONS, QUIRKS}
    quirks: Mapping[str, Any] = {"restart_after": 5, "outage": 5, "outage_kind": "list", "time_factor": 0.05}


class Slow(Quirky):
    """Every command takes a while, and blocks its loop."""

    answers = Embedded.answers - {QUIRKS}
    quirks: Mapping[str, Any] = {
        "faults": [
            {"command": command, "does": "block", "seconds": 0.05}
            for command in ("connect", "list", "create_new", "restore", "remove", "download", "upload")
        ]
    }


class Contrary(Quirky):
    """All of that at once."""

    answers = Volatile.answers & Overwriting.answers & Restarting.answers
    quirks: Mapping[str, Any] = {**Volatile.quirks, **Overwriting.quirks, **Restarting.quirks, **Slow.quirks}


def load(name: str) -> type[Standin]:
    """The class that ``FILE.py:CLASS`` or the name of a class in this file stands for."""
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
