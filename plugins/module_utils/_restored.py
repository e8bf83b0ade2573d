# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``state: restored`` of activelogic_backup: guard, save, prove, restore, verify. Private to this collection.

Nothing is restored without need: a backup of what the system holds now, the safety backup, is compared with the wanted
one, and only equality of the two is a proof. Nothing is taken for restored either, unless a fresh backup proves it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from . import _names
from ._client import Client, Listing, require_complete, require_found
from ._contents import Comparison, Outcome, compare
from ._copies import Copies, local_copies
from ._errors import (
    AccessDeniedError,
    ActiveLogicError,
    AuthenticationError,
    ConflictError,
    LocalFileError,
    NotFoundError,
    NotRestoredError,
    OptionError,
    RefusedError,
    UnreachableError,
)
from ._failures import BACKUP_DAMAGED, NOT_RESTORED, RESTORE_UNKNOWN, SOMEBODY_ELSE
from ._model import BackupFile, Backups, describe
from ._plan import Plan, plan_restored
from ._report import log_in, result, unused_name
from ._runner import Context
from ._transport._base import LOST

DID_NOT_RUN = (
    AccessDeniedError,
    AuthenticationError,
    ConflictError,
    LocalFileError,
    NotFoundError,
    OptionError,
    RefusedError,
    UnreachableError,
)
"""Errors of a restore that say for certain that nothing was restored."""

MINUTE = 61.0
"""Seconds between two fresh backups: one that holds the minute in which it was made differs each time then."""

ONLY_A_BACKUP_COULD_TELL = "only a fresh backup could tell if the system holds this configuration already"
NO_SAFETY_BACKUP = "safety_backup is off, so there is nothing to compare with"


@dataclass(frozen=True)
class Verdict:
    """What is known after a restore: ``verified`` true, false or not known, why, and which members differ."""

    verified: bool | None
    reason: str
    differing: tuple[str, ...] = ()


def restored(context: Context) -> dict[str, Any]:
    """Bring the configuration of a backup back, unless the system provably holds it, and return the module's result.

    :raises NotRestoredError: when a fresh backup shows that the system holds something else.
    """
    params, client = context.params, context.client
    name = _names.require_legal(params["name"])
    zone = _names.zone_from(params["timezone"])
    system = log_in(context)
    operation = f"restore the backup {name!r}"
    first = client.list()
    require_found(first, name, operation)
    found = client.settle([name], params["min_size"], first)
    wanted = require_complete(found, name, operation)
    safety_name = None
    if params["safety_backup"]:
        safety_name = unused_name(context, found.backups, _names.SAFETY_PREFIX)
    with local_copies(context) as copies:
        if damage := _damage(copies, name):
            raise BACKUP_DAMAGED.error(why=damage, operation=operation)
        verified_by = copies.verified_by(name)
        if context.check_mode:
            why = "force is set" if params["force"] else ONLY_A_BACKUP_COULD_TELL
            would = plan_restored(found, name, safety_name, why)
            return result(context, would, system, wanted, zone=zone, verified_by=verified_by)
        run = _Run(context, found, wanted, safety_name, copies)
        plan, verdict, safety, after = run.restore()
    answer = result(context, plan, system, wanted, zone=zone, after=after, verified_by=verified_by)
    answer["verified"] = verdict.verified
    answer["safety_backup"] = None if safety is None else describe(safety, context.now, zone)
    if verdict.differing:
        answer["diff"]["before"]["differing_members"] = list(verdict.differing)
        answer["diff"]["after"]["differing_members"] = []
    return answer


def _damage(copies: Copies, name: str) -> str:
    """What speaks against the content of a backup; one that can't be read back is no reason to restore nothing."""
    try:
        return copies.damage(name)
    except ActiveLogicError:
        return ""


