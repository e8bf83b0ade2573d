# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look-ups in the OpenAPI document in docs/ for the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

PATH = Path(__file__).parents[3] / "docs" / "openapi.json"
DOCUMENT: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))

OPERATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    described["operationId"]: (method.upper(), path, described)
    for path, methods in DOCUMENT["paths"].items()
    for method, described in methods.items()
}
"""Method, path and description of each operation, by its ID."""


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    """The target of a reference; any other part of the document as it is."""
    if "$ref" not in part:
        return part
    found: Any = DOCUMENT
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return dict(found)


def matches(value: Any, schema: dict[str, Any]) -> bool:
    """Validate a value against a schema in the document; raise ``ValidationError`` if it does not match."""
    whole = {**schema, "components": DOCUMENT["components"]}
    validator = jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker())
    validator.validate(value)
    return True
