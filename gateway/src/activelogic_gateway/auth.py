# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks: HTTP Basic in UTF-8 (RFC 7617), logins that were seen to work, and the throttle of failed ones."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from .problems import Problem

WINDOW = 60.0
"""Seconds in which failed logins are counted."""

MAX_KEYS = 10_000
"""Users and addresses that are remembered at most; the oldest ones go first."""

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


class Logins:
    """Logins that worked a short while ago, and failed ones of the last minute.

    Passwords are held only as an HMAC under a random key of this process.

    :param remember: seconds for which a login that worked is accepted without asking the system.
    :param allowed: failed logins a minute for one (system, user) and for one client address.
    """

    def __init__(self, remember: float, allowed: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._key = secrets.token_bytes(32)
        self._remember = remember
        self._allowed = allowed
        self._clock = clock
        self._worked: OrderedDict[tuple[str, str], tuple[bytes, float]] = OrderedDict()
        self._failed: OrderedDict[tuple[str, ...], deque[float]] = OrderedDict()
        self._trying: dict[tuple[str, str], int] = {}
        self._ended = asyncio.Condition()

    def digest(self, system: str, login: Login) -> bytes:
        """The HMAC that stands for this login on this system."""
        text = json.dumps([system, login.username, login.password]).encode("utf-8")
        return hmac.new(self._key, text, hashlib.sha256).digest()

    def worked_lately(self, system: str, login: Login) -> bool:
        """Whether exactly this login worked within the last ``remember`` seconds."""
        known = self._worked.get((system, login.username))
        if known is None or known[1] < self._clock():
            return False
        return hmac.compare_digest(known[0], self.digest(system, login))

    def succeeded(self, system: str, login: Login) -> None:
        """Note a login that the system accepted."""
        key = (system, login.username)
        self._worked[key] = (self.digest(system, login), self._clock() + self._remember)
        self._worked.move_to_end(key)
        while len(self._worked) > MAX_KEYS:
            self._worked.popitem(last=False)

    def failed(self, system: str, login: Login, address: str) -> None:
        """Note a login that the system refused; the one that worked before, if it is the same, is forgotten."""
        if self.worked_lately(system, login):
            del self._worked[(system, login.username)]
        for key in ((system, login.username), (address,)):
            times = self._failed.setdefault(key, deque())
            times.append(self._clock())
            self._failed.move_to_end(key)
        while len(self._failed) > MAX_KEYS:
            self._failed.popitem(last=False)

    def _check(self, system: str, login: Login, address: str) -> None:
        now = self._clock()
        for key in ((system, login.username), (address,)):
            times = self._failed.get(key)
            while times and times[0] <= now - WINDOW:
                times.popleft()
            if times and len(times) >= self._allowed:
                raise Problem(
                    "too_many_failed_logins",
                    f"too many failed logins for system {system} within a minute; no login was tried",
                    system=system,
                    retry_after=max(1, int(times[0] + WINDOW - now) + 1),
                )

    def _failures(self, key: tuple[str, ...]) -> int:
        return len(self._failed.get(key, ()))

    @asynccontextmanager
    async def attempt(self, system: str, login: Login, address: str) -> AsyncIterator[None]:
        """Guard one login at the system, so that a (system, user) never sees more than ``allowed`` failures a minute.

        Logins that are being tried count as failures until they have ended; others wait for that. A login that worked
        lately passes at once, so that nobody else's wrong guesses lock its owner out.

        :raises Problem: ``too_many_failed_logins``.
        """
        if self.worked_lately(system, login):
            yield
            return
        key = (system, login.username)
        async with self._ended:
            while True:
                self._check(system, login, address)
                if self._failures(key) + self._trying.get(key, 0) < self._allowed:
                    break
                await self._ended.wait()
            self._trying[key] = self._trying.get(key, 0) + 1
        try:
            yield
        finally:
            self._trying[key] -= 1
            if not self._trying[key]:
                del self._trying[key]
            async with self._ended:
                self._ended.notify_all()
