# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the audit log says of requests and operations; every line has the members of :class:`logs.AuditLog`."""

from __future__ import annotations

from collections.abc import Mapping
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


def write_request(
    audit: AuditLog, scope: Mapping[str, Any], told: Mapping[str, Any], sent: Mapping[str, Any], milliseconds: int
) -> None:
    """Say what was asked for and answered.

    :param scope: of the request, as ASGI has it.
    :param told: what the layers of the API know of it: ``login``, ``system``, ``command``, ``name``, ``operation``,
        ``kind``, and ``received`` (bytes).
    :param sent: ``status`` and ``bytes`` of the answer.
    """
    login = told["login"]
    user = login.username if login is not None and login.accepted else None
    audit.write(
        "request",
        client=scope["client"][0] if scope.get("client") else None,
        system=told.get("system"),
        user=user,
        command=told.get("command", "health" if scope["path"] == "/healthz" else None),
        name=told.get("name") if user else None,  # a stranger's words stay out of the log
        operation=told.get("operation"),
        method=scope["method"],
        outcome={"status": sent["status"], "kind": told.get("kind")},
        bytes={"in": told.get("received", 0), "out": sent["bytes"]},
        milliseconds=milliseconds,
    )
