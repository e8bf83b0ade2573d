# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the audit log says of requests and operations; every line has the members of :class:`logs.AuditLog`."""

from __future__ import annotations

from typing import Any

from .logs import AuditLog
from .store import Row


def write_end(audit: AuditLog, row: Row) -> None:
    """Say how an operation has ended."""
    outcome: dict[str, Any] = {"state": row.state}
    if row.cause:
        outcome["cause"] = row.cause
    if row.problem:
        outcome["kind"], outcome["exception"] = row.problem["kind"], row.problem["exception"]
    audit.write(
        "operation",
        system=row.key.system,
        user=row.key.username,
        command=row.request.action,
        name=(row.result or {}).get("name") or row.request.name,
        operation=row.key.uuid,
        outcome=outcome,
        bytes=(row.result or {}).get("size"),
        milliseconds=row.milliseconds,
    )
