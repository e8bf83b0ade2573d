# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callers and their logins: HTTP Basic in UTF-8 (RFC 7617). :mod:`logins` remembers logins and limits attempts."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

SHORTEST_SECRET = 8
"""Minimum length of a password, in characters, for which finding it in another text is not a coincidence."""


@dataclass
class Login:
    """A user name and password from HTTP Basic; ``accepted`` once they are verified."""

    username: str
    password: str = field(repr=False)
    accepted: bool = field(default=False, compare=False)

    def shows_in(self, *texts: str) -> bool:
        """Whether one of the texts contains the password; always false for a short one, which may match by chance."""
        return len(self.password) >= SHORTEST_SECRET and any(self.password in each for each in texts)


def parse_basic(values: list[bytes]) -> Login | None:
    """Parse the login from the values of all Authorization headers; ``None`` unless there is exactly one, well-formed.

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
    """The user who sends a request for a system.

    :ivar system: the system's name in the configuration.
    :ivar word: the system's name or address, as in the request.
    :ivar address: the client's address, from the socket.
    """

    system: str
    word: str
    login: Login
    address: str

    @property
    def shown(self) -> str:
        """The system's name as the caller may see it: the name in the configuration only after a login."""
        return self.system if self.login.accepted else self.word
