# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The exceptions of this generation: those of the current one, without PLDBDetached."""

from __future__ import annotations

from ..exception import (
    PLDBCapabilityError,
    PLDBCriticalError,
    PLDBError,
    PLDBIOError,
    PLDBNewDataCommitted,
    PLDBUnsupportedInFirmware,
    PLDBUnsupportedInHardware,
)

__all__ = [
    "PLDBCapabilityError",
    "PLDBCriticalError",
    "PLDBError",
    "PLDBIOError",
    "PLDBNewDataCommitted",
    "PLDBUnsupportedInFirmware",
    "PLDBUnsupportedInHardware",
]
