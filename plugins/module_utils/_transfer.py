# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetch a backup from a system, or push one to it, and never mistake a bad one for a good one.

Private to this collection. The old file, or the old backup, is not touched before the new one is known to be whole.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from . import _names
from ._client import Client, Listing, Still, require_complete, require_found
from ._errors import ActiveLogicError, OutcomeUnknownError, TransferError
from ._failures import (
    ARRIVED_SHORT,
    CHECKSUM_OTHER,
    CHECKSUM_WRONG,
    FETCH_DAMAGED,
    FETCH_NEEDS_MORE,
    FETCH_READ_OTHER,
    LATEST_AHEAD,
    NO_LATEST,
    PUSH_ARRIVED_OTHER,
    PUSH_CHANGED,
    PUSH_DAMAGED,
    PUSH_EMPTY,
    PUSH_NOT_AS_MANIFEST,
    PUSH_OLD_UNREADABLE,
    PUSH_OTHER_MACHINE,
    PUSH_OTHER_THERE,
    PUSH_SHORT,
    VALIDATE_REFUSED,
    VALIDATE_WRONG,
)
from ._localfiles import (
    DIGEST_SUFFIX,
    MANIFEST_SUFFIX,
    Manifest,
    digest_file,
    digest_line,
    has_content,
    make_folder,
    part_file,
    place,
    read_manifest,
    resolve_destination,
    side_file,
    told,
    write_small,
)
from ._model import (
    ARCHIVE,
    CONTENT,
    DIGEST,
    SIZE,
    BackupFile,
    Backups,
    Received,
    System,
    describe,
    find,
)
from ._plan import newest_full, passed_over_to_result
from ._runner import Context
from ._version import VERSION
from ._wholeness import Finding, inspect, not_checked

FETCHED = "fetched"
PUSHED = "pushed"
UNCHANGED = "unchanged"
SKIPPED = "skipped"


def transfer(context: Context) -> dict[str, Any]:
    """Fetch or push, as ``direction`` says, and return the result of the module."""
    passed_over: list[dict[str, Any]] = []
    answer = _fetch(context, passed_over) if context.params["direction"] == "fetch" else _push(context)
    return {**answer, "passed_over": passed_over}


def _verify(context: Context) -> str:
    """The option ``verify``, whose default depends on the direction."""
    by_default = ARCHIVE if context.params["direction"] == "fetch" else CONTENT
    return str(context.params["verify"] or by_default)


def _inspect(context: Context, path: str, what: str) -> Finding:
    """Look into a file, unless ``verify`` leaves that out; ``what`` names it in a warning that this was too much."""
    if _verify(context) == SIZE:
        return Finding()
    finding = inspect(path, context.client.settings.transfer_timeout)
    if finding.limit:
        context.warn(not_checked(what, finding))
    return finding


def _vouchers(*, by_archive: bool, by_content: bool, by_digest: bool = False) -> list[str]:
    """What vouched for a transfer, beside the size."""
    return [SIZE] + [DIGEST] * by_digest + [ARCHIVE] * by_archive + [CONTENT] * by_content


# Fetch


