# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parameters of a request's path and query, and what is asked of them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from starlette.requests import Request

from ..documents import LONGEST_POLL, UUID_PATTERN
from ..problems import Problem

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def _as_json_has_it(text: Any) -> Any:
    """Numbers are written as in JSON: pydantic alone would take "1_0", " 1" and more. The default is no text."""
    if isinstance(text, str) and not _NUMBER.fullmatch(text):
        raise ValueError("should be a number")
    return text


SystemName = Annotated[str, Field(min_length=1, max_length=255)]
OperationId = Annotated[str, Field(pattern=UUID_PATTERN)]
Force = Literal["true", "false"]
Wait = Annotated[float, BeforeValidator(_as_json_has_it), Field(ge=0, le=LONGEST_POLL, allow_inf_nan=False)]

ADAPTERS: dict[str, TypeAdapter[Any]] = {
    "system": TypeAdapter(SystemName),
    "operation": TypeAdapter(OperationId),
    "force": TypeAdapter(Force),
    "wait": TypeAdapter(Wait),
}
"""What checks each parameter, by its name."""


def read_parameters(request: Request, defaults: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the path, and those of the query that have a default.

    :raises Problem: ``invalid_request``; it says all that is wrong.
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