class _Run:
    """One restore, with the local copies of backups that it compares."""

    def __init__(
        self, context: Context, found: Listing, wanted: BackupFile, safety_name: str | None, copies: Copies
    ) -> None:
        self._context = context
        self._found = found
        self._wanted = wanted
        self._safety_name = safety_name
        self._copies = copies
        self._operation = f"restore the backup {wanted.name!r}"
        self._known = {each.name for each in found.backups}

    @property
    def _client(self) -> Client:
        return self._context.client

    @property
    def _resource(self) -> str | None:
        resource: str | None = self._context.params["resource_name"]
        return resource

    def restore(self) -> tuple[Plan, Verdict, BackupFile | None, tuple[BackupFile, ...]]:
        """Save, prove, restore, verify; returns also the safety backup, where it stays, and the last listing."""
        safety = None
        if self._safety_name is not None:
            safety = self._create(self._safety_name, None)
        try:
            proof = self._prove(safety)
            plan = self._plan(proof)
            if plan.changed:
                self._require_nobody_else(self._client.list())
        except BaseException as error:
            self._undo_safety_backup(error)
            raise
        if not plan.changed:
            if safety is not None:
                self._client.discard(safety.name)
            return plan, Verdict(True, plan.reason), None, tuple(self._client.list())
        was_lost = self._send()
        try:
            outage_seen = self._client.await_ready(self._operation, self._context.params["settle_after_restore"])
            verdict = self._verify(is_doubtful=was_lost and not outage_seen)
            after = tuple(self._client.list())
        except ActiveLogicError as error:
            self._explain(error)
            raise
        differing = proof.differing if proof is not None else ()
        plan = replace(plan, reason=f"{plan.reason}; {verdict.reason}")
        return plan, replace(verdict, differing=differing), safety, after

    def _send(self) -> bool:
        """Send the restore once; returns whether the call was lost before its answer."""
        params = self._context.params
        try:
            outcome = self._client.restore(
                self._wanted.name, self._resource, params["expected_machine_id"], self._require_nobody_else
            )
        except DID_NOT_RUN as error:
            self._undo_safety_backup(error)
            raise
        except ActiveLogicError as error:
            self._explain(error)
            raise
        return outcome == LOST

    def _plan(self, proof: Comparison | None) -> Plan:
        name, safety_name = self._wanted.name, self._safety_name
        if self._context.params["force"]:
            return plan_restored(self._found, name, safety_name, "force is set")
        if proof is None:
            return plan_restored(self._found, name, safety_name, NO_SAFETY_BACKUP)
        return plan_restored(self._found, name, safety_name, proof.reason, is_proven=proof.is_equal)

    # Before the restore

    def _prove(self, safety: BackupFile | None) -> Comparison | None:
        """Compare what the system holds with what is wanted; ``None`` where there is nothing to compare."""
        if safety is None or self._context.params["force"]:
            return None
        whole = self._compare(safety.name)
        if whole.is_equal or self._resource is None:
            return whole
        with self._fresh_backup() as fresh:
            return self._compare(fresh)

    def _require_nobody_else(self, listing: Backups) -> bool:
        """True, so that it can be asked again.

        :raises ConflictError: when a backup appeared, or the wanted one changed, since the first look.
        """
        strangers = sorted({each.name for each in listing} - self._known)
        what = f"the backup {strangers[0]!r} appeared meanwhile" if strangers else ""
        if require_found(listing, self._wanted.name, self._operation) != self._wanted:
            what = "it has another size than before"
        if what:
            raise SOMEBODY_ELSE.error(what=what, operation=self._operation)
        return True

    # After the restore

    def _verify(self, is_doubtful: bool) -> Verdict:
        """Compare a fresh backup with the wanted one; a difference counts only where two fresh backups are equal.

        :param is_doubtful: whether the call was lost and no outage was seen.
        :raises NotRestoredError: when the system provably holds something else.
        :raises OutcomeUnknownError: in doubt, when nothing proves that the restore ran.
        """
        verdict = self._look(is_doubtful)
        if is_doubtful and not verdict.verified:
            raise RESTORE_UNKNOWN.error(reason=verdict.reason, operation=self._operation)
        if verdict.verified is False:
            raise NOT_RESTORED.error(reason=verdict.reason, operation=self._operation)
        return verdict

    def _look(self, is_doubtful: bool) -> Verdict:
        """Compare; in doubt whether the restore ran at all a difference would say nothing about it."""
        try:
            with self._fresh_backup() as first:
                comparison = self._compare(first)
                if comparison.is_equal:
                    return Verdict(True, f"a fresh backup and the restored one are equal: {comparison.reason}")
                why_not = f"not verified: {comparison.reason}"
                if is_doubtful or not self._tells_a_difference(comparison):
                    return Verdict(None, why_not)
                if not self._compare(self._wanted.name, self._wanted.name).is_equal:
                    return Verdict(None, f"{why_not}; downloads of this backup differ")
                time.sleep(MINUTE)
                with self._fresh_backup() as second:
                    steady = self._compare(second, first)
            if not steady.is_equal:
                return Verdict(None, f"{why_not}; backups of this system differ each time")
        except ActiveLogicError as error:
            return Verdict(None, f"not verified: {error.reason}")
        return Verdict(False, f"two fresh backups are equal, and differ from it: {comparison.reason}")

    def _tells_a_difference(self, comparison: Comparison) -> bool:
        """Whether unequal backups can only mean unequal configurations.

        A backup of one resource never equals one of everything. Where the contents show the same members on both
        sides they are of the same kind; where they show nothing, the names have to tell.
        """
        if comparison.outcome is Outcome.DIFFERENT:
            return comparison.same_names
        is_whole = self._resource is None and _names.purpose(self._wanted.name) != _names.PARTIAL
        return is_whole and comparison.is_readable

    # Backups of this run

    def _create(self, name: str, resource: str | None) -> BackupFile:
        made, _listing = self._client.create_complete(
            name, resource, 1, self._known, damage=lambda each: _damage(self._copies, each)
        )
        self._known.add(name)
        return made

    @contextmanager
    def _fresh_backup(self) -> Iterator[str]:
        """A new backup of what was asked for, complete; removed again at the end of the block."""
        name = unused_name(self._context, self._client.list(), _names.COMPARE_PREFIX, self._resource)
        try:
            self._create(name, self._resource)
            yield name
        finally:
            self._remove(name)

    def _remove(self, name: str) -> None:
        """Remove a backup of this run; one that can't be removed is a warning, and no reason to fail."""
        try:
            self._client.discard(name)
        except ActiveLogicError as error:
            self._context.warn(f"the backup {name}, made for comparing, could not be removed: {error.reason}")
        self._known.discard(name)

    def _compare(self, name: str, other: str | None = None) -> Comparison:
        """Compare a backup with the wanted one, or with another; what goes wrong on the way is no proof.

        The first copy of each is kept; a backup that is compared with itself is fetched anew.
        """
        deadline = time.monotonic() + self._client.settings.transfer_timeout
        other = other or self._wanted.name
        copies = self._copies
        try:
            theirs = copies.path_of_another(name) if name == other else copies.path(name)
            return compare(copies.path(other), theirs, expired=lambda: time.monotonic() >= deadline)
        except ActiveLogicError as error:
            return Comparison(Outcome.UNKNOWN, f"they could not be compared: {error.reason}", is_readable=False)

    # The safety backup

    def _undo_safety_backup(self, error: BaseException) -> None:
        """Nothing was restored: the safety backup goes, or the error names it."""
        if self._safety_name is None:
            return
        try:
            self._client.discard(self._safety_name)
        except ActiveLogicError:
            if isinstance(error, ActiveLogicError):
                self._name_safety_backup(error)

    def _explain(self, error: ActiveLogicError) -> None:
        """A restore was sent: say where the configuration from before is, and what is known to have changed."""
        error.facts["changed"] = True
        error.facts["verified"] = False if isinstance(error, NotRestoredError) else None
        if self._safety_name is not None:
            self._name_safety_backup(error)

    def _name_safety_backup(self, error: ActiveLogicError) -> None:
        host = self._client.settings.host
        arguments = f"state=restored name={self._safety_name} force=true"
        command = f'ansible {host} -m netops.activelogic.activelogic_backup -a "{arguments}"'
        where = (
            f"the configuration from before is in the safety backup {self._safety_name}, bring it back with: {command}"
        )
        error.hint = f"{error.hint}; {where}" if error.hint else where
        error.facts["changed"] = True
        error.facts["safety_backup"] = {"name": self._safety_name}