def _fetch(context: Context, passed_over: list[dict[str, Any]]) -> dict[str, Any]:
    """:param passed_over: gets what could have been the latest, but for what speaks against each."""
    params, client = context.params, context.client
    wanted_digest = _checksum(params["checksum"])
    if params["name"]:
        _names.require_legal(params["name"])
    elif not params["latest"]:
        raise FETCH_NEEDS_MORE.error()
    system = client.identity()
    listing, listed_at = client.list(), time.monotonic()
    backup = find(listing, params["name"]) if params["name"] else _latest(context, listing, passed_over)
    if backup is None:
        if params["on_missing"] == "fail":
            require_found(listing, params["name"], _fetching(params["name"]))
        return _result(context, SKIPPED, False, system, None)
    path = resolve_destination(params["dest"], backup.name)
    known = None if params["force"] else _unchanged(path, backup, system, wanted_digest)
    if known is not None and _inspect(context, path, path).damage:
        known = None
    if known is not None and _verify(context) == CONTENT and client.digest(backup.name).sha256 != known:
        known = None
    if known is not None:
        changed = _set_attributes(context, path)
        return _result(context, UNCHANGED, changed, system, backup, sha256=known, path=path, unchanged_by="manifest")
    name = backup.name

    def check_complete() -> None:
        if params["name"]:  # the latest one was found among the complete ones
            require_complete(client.settle([name], first=listing, first_at=listed_at), name, _fetching(name))

    if context.check_mode or not backup.size:
        check_complete()
    if context.check_mode:
        return _result(context, FETCHED, True, system, backup, path=path)
    received, verified_by = _receive(context, backup, check_complete, path, system, wanted_digest)
    return _result(
        context,
        FETCHED,
        True,
        system,
        backup,
        sha256=received.sha256,
        path=path,
        received=received,
        verified_by=verified_by,
    )


def _latest(context: Context, listing: list[BackupFile], passed_over: list[dict[str, Any]]) -> BackupFile | None:
    """The newest complete full backup. ``None`` when there is none and that is fine.

    :param passed_over: gets what could have been it.
    :raises ConflictError: when one of them has a date ahead of the clock: then it is not known which is the newest.
    """
    params = context.params
    zone = _names.zone_from(params["timezone"])
    settled = context.client.settle([each.name for each in listing], first=listing) if listing else Listing((), {})
    newest = newest_full(settled, now=context.now, prefix=params["prefix"], zone=zone)
    passed_over += passed_over_to_result(newest.candidates)
    operation = "fetch the latest backup"
    if newest.ahead:
        error = LATEST_AHEAD.error(names=newest.ahead, operation=operation)
        error.facts["passed_over"] = passed_over
        raise error
    if newest.backup is None and params["on_missing"] == "fail":
        error = NO_LATEST.error(passed_over=newest.in_words, operation=operation)
        error.facts["passed_over"] = passed_over
        raise error
    return newest.backup


def _unchanged(path: str, backup: BackupFile, system: System, wanted_digest: str | None) -> str | None:
    """The SHA-256 of a file that is there already, when manifest, content and listing agree; else ``None``."""
    manifest = read_manifest(path)
    if manifest is None or not os.path.isfile(path):
        return None
    if (manifest.machineid, manifest.name, manifest.size) != (system.machineid, backup.name, backup.size):
        return None
    if wanted_digest is not None and manifest.sha256 != wanted_digest:
        return None
    if not has_content(side_file(path, DIGEST_SUFFIX), digest_line(manifest.sha256, path)):
        return None
    if digest_file(path) != (manifest.size, manifest.sha256):
        return None
    return manifest.sha256


def _fetching(name: str) -> str:
    return f"fetch the backup {name!r}"


def _receive(
    context: Context,
    backup: BackupFile,
    check_complete: Callable[[], None],
    path: str,
    system: System,
    wanted_digest: str | None,
) -> tuple[Received, list[str]]:
    """Download, verify and place a backup; returns also what vouched for it.

    :param check_complete: raises where the backup is not complete. It comes after the download, whose time is then
        part of the pause between two listings.
    """
    params, operation = context.params, _fetching(backup.name)
    make_folder(path)
    with part_file(path) as temporary:
        try:
            received = context.client.download(backup.name, temporary)
        except TransferError:
            check_complete()  # that it is still being written says more
            raise
        check_complete()
        if received.size != backup.size:
            raise ARRIVED_SHORT.error(size=received.size, listed=backup.size, operation=operation)
        finding = _inspect(context, temporary, f"the backup {backup.name!r}")
        if finding.damage:
            raise FETCH_DAMAGED.error(why=finding.damage, operation=operation)
        if _verify(context) == CONTENT:
            again = context.client.digest(backup.name)
            if again.sha256 != received.sha256:
                raise FETCH_READ_OTHER.error(first=received.sha256, second=again.sha256, operation=operation)
        if wanted_digest is not None and received.sha256 != wanted_digest:
            raise CHECKSUM_OTHER.error(found=received.sha256, wanted=wanted_digest, operation=operation)
        _validate(context, temporary)
        _set_attributes(context, temporary)
        mode = os.stat(temporary).st_mode & 0o7777
        place(temporary, path, params["unsafe_writes"])
    manifest = Manifest(
        machineid=system.machineid or "",
        host=system.host,
        distversion=system.distversion or "",
        name=backup.name,
        size=received.size,
        sha256=received.sha256,
        fetched_at=context.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        collection_version=VERSION,
    )
    write_small(side_file(path, DIGEST_SUFFIX), digest_line(received.sha256, path), mode, params["unsafe_writes"])
    write_small(side_file(path, MANIFEST_SUFFIX), manifest.to_json(), mode, params["unsafe_writes"])
    return received, _vouchers(
        by_digest=received.digest_confirmed, by_archive=bool(finding.kind), by_content=_verify(context) == CONTENT
    )


