# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cases that trigger each row of the table of failures with real servers, systems and files."""

from __future__ import annotations

from tests.errors.scene import Case, case

from . import backups, direct, files, gateway, operations, options, paths, problems, restores, tls, transfers

__all__ = [
    "CASES",
    "backups",
    "direct",
    "files",
    "gateway",
    "operations",
    "options",
    "paths",
    "problems",
    "restores",
    "tls",
    "transfers",
]

CASES: list[Case] = case.found
