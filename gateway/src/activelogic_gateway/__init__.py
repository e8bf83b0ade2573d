# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""activelogic-gateway: the Backup resource of ActiveLogic systems over HTTPS."""

from __future__ import annotations

__version__ = "0.1.0"