def _validate(context: Context, temporary: str) -> None:
    command = context.params["validate"]
    if not command:
        return
    if "%s" not in command:
        raise VALIDATE_WRONG.error()
    words = [os.path.expanduser(os.path.expandvars(word)) for word in shlex.split(command)]
    words = [word.replace("%s", temporary) for word in words]
    code, _out, errors = context.module.run_command(words, expand_user_and_vars=False)
    if code != 0:
        raise VALIDATE_REFUSED.error(
            code=code, said=" ".join(errors.split())[:200], operation="validate the fetched backup"
        )


def _set_attributes(context: Context, path: str) -> bool:
    """Set mode, owner, group and the like, as the options say; whether that changed anything (or would)."""
    arguments = context.module.load_file_common_arguments(dict(context.params), path=path)
    arguments["path"] = path  # where the name of a backup holds what looks like a variable, that stays
    return bool(context.module.set_fs_attributes_if_different(arguments, False, expand=False))


def _checksum(text: str | None) -> str | None:
    if not text:
        return None
    algorithm, _colon, value = text.partition(":")
    value = value.strip().lower()
    if algorithm != "sha256" or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise CHECKSUM_WRONG.error()
    return value


# Push


def _push(context: Context) -> dict[str, Any]:
    params, client = context.params, context.client
    src = params["src"]
    name = _names.require_legal(params["name"] or os.path.basename(src))
    size, sha256 = digest_file(src)
    if size == 0:
        raise PUSH_EMPTY.error(path=src, operation=f"push the backup {name!r}")
    finding = _inspect(context, src, src)
    if finding.damage:
        raise PUSH_DAMAGED.error(path=src, why=finding.damage, operation=f"push the backup {name!r}")
    system = client.identity()
    _check_manifest(context, system, size, sha256)
    there = client.find(name)
    described = BackupFile(name, size)
    old = None
    if there is not None:
        old = client.digest(name)
        if (old.size, old.sha256) == (size, sha256):
            return _result(
                context, UNCHANGED, False, system, described, sha256=sha256, path=src, unchanged_by="content"
            )
        if not params["force"]:
            raise PUSH_OTHER_THERE.error(
                there=_facts(old), size=size, sha256=sha256, operation=f"push the backup {name!r}"
            )
    if context.check_mode:
        return _result(context, PUSHED, True, system, described, sha256=sha256, path=src)
    with _keep(context, name, old) as kept:
        by_content = _send(context, name, size, sha256, old, kept)
    return _result(
        context,
        PUSHED,
        True,
        system,
        described,
        sha256=sha256,
        path=src,
        sent=size,
        verified_by=_vouchers(by_archive=bool(finding.kind), by_content=by_content),
    )


def _facts(on_system: Received) -> str:
    return f"the system has {on_system.size} bytes and SHA-256 {on_system.sha256}"


