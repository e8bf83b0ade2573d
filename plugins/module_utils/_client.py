# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client of one system, over either transport: list, find, create, wait, verify. Private to this collection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from . import _failures, _sentences
from ._connection import Settings
from ._deadline import Deadline
from ._errors import (
    AccessDeniedError,
    ActiveLogicError,
    AuthenticationError,
    IncompleteBackupError,
    NotFoundError,
    OutcomeUnknownError,
    StaleDataError,
    during,
)
from ._files._access import Opener
from ._model import BackupFile, Listing, Received, Sent, System
from ._names import MAX_SHOWN, require_legal, why_illegal
from ._text import shorten

if TYPE_CHECKING:
    from ._transport._base import Transport

T = TypeVar("T")

SETTLING_TIME = 2.0
"""Seconds between two listings in which a complete backup has the same size."""

PROBES_IN_A_ROW = 3
PROBE_PAUSE = 1.0
REFUSED_PAUSES = (15.0, 30.0, 60.0)
"""Seconds to wait after refused logins; the last one is repeated. This makes at most three refused logins in the first
minute, and one a minute later: a gateway allows five, and the operator who investigates needs some of them.
"""

MAX_REPLANS = 5
"""How often a command is repeated because another session has committed."""

StillNeeded = Callable[[Listing], bool]
"""Decides by a new listing whether to repeat a command that did not run because another session had committed."""

Damage = Callable[[str], "str | None"]
"""What is wrong with the content of a backup, as a clause without a subject; ``None`` when it seems intact."""

DAMAGE_PATIENCE = 20.0
"""Seconds before a new backup that is listed as complete but seems damaged is given up: it may be written slowly."""

DAMAGE_PAUSE = 5.0
"""Seconds between two checks of the content of such a backup."""


def _no_damage(_name: str) -> str | None:
    return None


