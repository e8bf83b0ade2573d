# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetch a backup from a system, or push one to it: what both have in common. Private to this collection.

The old file, or the old backup, is not touched before the new one is known to be whole.
"""

from __future__ import annotations

from typing import Any

from .. import _names
from .._archive._whole import Finding, inspect, not_checked
from .._files._access import exact
from .._files._manifest import DIGEST_SUFFIX, MANIFEST_SUFFIX, side_file
from .._model import ARCHIVE, CONTENT, DIGEST, SIZE, BackupFile, Received, System, describe
from .._runner import Context

UNCHANGED = "unchanged"


def transfer(context: Context) -> dict[str, Any]:
    """Fetch or push, as ``direction`` says, and return the result of the module."""
    if context.params["direction"] == "fetch":
        from ._fetch import fetch  # noqa: PLC0415 - the other direction need not load it

        return fetch(context)
    from ._push import push  # noqa: PLC0415 - the other direction need not load it

    return {**push(context), "passed_over": []}


def verify_of(context: Context) -> str:
    """The option ``verify``, whose default depends on the direction."""
    by_default = ARCHIVE if context.params["direction"] == "fetch" else CONTENT
    return str(context.params["verify"] or by_default)


def inspect_file(context: Context, path: str, what: str) -> Finding:
    """Look into a file, unless ``verify`` leaves that out; ``what`` names it in a warning that this was too much."""
    if verify_of(context) == SIZE:
        return Finding()
    finding = inspect(path, context.client.settings.transfer_timeout)
    if finding.limit:
        context.warn(not_checked(what, finding))
    return finding


def vouchers(*, by_archive: bool, by_content: bool, by_digest: bool = False) -> list[str]:
    """What vouched for a transfer, beside the size."""
    return [SIZE] + [DIGEST] * by_digest + [ARCHIVE] * by_archive + [CONTENT] * by_content


def result_of(
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
    """The result in its one form. The sizes of a check mode's result are those of the listing.

    :param path: as :func:`_access.native` makes it.
    """
    file = None
    if path is not None:
        with_sides = context.params["direction"] == "fetch"
        file = {
            "path": exact(path),
            "size": None if backup is None else backup.size,
            "sha256_file": exact(side_file(path, DIGEST_SUFFIX)) if with_sides else None,
            "manifest": exact(side_file(path, MANIFEST_SUFFIX)) if with_sides else None,
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
