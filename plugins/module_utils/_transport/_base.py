# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What both ways to a system have in common. Private to this collection."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol, TypeVar

from .._connection import Settings
from .._deadline import Deadline
from .._errors import AccessDeniedError, ActiveLogicError
from .._files._access import Opener
from .._model import Listing, Received, Sent, System

T = TypeVar("T")

RETURNED = "returned"
LOST = "lost"


class Transport(Protocol):
    """The Backup resource of one system, in the vocabulary of the vendor's API, and nothing else.

    Every method raises the classes of :mod:`_errors` only. Reads are repeated inside where that is safe;
    a command that changes something is never sent twice by itself.
    """

    passed_over: str
    """A warning about rows of the latest listing that had some, as :class:`Listing` has it; empty before."""

    @property
    def tries(self) -> int:
        """How often the most repeated request was sent; 1 when nothing was repeated."""

    def identity(self) -> System:
        """Log in and say which system answered."""

    def list(self) -> Listing:
        """All backups of the system, sizes in bytes."""

    def create_new(self, name: str, resource_name: str | None) -> str:
        """Create a backup and return its name; ``""`` lets the system choose one.

        :raises OutcomeUnknownError: when the answer got lost.
        """

    def restore(self, name: str, resource_name: str | None, expected_machine_id: str | None) -> str:
        """Restore a backup: ``returned``, or ``lost`` when the connection ended before the answer.

        :param expected_machine_id: compared on the very session that restores; another one is a ConflictError.
        """

    def remove(self, name: str) -> None:
        """Remove a backup."""

    def download(self, name: str, path: str, opener: Opener | None = None) -> Received:
        """Write a backup into the existing local file ``path``, from its start.

        :param opener: opens the file, as for :func:`open`, instead of its name, which is then for messages only.
        """

    def digest(self, name: str) -> Received:
        """Download a backup from the system and return its size and SHA-256, without keeping it."""

    def upload(self, name: str, path: str, replace: bool) -> Sent:
        """Send the local file ``path`` as backup ``name``; with ``replace`` also over one of that name."""

    def probe(self) -> None:
        """One new login and one listing, never repeated: is the system ready?"""

    def close(self) -> None:
        """Give everything back. Safe to call twice."""


class Attempts:
    """Tries something until it raises no repeatable error, at most ``1 + retries`` times::

        attempts = Attempts(settings, sleep, count)
        while True:
            with attempts:
                return send()

    Each entry is one try, and suppresses its error if there is another one. The block has to return.

    The pause doubles from ``retry_delay`` to ``retry_max_delay``, with jitter. While the peer is refusing logins it
    waits the whole time that the peer asked for, as asking earlier is useless; if the deadline is earlier, it raises
    the error.

    :param on_try: called with the number of each try, from 1.
    :param deadline: the deadline of the call; by default all pauses together may take ``wait_timeout``.
    """

    def __init__(
        self,
        settings: Settings,
        sleep: Callable[[float], None],
        on_try: Callable[[int], None],
        deadline: Deadline | None = None,
        *,
        retries: int | None = None,
    ) -> None:
        self._settings = settings
        self._sleep = sleep
        self._on_try = on_try
        self._deadline = deadline
        self._retries = settings.retries if retries is None else retries
        self._held = settings.wait_timeout
        self._number = 0

    def __enter__(self) -> None:
        self._number += 1
        self._on_try(self._number)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, ActiveLogicError) or not error.repeatable or self._number > self._retries:
            return False
        seconds = pause(self._number - 1, self._settings, error)
        if isinstance(error, AccessDeniedError):
            if seconds > (self._held if self._deadline is None else self._deadline.left()):
                return False
            self._held -= seconds
        self._sleep(seconds)
        return True


def pause(number: int, settings: Settings, error: ActiveLogicError) -> float:
    """Seconds to wait after failed try ``number`` (from 0): never less than the peer asked for, within the limit.

    Where no login is tried for a while the limit does not count, and what is added to that while keeps the tasks of a
    fleet from coming back all at once.
    """
    own: float = min(settings.retry_delay * 2.0**number, settings.retry_max_delay) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
    if error.retry_after is None:
        return own
    if isinstance(error, AccessDeniedError):
        return error.retry_after + own
    return min(max(own, error.retry_after), settings.retry_max_delay)
