# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A drop-in for the vendor's package ``activelogic``: systems on disk, for demonstrations, tests and CI.

It implements the Backup resource as the vendor's reference describes it, with real configuration data. The environment
variable ``ACTIVELOGIC_EMBEDDED_ROOT`` names the folder of all systems; a system's name is its host.
:mod:`activelogic_embedded.admin` has the functions that the vendor's package does not offer.
"""

from __future__ import annotations

from . import exception
from .backup import Backup, BackupFile
from .connection import Connection, GraphSystem, SystemOverview, async_connect, sync_connect
from .store import Resource

__all__ = [
    "Backup",
    "BackupFile",
    "Connection",
    "GraphSystem",
    "Resource",
    "SystemOverview",
    "async_connect",
    "exception",
    "sync_connect",
]
