# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""False positives of schemathesis, each with its reason; there are no exclusions anywhere else.

An entry names the route, the check and the answer; anything else that the check reports is still a finding.
"""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Exclusion:
    """A finding of ``check`` on ``operation_id`` if the answer has this status and is a problem of this kind."""

    operation_id: str
    check: str
    status: int
    kind: str | None
    reason: str


EXCLUSIONS = (
    Exclusion(
        "put_operation",
        "positive_data_acceptance",
        413,
        "too_large",
        "how large an upload may be is a matter of the configuration (upload_bytes), which no schema can know",
    ),
    Exclusion(
        "put_operation",
        "positive_data_acceptance",
        422,
        "name_not_legal",
        "a name has at most 255 bytes of UTF-8; JSON Schema counts characters",
    ),
    Exclusion(
        "put_content",
        "positive_data_acceptance",
        400,
        "length_mismatch",
        "the length must be the size in the operation, which another request has set",
    ),
    Exclusion(
        "commit_operation",
        "positive_data_acceptance",
        422,
        "digest_mismatch",
        "the digest must be that of the content, which another request has brought",
    ),
    Exclusion(
        "get_content",
        "positive_data_acceptance",
        416,
        "range_not_satisfiable",
        "whether a range lies within the content depends on the content",
    ),
    Exclusion(
        "get_content",
        "positive_data_acceptance",
        412,
        "precondition_failed",
        "whether If-Match holds depends on the content",
    ),
    Exclusion(
        "head_content",
        "positive_data_acceptance",
        412,
        None,
        "as for GET; an answer to HEAD has no body that could tell the kind",
    ),
    Exclusion(
        "get_content",
        "positive_data_acceptance",
        410,
        "content_gone",
        "whether content is still kept depends on the time, and on DELETE",
    ),
    Exclusion("head_content", "positive_data_acceptance", 410, None, "as for GET"),
    Exclusion(
        "show_operation",
        "use_after_free",
        200,
        None,
        "DELETE ends an operation and drops its bytes; its document stays, so that its UUID is never run again",
    ),
)


def reason_against(operation_id: str, checks: tuple[str, ...], status: int, body: bytes) -> str | None:
    """Why a finding of one of ``checks`` is a false positive; ``None`` if it is a real one."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    kind = document.get("kind") if isinstance(document, dict) else None
    for each in EXCLUSIONS:
        if (each.operation_id, each.status) == (operation_id, status) and each.check in checks and each.kind == kind:
            return each.reason
    return None
