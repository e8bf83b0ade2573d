# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An SDK whose import fails in the way that ``UNWILLING`` names."""

from __future__ import annotations

import ctypes
import os
import sys

match os.environ.get("UNWILLING"):
    case "exit":
        os._exit(5)
    case "segfault":
        ctypes.string_at(0)
    case "sys_exit":
        sys.exit("there is no licence")
    case "unspeakable":

        class Unspeakable(Exception):
            def __str__(self) -> str:
                raise ValueError

        raise Unspeakable
