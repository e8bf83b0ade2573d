# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetch a backup from a system into a file with a digest and a manifest. Private to this collection.

The old file is not touched before the new one is known to be whole.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable
from typing import Any

from .. import _names
from .._archive._whole import Finding
from .._client import Listing, require_complete, require_found
from .._errors import TransferError
from .._failures import (
    ARRIVED_SHORT,
    CHECKSUM_OTHER,
    CHECKSUM_WRONG,
    FETCH_DAMAGED,
    FETCH_MANIFEST_UNUSABLE,
    FETCH_NEEDS_MORE,
    FETCH_OTHER_MACHINE,
    FETCH_READ_OTHER,
    LATEST_AHEAD,
    NO_LATEST,
    VALIDATE_REFUSED,
    VALIDATE_WRONG,
)
from .._files._access import digest_file, exact, file_error, has_content, native, shown, status_of
from .._files._attributes import Attributes
from .._files._destination import make_folders, require_writable, resolve_destination
from .._files._leftovers import SIDES, recover, side_files
from .._files._manifest import (
    DIGEST_SUFFIX,
    MANIFEST_SUFFIX,
    Manifest,
    UnusableError,
    digest_line,
    read_manifest,
    side_file,
)
from .._files._placing import Part, part_of
from .._files._share import Share
from .._model import CONTENT, BackupFile, Received, System, find
from .._options import expand
from .._plan import newest_full, passed_over_to_result
from .._runner import Context
from .._version import VERSION
from ._transfer import UNCHANGED, inspect_file, result_of, verify_of, vouchers

FETCHED = "fetched"
SKIPPED = "skipped"


def fetch(context: Context) -> dict[str, Any]:
    """Fetch a backup, and return the result of the module."""
    passed_over: list[dict[str, Any]] = []
    return {**_fetch(context, passed_over), "passed_over": passed_over}


def _fetch(context: Context, passed_over: list[dict[str, Any]]) -> dict[str, Any]:
    """:param passed_over: gets what could have been the latest, but for what speaks against each."""
    params, client = context.params, context.client
    share = Share(context.warn)
    # What the options say is looked at before the system is: a check mode says the same then.
    wanted_digest = _checksum(params["checksum"])
    validate = _validate_command(params["validate"])
    attributes = Attributes(context, share)
    dest = native(params["dest"])
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
        return result_of(context, SKIPPED, False, system, None)
    name = backup.name
    path = resolve_destination(dest, name)
    if not context.check_mode:
        recover(path, share, client.settings.wait_timeout)
    known = _known(context, path, backup, system, wanted_digest)
    if known is not None:
        sides = side_files(path)
        changed = attributes.update([path, sides.digest, sides.manifest])
        return result_of(context, UNCHANGED, changed, system, backup, sha256=known, path=path, unchanged_by="manifest")
    _require_own(context, path, system)
    require_writable(path)
    attributes.require_possible(path)
    attributes.require_replaceable([path, *(side_file(path, each) for each in SIDES)])

    def check_complete() -> None:
        if params["name"]:  # the latest one was found among the complete ones
            require_complete(client.settle([name], first=listing, first_at=listed_at), name, _fetching(name))

    if context.check_mode or not backup.size:
        check_complete()
    if context.check_mode:
        return result_of(context, FETCHED, True, system, backup, path=path)

    def give_folder(folder: str, descriptor: int) -> None:
        share.sync_folder(os.path.dirname(folder))
        attributes.give_folder(folder, descriptor)

    make_folders(path, give_folder)
    with part_of(path, share) as part:
        received, finding = _receive(context, part, backup, check_complete, path)
        _verify(context, part, backup, received, wanted_digest)
        _validate(context, validate, part)
        part.finish(_sides_of(context, path, system, backup, received), attributes.give)
        part.place(lambda: _require_own(context, path, system), client.settings.wait_timeout, params["unsafe_writes"])
    attributes.finish([path, *(side_file(path, each) for each in SIDES)])
    return result_of(
        context,
        FETCHED,
        True,
        system,
        backup,
        sha256=received.sha256,
        path=path,
        received=received,
        verified_by=vouchers(
            by_digest=received.digest_confirmed,
            by_archive=bool(finding.kind),
            by_content=verify_of(context) == CONTENT,
        ),
    )


def _fetching(name: str) -> str:
    return f"fetch the backup {name!r}"


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


# What is there already


def _known(context: Context, path: str, backup: BackupFile, system: System, wanted_digest: str | None) -> str | None:
    """The SHA-256 of a file that is there already and need not be fetched again; else ``None``."""
    if context.params["force"]:
        return None
    known = _unchanged(path, backup, system, wanted_digest)
    if known is None or inspect_file(context, path, shown(path)).damage:
        return None
    if verify_of(context) == CONTENT and context.client.digest(backup.name).sha256 != known:
        return None
    return known


