# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The direct way: the vendor's Python package, where the module runs. Private to this collection.

The package, named by ``sdk_module``, runs in its own process (:mod:`_sdk_process`, :mod:`_sdk_session`). Its calls have
no timeouts, so this file enforces them. :mod:`_sdk_errors` translates its exceptions.

The vendor does not document whether the Backup resource has to be committed. So every command that changes something is
committed if the resource has a commit; otherwise its session is closed before its result is trusted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

from .. import _failures
from .._connection import Settings
from .._errors import ActiveLogicError, OutcomeUnknownError, RefusedError, StaleDataError
from .._files._access import Opener, digest_file, local_errors, private_folder, require_room
from .._model import BackupFile, Listing, Received, Sent, System, listed
from ._base import LOST, RETURNED, Attempts
from ._sdk_errors import Translator
from ._sdk_process import SdkEndedError, SdkExpiredError, SdkProcess

T = TypeVar("T")

STEADY = 5
STEADY_PAUSE = 1.0
"""An upload counts as short when five listings in a row, one second apart, show the same wrong size, other than 0."""

IMPORT_SECONDS = 60.0
"""How long the import of the package may take."""

MAX_EXCESS = 1024 * 1024
"""Bytes by which a download may exceed the listed size before it is aborted."""

MAX_REOPEN = 5
"""How often a read opens a new resource after PLDBNewDataCommitted."""


