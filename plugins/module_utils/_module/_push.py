# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Push a backup file to a system, and leave the whole of it there or nothing. Private to this collection."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from .. import _names
from .._client import Client, Still, require_found
from .._errors import ActiveLogicError, OutcomeUnknownError, TransferError
from .._failures import (
    PART_FILE_TAKEN,
    PUSH_ARRIVED_OTHER,
    PUSH_CHANGED,
    PUSH_DAMAGED,
    PUSH_EMPTY,
    PUSH_EVIDENCE_UNUSABLE,
    PUSH_NOT_AS_DIGEST,
    PUSH_NOT_AS_MANIFEST,
    PUSH_OLD_UNREADABLE,
    PUSH_OTHER_MACHINE,
    PUSH_OTHER_THERE,
    PUSH_SHORT,
)
from .._files._access import digest_file, native, reopener, shown, told
from .._files._leftovers import side_files
from .._files._manifest import UnusableError, read_digest, read_manifest
from .._model import CONTENT, BackupFile, Backups, Received, System, find
from .._runner import Context
from ._transfer import UNCHANGED, inspect_file, result_of, verify_of, vouchers

T = TypeVar("T")

PUSHED = "pushed"

MAX_LINKS = 40
"""How many links one after the other are followed, as Linux does (path_resolution(7))."""


def push(context: Context) -> dict[str, Any]:
    """Push a backup, and return the result of the module."""
    params, client = context.params, context.client
    src = native(params["src"])
    name = _names.require_legal(params["name"] or os.path.basename(params["src"]))
    operation = f"push the backup {name!r}"
    size, sha256 = digest_file(src)
    if size == 0:
        raise PUSH_EMPTY.error(path=shown(src), operation=operation)
    finding = inspect_file(context, src, shown(src))
    if finding.damage:
        raise PUSH_DAMAGED.error(path=shown(src), why=finding.damage, operation=operation)
    system = client.identity()
    for each in _paths_of(src):
        _check_evidence(context, each, system, size, sha256)
    there = client.find(name)
    described = BackupFile(name, size)
    old = None
    if there is not None:
        old = client.digest(name)
        if (old.size, old.sha256) == (size, sha256):
            return result_of(
                context, UNCHANGED, False, system, described, sha256=sha256, path=src, unchanged_by="content"
            )
        if not params["force"]:
            raise PUSH_OTHER_THERE.error(there=_facts(old), size=size, sha256=sha256, operation=operation)
    if context.check_mode:
        return result_of(context, PUSHED, True, system, described, sha256=sha256, path=src)
    with _keep(context, name, old) as kept:
        by_content = _send(context, name, size, sha256, old, kept)
    return result_of(
        context,
        PUSHED,
        True,
        system,
        described,
        sha256=sha256,
        path=src,
        sent=size,
        verified_by=vouchers(by_archive=bool(finding.kind), by_content=by_content),
    )


def _facts(on_system: Received) -> str:
    return f"the system has {on_system.size} bytes and SHA-256 {on_system.sha256}"


def _paths_of(src: str) -> list[str]:
    """The file, and where it is a link all that it leads to: what tells about it may be beside each."""
    found = [src]
    while os.path.islink(found[-1]) and len(found) < MAX_LINKS:
        found.append(os.path.join(os.path.dirname(found[-1]), os.readlink(found[-1])))
    resolved = os.path.realpath(src)
    return [*found, *([] if resolved in found else [resolved])]


def _check_evidence(context: Context, path: str, system: System, size: int, sha256: str) -> None:
    """What is beside the file has to fit: its content always, the system unless ``other_machine``.

    What is there and can't be used is no proof that the file may be pushed.
    """
    src, operation = context.params["src"], "push the file"
    beside = side_files(path)
    manifest = _read(read_manifest, beside.manifest, path)
    if manifest is not None and (manifest.size, manifest.sha256) != (size, sha256):
        _require_still(path, size, sha256)
        raise PUSH_NOT_AS_MANIFEST.error(
            path=src, manifest=shown(beside.manifest), size=size, sha256=sha256, operation=operation
        )
    digest = _read(lambda place: read_digest(place, path), beside.digest, path)
    if digest is not None and digest != sha256:
        _require_still(path, size, sha256)
        raise PUSH_NOT_AS_DIGEST.error(path=src, file=shown(beside.digest), sha256=sha256, operation=operation)
    if manifest is not None and manifest.machineid != system.machineid and not context.params["other_machine"]:
        raise PUSH_OTHER_MACHINE.error(path=src, origin=manifest.machineid, found=system.machineid, operation=operation)


def _read(read: Callable[[str], T], place: str, path: str) -> T:
    try:
        return read(place)
    except UnusableError as error:
        raise PUSH_EVIDENCE_UNUSABLE.error(
            path=shown(path), file=shown(place), why=error, operation="push the file"
        ) from error


