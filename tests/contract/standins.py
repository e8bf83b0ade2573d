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
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

REFUSES_TAKEN_NAMES = "refuses taken names"
"""create_new and upload are refused where the name exists (else they overwrite)."""

EQUAL_BACKUPS = "equal backups"
"""Two backups of an unchanged system are equal byte for byte."""

STRICT_FILE_OBJECTS = "strict file objects"
"""A file object has to be one of Python's own: what only behaves like one is refused."""

REFUSES_DAMAGED_BACKUPS = "refuses damaged backups"
"""A restore of bytes that are no whole backup is refused, and changes nothing."""


QUIRKS = "quirks"
"""It can be given troubles; see :meth:`Standin.set_quirks`."""


class Standin(Protocol):
    """Systems that answer to a Python module with the vendor's API."""

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

    def resources(self) -> tuple[str, str]:
        """Names of two resources that a backup can hold, each with data."""

    def number(self, resource: str) -> int:
        """The number of a resource, of which ``Resource`` makes its member."""

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


class Embedded:
    """``activelogic_embedded``, seen through its command's module and its files."""

    module = "activelogic_embedded"
    answers = frozenset({REFUSES_TAKEN_NAMES, EQUAL_BACKUPS, STRICT_FILE_OBJECTS, REFUSES_DAMAGED_BACKUPS, QUIRKS})

    def __init__(self, folder: Path) -> None:
        self._root = folder
        self.environment = {"ACTIVELOGIC_EMBEDDED_ROOT": str(folder)}
        self._admin = importlib.import_module(f"{self.module}.admin")
        self._store = importlib.import_module(f"{self.module}.store")
        self._quirks = importlib.import_module(f"{self.module}.quirks").Quirks

    def make(self, system: str, username: str, password: str) -> None:
        self._admin.create_system(self._root, system, username, password)

    def add_user(self, system: str, username: str, password: str, privilege: str) -> None:
        levels = {"*": self._store.Level[privilege.upper()]}
        self._admin.set_user(self._root, system, username, password, levels)

    def resources(self) -> tuple[str, str]:
        return "Ruleset", "System Diagnostics"

    def number(self, resource: str) -> int:
        return {title: int(member) for member, title in self._store.TITLES.items()}[resource]

    def configuration(self, system: str) -> dict[str, Any]:
        data: dict[str, Any] = self._admin.show(self._root, system)
        return data

    def change(self, system: str, resource: str, value: str) -> None:
        self._admin.set_value(self._root, system, resource, "contract", value)

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