def _unchanged(path: str, backup: BackupFile, system: System, wanted_digest: str | None) -> str | None:
    """The SHA-256 of a file that is there already, when manifest, content and listing agree; else ``None``.

    What can't be read is fetched again, where :func:`_require_own` lets that happen.
    """
    sides = side_files(path)
    try:
        manifest = read_manifest(sides.manifest)
    except UnusableError:
        return None
    if manifest is None or status_of(path) is None:
        return None
    if (manifest.machineid, manifest.name, manifest.size) != (system.machineid, backup.name, backup.size):
        return None
    if wanted_digest is not None and manifest.sha256 != wanted_digest:
        return None
    if not has_content(sides.digest, digest_line(manifest.sha256, path)):
        return None
    if digest_file(path) != (manifest.size, manifest.sha256):
        return None
    return manifest.sha256


def _require_own(context: Context, path: str, system: System) -> None:
    """What is replaced has to come from this machine, unless ``other_machine``.

    A file without a manifest says nothing about its origin, and may be replaced.

    :raises ConflictError: when its manifest names another machine.
    :raises LocalFileError: when something is there in the manifest's place that can't be used.
    """
    if context.params["other_machine"]:
        return
    place = side_files(path).manifest
    operation = "replace the file"
    try:
        manifest = read_manifest(place)
    except UnusableError as error:
        raise FETCH_MANIFEST_UNUSABLE.error(
            path=shown(path), manifest=shown(place), why=error, operation=operation
        ) from error
    if manifest is not None and manifest.machineid != system.machineid:
        raise FETCH_OTHER_MACHINE.error(
            path=shown(path), origin=manifest.machineid, found=system.machineid, operation=operation
        )


# A new file


def _receive(
    context: Context, part: Part, backup: BackupFile, check_complete: Callable[[], None], path: str
) -> tuple[Received, Finding]:
    """Download a backup and look into it.

    :param check_complete: raises where the backup is not complete. It comes after the download, whose time is then
        part of the pause between two listings.
    """
    operation = _fetching(backup.name)
    try:
        received = context.client.download(backup.name, path, part.opener)
    except TransferError:
        check_complete()  # that it is still being written says more
        raise
    check_complete()
    if received.size != backup.size:
        raise ARRIVED_SHORT.error(size=received.size, listed=backup.size, operation=operation)
    finding = inspect_file(context, part.path, f"the backup {backup.name!r}")
    part.require_own_content()
    if finding.damage:
        raise FETCH_DAMAGED.error(why=finding.damage, operation=operation)
    return received, finding


def _verify(context: Context, part: Part, backup: BackupFile, received: Received, wanted_digest: str | None) -> None:
    operation = _fetching(backup.name)
    if verify_of(context) == CONTENT:
        again = context.client.digest(backup.name)
        if again.sha256 != received.sha256:
            raise FETCH_READ_OTHER.error(first=received.sha256, second=again.sha256, operation=operation)
    if wanted_digest is not None and received.sha256 != wanted_digest:
        raise CHECKSUM_OTHER.error(found=received.sha256, wanted=wanted_digest, operation=operation)


def _sides_of(context: Context, path: str, system: System, backup: BackupFile, received: Received) -> dict[str, bytes]:
    """The content of the side files, by their suffixes."""
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
    return {DIGEST_SUFFIX: digest_line(received.sha256, path), MANIFEST_SUFFIX: manifest.to_json()}


def _validate_command(text: str | None) -> list[str]:
    """The words of the option ``validate``; none where it is not set."""
    if not text:
        return []
    words = [expand(word) for word in shlex.split(text)]
    if not any("%s" in word for word in words):
        raise VALIDATE_WRONG.error()
    return words


def _validate(context: Context, words: list[str], part: Part) -> None:
    if not words:
        return
    command = [word.replace("%s", exact(part.path)) for word in words]
    try:
        code, _out, errors = context.module.run_command(command, expand_user_and_vars=False, handle_exceptions=False)
    except OSError as error:
        raise file_error(error, command[0]) from error
    if code != 0:
        raise VALIDATE_REFUSED.error(
            code=code, said=" ".join(errors.split())[:200], operation="validate the fetched backup"
        )
    part.require_own_content()


def _checksum(text: str | None) -> str | None:
    if not text:
        return None
    algorithm, _colon, value = text.partition(":")
    value = value.strip().lower()
    if algorithm != "sha256" or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise CHECKSUM_WRONG.error()
    return value