def _require_still(path: str, size: int, sha256: str) -> None:
    """:raises TransferError: when the file is another one now, which another task may have fetched."""
    if not _is_still(path, size, sha256):
        raise PUSH_CHANGED.error(path=shown(path), operation="push the file")


def _send(context: Context, name: str, size: int, sha256: str, old: Received | None, kept: _Kept | None) -> bool:
    """Upload and verify; nothing of a failed upload stays. Returns whether a second download was compared.

    :param old: what the name held before, if anything; it is replaced.
    :param kept: a copy of that.
    """
    client, src = context.client, native(context.params["src"])
    operation = f"push the backup {name!r}"
    by_content = verify_of(context) == CONTENT
    reached = False
    try:
        try:
            if kept is not None:
                kept.is_needed = True
            sent = client.upload(name, src, old is not None, _still_holds(name, old))
            reached = True
            if (sent.size, sent.sha256) != (size, sha256):
                raise PUSH_CHANGED.error(path=shown(src), operation=operation)
        except OutcomeUnknownError as error:
            reached = by_content = True  # only its content can tell now whether it is there, and whole
            if not client.is_listed_after(error, name) or (old is not None and not _holds(client, name, size, sha256)):
                raise
        listed = require_found(client.list(), name, operation)
        if listed.size != size:
            raise PUSH_SHORT.error(size=size, listed=listed.size, then="", operation=operation)
        if by_content:
            on_system = client.digest(name)
            if (on_system.size, on_system.sha256) != (size, sha256):
                raise PUSH_ARRIVED_OTHER.error(there=_facts(on_system), operation=operation)
    except OutcomeUnknownError:
        raise  # it may still be on its way, so what is there is left alone
    except ActiveLogicError as error:
        if isinstance(error, TransferError) or reached:
            error.hint = _clear_up(client, name, kept)
            if not _is_still(src, size, sha256):
                changed = PUSH_CHANGED.error(path=shown(src), operation=operation)
                changed.hint = error.hint
                raise changed from error
        elif kept is not None:
            kept.is_needed = False
        raise
    if kept is not None:
        kept.is_needed = False
    return by_content


def _holds(client: Client, name: str, size: int, sha256: str) -> bool:
    on_system = client.digest(name)
    return (on_system.size, on_system.sha256) == (size, sha256)


def _is_still(path: str, size: int, sha256: str) -> bool:
    try:
        return digest_file(path) == (size, sha256)
    except ActiveLogicError:
        return os.path.exists(path)  # that it can't be read now does not show that it is another


def _still_holds(name: str, old: Received | None) -> Still:
    def look(listing: Backups) -> bool:
        found = find(listing, name)
        return (None if found is None else found.size) == (None if old is None else old.size)

    return look


@dataclass
class _Kept:
    """A copy, where the module runs, of the backup that is replaced.

    ``is_needed`` from when the system may lose that until it is known to have it, or the new one.
    """

    path: str
    descriptor: int
    content: Received
    is_needed: bool = False

    def require_own(self) -> None:
        """:raises LocalFileError: when the path does not lead to the copy that was made."""
        try:
            named = os.lstat(self.path)
        except OSError:
            named = None
        if named is None or not os.path.samestat(named, os.fstat(self.descriptor)):
            raise PART_FILE_TAKEN.error(path=shown(self.path))


@contextmanager
def _keep(context: Context, name: str, old: Received | None) -> Iterator[_Kept | None]:
    """Keep a copy of what a push replaces; it stays when the block is left while it is needed, and the user is told."""
    if old is None:
        yield None
        return
    with told("the temporary folder (TMPDIR)"):
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
        if (copy.size, copy.sha256) != (old.size, old.sha256):
            raise PUSH_OLD_UNREADABLE.error(
                first=_facts(old), second=_facts(copy), operation=f"push the backup {name!r}"
            )
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


def _clear_up(client: Client, name: str, kept: _Kept | None) -> str:
    """After a failed upload: remove what it left on the system, and have there what was there before."""
    try:
        is_there = client.find(name) is not None
        if kept is None:
            if not is_there:
                return "nothing of it is on the system; run the task again"
            client.remove(name)
            return "what had arrived was removed from the system again; run the task again"
        size, sha256 = kept.content.size, kept.content.sha256
        became = "is still there"
        if not is_there or not _holds(client, name, size, sha256):
            if is_there:
                client.remove(name)
            kept.require_own()
            client.upload(name, kept.path)
            if not _holds(client, name, size, sha256):
                return f"what was there before could not be put back whole: look at the backup {name!r} there"
            became = "was put back"
        kept.is_needed = False
        return f"the backup that was there before {became}; run the task again"
    except ActiveLogicError as error:
        return f"what is on the system could not be cleared up ({error.reason}): look at the backup {name!r} there"
