# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accepts connections, and limits their number in total and per client address.

A connection is busy from the end of a request head to the end of its response, and idle otherwise: during its
handshake, within a request head, between two requests. When a limit is reached, a new connection replaces the one that
has been idle for the longest time; if none is idle, it waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from .config import Limits
from .logins import place_of
from .logs import AuditLog
from .tls import limit_buffers

logger = logging.getLogger(__name__)

PATIENCE = 0.5
"""Seconds for which an idle connection is not closed: it may be in its handshake, or about to send its next request."""

WAITING = 2
"""Connections that may wait for a slot, per slot; when more arrive, the oldest waiting one is closed."""

LOOK_SECONDS = 0.1
"""How often waiting connections are reconsidered while nothing else happens."""

AT_ONCE = 100
"""Maximum number of connections that are accepted in a row before anything else runs."""

REPORT_SECONDS = 1.0
"""Refused connections are counted for so many seconds; then the audit log gets one line per address."""


class Slot:
    """One connection's slot. ``end`` closes the connection at once; ``idle_since`` is ``None`` while it is busy."""

    def __init__(self, connections: Connections, address: str) -> None:
        self._connections = connections
        self.address = address
        self.share = place_of(address)
        self.idle_since: float | None = time.monotonic()
        self.has_worked = False
        self.end: Callable[[], object] = lambda: None

    def is_idle_since(self, latest: float) -> bool:
        """Whether the connection has been idle since ``latest`` or earlier (monotonic seconds)."""
        return self.idle_since is not None and self.idle_since <= latest

    def work(self) -> None:
        """Mark the connection as busy: a request head has arrived."""
        self.idle_since = None
        self.has_worked = True

    def rest(self) -> None:
        """Mark the connection as idle: it waits for its client."""
        if self.idle_since is None:
            self.idle_since = time.monotonic()
            self._connections.admit_waiting()

    def release(self) -> None:
        """Free the slot: the connection is closed."""
        self._connections.remove(self)


class Connections:
    """The open connections, and those that wait for a slot.

    :param most: maximum number of connections.
    :param most_per_address: maximum number of connections from one client address.
    """

    def __init__(self, most: int, most_per_address: int, audit: AuditLog) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._audit = audit
        self._slots: dict[Slot, None] = {}
        self._counts: Counter[str] = Counter()
        self._waiting: dict[Slot, asyncio.Future[None]] = {}
        self._look: asyncio.TimerHandle | None = None
        self._refused: Counter[str] = Counter()

    async def enter(self, address: str, seconds: float) -> Slot | None:
        """Wait up to ``seconds`` for a slot; returns ``None`` if none becomes free."""
        slot = Slot(self, address)
        if not self._waiting and self._admit(slot):
            return slot
        if len(self._waiting) >= WAITING * self._most:
            oldest = next(iter(self._waiting))  # whose client is the least likely to be still waiting
            self._waiting.pop(oldest).cancel()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[slot] = place
        self.admit_waiting()
        try:
            async with asyncio.timeout(seconds):
                await place
        except TimeoutError:
            self.refuse(address)
            return None
        except asyncio.CancelledError:
            if not place.cancelled():  # this task itself is being cancelled
                raise
            self.refuse(address)
            return None
        finally:
            self._waiting.pop(slot, None)
        return slot if slot in self._slots else None  # it may have been dismissed again already

    def admit_waiting(self) -> None:
        """Give slots to waiting connections in order; one whose address is at its limit does not block the others."""
        full: set[str] = set()
        for slot, place in list(self._waiting.items()):
            if slot.share in full or place.done():
                continue
            if self._admit(slot):
                place.set_result(None)
            else:
                full.add(slot.share)
        if full and self._look is None:
            self._look = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._look = None
        self.admit_waiting()

    def _admit(self, slot: Slot) -> bool:
        is_full_for_address = self._counts[slot.share] >= self._most_per_address
        if is_full_for_address or len(self._slots) >= self._most:
            leaving = self._longest_idle(slot.share if is_full_for_address else None)
            if leaving is None:
                return False
            self._dismiss(leaving)
        slot.idle_since = time.monotonic()
        self._slots[slot] = None
        self._counts[slot.share] += 1
        return True

    def _longest_idle(self, share: str | None) -> Slot | None:
        """Find the longest idle connection, of one address or of the address with the most connections."""
        latest = time.monotonic() - PATIENCE
        idle = [each for each in self._slots if each.is_idle_since(latest) and share in (None, each.share)]
        return min(idle, key=lambda each: (-self._counts[each.share], each.idle_since), default=None)

    def _dismiss(self, slot: Slot) -> None:
        if not slot.has_worked:  # otherwise it was only kept alive, and its client will reconnect
            self.refuse(slot.address)
        self._forget(slot)
        slot.end()

    def _forget(self, slot: Slot) -> bool:
        if slot not in self._slots:
            return False
        del self._slots[slot]
        self._counts[slot.share] -= 1
        if not self._counts[slot.share]:
            del self._counts[slot.share]
        return True

    def remove(self, slot: Slot) -> None:
        """Remove a connection that is closed."""
        if self._forget(slot):
            self.admit_waiting()

    def refuse(self, address: str) -> None:
        """Count a connection from this address that was closed without a response, for the audit log."""
        if not self._refused:
            asyncio.get_running_loop().call_later(REPORT_SECONDS, self._report)
        self._refused[address] += 1

    def _report(self) -> None:
        refused, self._refused = self._refused, Counter()
        for address, number in refused.items():
            outcome = {"status": None, "kind": "too_many_connections", "connections": number}
            self._audit.write("refused", client=address, outcome=outcome)


