# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Responses with a JSON body: documents and problems."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from starlette.responses import Response

from ..problems import MEDIA_TYPE, Problem

_JSON = "application/json"


def document_response(
    document: Any, status: int = 200, headers: dict[str, str] | None = None, media_type: str = _JSON
) -> Response:
    """Return a JSON response that must not be cached."""
    return _response(json.dumps(document).encode("ascii"), status, headers or {}, media_type)


def list_response(documents: Iterable[Any]) -> Response:
    """Like :func:`document_response`, for a long list: encodes one document at a time."""
    body = bytearray(b"[")
    for each in documents:
        body += b"," * (len(body) > 1) + json.dumps(each).encode("ascii")
    body += b"]"
    return _response(bytes(body), 200, {}, _JSON)


def _response(body: bytes, status: int, headers: dict[str, str], media_type: str) -> Response:
    return Response(body, status, {"Cache-Control": "no-store", **headers}, media_type)


def problem_response(problem: Problem) -> Response:
    """Return a problem as an RFC 9457 document."""
    return document_response(problem.document(), problem.status, problem.headers, MEDIA_TYPE)


def failure(error: Exception) -> Problem:
    """Describe an exception in the gateway itself by its class alone: its text may contain secrets."""
    return Problem("internal_error", f"the gateway failed ({type(error).__name__})")
