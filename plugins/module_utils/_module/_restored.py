# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state ``restored`` of activelogic_backup: safety backup, comparison, restore, verification.

Private to this collection.
A restore runs only if needed: the safety backup, which has the current configuration, is compared with the wanted
backup, and only if they are equal the restore is skipped. A restore is reported as verified only if a fresh backup
proves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from .. import _names
from .._archive._equal import Comparison, Outcome, compare
from .._client import Client
from .._context import Context, Notes
from .._errors import (
    AccessDeniedError,
    ActiveLogicError,
    AuthenticationError,
    ConflictError,
    LocalFileError,
    LocalResourceError,
    NotFoundError,
    OptionError,
    OutcomeUnknownError,
    RefusedError,
    UnreachableError,
    during,
)
from .._failures import BACKUP_DAMAGED, COMPARE_LATE, NOT_RESTORED, RESTORE_UNKNOWN, SOMEBODY_ELSE
from .._model import BackupFile, Listing, System
from .._plan import Plan, plan_restored
from .._transport._base import LOST
from ._copies import Copies, local_copies
from ._result import described, result_of_plan

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
"""Errors of a restore after which it is certain that nothing was restored."""

MINUTE = 61.0
"""Seconds between two fresh backups: if a backup contains the minute of its creation, the two will differ."""

ONLY_A_BACKUP_COULD_TELL = "only a fresh backup could tell if the system holds this configuration already"
NO_SAFETY_BACKUP = "safety_backup is off, so there is nothing to compare with"


@dataclass(frozen=True)
class Verdict:
    """The result of the verification: true, false or unknown (``None``), why, and which members differ."""

    verified: bool | None
    reason: str
    differing: tuple[str, ...] = ()


def restored(context: Context) -> dict[str, Any]:
    """Restore a backup, unless the system provably has its configuration, and return the module's result.

    :raises NotRestoredError: when a fresh backup proves that the system has another configuration.
    """
    params = context.params
    name = _names.require_legal(params["name"])
    system = context.client.identity(params["expected_machine_id"])
    with during(f"restore the backup {name!r}"):
        return _restored(context, system, name)


def _restored(context: Context, system: System, name: str) -> dict[str, Any]:
    params, client = context.params, context.client
    first = client.list()
    first.require(name)
    found = client.settle([name], params["min_size"], first)
    wanted = found.require_complete(name)
    safety_name = None
    if params["safety_backup"]:
        safety_name = _names.unused(context.now, found.names, prefix=_names.SAFETY_PREFIX)
    with local_copies(context) as copies:
        with _nothing_restored():
            damage = _damage(copies, name)
        if damage is not None:
            raise BACKUP_DAMAGED.error(why=damage)
        verified_by = copies.verified_by(name)
        if context.check_mode:
            why = "force is set" if params["force"] else ONLY_A_BACKUP_COULD_TELL
            would = plan_restored(found, name, safety_name, why)
            return result_of_plan(context, would, system, wanted, verified_by=verified_by)
        run = _Run(context, found, wanted, safety_name, copies)
        plan, verdict, safety, after = run.restore()
    answer = result_of_plan(context, plan, system, wanted, after=after, verified_by=verified_by)
    answer["verified"] = verdict.verified
    answer["safety_backup"] = described(context, safety)
    if verdict.differing and "diff" in answer:
        answer["diff"]["before"]["differing_members"] = list(verdict.differing)
        answer["diff"]["after"]["differing_members"] = []
    return answer


def _damage(copies: Copies, name: str) -> str | None:
    """What is wrong with the content of a backup, or ``None``, also when the system fails to deliver the backup.

    :raises ActiveLogicError: one that says nothing about the system, such as a full disk where the module runs.
    """
    try:
        return copies.damage(name)
    except ActiveLogicError as error:
        if not error.is_of_system:
            raise
        return None


@contextmanager
def _nothing_restored() -> Iterator[None]:
    """Add to a local error that nothing was restored."""
    try:
        yield
    except (LocalFileError, LocalResourceError) as error:
        error.hint = f"nothing was restored; {error.hint}"
        raise


