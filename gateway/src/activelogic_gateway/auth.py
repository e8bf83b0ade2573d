# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks: HTTP Basic in UTF-8 (RFC 7617). What is remembered of logins stands in :mod:`logins`."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

SHORTEST_SECRET = 8
"""Characters of a password at least, so that it is no accident where it stands in another text."""


@dataclass
class Login:
    """What HTTP Basic carried; ``accepted`` once it was seen to be right."""

    username: str
    password: str = field(repr=False)
    accepted: bool = field(default=False, compare=False)

    def shows_in(self, *texts: str) -> bool:
        """Whether the password is a part of one of the texts; a short one, which may be there by chance, never is."""
        return len(self.password) >= SHORTEST_SECRET and any(self.password in each for each in texts)


def parse_basic(values: list[bytes]) -> Login | None:
    """Read the login out of the values of all Authorization headers; ``None`` when there is no well-formed one.

    RFC 7617: the user name ends at the first colon, and neither part has control characters. The charset is UTF-8.
    """
    if len(values) != 1:
        return None
    scheme, _, token = values[0].strip().partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        text = base64.b64decode(token.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    username, colon, password = text.partition(":")
    if not colon or not username or not password or any(ord(each) < 0x20 or ord(each) == 0x7F for each in text):
        return None
    return Login(username, password)


@dataclass(frozen=True)
class Caller:
    """Who asks for which system.

    :ivar system: its name in the configuration.
    :ivar word: the name or address that they wrote.
    :ivar address: of the client, as the transport knows it.
    """

    system: str
    word: str
    login: Login
    address: str

    @property
    def shown(self) -> str:
        """What they may be told the system is called: the configuration's name only after a login."""
        return self.system if self.login.accepted else self.word
