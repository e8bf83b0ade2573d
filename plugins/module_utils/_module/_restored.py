# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``state: restored`` of activelogic_backup: guard, save, prove, restore, verify. Private to this collection.

Nothing is restored without need: a backup of what the system holds now, the safety backup, is compared with the wanted
one, and only equality of the two is a proof. Nothing is taken for restored either, unless a fresh backup proves it.
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
    """Have an error of our own side say that nothing was sent yet."""
    try:
        yield
    except (LocalFileError, LocalResourceError) as error:
        error.hint = f"nothing was restored; {error.hint}"
        raise


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
        """Save, prove, restore, verify; returns also the safety backup, where it stays, and the last listing."""
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
        """What the system lists in the end; the outcome is known by then, and an error of our own side changes nothing.

        :raises ActiveLogicError: when it is the system that fails.
        """
        try:
            return self._client.list().backups
        except ActiveLogicError as error:
            if error.is_of_system or error.is_outage:
                raise
            self._context.warn(f"the backups could not be listed once more in the end: {error.reason}")
            return plan.after

    def _send(self) -> bool:
        """Send the restore once; returns whether the call was lost before its answer.

        From here on every failure, and every signal, names the safety backup.
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
        """Compare what the system holds with what is wanted; ``None`` where there is nothing to compare."""
        if safety is None or self._context.params["force"]:
            return None
        whole = self._compare(safety.name)
        if whole.is_equal or self._resource is None:
            return whole
        with self._fresh_backup() as fresh:
            return self._compare(fresh)

    def _require_nobody_else(self, listing: Listing) -> bool:
        """True, so that it can be asked again.

        :raises ConflictError: when a backup appeared, or the wanted one changed, since the first look.
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
        """Compare a fresh backup with the wanted one; a difference counts only where two fresh backups are equal.

        :param is_doubtful: whether the call was lost and no outage was seen.
        :raises NotRestoredError: when the system provably holds something else.
        :raises OutcomeUnknownError: in doubt, when nothing proves that the restore ran.
        """
        verdict = self._look(is_doubtful)
        if is_doubtful and not verdict.verified:
            raise RESTORE_UNKNOWN.error(reason=verdict.reason)
        if verdict.verified is False:
            self._notes.facts["verified"] = False
            raise NOT_RESTORED.error(reason=verdict.reason)
        return verdict

    def _look(self, is_doubtful: bool) -> Verdict:
        """Compare; in doubt whether the restore ran at all a difference would say nothing about it.

        The restore was sent: whatever goes wrong now, be it on our own side, changes nothing about that. It is not
        known then what the system holds, and the user is told why.
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
        """A new backup of what was asked for, complete; removed again at the end of the block."""
        taken = self._client.list().names
        prefix = _names.COMPARE_PREFIX
        name = _names.unused(self._context.now, taken, prefix=prefix, resource_name=self._resource)
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
        """Compare a backup with the wanted one, or with another; what the system does not give is no proof.

        The first copy of each is kept; a backup that is compared with itself is fetched anew.

        :raises ActiveLogicError: one that says nothing about the system. What our own side lacks is no proof either,
            but no reason to do anything to the system.
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
        """Make it; whatever ends that, it is gone again, or named."""
        if self._safety_name is None:
            return None
        left = f"if the safety backup {self._safety_name} is there, this run left it: remove it"
        self._notes.say(f"nothing was restored; {left}")
        try:
            safety = self._create(self._safety_name, None)
        except OutcomeUnknownError:
            raise  # it may still appear
        except ActiveLogicError:
            self._notes.clear()  # the error says what became of it
            raise
        except BaseException:
            with suppress(ActiveLogicError):  # it may still be made, so that it is named all the same
                self._client.discard(self._safety_name)
            raise
        self._note_made()
        return safety

    def _undo_safety_backup(self) -> None:
        """Nothing was restored: the safety backup goes, or is named."""
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
        """A restore is sent: say where the configuration from before is, and what is known to have changed."""
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