class _Run:
    """One restore."""

    def __init__(
        self, context: Context, found: Listing, wanted: BackupFile, safety_name: str | None, copies: Copies
    ) -> None:
        self._context = context
        self._found = found
        self._wanted = wanted
        self._safety_name = safety_name
        self._copies = copies
        self._known = found.names

    @property
    def _client(self) -> Client:
        return self._context.client

    @property
    def _notes(self) -> Notes:
        return self._context.notes

    @property
    def _resource(self) -> str | None:
        resource: str | None = self._context.params["resource_name"]
        return resource

    def restore(self) -> tuple[Plan, Verdict, BackupFile | None, tuple[BackupFile, ...]]:
        """Make a safety backup, compare, restore, verify; returns also the safety backup, if kept, and the listing."""
        with _nothing_restored():
            safety = self._make_safety_backup()
            try:
                proof = self._prove(safety)
                plan = self._plan(proof)
                if plan.changed:
                    self._require_nobody_else(self._client.list())
            except BaseException:
                self._undo_safety_backup()
                raise
        if not plan.changed:
            if safety is not None:
                self._client.discard(safety.name)
                self._notes.clear()
            return plan, Verdict(True, plan.reason), None, self._last_listing(plan)
        if proof is not None and proof.outcome is Outcome.UNKNOWN and not proof.is_readable:
            self._context.warn(f"restored without knowing whether it was needed: {proof.reason}")
        was_lost = self._send()
        outage_seen = self._client.await_ready(self._context.params["settle_after_restore"])
        if outage_seen:
            self._notes.facts["changed"] = True
        verdict = self._verify(is_doubtful=was_lost and not outage_seen)
        after = self._last_listing(plan)
        self._notes.clear()
        differing = proof.differing if proof is not None else ()
        plan = replace(plan, reason=f"{plan.reason}; {verdict.reason}")
        return plan, replace(verdict, differing=differing), safety, after

    def _last_listing(self, plan: Plan) -> tuple[BackupFile, ...]:
        """The final listing. The outcome is known by then, so a local error is only a warning.

        :raises ActiveLogicError: when the system fails.
        """
        try:
            return self._client.list().backups
        except ActiveLogicError as error:
            if error.is_of_system or error.is_outage:
                raise
            self._context.warn(f"the backups could not be listed once more in the end: {error.reason}")
            return plan.after

    def _send(self) -> bool:
        """Send the restore, once; returns whether its answer was lost.

        From here on every failure, and every signal, reports the safety backup.
        """
        params = self._context.params
        self._note_sent()
        try:
            outcome = self._client.restore(
                self._wanted.name, self._resource, params["expected_machine_id"], self._require_nobody_else
            )
        except DID_NOT_RUN:
            self._notes.clear()
            self._note_made()
            self._undo_safety_backup()
            raise
        if outcome != LOST:
            self._notes.facts["changed"] = True
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
        """Compare the current configuration with the wanted one; ``None`` when nothing is compared."""
        if safety is None or self._context.params["force"]:
            return None
        whole = self._compare(safety.name)
        if whole.is_equal or self._resource is None:
            return whole
        with self._fresh_backup() as fresh:
            return self._compare(fresh)

    def _require_nobody_else(self, listing: Listing) -> bool:
        """Always true, for use as :data:`StillNeeded`.

        :raises ConflictError: when a backup has appeared, or the wanted one has changed, since the first listing.
        """
        strangers = sorted(listing.names - self._known)
        what = f"the backup {strangers[0]!r} appeared meanwhile" if strangers else ""
        if listing.require(self._wanted.name) != self._wanted:
            what = "it has another size than before"
        if what:
            raise SOMEBODY_ELSE.error(what=what)
        return True

    # After the restore

    def _verify(self, is_doubtful: bool) -> Verdict:
        """Compare a fresh backup with the wanted one; a difference counts only if two fresh backups are equal.

        :param is_doubtful: whether the answer was lost and no outage was seen.
        :raises NotRestoredError: when the system provably has another configuration.
        :raises OutcomeUnknownError: in doubt, when nothing proves that the restore ran.
        """
        verdict = self._compare_afterwards(is_doubtful)
        if is_doubtful and not verdict.verified:
            raise RESTORE_UNKNOWN.error(reason=verdict.reason)
        if verdict.verified is False:
            self._notes.facts["verified"] = False
            raise NOT_RESTORED.error(reason=verdict.reason)
        return verdict

    def _compare_afterwards(self, is_doubtful: bool) -> Verdict:
        """Compare; if the restore may not have run, a difference proves nothing.

        The restore was sent, and no later error changes that, not even a local one. The result is then unknown, and a
        warning says why.
        """
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
                self._client.sleep(MINUTE)
                with self._fresh_backup() as second:
                    steady = self._compare(second, first)
            if not steady.is_equal:
                return Verdict(None, f"{why_not}; backups of this system differ each time")
        except ActiveLogicError as error:
            why_not = f"not verified: {error.reason}"
            self._context.warn(f"it is not known whether the system holds the restored backup: {why_not}")
            return Verdict(None, why_not)
        return Verdict(False, f"two fresh backups are equal, and differ from it: {comparison.reason}")

    def _tells_a_difference(self, comparison: Comparison) -> bool:
        """Whether the difference between two backups proves that their configurations differ.

        A partial backup never equals a full one. Archives with the same member names are of the same kind; if the
        content can't be read, the names of the backups have to show it.
        """
        if comparison.outcome is Outcome.DIFFERENT:
            return comparison.same_names
        is_whole = self._resource is None and _names.purpose(self._wanted.name) != _names.PARTIAL
        return is_whole and comparison.is_readable

    # Backups made by this run

    def _create(self, name: str, resource: str | None) -> BackupFile:
        made, _listing = self._client.create_complete(
            name,
            resource,
            1,
            self._known,
            damage=lambda each: _damage(self._copies, each),
            keep_doubtful=False,
        )
        self._known.add(name)
        return made

    @contextmanager
    def _fresh_backup(self) -> Iterator[str]:
        """A new complete backup of everything or of the resource; removed at the end of the block."""
        taken = self._client.list().names
        prefix = _names.COMPARE_PREFIX
        name = _names.unused(self._context.now, taken, prefix=prefix, resource_name=self._resource)
        try:
            self._create(name, self._resource)
            yield name
        finally:
            self._remove(name)

    def _remove(self, name: str) -> None:
        """Remove a backup made by this run; if that fails, warn only."""
        try:
            self._client.discard(name)
        except ActiveLogicError as error:
            self._context.warn(f"the backup {name}, made for comparing, could not be removed: {error.reason}")
        self._known.discard(name)

    def _compare(self, name: str, other: str | None = None) -> Comparison:
        """Compare a backup with the wanted one, or with another; unknown if the system fails to deliver one.

        The first copy of each is kept; to compare a backup with itself, it is downloaded again.

        :raises ActiveLogicError: for a local problem, which must not lead to a restore.
        """
        deadline = self._client.deadline("transfer_timeout")
        other = other or self._wanted.name
        copies = self._copies
        try:
            theirs = copies.path_of_another(name) if name == other else copies.path(name)
            comparison = compare(copies.path(other), theirs, expired=deadline.is_over)
        except ActiveLogicError as error:
            if not error.is_of_system:
                raise
            return Comparison(Outcome.UNKNOWN, f"they could not be compared: {error.reason}", is_readable=False)
        if comparison.outcome is Outcome.UNKNOWN and deadline.is_over():
            raise COMPARE_LATE.error(seconds=deadline.seconds)
        return comparison

    # The safety backup

    def _make_safety_backup(self) -> BackupFile | None:
        """Make the safety backup. If that is interrupted, it is removed, or the failure names it."""
        if self._safety_name is None:
            return None
        left = f"if the safety backup {self._safety_name} is there, this run left it: remove it"
        self._notes.say(f"nothing was restored; {left}")
        try:
            safety = self._create(self._safety_name, None)
        except OutcomeUnknownError:
            raise  # it may still appear
        except ActiveLogicError:
            self._notes.clear()  # the error says what happened to it
            raise
        except BaseException:
            with suppress(ActiveLogicError):  # it may still be created, so the note stays
                self._client.discard(self._safety_name)
            raise
        self._note_made()
        return safety

    def _undo_safety_backup(self) -> None:
        """Nothing was restored, so remove the safety backup; if that fails, the failure names it."""
        if self._safety_name is None:
            return
        with suppress(ActiveLogicError):
            self._client.discard(self._safety_name)
            self._notes.clear()

    def _note_made(self) -> None:
        if self._safety_name is not None:
            self._notes.say(
                f"nothing was restored, and the safety backup {self._safety_name} was left: remove it",
                changed=True,
                safety_backup={"name": self._safety_name},
            )

    def _note_sent(self) -> None:
        """The restore is about to be sent: note where the former configuration is, and what has changed for certain."""
        name = self._safety_name
        if name is None:
            self._notes.say("", verified=None)
            return
        host = self._client.settings.host
        command = f'ansible {host} -m netops.activelogic.activelogic_backup -a "state=restored name={name} force=true"'
        self._notes.say(
            f"the configuration from before is in the safety backup {name}, bring it back with: {command}",
            changed=True,
            verified=None,
            safety_backup={"name": name},
        )
