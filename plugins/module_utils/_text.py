# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Texts that come from outside, made fit for a line that people read. Private to this collection.

Ansible prints messages and warnings as they are. A name from a system could clear the screen, forge a second line, or
turn the text around; so every sentence goes through :func:`printable` on its way out.
"""

from __future__ import annotations

import re

MAX_QUOTED = 1000
"""Characters that are quoted of a text from outside at most."""

# They count as letters or marks, and show nothing (Unicode, Default_Ignorable_Code_Point).
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)


def printable(text: str) -> str:
    """The same text, with an escape such as ``\\x1b`` for each character that shows nothing or changes the line.

    These are control characters, marks of direction, characters without a width, line separators, spaces other than
    the usual one, surrogates, and what Unicode has not assigned.
    """
    if text.isprintable() and _INVISIBLE.search(text) is None:
        return text
    return "".join(each if _shows(each) else each.encode("unicode_escape").decode("ascii") for each in text)


def _shows(character: str) -> bool:
    return character.isprintable() and _INVISIBLE.match(character) is None


def shorten(text: str, most: int = MAX_QUOTED) -> str:
    """The beginning of a text that is too long, with an ellipsis."""
    return text if len(text) <= most else text[: most - 3] + "..."
