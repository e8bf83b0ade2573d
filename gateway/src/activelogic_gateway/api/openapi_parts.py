# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building blocks of the OpenAPI document: references, responses, parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .openapi_examples import CONTENT, Json

JSON = "application/json"
BINARY = "application/octet-stream"

BINARY_MEDIA = {BINARY: {"schema": {"type": "string", "format": "binary"}, "examples": {"content": {"value": CONTENT}}}}
_IMMUTABLE = ("Accept-Ranges", "ETag", "Repr-Digest", "Content-Length")


def schema_ref(name: str) -> Json:
    """Refer to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def header_ref(name: str) -> Json:
    """Refer to a header of the document."""
    return {"$ref": f"#/components/headers/{name}"}


def header_refs(*names: str) -> Json:
    """Refer to several headers, as a response object wants them."""
    return {name: header_ref(name) for name in names}


def media(schema: Json, examples: Json, media_type: str = JSON) -> Json:
    """Describe a body, with examples."""
    return {media_type: {"schema": schema, "examples": {name: {"value": value} for name, value in examples.items()}}}


def answer(description: str, schema: Json, examples: Json, *headers: str, links: Iterable[str] = ()) -> Json:
    """Describe a successful response with a JSON body."""
    made: Json = {
        "description": description,
        "headers": header_refs("Cache-Control", *headers),
        "content": media(schema, examples),
    }
    if links:
        made["links"] = {name: {"$ref": f"#/components/links/{name}"} for name in links}
    return made


def operation_answer(description: str, documents: Json, *headers: str, links: Iterable[str] = ()) -> Json:
    """Describe a successful response with an operation document."""
    made = answer(description, schema_ref("OperationDocument"), {}, *headers, links=links)
    made["content"][JSON]["examples"] = {
        name: {"$ref": f"#/components/examples/operation-{name}"} for name in documents
    }
    return made


def parameter(name: str, place: str, description: str, schema: Json, example: Any, required: bool = False) -> Json:
    """Describe a parameter, with an example."""
    return {
        "name": name,
        "in": place,
        "required": required,
        "description": description,
        "schema": schema,
        "example": example,
    }


def content_answer(description: str, *headers: str, body: bool = True) -> Json:
    """Describe a successful response with content, or (``body=False``) with its headers only."""
    return {
        "description": description,
        "headers": {"Cache-Control": header_ref("Cache-Control-Content"), **header_refs(*_IMMUTABLE, *headers)},
        **({"content": BINARY_MEDIA} if body else {}),
    }
