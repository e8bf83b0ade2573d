# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Push a backup file to a system, completely or not at all. Private to this collection."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from .. import _failures, _names
from .._client import StillNeeded
from .._context import Context
from .._errors import ActiveLogicError, OutcomeUnknownError, TransferError, during
from .._files._access import digest_file, local_errors, native, reopener, shown
from .._files._leftovers import side_files
from .._files._manifest import UnusableError, read_digest, read_manifest
from .._model import CONTENT, BackupFile, Listing, Received, System
from ._transfer import UNCHANGED, inspect_file, result_of_transfer, verify_of, vouchers

T = TypeVar("T")

PUSHED = "pushed"

MAX_LINKS = 40
"""Length of a chain of symbolic links that is followed, as in Linux (path_resolution(7))."""


def push(context: Context) -> dict[str, Any]:
    """Push a backup, and return the result of the module."""
    params = context.params
    name = _names.require_legal(params["name"] or os.path.basename(params["src"]))
    with during(f"push the backup {name!r}"):
        return _Push(context, name).run()


class _Push:
    """One push of a local file as the backup ``name``."""

    def __init__(self, context: Context, name: str) -> None:
        self._context = context
        self._client = context.client
        self._name = name
        self._src = native(context.params["src"])
        self._size, self._sha256 = digest_file(self._src)
        self._may_have_arrived = False

    def run(self) -> dict[str, Any]:
        """Upload the file unless the system has it already."""
        context, path = self._context, shown(self._src)
        if self._size == 0:
            raise _failures.PUSH_EMPTY.error(path=path)
        finding = inspect_file(context, self._src, path)
        if finding.damage is not None:
            raise _failures.PUSH_DAMAGED.error(path=path, why=finding.damage)
        system = self._client.identity()
        for each in _paths_of(self._src):
            self._check_evidence(each, system)
        result = functools.partial(
            result_of_transfer,
            context,
            system=system,
            backup=BackupFile(self._name, self._size),
            sha256=self._sha256,
            path=self._src,
        )
        old = None
        if self._client.find(self._name) is not None:
            old = self._client.digest(self._name)
            if self._is_same(old):
                return result(UNCHANGED, changed=False, unchanged_by="content")
            if not context.params["force"]:
                raise _failures.PUSH_OTHER_THERE.error(there=_facts(old), size=self._size, sha256=self._sha256)
        if context.check_mode:
            return result(PUSHED, changed=True)
        with _keep(context, self._name, old) as kept:
            by_content = self._upload_and_verify(old, kept)
        verified_by = vouchers(by_archive=finding.kind is not None, by_content=by_content)
        return result(PUSHED, changed=True, sent=self._size, verified_by=verified_by)

    # Before the upload

    def _check_evidence(self, path: str, system: System) -> None:
        """Check the file against its side files, and the system against its manifest unless ``other_machine`` is set.

        A side file that can't be used is an error, as it might forbid the push.
        """
        src, size, sha256 = self._context.params["src"], self._size, self._sha256
        beside = side_files(path)
        with during("push the file"):
            manifest = _read(read_manifest, beside.manifest, path)
            if manifest is not None and (manifest.size, manifest.sha256) != (size, sha256):
                self._require_still(path)
                raise _failures.PUSH_NOT_AS_MANIFEST.error(
                    path=src, manifest=shown(beside.manifest), size=size, sha256=sha256
                )
            digest = _read(lambda place: read_digest(place, path), beside.digest, path)
            if digest is not None and digest != sha256:
                self._require_still(path)
                raise _failures.PUSH_NOT_AS_DIGEST.error(path=src, file=shown(beside.digest), sha256=sha256)
            if manifest is None or self._context.params["other_machine"]:
                return
            if manifest.machineid != system.machineid:
                raise _failures.PUSH_OTHER_MACHINE.error(path=src, origin=manifest.machineid, found=system.machineid)

    def _require_still(self, path: str) -> None:
        """:raises TransferError: when the file has changed, as another task may have fetched it again."""
        if not self._is_still(path):
            raise _failures.PUSH_CHANGED.error(path=shown(path))

    def _is_still(self, path: str) -> bool:
        """Whether a local file still has its original content."""
        try:
            return digest_file(path) == (self._size, self._sha256)
        except ActiveLogicError:
            return os.path.exists(path)  # being unreadable does not mean that it has changed

    # The upload

    def _upload_and_verify(self, old: Received | None, kept: _Kept | None) -> bool:
        """Upload and verify; undo a failed upload. Returns whether the content was downloaded again and compared.

        :param old: the backup that is replaced, if any.
        :param kept: a local copy of it.
        """
        if kept is not None:
            kept.is_needed = True
        try:
            is_answered = self._upload(old)
            by_content = self._verify(by_content=verify_of(self._context) == CONTENT or not is_answered)
        except OutcomeUnknownError:
            raise  # it may still arrive, so leave the system as it is
        except ActiveLogicError as error:
            if isinstance(error, TransferError) or self._may_have_arrived:
                self._undo(error, kept)
            elif kept is not None:
                kept.is_needed = False
            raise
        if kept is not None:
            kept.is_needed = False
        return by_content

    def _upload(self, old: Received | None) -> bool:
        """Upload the file. False when the answer was lost, so that only the content can show whether it arrived.

        :raises OutcomeUnknownError: when the answer was lost, and the system does not list or still has the old backup.
        """
        try:
            sent = self._client.upload(self._name, self._src, old is not None, self._still_holds(old))
        except OutcomeUnknownError as error:
            self._may_have_arrived = True
            is_there = self._client.is_listed_after(error, self._name)
            if not is_there or (old is not None and not self._is_same(self._client.digest(self._name))):
                raise
            return False
        self._may_have_arrived = True
        if (sent.size, sent.sha256) != (self._size, self._sha256):
            raise _failures.PUSH_CHANGED.error(path=shown(self._src))
        return True

    def _verify(self, *, by_content: bool) -> bool:
        """Compare the file with the listing and, with ``by_content``, with a download; returns ``by_content``."""
        listed = self._client.list().require(self._name)
        if listed.size != self._size:
            raise _failures.PUSH_SHORT.error(size=self._size, listed=listed.size, then="")
        if by_content:
            on_system = self._client.digest(self._name)
            if not self._is_same(on_system):
                raise _failures.PUSH_ARRIVED_OTHER.error(there=_facts(on_system))
        return by_content

    def _is_same(self, on_system: Received) -> bool:
        return (on_system.size, on_system.sha256) == (self._size, self._sha256)

    def _still_holds(self, old: Received | None) -> StillNeeded:
        def is_unchanged(listing: Listing) -> bool:
            found = listing.find(self._name)
            return (None if found is None else found.size) == (None if old is None else old.size)

        return is_unchanged

    # After a failure

    def _undo(self, error: ActiveLogicError, kept: _Kept | None) -> None:
        """Restore the former state of the system, and describe the outcome in the error's hint.

        :raises TransferError: instead, when the local file has changed meanwhile.
        """
        error.hint = self._clear_up(kept)
        if not self._is_still(self._src):
            changed = _failures.PUSH_CHANGED.error(path=shown(self._src))
            changed.hint = error.hint
            raise changed from error

    def _clear_up(self, kept: _Kept | None) -> str:
        """Remove a failed upload from the system, and upload the old backup again; returns the outcome as a clause."""
        client, name = self._client, self._name
        try:
            is_there = client.find(name) is not None
            if kept is None:
                if not is_there:
                    return "nothing of it is on the system; run the task again"
                client.remove(name)
                return "what had arrived was removed from the system again; run the task again"
            became = "is still there"
            if not is_there or not kept.is_same(client.digest(name)):
                if is_there:
                    client.remove(name)
                kept.require_own()
                client.upload(name, kept.path)
                if not kept.is_same(client.digest(name)):
                    return f"the backup from before could not be put back intact: check the backup {name!r} there"
                became = "was put back"
            kept.is_needed = False
            return f"the backup that was there before {became}; run the task again"
        except ActiveLogicError as error:
            return f"the system could not be cleaned up ({error.reason}): check the backup {name!r} there"


