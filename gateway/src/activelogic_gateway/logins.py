# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remembers accepted and refused logins, and throttles login attempts.

There are two rate limits, each a number of refused logins per minute. Attempts in progress count as refused.

``per_user`` applies to one user of one system from one client address: it limits the wrong passwords that the system
sees, and affects no other user, system or address.

``per_address`` applies to one client address, over all users and systems. An Ansible controller is one address for a
whole fleet, and the normal use of a fleet must never reach this limit: a play sends one login to each system, the same
each time, even if a system is unreachable (which looks like a refused login). Password guessing sends *different*
logins to *one* system. So the first login that a system refuses does not count, however often it is repeated; every
other login counts once. Each user of a system whose login worked within the last hour raises the limit by one, and a
login that worked within the last hour is always tried.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import secrets
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from .auth import Login
from .problems import Problem

WINDOW = 60.0
"""Seconds for which a refused login counts."""

KEPT = 3600.0
"""Seconds for which it is remembered that a login worked, and which login a system refused first."""

MAX_LOGINS = 10_000
MAX_PLACES = 10_000
"""Maximum number of remembered logins and client addresses; the oldest are dropped."""

MAX_OF_PLACE = 10_000
"""Maximum number of remembered systems and users per client address; logins at further systems count as guesses."""

UserKey = tuple[str, str]
"""System, user."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass
class _First:
    """The first login that a system refused to an address; ``pending`` until it is known to be refused."""

    digest: bytes
    at: float
    pending: bool


@dataclass
class _Place:
    """The login history of one client address."""

    refused: dict[UserKey, deque[tuple[float, bytes]]] = field(default_factory=dict)
    first: OrderedDict[str, _First] = field(default_factory=OrderedDict)
    guesses: OrderedDict[bytes, float] = field(default_factory=OrderedDict)
    right: OrderedDict[UserKey, float] = field(default_factory=OrderedDict)
    trying: Counter[UserKey] = field(default_factory=Counter)
    guessing: Counter[bytes] = field(default_factory=Counter)

    def tries(self, key: UserKey, now: float) -> deque[tuple[float, bytes]]:
        """Return the refused logins of a user within the last minute."""
        tries = self.refused.get(key, deque())
        while tries and tries[0][0] <= now - WINDOW:
            tries.popleft()
        if not tries:
            self.refused.pop(key, None)
        return tries

    def forget(self, now: float) -> None:
        """Drop entries that are too old to count; each collection is ordered by age, oldest first."""
        while self.first and (oldest := next(iter(self.first.values()))).at <= now - KEPT and not oldest.pending:
            self.first.popitem(last=False)
        for times, seconds in ((self.guesses, WINDOW), (self.right, KEPT)):
            while times and next(iter(times.values())) <= now - seconds:
                times.popitem(last=False)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self.refused or self.first or self.guesses or self.right or self.trying or self.guessing)


def place_of(address: str) -> str:
    """Return what counts as one client address: for IPv6 the /64 network, in which a client can choose its address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


