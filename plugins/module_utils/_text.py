# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make untrusted text safe to print on one line. Private to this collection.

Ansible prints messages and warnings unchanged. A name from a system could clear the screen, fake a second line, or
reverse the text direction, so every message goes through :func:`printable`.
"""

from __future__ import annotations

import re

MAX_QUOTED = 1000
"""Maximum length of a quoted untrusted text, in characters."""

# These count as letters or marks, but are invisible (Unicode, Default_Ignorable_Code_Point).
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)


def printable(text: str) -> str:
    """Escape each character that is invisible or affects the line, such as ``\\x1b``.

    These are control characters, direction marks, zero-width characters, line separators, spaces other than U+0020,
    surrogates, and unassigned code points.
    """
    if text.isprintable() and _INVISIBLE.search(text) is None:
        return text
    return "".join(each if _shows(each) else each.encode("unicode_escape").decode("ascii") for each in text)


def _shows(character: str) -> bool:
    return character.isprintable() and _INVISIBLE.match(character) is None


def shorten(text: str, most: int = MAX_QUOTED) -> str:
    """Cut a text that is too long, and add an ellipsis."""
    return text if len(text) <= most else text[: most - 3] + "..."
