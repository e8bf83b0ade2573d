# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Error messages about ``gateway.yml``: pydantic's own say what a type expects, not what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

_TEXTS = {
    "string_type": "text",
    "path_type": "the path of a file or folder",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number that is not infinite",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping of names to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def sentence(error: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Turn one of the errors of a ``ValidationError`` into a sentence: where, what is wrong, and what to do.

    :param model: the model of the whole configuration.
    """
    where = [str(part) for part in error["loc"] if part != "[key]"]
    what = _what(error, model)
    return f"{'.'.join(where)}: {what}" if where else what


def _what(error: Mapping[str, Any], model: type[BaseModel]) -> str:
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(str(error["loc"][-1]), _keys(model, error["loc"][:-1]))
    if kind == "missing":
        return "is missing; add it"
    if kind == "value_error":
        return str(context.get("error", error["msg"]))
    if error["loc"] and error["loc"][-1] == "[key]":
        return "this name should be text; put it in quotes"
    if given is None:
        return "is empty; give it a value, or remove it to have the default"
    if kind == "too_short":
        return f"should have {context.get('min_length', 1)} entry at least"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"should be {words} {context.get(name)}, not {_shown(given)}"
    expected = _TEXTS.get(kind, "something else")
    quotes = "; put it in quotes" if expected == "text" and isinstance(given, (int, float)) else ""
    return f"should be {expected}, not {_shown(given)}{quotes}"


def _unknown(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key.lower(), known, 1, 0.6)
    return f"no such key; is {near[0]!r} meant?" if near else f"no such key; there are {', '.join(known)}"


def _keys(model: type[BaseModel], location: Sequence[Any]) -> list[str]:
    """Return the valid keys of the section at a location in the configuration."""
    found: Any = model
    for part in location:
        field = found.model_fields.get(part) if _is_model(found) else None
        if field is not None:
            found = _section(field.annotation)  # for a name in a mapping, the section of its values stays
    return list(found.model_fields) if _is_model(found) else []


def _is_model(each: Any) -> bool:
    return isinstance(each, type) and issubclass(each, BaseModel)


def _section(annotation: Any) -> Any:
    """Find the section's model in an annotation such as ``Tls | None`` or ``dict[str, System]``."""
    if _is_model(annotation):
        return annotation
    return next((found for each in getattr(annotation, "__args__", ()) if (found := _section(each)) is not None), None)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple, set)):
        return "a list"
    if isinstance(value, (str, int, float)):
        text = repr(value)
        return text if len(text) <= 60 else text[:57] + "..."
    return f"a {type(value).__name__}"
