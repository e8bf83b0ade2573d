# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What fetch and push share: verification, and the result. Private to this collection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._archive._whole import Finding, inspect, not_checked
from .._context import Context
from .._files._access import exact
from .._files._manifest import DIGEST_SUFFIX, MANIFEST_SUFFIX, side_file
from .._model import ARCHIVE, CONTENT, DIGEST, SIZE, BackupFile, Received, System
from .._plan import PassedOver
from ._result import described, result

UNCHANGED = "unchanged"


def verify_of(context: Context) -> str:
    """The option ``verify``, whose default depends on the direction."""
    by_default = ARCHIVE if context.params["direction"] == "fetch" else CONTENT
    return str(context.params["verify"] or by_default)


def inspect_file(context: Context, path: str, what: str) -> Finding:
    """Check the content of a file, unless ``verify`` is ``size``; ``what`` names it in the warning about a limit."""
    if verify_of(context) == SIZE:
        return Finding()
    finding = inspect(path, context.client.deadline("transfer_timeout"))
    if finding.limit is not None:
        context.warn(not_checked(what, finding))
    return finding


def vouchers(*, by_archive: bool, by_content: bool, by_digest: bool = False) -> list[str]:
    """Return value ``verified_by``: the size, and the given checks."""
    return [SIZE] + [DIGEST] * by_digest + [ARCHIVE] * by_archive + [CONTENT] * by_content


def result_of_transfer(
    context: Context,
    action: str,
    system: System,
    backup: BackupFile | None,
    *,
    changed: bool,
    sha256: str | None = None,
    path: str | None = None,
    received: Received | None = None,
    sent: int = 0,
    verified_by: Iterable[str] = (),
    unchanged_by: str | None = None,
    passed_over: Iterable[PassedOver] = (),
) -> dict[str, Any]:
    """The result of a transfer. In check mode the sizes are those of the listing.

    :param path: of the local file, as :func:`_access.native` returns it.
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
    return result(
        system,
        changed=changed,
        action=action,
        backup=described(context, backup, sha256=sha256),
        file=file,
        bytes_transferred=sent if received is None else received.bytes_transferred,
        resumed_from=0 if received is None else received.resumed_from,
        verified_by=list(verified_by),
        unchanged_by=unchanged_by,
        passed_over=passed_over,
    )
