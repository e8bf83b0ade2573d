# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Change the laboratory's systems without the collection: with their own commands, and with their own package."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict
from typing import Any

import activelogic_embedded
from activelogic_embedded.quirks import Quirks

from tests.harness.lab import BIN, Lab


def change_configuration(lab: Lab, system: str, resource: str, key: str, value: str) -> None:
    """Change a value on a system with the system's own command."""
    command = [str(BIN / "activelogic-embedded"), "set", str(lab.root), system, resource, key, value]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def add_user(lab: Lab, system: str, username: str, password: str) -> None:
    """Add a user who may do everything to a system."""
    command = [str(BIN / "activelogic-embedded"), "user", str(lab.root), system, username, "--privilege", "write"]
    subprocess.run([*command, "--password-file", "-"], input=f"{password}\n", text=True, check=True, timeout=60)


def log_in(lab: Lab, system: str) -> Any:
    """A session with a system, without the collection."""
    os.environ["ACTIVELOGIC_EMBEDDED_ROOT"] = str(lab.root)
    return activelogic_embedded.sync_connect(system, lab.username, lab.password)


def set_quirks(lab: Lab, system: str, **quirks: Any) -> None:
    """Give a system the quirks of :class:`activelogic_embedded.quirks.Quirks`, and no others."""
    given = {**asdict(Quirks()), **quirks}
    command = [str(BIN / "activelogic-embedded"), "quirks", str(lab.root), system]
    command += [f"{key}={json.dumps(value)}" for key, value in given.items()]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
