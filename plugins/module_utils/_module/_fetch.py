# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetch a backup from a system into a file, with a digest and a manifest. Private to this collection.

The old file stays untouched until the new one is known to be intact.
"""

from __future__ import annotations

import os
import shlex
from typing import Any

from .. import _failures, _names
from .._archive._whole import Finding
from .._context import Context
from .._errors import TransferError, during
from .._files._access import digest_file, exact, has_content, local_errors, native, shown, status_of
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
from .._model import CONTENT, BackupFile, Listing, Received, System
from .._options import expand
from .._plan import Newest, PassedOver, newest_full, passed_over_to_result
from .._version import VERSION
from ._transfer import UNCHANGED, inspect_file, result_of_transfer, verify_of, vouchers

FETCHED = "fetched"
SKIPPED = "skipped"


def fetch(context: Context) -> dict[str, Any]:
    """Fetch a backup, and return the result of the module."""
    params = context.params
    # Validate all options before contacting the system, in check mode too.
    wanted_digest = _checksum(params["checksum"])
    validate = _validate_command(params["validate"])
    share = Share(context.warn)
    attributes = Attributes(context, share)
    dest = native(params["dest"])
    if params["name"]:
        _names.require_legal(params["name"])
    elif not params["latest"]:
        raise _failures.FETCH_NEEDS_MORE.error()
    system = context.client.identity()
    with during(f"fetch the backup {params['name']!r}" if params["name"] else "fetch the latest backup"):
        listing = context.client.list()
        newest = None if params["name"] else _latest(context, listing)
        passed_over = () if newest is None else newest.candidates
        backup = listing.find(params["name"]) if newest is None else newest.backup
        if backup is None:
            if params["on_missing"] == "fail":
                listing.require(params["name"])
            return result_of_transfer(context, SKIPPED, system, None, changed=False, passed_over=passed_over)
    with during(f"fetch the backup {backup.name!r}"):
        path = resolve_destination(dest, backup.name)
        fetching = _Fetch(context, system, listing, backup, path, share, attributes, passed_over)
        return fetching.run(wanted_digest, validate)


def _latest(context: Context, listing: Listing) -> Newest:
    """The newest complete full backup, or none if ``on_missing`` allows that.

    :raises NotFoundError: when there is none and ``on_missing`` is ``fail``.
    :raises ConflictError: when one has a date in the future, so it is not known which is the newest.
    """
    params = context.params
    settled = context.client.settle(listing.names, first=listing) if listing.backups else listing
    newest = newest_full(settled, now=context.now, prefix=params["prefix"], zone=context.zone)
    if newest.ahead:
        error = _failures.LATEST_AHEAD.error(names=newest.ahead)
    elif newest.backup is None and params["on_missing"] == "fail":
        error = _failures.NO_LATEST.error(passed_over=newest.in_words)
    else:
        return newest
    error.facts["passed_over"] = passed_over_to_result(newest.candidates)
    raise error


class _Fetch:
    """One fetch of a listed backup into ``path``."""

    def __init__(
        self,
        context: Context,
        system: System,
        listing: Listing,
        backup: BackupFile,
        path: str,
        share: Share,
        attributes: Attributes,
        passed_over: tuple[PassedOver, ...],
    ) -> None:
        self._context = context
        self._client = context.client
        self._system = system
        self._listing = listing
        self._backup = backup
        self._path = path
        self._share = share
        self._attributes = attributes
        self._passed_over = passed_over

    def run(self, wanted_digest: str | None, validate: list[str]) -> dict[str, Any]:
        """Fetch the backup unless the file is up to date.

        :param wanted_digest: the required SHA-256 (hex).
        :param validate: the words of the command that has to accept the file.
        """
        context, path, attributes = self._context, self._path, self._attributes
        everything = [path, *(side_file(path, each) for each in SIDES)]
        if not context.check_mode:
            recover(path, self._share, self._client.settings.wait_timeout)
        known = self._known(wanted_digest)
        if known is not None:
            beside = side_files(path)  # after another task was killed they may be elsewhere
            changed = attributes.update([path, beside.digest, beside.manifest])
            return self._result(UNCHANGED, changed=changed, sha256=known, unchanged_by="manifest")
        self._require_own()
        require_writable(path)
        attributes.require_possible(path)
        attributes.require_replaceable(everything)
        if context.check_mode or not self._backup.size:
            self._check_complete()
        if context.check_mode:
            return self._result(FETCHED, changed=True)
        make_folders(path, self._give_folder)
        with part_of(path, self._share) as part:
            received, finding = self._receive(part)
            self._verify(received, wanted_digest)
            _validate(context, validate, part)
            part.finish(self._sides(received), attributes.give)
            part.place(self._require_own, self._client.settings.wait_timeout, context.params["unsafe_writes"])
        attributes.finish(everything)
        verified_by = vouchers(
            by_digest=received.digest_confirmed,
            by_archive=finding.kind is not None,
            by_content=verify_of(context) == CONTENT,
        )
        return self._result(FETCHED, changed=True, sha256=received.sha256, received=received, verified_by=verified_by)

    def _result(self, action: str, **facts: Any) -> dict[str, Any]:
        facts = {"path": self._path, "passed_over": self._passed_over, **facts}
        return result_of_transfer(self._context, action, self._system, self._backup, **facts)

    def _give_folder(self, folder: str, descriptor: int) -> None:
        self._share.sync_folder(os.path.dirname(folder))
        self._attributes.give_folder(folder, descriptor)

    def _check_complete(self) -> None:
        """:raises IncompleteBackupError: when it is not complete. ``latest`` only finds complete ones anyway."""
        if self._context.params["name"]:
            self._client.settle([self._backup.name], first=self._listing).require_complete(self._backup.name)

    # The existing file

    def _known(self, wanted_digest: str | None) -> str | None:
        """The SHA-256 of an existing file that need not be fetched again; else ``None``."""
        if self._context.params["force"]:
            return None
        known = self._unchanged(wanted_digest)
        if known is None or inspect_file(self._context, self._path, shown(self._path)).damage is not None:
            return None
        if verify_of(self._context) == CONTENT and self._client.digest(self._backup.name).sha256 != known:
            return None
        return known

    def _unchanged(self, wanted_digest: str | None) -> str | None:
        """The SHA-256 of an existing file, if manifest, content and listing agree; else ``None``.

        A file with an unreadable manifest is fetched again, if :meth:`_require_own` allows that.
        """
        path, backup = self._path, self._backup
        sides = side_files(path)
        try:
            manifest = read_manifest(sides.manifest)
        except UnusableError:
            return None
        if manifest is None or status_of(path) is None:
            return None
        if (manifest.machineid, manifest.name, manifest.size) != (self._system.machineid, backup.name, backup.size):
            return None
        if wanted_digest is not None and manifest.sha256 != wanted_digest:
            return None
        if not has_content(sides.digest, digest_line(manifest.sha256, path)):
            return None
        if digest_file(path) != (manifest.size, manifest.sha256):
            return None
        return manifest.sha256

    def _require_own(self) -> None:
        """Require that the file to replace came from this machine, unless ``other_machine`` is set.

        A file without a manifest may be replaced.

        :raises ConflictError: when its manifest names another machine.
        :raises LocalFileError: when its manifest can't be used.
        """
        if self._context.params["other_machine"]:
            return
        place, path = side_files(self._path).manifest, shown(self._path)
        with during("replace the file"):
            try:
                manifest = read_manifest(place)
            except UnusableError as error:
                raise _failures.FETCH_MANIFEST_UNUSABLE.error(path=path, manifest=shown(place), why=error) from error
            if manifest is not None and manifest.machineid != self._system.machineid:
                raise _failures.FETCH_OTHER_MACHINE.error(
                    path=path, origin=manifest.machineid, found=self._system.machineid
                )

    # The new file

    def _receive(self, part: Part) -> tuple[Received, Finding]:
        """Download the backup and check its content.

        The second listing is taken after the download, so that its time counts as part of the pause.
        """
        name = self._backup.name
        try:
            received = self._client.download(name, self._path, part.opener)
        except TransferError:
            self._check_complete()  # a backup that is still being written is the better explanation
            raise
        self._check_complete()
        if received.size != self._backup.size:
            raise _failures.ARRIVED_SHORT.error(size=received.size, listed=self._backup.size)
        finding = inspect_file(self._context, part.path, f"the backup {name!r}")
        part.require_own_content()
        if finding.damage is not None:
            raise _failures.FETCH_DAMAGED.error(why=finding.damage)
        return received, finding

    def _verify(self, received: Received, wanted_digest: str | None) -> None:
        if verify_of(self._context) == CONTENT:
            again = self._client.digest(self._backup.name)
            if again.sha256 != received.sha256:
                raise _failures.FETCH_READ_OTHER.error(first=received.sha256, second=again.sha256)
        if wanted_digest is not None and received.sha256 != wanted_digest:
            raise _failures.CHECKSUM_OTHER.error(found=received.sha256, wanted=wanted_digest)

    def _sides(self, received: Received) -> dict[str, bytes]:
        """The content of the side files, by their suffixes."""
        manifest = Manifest(
            machineid=self._system.machineid or "",
            host=self._system.host,
            distversion=self._system.distversion or "",
            name=self._backup.name,
            size=received.size,
            sha256=received.sha256,
            fetched_at=self._context.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            collection_version=VERSION,
        )
        return {DIGEST_SUFFIX: digest_line(received.sha256, self._path), MANIFEST_SUFFIX: manifest.to_json()}


def _validate_command(text: str | None) -> list[str]:
    """The words of the option ``validate``; empty if it is not set."""
    if not text:
        return []
    words = [expand(word) for word in shlex.split(text)]
    if not any("%s" in word for word in words):
        raise _failures.VALIDATE_WRONG.error()
    return words


def _validate(context: Context, words: list[str], part: Part) -> None:
    if not words:
        return
    command = [word.replace("%s", exact(part.path)) for word in words]
    with local_errors(command[0]):
        code, errors = context.ansible.run(command)
    if code != 0:
        with during("validate the fetched backup"):
            raise _failures.VALIDATE_REFUSED.error(code=code, said=" ".join(errors.split())[:200])
    part.require_own_content()


def _checksum(text: str | None) -> str | None:
    if not text:
        return None
    algorithm, _colon, value = text.partition(":")
    value = value.strip().lower()
    if algorithm != "sha256" or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise _failures.CHECKSUM_WRONG.error()
    return value
