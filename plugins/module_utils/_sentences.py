# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Format sizes, durations and lists of names for messages. Private to this collection.

The structured results have the exact values.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

MOST_NAMES = 10
"""Maximum number of names in a message."""

_SIZES = ("bytes", "KB", "MB", "GB", "TB", "PB", "EB")
_STEP = 1024
_EXACT_BELOW = 10 * _STEP
"""Bytes; smaller sizes are written exactly."""

_TIMES = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def size(count: int) -> str:
    """A number of bytes, such as ``9.9 MB``; a KB has 1024 bytes, as in Ansible's filter ``human_readable``."""
    if count < _EXACT_BELOW:
        return f"{count} byte" if count == 1 else f"{count} bytes"
    value, power = float(count), 0
    while round(value, 1) >= _STEP and power < len(_SIZES) - 1:
        value /= _STEP
        power += 1
    return f"{value:.0f} {_SIZES[power]}" if value >= 100 else f"{value:.1f} {_SIZES[power]}"


def sizes(one: int, two: int) -> tuple[str, str]:
    """Format two sizes with :func:`size`; exactly, if different sizes would look the same."""
    shown = size(one), size(two)
    return (f"{one} bytes", f"{two} bytes") if shown[0] == shown[1] and one != two else shown


def duration(value: timedelta) -> str:
    """A duration in at most two units, such as ``3 d 4 h``; the rest is dropped."""
    seconds = int(value.total_seconds())
    parts: list[str] = []
    for unit, length in _TIMES:
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break  # 3 d and some seconds are 3 d
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"


def names(those: Iterable[str], most: int = MOST_NAMES) -> str:
    """Names, sorted; after ``most`` names the rest is only counted. ``none`` for an empty list."""
    ordered = sorted(those)
    listed = ", ".join(ordered[:most])
    return (f"{listed} and {len(ordered) - most} more" if len(ordered) > most else listed) or "none"
