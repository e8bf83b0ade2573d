# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Change the lab's systems without the collection: with their own package, in this process."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from typing import Any

import activelogic_embedded
from activelogic_embedded import admin
from activelogic_embedded.quirks import Quirks
from activelogic_embedded.store import EVERY_RESOURCE, Level

from tests.harness.lab import Lab


def make_anew(lab: Lab, system: str) -> None:
    """Replace a system that the gateway knows by a new one with factory configuration and no quirks."""
    shutil.rmtree(lab.root / system, ignore_errors=True)
    admin.create_system(lab.root, system, lab.username, lab.password)


def change_configuration(lab: Lab, system: str, resource: str, key: str, value: str) -> None:
    """Change a value on a system."""
    admin.set_value(lab.root, system, resource, key, value)


def add_user(lab: Lab, system: str, username: str, password: str) -> None:
    """Add a user with full privileges to a system."""
    admin.set_user(lab.root, system, username, password, {EVERY_RESOURCE: Level.WRITE})


def log_in(lab: Lab, system: str) -> Any:
    """Open a session with a system, without the collection."""
    os.environ["ACTIVELOGIC_EMBEDDED_ROOT"] = str(lab.root)
    return activelogic_embedded.sync_connect(system, lab.username, lab.password)


def set_quirks(lab: Lab, system: str, **quirks: Any) -> None:
    """Replace a system's quirks by these, see :class:`activelogic_embedded.quirks.Quirks`."""
    admin.set_quirks(lab.root, system, **{**asdict(Quirks()), **quirks})