def _facts(on_system: Received) -> str:
    return f"the system has {on_system.size} bytes and SHA-256 {on_system.sha256}"


def _paths_of(src: str) -> list[str]:
    """The file and, if it is a symbolic link, every path of the chain: side files may be beside each of them."""
    found = [src]
    while os.path.islink(found[-1]) and len(found) < MAX_LINKS:
        found.append(os.path.join(os.path.dirname(found[-1]), os.readlink(found[-1])))
    resolved = os.path.realpath(src)
    return [*found, *([] if resolved in found else [resolved])]


def _read(read: Callable[[str], T], place: str, path: str) -> T:
    try:
        return read(place)
    except UnusableError as error:
        raise _failures.PUSH_EVIDENCE_UNUSABLE.error(path=shown(path), file=shown(place), why=error) from error


@dataclass
class _Kept:
    """A local copy of the backup that is replaced.

    ``is_needed`` is true while the system may have neither the old nor the new backup.
    """

    path: str
    descriptor: int
    content: Received
    is_needed: bool = False

    def is_same(self, on_system: Received) -> bool:
        """Whether a backup on the system has the content of the copy."""
        return (on_system.size, on_system.sha256) == (self.content.size, self.content.sha256)

    def require_own(self) -> None:
        """:raises LocalFileError: when the path is no longer that of the copy."""
        try:
            named = os.lstat(self.path)
        except OSError:
            named = None
        if named is None or not os.path.samestat(named, os.fstat(self.descriptor)):
            raise _failures.PART_FILE_TAKEN.error(path=shown(self.path))


@contextmanager
def _keep(context: Context, name: str, old: Received | None) -> Iterator[_Kept | None]:
    """Keep a copy of the backup that a push replaces; if it is still needed at the end, it stays and is reported."""
    if old is None:
        yield None
        return
    with local_errors("the temporary folder (TMPDIR)"):
        folder = tempfile.mkdtemp(prefix="activelogic-replaced-")
        try:
            path = os.path.join(folder, native(name))
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError:
            os.rmdir(folder)
            raise
    kept = _Kept(path, descriptor, old)
    where = f"the backup from before is kept in {shown(path)}"
    try:
        copy = context.client.download(name, path, reopener(descriptor))
        if not kept.is_same(copy):
            raise _failures.PUSH_OLD_UNREADABLE.error(first=_facts(old), second=_facts(copy))
        kept.require_own()
        yield kept
    except ActiveLogicError as error:
        if kept.is_needed:
            error.hint = f"{where}; {error.hint}"
        raise
    except BaseException:
        if kept.is_needed:
            context.warn(where)
        raise
    finally:
        os.close(descriptor)
        if not kept.is_needed:
            shutil.rmtree(folder, ignore_errors=True)
