# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Administration that the vendor's API does not offer: create systems, change their configuration, inspect them."""

from __future__ import annotations

import copy
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .quirks import Quirks
from .store import EVERY_RESOURCE, TITLES, Level, Resource, Store, StoreError, why_illegal
from .troubles import QuirkState

DISTVERSION = "22.20.06.1"


def create_system(root: Path, name: str, username: str, password: str, distversion: str = DISTVERSION) -> None:
    """Create a system with factory configuration and one user with all privileges; it appears atomically.

    :raises StoreError: if the name is illegal or taken.
    """
    require_free(root, name)
    facts = {"machineid": secrets.token_hex(6), "distversion": distversion, "name": name}
    Store.create(root / name, facts, _factory_configuration(name), username, password)


def require_free(root: Path, name: str) -> None:
    """Raise ``StoreError`` if the name is illegal for a new system, or taken."""
    if why_illegal(name) or name.startswith("."):
        raise StoreError(f"{name!r} can't be the name of a system")
    if (root / name).exists():
        raise StoreError(f"the system {name!r} exists already")


def open_system(root: Path, name: str) -> Store:
    """Open the system with this name.

    :raises StoreError: if there is none.
    """
    try:
        return Store(root / name)
    except FileNotFoundError:
        raise StoreError(f"there is no system {name!r} in {root}") from None


def systems(root: Path) -> list[str]:
    """Return the names of all systems below a root."""
    return sorted(each.parent.name for each in root.glob("*/system.sqlite") if not each.parent.name.startswith("."))


def set_user(root: Path, name: str, username: str, password: str | None, levels: Mapping[str, Level]) -> None:
    """Add or change a user. The keys of ``levels`` are resource titles, or ``*`` for all others.

    :raises StoreError: for an unknown resource, or a new user without a password.
    """
    store = open_system(root, name)
    unknown = sorted(set(levels) - {*TITLES.values(), EVERY_RESOURCE})
    if unknown:
        raise StoreError(f"there is no resource {unknown[0]!r}")
    if password is None and not store.has_user(username):
        raise StoreError(f"the new user {username!r} needs a password")
    store.set_user(username, password, levels)


def show(root: Path, name: str, resource: str | None = None) -> Any:
    """Return the configuration data of a system: of one resource, or of all by title."""
    data = open_system(root, name).configuration()
    if resource is None:
        return data
    if resource not in data:
        raise StoreError(f"there is no resource {resource!r} with data")
    return data[resource]


def set_value(root: Path, name: str, resource: str, key: str, value: Any) -> None:
    """Change one value of a resource; ``key`` is a dotted path through objects, which are created if missing."""

    def change(data: Any) -> Any:
        data = copy.deepcopy(data)
        *parents, last = key.split(".")
        place = data
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise StoreError(f"{parent!r} in {key!r} holds a value, not an object")
        place[last] = value
        return data

    open_system(root, name).change(resource, change)


def digest(root: Path, name: str | None = None) -> str:
    """Return a SHA-256 over all data of one system, or of all systems below the root."""
    if name is not None:
        return open_system(root, name).digest()
    if not root.is_dir():
        raise StoreError(f"there is no folder {root}")
    total = hashlib.sha256()
    for each in systems(root):
        total.update(f"{each} {open_system(root, each).digest()}\n".encode())
    return total.hexdigest()


def restore_count(root: Path, name: str) -> int:
    """Return how often a backup was restored on a system."""
    return int(open_system(root, name).fact("restores"))


def quirks(root: Path, name: str) -> Quirks:
    """Return the quirks of a system."""
    return QuirkState(open_system(root, name).folder).quirks


def set_quirks(root: Path, name: str, **given: Any) -> Quirks:
    """Change some quirks of a system (see :class:`.quirks.Quirks`), and return all of them.

    :raises QuirkError: for an unknown quirk or an invalid value.
    """
    troubles = QuirkState(open_system(root, name).folder)
    changed = Quirks.of({**asdict(troubles.quirks), **given})
    troubles.set(changed)
    return changed


def begin_outage(root: Path, name: str) -> None:
    """Disconnect every session of a system, and take it down for as long as its quirk ``outage`` says."""
    QuirkState(open_system(root, name).folder).begin_outage()


def _factory_configuration(name: str) -> dict[Resource, Any]:
    return {
        Resource.CONFIG: {
            "hostname": name,
            "dns": ["192.0.2.53", "198.51.100.53"],
            "ntp": {"enabled": True, "servers": ["192.0.2.123"]},
            "interfaces": {
                "admin": {"address": "192.0.2.10/24", "gateway": "192.0.2.1"},
                "channels": [{"internal": "eth1", "external": "eth2", "bypass": "auto"}],
            },
            "syslog": {"host": "192.0.2.51", "facility": "local4"},
        },
        Resource.RULESET: {
            "objects": {
                "netobjects": {"subscribers": ["198.51.100.0/24", "2001:db8::/48"], "servers": ["203.0.113.7"]},
                "portobjects": {"web": ["80", "443"]},
                "serviceobjects": {"streaming": ["HTTP media stream", "QUIC"]},
            },
            "shaping": {
                "objects": {"per-subscriber-50M": {"inbound_kbps": 50000, "outbound_kbps": 10000, "host": "local"}},
                "rules": [
                    {"name": "fair-use", "netobject": "subscribers", "object": "per-subscriber-50M", "precedence": 10}
                ],
            },
            "filtering": {"rules": [{"name": "allow-all", "action": "accept", "precedence": 100}]},
        },
        Resource.SYSTEM_DIAGNOSTICS: {
            "zones": {"temperature": {"warn_celsius": 70, "critical_celsius": 85}},
            "alerts": {"mail": ["noc@example.com"], "snmp_trap": {"host": "192.0.2.162", "version": 3}},
            "statistics_interval_seconds": 300,
        },
    }