class Logins:
    """Remembers and throttles logins. Stores passwords only as an HMAC with a random key of this process.

    :param remember: seconds for which a login that worked is accepted without asking the system.
    :param per_user: limit of refused logins per minute, for one user of one system from one address.
    :param per_address: limit of different refused logins per minute from one address, beyond the first of each system.
    :param clock: monotonic seconds.
    """

    def __init__(
        self, remember: float, per_user: int, per_address: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._key = secrets.token_bytes(32)
        self._remember = remember
        self._per_user = per_user
        self._per_address = per_address
        self._clock = clock
        self._worked: OrderedDict[UserKey, tuple[bytes, float]] = OrderedDict()
        self._known: OrderedDict[bytes, float] = OrderedDict()
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._ended = asyncio.Condition()

    # Logins that worked

    def _hmac(self, *parts: str) -> bytes:
        return hmac.new(self._key, json.dumps(parts).encode("utf-8"), hashlib.sha256).digest()

    def digest(self, system: str, login: Login) -> bytes:
        """Return the HMAC that identifies this login at this system."""
        return self._hmac(system, login.username, login.password)

    def _worked_within(self, system: str, login: Login, seconds: float) -> bool:
        known = self._worked.get((system, login.username))
        if known is None or known[1] < self._clock() - seconds:
            return False
        return hmac.compare_digest(known[0], self.digest(system, login))

    def worked_lately(self, system: str, login: Login) -> bool:
        """Whether exactly this login worked within the last ``remember`` seconds."""
        return self._worked_within(system, login, self._remember)

    def is_known(self, login: Login) -> bool:
        """Whether this user and password worked at any system within the last hour."""
        return self._known.get(self._hmac(login.username, login.password), -KEPT) > self._clock() - KEPT

    def succeeded(self, system: str, login: Login, address: str) -> None:
        """Record a login that the system accepted; earlier refusals of the same login no longer count."""
        now = self._clock()
        digest, key = self.digest(system, login), (system, login.username)
        _put(self._worked, key, (digest, now), MAX_LOGINS)
        _put(self._known, self._hmac(login.username, login.password), now, MAX_LOGINS)
        place = self._place(address)
        _put(place.right, key, now, MAX_OF_PLACE)
        place.guesses.pop(digest, None)
        if key in place.refused:
            place.refused[key] = deque(each for each in place.refused[key] if each[1] != digest)

    def refused(self, system: str, login: Login, address: str) -> None:
        """Record a login that the system refused; that this same login worked earlier is forgotten."""
        now = self._clock()
        digest, key = self.digest(system, login), (system, login.username)
        place = self._place(address)
        place.refused.setdefault(key, deque()).append((now, digest))
        if self._is_guess(place, system, login, digest):
            _put(place.guesses, digest, now, MAX_OF_PLACE)
        elif system not in place.first or place.first[system].digest == digest:
            _put(place.first, system, _First(digest, now, pending=False), MAX_OF_PLACE)
        if self._worked_within(system, login, KEPT):
            del self._worked[key]
            self._known.pop(self._hmac(login.username, login.password), None)

    # Throttling

    def _place(self, address: str) -> _Place:
        now, name = self._clock(), place_of(address)
        place = self._places.setdefault(name, _Place())
        self._places.move_to_end(name)
        if len(self._places) > MAX_PLACES:
            idle = next((each for each, found in self._places.items() if not found.trying), name)
            if idle != name:
                del self._places[idle]
        place.forget(now)
        return place

    def clean(self) -> None:
        """Drop entries that no longer count."""
        now = self._clock()
        for name, place in list(self._places.items()):
            place.forget(now)
            for key in list(place.refused):
                place.tries(key, now)
            if place.is_empty:
                del self._places[name]

    def _is_guess(self, place: _Place, system: str, login: Login, digest: bytes) -> bool:
        """Whether a refusal of this login would count for its address; see the module's docstring."""
        if self._worked_within(system, login, KEPT):
            return False
        first = place.first.get(system)
        return len(place.first) >= MAX_OF_PLACE if first is None else first.digest != digest

    def _may_try(self, place: _Place, system: str, login: Login, address: str, digest: bytes) -> bool:
        """Whether one more attempt can't exceed a limit, even if all attempts in progress are refused.

        :raises Problem: ``too_many_failed_logins``.
        """
        now, key = self._clock(), (system, login.username)
        place.forget(now)
        tries = place.tries(key, now)
        if len(tries) >= self._per_user:
            what = f"{self._per_user} refused logins a minute for user {login.username} at this system"
            times = [at for at, _ in tries]
            raise self._too_many(what, address, times, self._per_user, "no login of this user there is tried")
        if len(tries) + place.trying[key] >= self._per_user:
            return False
        if not self._is_guess(place, system, login, digest) or digest in place.guesses:
            return True
        limit = self._per_address + len(place.right)
        if len(place.guesses) >= limit:
            what = f"{limit} refused logins a minute over all users and systems"
            held = "only logins that worked within the last hour, and the first one at a system, are tried"
            raise self._too_many(what, address, list(place.guesses.values()), limit, held)
        return len(place.guesses.keys() | place.guessing.keys()) < limit

    def _too_many(self, what: str, address: str, times: list[float], limit: int, held: str) -> Problem:
        """Make the problem for a reached limit; ``times`` are those of the counted logins, oldest first."""
        wait = times[len(times) - limit] + WINDOW - self._clock()
        until = datetime.now(UTC) + timedelta(seconds=wait)
        return Problem(
            "too_many_failed_logins",
            f"client address {place_of(address)} has reached the limit of {what}; until {until:%H:%M:%S} UTC {held}"
            " from this address",
            retry_after=max(1, int(wait) + 1),
        )

    @asynccontextmanager
    async def attempt(self, system: str, login: Login, address: str, seconds: float = WINDOW) -> AsyncIterator[None]:
        """Throttle one login at a system, so that neither limit is exceeded even with concurrent attempts.

        A login that worked lately passes at once, so that the wrong guesses of others do not lock its owner out.

        :param seconds: maximum time to wait for attempts in progress.
        :raises Problem: ``too_many_failed_logins``, or ``too_busy`` if other attempts take too long.
        """
        if self.worked_lately(system, login):
            yield
            return
        key, digest = (system, login.username), self.digest(system, login)
        place = self._place(address)
        try:
            async with asyncio.timeout(max(0.0, seconds)), self._ended:
                while not self._may_try(place, system, login, address, digest):
                    await self._ended.wait()
                is_guess = self._is_guess(place, system, login, digest)
                place.trying[key] += 1
                if is_guess:
                    place.guessing[digest] += 1
                elif system not in place.first:
                    place.first[system] = _First(digest, self._clock(), pending=True)
        except TimeoutError:
            raise Problem("too_busy", "other logins are in progress, and take long", retry_after=5) from None
        try:
            yield
        finally:
            _decrement(place.trying, key)
            if is_guess:
                _decrement(place.guessing, digest)
            first = place.first.get(system)
            if first is not None and first.pending and first.digest == digest and not place.trying[key]:
                del place.first[system]
            async with self._ended:
                self._ended.notify_all()


def _put(kept: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)


def _decrement(counts: Counter[K], key: K) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]
