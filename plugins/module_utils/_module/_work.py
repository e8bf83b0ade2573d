# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work that the options of a module ask for. Private to this collection.

Only that work is imported: a start of a module should not load what restores alone need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._context import Context

Work = Callable[[Context], dict[str, Any]]


def work_for_state(state: str) -> Work:
    """The function that implements a state of ``activelogic_backup``."""
    if state == "restored":
        from ._restored import restored  # noqa: PLC0415

        return restored
    from ._backup import absent, present  # noqa: PLC0415

    return {"present": present, "absent": absent}[state]


def work_for_direction(direction: str) -> Work:
    """The function that implements a direction of ``activelogic_backup_transfer``."""
    if direction == "fetch":
        from ._fetch import fetch  # noqa: PLC0415

        return fetch
    from ._push import push  # noqa: PLC0415

    return push
