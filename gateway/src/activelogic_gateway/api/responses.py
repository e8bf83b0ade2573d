# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers with a JSON body: documents and problems."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from starlette.responses import Response

from ..problems import MEDIA_TYPE, Problem


def document_response(
    document: Any, status: int = 200, headers: dict[str, str] | None = None, media_type: str = "application/json"
) -> Response:
    """A JSON response that nobody keeps."""
    body = json.dumps(document).encode("ascii")
    return Response(body, status, {"Cache-Control": "no-store", **(headers or {})}, media_type)


def list_response(documents: Iterable[Any]) -> Response:
    """The same of a list that may be long: its documents are not held all at once."""
    body = bytearray(b"[")
    for each in documents:
        body += b"," * (len(body) > 1) + json.dumps(each).encode("ascii")
    body += b"]"
    return Response(bytes(body), 200, {"Cache-Control": "no-store"}, "application/json")


def problem_response(problem: Problem) -> Response:
    """A problem as RFC 9457 has it."""
    return document_response(problem.document(), problem.status, problem.headers, MEDIA_TYPE)


def failure(error: Exception) -> Problem:
    """What is said of a failure of the gateway's own: its class alone, for its text may hold anything."""
    return Problem("internal_error", f"the gateway failed ({type(error).__name__})")
