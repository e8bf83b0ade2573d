# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validation of the path and query parameters of requests."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from starlette.requests import Request

from ..documents import LONGEST_POLL, UUID_PATTERN
from ..problems import Problem

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def _require_json_number(text: Any) -> Any:
    """Accept numbers only as JSON writes them: pydantic also accepts "1_0", " 1" and more. Defaults are not strings."""
    if isinstance(text, str) and not _NUMBER.fullmatch(text):
        raise ValueError("should be a number")
    return text


SystemName = Annotated[str, Field(min_length=1, max_length=255)]
OperationId = Annotated[str, Field(pattern=UUID_PATTERN)]
Force = Literal["true", "false"]
Wait = Annotated[float, BeforeValidator(_require_json_number), Field(ge=0, le=LONGEST_POLL, allow_inf_nan=False)]

ADAPTERS: dict[str, TypeAdapter[Any]] = {
    "system": TypeAdapter(SystemName),
    "operation": TypeAdapter(OperationId),
    "force": TypeAdapter(Force),
    "wait": TypeAdapter(Wait),
}
"""The validator of each parameter, by name."""


def read_parameters(request: Request, defaults: dict[str, Any]) -> dict[str, Any]:
    """Validate the parameters of the path, and those of the query that have a default.

    :raises Problem: ``invalid_request``; it lists every error.
    """
    query = {name: request.query_params[name] for name in defaults if name in request.query_params}
    values, wrong = dict(defaults), []
    for name, text in {**request.path_params, **query}.items():
        try:
            values[name] = ADAPTERS[name].validate_python(text)
        except ValidationError as error:
            wrong += [f"{name}: {each['msg']}" for each in error.errors()]
    if wrong:
        raise Problem("invalid_request", "; ".join(wrong)[:500])
    return values