class SdkTransport:
    """The Backup resource of one system, through the vendor's package. It logs in when a session is first needed."""

    def __init__(self, settings: Settings, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._settings = settings
        self._sleep = sleep
        self._translate = Translator(settings)
        self._process: SdkProcess | None = None
        self._has_session = False
        self._login_worked = False
        self.tries = 1
        self.passed_over = ""
        self._running_process()  # report a missing package before doing anything else

    # The verbs of the Backup resource

    def identity(self) -> System:
        facts = self._read("facts", "read_timeout")
        return System.reported(self._settings.host, facts["machineid"], facts["distversion"])

    def list(self) -> Listing:
        return self._noted(self._read("list", "read_timeout", take=listed))

    def probe(self) -> None:
        self._end_session()
        self._once("list", "read_timeout", writes=False, take=listed)

    def _noted(self, listing: Listing) -> Listing:
        """Return the listing, and remember its warning about unusable rows."""
        self.passed_over = listing.passed_over or self.passed_over
        return listing

    def create_new(self, name: str, resource_name: str | None) -> str:
        if name and self.list().find(name) is not None:  # the vendor does not document whether it is overwritten
            raise _failures.BACKUP_TAKEN.error(name=name)
        made: str = self._write("create_new", "wait_timeout", name=name, resource_name=resource_name or None)["result"]
        return made

    def remove(self, name: str) -> None:
        _require_listed(self.list(), name)
        self._write("remove", "wait_timeout", name=name)

    def restore(self, name: str, resource_name: str | None, expected_machine_id: str | None) -> str:
        _require_listed(self.list(), name)
        facts = {"name": name, "resource_name": resource_name or None, "expected_machine_id": expected_machine_id}
        try:
            answer = self._write("restore", "wait_timeout", **facts)
        except OutcomeUnknownError:
            answer = None
        if answer is not None and "other_machine" in answer:
            raise _failures.MACHINE_OTHER.error(found=answer["other_machine"], expected=expected_machine_id)
        self._login_worked = False  # the restore may have changed the password
        return LOST if answer is None else RETURNED

    def download(self, name: str, path: str, opener: Opener | None = None) -> Received:
        """See :meth:`Transport.download`."""
        attempts = Attempts(self._settings, self._sleep, self._count)
        while True:
            with attempts:
                return self._download_once(name, path, opener)

    def _download_once(self, name: str, path: str, opener: Opener | None) -> Received:
        listing = self._noted(self._reopening("list", "read_timeout", take=listed))
        announced = _require_listed(listing, name).size
        most = None if announced is None else announced + MAX_EXCESS
        try:
            self._store(name, path, opener, most)
        except ActiveLogicError as error:
            size = _size_of(path, opener)
            if most is None or size < most:
                raise
            raise _failures.ARRIVED_SHORT.error(size=f"{size} or more", listed=announced, repeatable=True) from error
        size, sha256 = digest_file(path, opener)
        if size != announced:
            if announced is not None and size < announced:
                require_room(path, announced, opener)  # the package may not have reported a full disk
            raise _failures.ARRIVED_SHORT.error(size=size, listed=announced, repeatable=True)
        return Received(size, sha256, False, size)

    def _store(self, name: str, path: str, opener: Opener | None, most: int | None) -> None:
        """Have the package write a backup into a file; it is aborted after ``most`` bytes."""
        if opener is None:
            self._reopening("download", "transfer_timeout", name=name, path=path, most=most)
            return
        with local_errors(path), open(path, "wb", opener=opener) as target:
            descriptor = target.fileno()
            self._reopening("download", "transfer_timeout", name=name, path=path, most=most, descriptor=descriptor)

    def digest(self, name: str) -> Received:
        with private_folder() as folder:
            return self.download(name, os.path.join(folder, "content"))

    def upload(self, name: str, path: str, replace: bool) -> Sent:
        size, sha256 = digest_file(path)
        before = self.list().find(name)
        if before is not None and not replace:
            raise _failures.BACKUP_TAKEN.error(name=name)
        try:
            self._upload(name, path)
        except RefusedError:
            # The vendor does not document whether an upload overwrites. If it does not, remove the old backup first.
            if before is None:
                raise
            self._replace(name, path)
        self._check_uploaded(name, size, before)
        return Sent(size, sha256)

    def _check_uploaded(self, name: str, size: int, before: BackupFile | None) -> None:
        """Wait until the listing shows the full size; remove our upload if it stays short."""
        seen: list[int] = []
        while len(seen) < STEADY or len(set(seen[-STEADY:])) > 1 or not seen[-1]:
            try:
                found = self.list().find(name)
            except ActiveLogicError as error:
                raise _failures.PUSH_UNSEEN.error(reason=error.reason) from error
            if found is None:
                raise _failures.PUSH_NOT_LISTED.error(size=size)
            seen.append(found.size or 0)
            if seen[-1] == size:
                return
            if len(seen) > self._settings.wait_timeout / STEADY_PAUSE:
                break
            self._sleep(STEADY_PAUSE)
        if before is not None and before.size == seen[-1]:
            raise _failures.PUSH_SHORT.error(size=size, listed=seen[-1], then=", as before; nothing was removed")
        self.remove(name)
        raise _failures.PUSH_SHORT.error(size=size, listed=seen[-1], then=", which were removed again")

    def _upload(self, name: str, path: str) -> None:
        self._write("upload", "transfer_timeout", name=name, path=path)

    def _replace(self, name: str, path: str) -> None:
        """Remove a backup and upload another one; a local copy of the old one is uploaded again on failure."""
        with private_folder() as folder:
            kept = os.path.join(folder, "content")
            self.download(name, kept)
            self.remove(name)
            try:
                self._upload(name, path)
            except RefusedError as error:
                try:
                    self._upload(name, kept)
                except ActiveLogicError as second:
                    raise _failures.PUSH_LOST_OLD.error(reason=error.reason, second=second.reason) from error
                raise

    def close(self) -> None:
        process, self._process, self._has_session = self._process, None, False
        if process is not None:
            process.end()

    # Requests

    def _read(self, request: str, clock: str, **arguments: Any) -> Any:
        attempts = Attempts(self._settings, self._sleep, self._count)
        while True:
            with attempts:
                return self._reopening(request, clock, **arguments)

    def _reopening(self, request: str, clock: str, **arguments: Any) -> Any:
        """Run a request that changes nothing; repeat it if another session has committed meanwhile."""
        for _number in range(MAX_REOPEN):
            try:
                return self._once(request, clock, writes=False, **arguments)
            except StaleDataError:
                continue  # every request opens a new resource, so repeating it is enough
        return self._once(request, clock, writes=False, **arguments)

    def _write(self, request: str, clock: str, **arguments: Any) -> dict[str, Any]:
        """Run a command that changes something, once; make sure that it is committed, or its session closed."""
        try:
            answer: dict[str, Any] = self._once(request, clock, writes=True, **arguments)
        except BaseException:
            self._end_session()  # the session may hold a lock on the resource
            raise
        if not answer["is_committed"] and not self._end_session():
            raise _failures.SYSTEM_COMMIT_UNKNOWN.error(what="its session could not be ended")
        return answer

    def _count(self, number: int) -> None:
        self.tries = max(self.tries, number)

    def _once(self, request: str, clock: str, *, writes: bool, **arguments: Any) -> Any:
        """Send one request in a session.

        :param clock: the option that limits its time, in seconds.
        :param writes: whether the request may have changed the system if its answer is lost.
        """
        self._log_in()
        seconds = float(getattr(self._settings, clock))
        try:
            answer = self._ask(seconds, request, writes, **arguments)
        except SdkExpiredError:
            if writes:
                raise _failures.SYSTEM_LATE_UNKNOWN.error(seconds=seconds, option=clock) from None
            raise _failures.SYSTEM_LATE.error(seconds=seconds, option=clock) from None
        if "value" in answer:
            return answer["value"]
        error, is_lost = self._translate.command(answer, writes, str(arguments.get("path", "")))
        if is_lost:
            self._end_session()
        raise error

    def _log_in(self) -> None:
        if self._has_session:
            return
        settings = self._settings
        login = {"host": settings.host, "username": settings.username, "password": settings.password}
        try:
            answer = self._ask(settings.connect_timeout, "open", writes=False, **login)
        except SdkExpiredError:
            raise _failures.SYSTEM_NOT_ANSWERING.error(seconds=settings.connect_timeout, repeatable=True) from None
        if "value" not in answer:
            # PLDBIOError does not say whether the password is wrong, and too many wrong ones may lock the account: the
            # login is repeated only if it has worked before in this run.
            raise self._translate.connecting(answer, repeatable=self._login_worked)
        self._has_session = self._login_worked = True

    def _end_session(self) -> bool:
        """Close the session; returns whether that succeeded."""
        if not self._has_session or self._process is None:
            return True
        self._has_session = False
        try:
            answer = self._ask(self._settings.connect_timeout, "close", writes=False)
        except (SdkExpiredError, ActiveLogicError):
            return False
        if answer.get("value") is not True and self._process is not None:
            self.close()  # a session without a close ends when its process does
        return "value" in answer

    # The process

    def _running_process(self) -> SdkProcess:
        if self._process is not None:
            return self._process
        name = self._settings.sdk_module
        try:
            process = SdkProcess(name)
        except OSError as error:
            raise self._translate.local(error.strerror or type(error).__name__) from error
        try:
            answer = process.read(IMPORT_SECONDS)
        except SdkExpiredError:
            raise _failures.SDK_FAILED.error(
                module=name, flaw=f"was not imported within {IMPORT_SECONDS:g} s"
            ) from None
        except SdkEndedError as ended:
            raise self._translate.ended(ended, writes=False) from None
        if "value" not in answer:
            process.end()
            raise self._translate.importing(answer)
        self._process = process
        return process

    def _ask(self, seconds: float, request: str, writes: bool, **arguments: Any) -> dict[str, Any]:
        """Send a request to the process.

        :raises SdkExpiredError: when the time is up; the process and its session have ended by then.
        """
        process = self._running_process()
        is_over = True
        try:
            answer = process.ask(seconds, do=request, **arguments)
            is_over = False
        except SdkEndedError as ended:
            raise self._translate.ended(ended, writes) from None
        finally:
            if is_over:
                self._process, self._has_session = None, False
        return answer


def _size_of(path: str, opener: Opener | None) -> int:
    """Size of a file in bytes; 0 if the package did not create it."""
    try:
        with open(path, "rb", opener=opener) as file:
            return os.fstat(file.fileno()).st_size
    except OSError:
        return 0


def _require_listed(listing: Listing, name: str) -> BackupFile:
    """Check before a command: the vendor does not document what happens to a name that is missing."""
    found = listing.find(name)
    if found is None:
        raise _failures.BACKUP_VANISHED.error(name=name)
    return found
