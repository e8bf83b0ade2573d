# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup names are legal; checked before a name is used in a command or path."""

from __future__ import annotations

MAX_NAME_BYTES = 255
"""Maximum length of a backup name, in bytes of UTF-8."""


def why_illegal(name: str) -> str:
    """Say why ``name`` is not a legal backup name; an empty string means that it is one.

    Legal: 1 to 255 bytes of UTF-8, no ``/``, ``\\``, NUL or other control character, not ``.`` or ``..``.
    """
    if not name:
        return "is empty"
    if name in (".", ".."):
        return "is a folder's name"
    for character in name:
        if character in "/\\":
            return f"holds {character!r}"
        if ord(character) < 0x20 or 0x7F <= ord(character) <= 0x9F:
            return "holds a control character"
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if size > MAX_NAME_BYTES:
        return f"has {size} bytes of UTF-8, more than {MAX_NAME_BYTES}"
    return ""
