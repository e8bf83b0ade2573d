# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit log's lines about requests and operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .logs import AuditLog
from .store import Row


def write_end(audit: AuditLog, row: Row) -> None:
    """Log the end of an operation."""
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


def write_request(
    audit: AuditLog, scope: Mapping[str, Any], facts: Mapping[str, Any], sent: Mapping[str, Any], milliseconds: int
) -> None:
    """Log a request and its response.

    :param scope: the request's ASGI scope.
    :param facts: what the API knows about it: ``login``, ``system``, ``command``, ``name``, ``operation``, ``kind``,
        and ``received`` (bytes).
    :param sent: ``status`` and ``bytes`` of the response.
    """
    login = facts["login"]
    user = login.username if login is not None and login.accepted else None
    audit.write(
        "request",
        client=scope["client"][0] if scope.get("client") else None,
        system=facts.get("system"),
        user=user,
        command=facts.get("command", "health" if scope["path"] == "/healthz" else None),
        name=facts.get("name") if user else None,  # keep unauthenticated input out of the log
        operation=facts.get("operation"),
        method=scope["method"],
        outcome={"status": sent["status"], "kind": facts.get("kind")},
        bytes={"in": facts.get("received", 0), "out": sent["bytes"]},
        milliseconds=milliseconds,
    )