def _check_manifest(context: Context, system: System, size: int, sha256: str) -> None:
    """A manifest beside the file has to fit: the file's content always, the system unless ``other_machine``."""
    src = context.params["src"]
    manifest = read_manifest(src)
    if manifest is None:
        return
    if (manifest.size, manifest.sha256) != (size, sha256):
        raise PUSH_NOT_AS_MANIFEST.error(
            path=src, manifest=side_file(src, MANIFEST_SUFFIX), size=size, sha256=sha256, operation="push the file"
        )
    if manifest.machineid != system.machineid and not context.params["other_machine"]:
        raise PUSH_OTHER_MACHINE.error(
            path=src, origin=manifest.machineid, found=system.machineid, operation="push the file"
        )


def _send(context: Context, name: str, size: int, sha256: str, old: Received | None, kept: _Kept | None) -> bool:
    """Upload and verify; nothing of a failed upload stays. Returns whether a second download was compared.

    :param old: what the name held before, if anything; it is replaced.
    :param kept: a copy of that.
    """
    client, src = context.client, context.params["src"]
    operation = f"push the backup {name!r}"
    by_content = _verify(context) == CONTENT
    reached = False
    try:
        try:
            if kept is not None:
                kept.is_needed = True
            sent = client.upload(name, src, old is not None, _still_holds(name, old))
            reached = True
            if (sent.size, sent.sha256) != (size, sha256):
                raise PUSH_CHANGED.error(path=src, operation=operation)
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
                changed = PUSH_CHANGED.error(path=src, operation=operation)
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
    content: Received
    is_needed: bool = False


@contextmanager
def _keep(context: Context, name: str, old: Received | None) -> Iterator[_Kept | None]:
    """Keep a copy of what a push replaces; it stays when the block is left while it is needed, and the user is told."""
    if old is None:
        yield None
        return
    with told("the temporary folder (TMPDIR)"):
        folder = tempfile.mkdtemp(prefix="activelogic-replaced-")
    kept = _Kept(os.path.join(folder, name), old)
    where = f"the backup from before is kept in {kept.path}"
    try:
        copy = context.client.download(name, kept.path)
        if (copy.size, copy.sha256) != (old.size, old.sha256):
            raise PUSH_OLD_UNREADABLE.error(
                first=_facts(old), second=_facts(copy), operation=f"push the backup {name!r}"
            )
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
            client.upload(name, kept.path)
            if not _holds(client, name, size, sha256):
                return f"what was there before could not be put back whole: look at the backup {name!r} there"
            became = "was put back"
        kept.is_needed = False
        return f"the backup that was there before {became}; run the task again"
    except ActiveLogicError as error:
        return f"what is on the system could not be cleared up ({error.reason}): look at the backup {name!r} there"


# Result


def _result(
    context: Context,
    action: str,
    changed: bool,
    system: System,
    backup: BackupFile | None,
    *,
    sha256: str | None = None,
    path: str | None = None,
    received: Received | None = None,
    sent: int = 0,
    verified_by: list[str] | None = None,
    unchanged_by: str | None = None,
) -> dict[str, Any]:
    """The result in its one form. The sizes of a check mode's result are those of the listing."""
    file = None
    if path is not None:
        with_sides = context.params["direction"] == "fetch"
        file = {
            "path": path,
            "size": None if backup is None else backup.size,
            "sha256_file": side_file(path, DIGEST_SUFFIX) if with_sides else None,
            "manifest": side_file(path, MANIFEST_SUFFIX) if with_sides else None,
        }
    described = None
    if backup is not None:
        described = {**describe(backup, context.now, _names.zone_from(context.params["timezone"])), "sha256": sha256}
    return {
        "changed": changed,
        "action": action,
        "backup": described,
        "file": file,
        "bytes_transferred": sent if received is None else received.bytes_transferred,
        "resumed_from": 0 if received is None else received.resumed_from,
        "verified_by": verified_by or [],
        "unchanged_by": unchanged_by,
        "system": system.to_result(),
    }