class Listener:
    """Accepts connections; each has ``header_seconds`` to get a slot, and again to finish its TLS handshake."""

    def __init__(
        self,
        sock: socket.socket,
        protocol: Callable[[Slot], asyncio.Protocol],
        context: ssl.SSLContext | None,
        limits: Limits,
        audit: AuditLog,
    ) -> None:
        self._sock = sock
        limit_buffers()
        self._protocol = protocol
        self.context = context
        """For future handshakes."""
        self._limits = limits
        self._connections = Connections(limits.connections, limits.connections_per_address, audit)
        self._newcomers: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._accept())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted = [await loop.sock_accept(self._sock)]
                with contextlib.suppress(OSError):  # no more connections; a real error shows up at the next call
                    while len(accepted) < AT_ONCE:  # take a burst at once, before the kernel's backlog overflows
                        accepted.append(self._sock.accept())
            except OSError as error:
                logger.error("a connection can't be accepted: %s", error)
                await asyncio.sleep(0.5)
                continue
            for connection, peer in accepted:
                connection.setblocking(False)
                task = asyncio.create_task(self._take(connection, str(peer[0])))
                self._newcomers.add(task)
                task.add_done_callback(self._newcomers.discard)

    async def _take(self, connection: socket.socket, address: str) -> None:
        slot = None
        try:
            slot = await self._connections.enter(address, self._limits.header_seconds)
            if slot is None:
                connection.close()
                return
            slot.end = self._cancellation()
            await self._shake_hands(connection, slot)
        except (OSError, asyncio.CancelledError):  # a failed handshake; SSLError and TimeoutError are OSErrors
            connection.close()
            if slot is not None:
                slot.release()

    @staticmethod
    def _cancellation() -> Callable[[], object]:
        task = asyncio.current_task()
        return (lambda: None) if task is None else task.cancel

    async def _shake_hands(self, connection: socket.socket, slot: Slot) -> None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        extra: dict[str, Any] = {}
        if self.context is not None:
            extra = {
                "ssl": self.context,
                "ssl_handshake_timeout": self._limits.header_seconds,
                "ssl_shutdown_timeout": 5.0,
            }
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: self._protocol(slot), connection, **extra)

    def close(self) -> None:
        """Stop accepting connections."""
        self._task.cancel()
        for task in self._newcomers:
            task.cancel()
        self._sock.close()

    async def wait_closed(self) -> None:
        """Return at once; uvicorn expects the method."""