class Client:
    """One system: the verbs of the Backup resource, and waiting for complete backups and for a system that is ready."""

    def __init__(
        self,
        transport: Transport,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings
        self._transport = transport
        self._clock = clock
        self._sleep = sleep

    @property
    def tries(self) -> int:
        """How often the most retried request was sent; 1 when none was retried."""
        return self._transport.tries

    @property
    def passed_over(self) -> str:
        """A warning about unusable rows of a listing; empty when there were none."""
        return self._transport.passed_over

    def close(self) -> None:
        """End the session."""
        self._transport.close()

    def identity(self, expected_machine_id: str | None = None) -> System:
        """Log in, and say which system answered.

        :raises ConflictError: when it is another machine than the expected one.
        """
        with during("log in"):
            system = self._transport.identity()
            system.require_machine(expected_machine_id)
            return system

    def list(self) -> Listing:
        """List all backups of the system, in its order."""
        with during("list the backups"):
            return replace(self._transport.list(), taken_at=self._clock())

    def find(self, name: str) -> BackupFile | None:
        """Find the backup of exactly this name in a new listing."""
        return self.list().find(name)

    def create_new(self, name: str = "", resource_name: str | None = None, still: StillNeeded | None = None) -> str:
        """Create a backup, of everything or of one resource, and return its name; ``""`` lets the system choose.

        :param still: see :data:`StillNeeded`; by default the name has to be free.
        """
        with during(f"create the backup {name!r}" if name else "create a backup"):
            if name:
                require_legal(name)
            for attempt in self._unless_stale(still or (lambda listing: listing.find(name) is None)):
                with attempt:
                    made = self._transport.create_new(name, resource_name)
            flaw = why_illegal(made)
            if flaw:
                error = _failures.BACKUP_NAMED_ILLEGALLY.error(name=shorten(made, MAX_SHOWN), flaw=flaw)
                error.facts["changed"] = True
                raise error
            return made

    def restore(
        self,
        name: str,
        resource_name: str | None = None,
        expected_machine_id: str | None = None,
        still: StillNeeded | None = None,
    ) -> str:
        """Restore a backup: ``returned``, or ``lost`` when the connection ended before the answer.

        :param still: see :data:`StillNeeded`; by default the backup has to be there.
        """
        with during(f"restore the backup {name!r}"):
            require_legal(name)
            for attempt in self._unless_stale(still or (lambda listing: listing.find(name) is not None)):
                with attempt:
                    outcome = self._transport.restore(name, resource_name, expected_machine_id)
            return outcome

    def remove(self, name: str) -> None:
        """Remove a backup; a missing one is a :class:`NotFoundError`."""
        with during(f"remove the backup {name!r}"):
            require_legal(name)
            for attempt in self._unless_stale(lambda _listing: True):
                with attempt:
                    self._transport.remove(name)

    def discard(self, name: str) -> None:
        """Make sure that a backup does not exist: a missing one is fine, and after a lost answer a listing decides.

        :raises OutcomeUnknownError: when the answer was lost, and the backup still exists or the listing fails too.
        """
        try:
            self.remove(name)
        except NotFoundError:
            pass
        except OutcomeUnknownError as error:
            if self.is_listed_after(error, name):
                raise

    def upload(self, name: str, path: str, replace: bool = False, still: StillNeeded | None = None) -> Sent:
        """Send the local file ``path`` as backup ``name``.

        :param still: see :data:`StillNeeded`; by default the name has to be free.
        """
        with during(f"upload the backup {name!r}"):
            require_legal(name)
            for attempt in self._unless_stale(still or (lambda listing: listing.find(name) is None)):
                with attempt:
                    sent = self._transport.upload(name, path, replace)
            return sent

    def _unless_stale(self, still: StillNeeded) -> Iterator[_Command]:
        """Repeat a command that did not run because another session had committed, while ``still`` allows that."""
        for number in range(MAX_REPLANS + 1):
            command = _Command(may_repeat=number < MAX_REPLANS)
            yield command
            if command.stale is None:
                return
            if not still(self._transport.list()):
                raise command.stale

    def download(self, name: str, path: str, opener: Opener | None = None) -> Received:
        """Write a backup to the local file ``path``, which is created or overwritten.

        :param opener: opens the file, as for :func:`open`; ``path`` is then used in messages only.
        """
        with during(f"download the backup {name!r}"):
            return self._transport.download(require_legal(name), path, opener)

    def digest(self, name: str) -> Received:
        """Download a backup for its size and SHA-256 only; nothing is kept."""
        with during(f"read the backup {name!r} back"):
            return self._transport.digest(require_legal(name))

    # Waiting

    def settle(self, names: Iterable[str], min_size: int = 1, first: Listing | None = None) -> Listing:
        """List twice, :data:`SETTLING_TIME` apart, and judge the backups ``names``.

        A backup is complete when it is listed, has at least ``min_size`` bytes (never less than 1) and has the same
        size in both listings.

        :param first: an earlier listing to use as the first one; only the rest of the pause is then waited.
        """
        first = first or self.list()
        before = {each.name: each.size for each in first.backups}
        passed = 0.0 if first.taken_at is None else self._clock() - first.taken_at
        self._sleep(max(0.0, SETTLING_TIME - passed))
        after = self.list()
        sizes = {each.name: each.size for each in after.backups}
        incomplete = {}
        for name in names:
            reason = _why_incomplete(before.get(name), sizes.get(name), max(1, min_size))
            if reason:
                incomplete[name] = reason
        return replace(after, incomplete=incomplete)

    def await_complete(self, name: str, min_size: int = 1, damage: Damage = _no_damage) -> Listing:
        """Wait until a backup that was just made is complete, at most ``wait_timeout`` seconds.

        :param damage: checks the content of a backup that is listed as complete. If it stays damaged for
            :data:`DAMAGE_PATIENCE` seconds, the backup is given up.
        :raises IncompleteBackupError: when the time is up. The backup still exists then.
        """
        deadline = self.deadline("wait_timeout")
        damage_limit: Deadline | None = None
        latest: Listing | None = None
        while True:
            latest = self.settle([name], min_size, latest)
            if latest.is_complete(name):
                why = damage(name)
                if why is None:
                    return latest
                damage_limit = damage_limit or Deadline("", DAMAGE_PATIENCE, self._clock)
                left = min(deadline.left(), damage_limit.left())
                if left <= 0:
                    raise _failures.NEW_BACKUP_DAMAGED.error(name=name, why=why)
                self._sleep(min(DAMAGE_PAUSE, left))
            elif deadline.is_over():
                raise _failures.BACKUP_LATE.error(seconds=deadline.seconds, name=name, why=latest.incomplete[name])

    def create_complete(
        self,
        name: str,
        resource_name: str | None,
        min_size: int,
        known: set[str],
        *,
        damage: Damage,
        still: StillNeeded | None = None,
        keep_doubtful: bool = True,
    ) -> tuple[BackupFile, Listing]:
        """Create a backup, wait until it is complete, and return it with the listing that shows it.

        After a lost answer a listing decides whether the backup exists; the create is not repeated. A backup that this
        call made and that is not complete in time is removed again.

        :param name: ``""`` lets the system choose.
        :param known: the names of the backups that existed before.
        :param damage: as for :meth:`await_complete`.
        :param still: as for :meth:`create_new`.
        :param keep_doubtful: whether to keep the backup if an error left it unknown whether it is complete.
        :raises IncompleteBackupError: when it is not complete in time.
        """
        try:
            made = self.create_new(name, resource_name, still)
        except OutcomeUnknownError as error:
            if not name or not self.is_listed_after(error, name):
                raise
            made = name
        with during("create a backup"):
            if made in known:
                raise _failures.BACKUP_NOT_NEW.error(name=made)
        with during(f"create the backup {name or made!r}"):
            if name and made != name:
                raise _failures.BACKUP_RENAMED.error(name=made)
            return self._complete(made, min_size, damage, keep_doubtful)

    def _complete(self, made: str, min_size: int, damage: Damage, keep_doubtful: bool) -> tuple[BackupFile, Listing]:
        """Wait until a backup that this run made is complete; otherwise remove it, or name it in the error."""
        try:
            listing = self.await_complete(made, min_size, damage)
        except IncompleteBackupError as error:
            try:
                self.discard(made)
            except ActiveLogicError as removal:
                error.hint = f"it could not be removed either ({removal.reason}): remove it by hand"
                error.facts["changed"] = True
            raise
        except ActiveLogicError as error:
            made_it = f"the backup {made!r} was made, and is not known to be complete"
            if not keep_doubtful:
                try:
                    self.discard(made)
                except ActiveLogicError as removal:
                    made_it += f", and could not be removed again ({removal.reason})"
                else:
                    raise
            error.hint = f"{made_it}; {error.hint}" if error.hint else made_it
            error.facts["changed"] = True
            raise
        return listing.require(made), listing

    def is_listed_after(self, error: OutcomeUnknownError, name: str) -> bool:
        """Whether a backup exists after a command of unknown outcome; if the listing fails, ``error`` says so too."""
        try:
            return self.find(name) is not None
        except ActiveLogicError as second:
            error.hint = f"looking for it failed too ({second.reason}): {error.hint}"
            raise error from second

    def await_ready(self, settle_seconds: float) -> bool:
        """Wait until the system is ready after a restore; returns whether it was seen to be unavailable.

        Ready means three successful logins with a listing in a row, and ``settle_seconds`` since the last failure or
        the start of this method.

        :raises DeadlineError: when the system is not ready within ``wait_timeout`` seconds.
        """
        deadline = self.deadline("wait_timeout")
        quiet = Deadline("settle_after_restore", settle_seconds, self._clock)
        in_a_row = refusals = 0
        failures: list[ActiveLogicError] = []
        while True:
            rest = PROBE_PAUSE
            try:
                self._transport.probe()
                in_a_row += 1
            except ActiveLogicError as error:
                in_a_row = 0
                failures.append(error)
                quiet = Deadline("settle_after_restore", settle_seconds, self._clock)
                if isinstance(error, (AuthenticationError, AccessDeniedError)):
                    rest = max(REFUSED_PAUSES[min(refusals, len(REFUSED_PAUSES) - 1)], error.retry_after or 0.0)
                    refusals += 1
            if in_a_row >= PROBES_IN_A_ROW and quiet.is_over():
                return any(each.is_outage for each in failures)
            left = deadline.left()
            if left <= 0:
                raise _not_ready(deadline, failures)
            self._sleep(min(rest, left))

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._sleep(seconds)

    def deadline(self, option: str) -> Deadline:
        """A deadline that starts now; ``option`` names its timeout."""
        return Deadline(option, getattr(self.settings, option), self._clock)


class _Command:
    """One try of a command; it keeps the error for another session's commit, if the command may be repeated."""

    def __init__(self, *, may_repeat: bool) -> None:
        self.stale: StaleDataError | None = None
        self._may_repeat = may_repeat

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if self._may_repeat and isinstance(error, StaleDataError):
            self.stale = error
        return self.stale is not None


def _not_ready(deadline: Deadline, failures: list[ActiveLogicError]) -> ActiveLogicError:
    seen = f", at last: {failures[-1].reason}" if failures else ""
    if any(isinstance(each, AuthenticationError) for each in failures[-2:]):
        return _failures.NOT_READY_LOGIN.error(seconds=deadline.seconds, seen=seen)
    return _failures.NOT_READY.error(seconds=deadline.seconds, seen=seen)


def _why_incomplete(before: int | None, after: int | None, min_size: int) -> str:
    if after is None:
        return "is not listed"
    if after == 0:
        return "is empty"
    if after < min_size:
        return "has {}, less than {} (min_size)".format(*_sentences.sizes(after, min_size))
    if before is None:
        return "has just appeared"
    if before != after:
        return "is still changing in size ({} to {})".format(*_sentences.sizes(before, after))
    return ""


def open_client(
    settings: Settings,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Client:
    """Make a client, with the gateway's transport if ``settings.gateway_url`` is set; nothing is contacted yet.

    :raises DependencyError: when the Python package that the transport needs is missing.
    """
    transport: Transport
    if settings.gateway_url:
        from ._transport._gateway import GatewayTransport  # noqa: PLC0415 - loaded only if used

        transport = GatewayTransport(settings, clock=clock, sleep=sleep)
    else:
        from ._transport._sdk import SdkTransport  # noqa: PLC0415 - loaded only if used

        transport = SdkTransport(settings, sleep=sleep)
    return Client(transport, settings, clock=clock, sleep=sleep)
