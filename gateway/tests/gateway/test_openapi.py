# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The OpenAPI document: kept in docs/, complete, valid, and the same on every machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, cast

import pytest
from openapi_spec_validator import validate

from activelogic_gateway.api.parameters import OperationId, SystemName, Wait
from activelogic_gateway.api.route_table import ROUTES
from activelogic_gateway.api.routes import routes
from activelogic_gateway.gateway import Gateway
from activelogic_gateway.problems import KINDS
from tests.harness.openapi_reader import DOCUMENT, OPERATIONS, PATH, matches, resolve

ONE = "/v1/systems/{system}/operations/{operation}"

LISTED = {
    ("GET", "/healthz"): {200},
    ("GET", "/v1/systems/{system}"): {200, 401, 404, 422, 429, 502, 504},
    ("GET", "/v1/systems/{system}/backups"): {200, 401, 404, 409, 422, 429, 502, 504},
    ("GET", "/v1/systems/{system}/operations"): {200, 401, 404, 429},
    ("PUT", ONE): {200, 202, 401, 404, 409, 413, 415, 422, 429, 503, 507},
    ("GET", ONE): {200, 401, 404, 422, 429},
    ("DELETE", ONE): {200, 401, 404, 409},
    ("GET", ONE + "/content"): {200, 206, 401, 404, 409, 410, 416},
    ("HEAD", ONE + "/content"): {200, 401, 404, 409, 410},
    ("PUT", ONE + "/content"): {200, 400, 401, 404, 408, 409, 411, 415, 507},
    ("PUT", ONE + "/commit"): {200, 202, 401, 404, 409, 415, 422, 503},
}
"""The routes, and the statuses that clients must handle."""

NEVER_AN_ANSWER = {
    "unknown_backup", "wrong_machine", "cancelled", "abandoned", "replace_failed", "transfer_incomplete",
    "gateway_restarted",
}  # fmt: skip
"""Kinds that occur only in the document of a failed operation."""


def walk(part: Any) -> Iterator[dict[str, Any]]:
    """All objects in a part of the document."""
    if isinstance(part, dict):
        yield part
        for each in part.values():
            yield from walk(each)
    elif isinstance(part, list):
        for each in part:
            yield from walk(each)


def responses() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for operation_id, (_, _, described) in OPERATIONS.items():
        for status, response in described["responses"].items():
            yield operation_id, status, response


def test_kept_document_is_what_the_command_prints() -> None:
    command = [sys.executable, "-m", "activelogic_gateway", "openapi"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    assert printed == PATH.read_text(encoding="utf-8"), "run: make openapi"


def test_document_is_valid_openapi() -> None:
    validate(DOCUMENT)


def test_routes_and_their_statuses_are_the_designed_ones() -> None:
    described = {(method, path): set(map(int, each["responses"])) for method, path, each in OPERATIONS.values()}
    assert set(described) == set(LISTED)
    assert {
        route: statuses - described[route] for route, statuses in LISTED.items() if statuses - described[route]
    } == {}


def test_application_has_these_routes_and_no_others() -> None:
    served = {(method, route.path) for route in routes(cast("Gateway", None)) for method in route.methods or ()}
    assert served == set(LISTED)


def test_everything_that_is_referred_to_is_there() -> None:
    references = {each["$ref"] for each in walk(DOCUMENT) if isinstance(each.get("$ref"), str)}
    for reference in references:
        assert resolve({"$ref": reference}), reference
    for kind, members in DOCUMENT["components"].items():
        if kind not in ("schemas", "securitySchemes", "headers", "examples"):
            assert {name for name in members if f"#/components/{kind}/{name}" not in references} == set(), kind


def test_every_kind_of_problem_has_a_fitting_example_and_a_place() -> None:
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    for kind, (status, title) in KINDS.items():
        example = DOCUMENT["components"]["examples"][kind]["value"]
        assert (example["kind"], example["status"], example["title"]) == (kind, status, title)
        assert example["type"] == "urn:activelogic:problem:" + kind.replace("_", "-")
        assert matches(example, schema)
    answered = {kind for route in ROUTES for kind in route.kinds}
    assert set(KINDS) - answered == NEVER_AN_ANSWER | {"method_not_allowed"}
    shown = {
        each["problem"]["kind"]
        for each in walk(DOCUMENT["components"]["examples"])
        if isinstance(each.get("problem"), dict)
    }
    assert shown >= NEVER_AN_ANSWER


def test_every_body_has_examples_that_fit_its_schema() -> None:
    bodies = [(name, response) for name, _, response in responses() if "content" in response]
    bodies += [(name, each["requestBody"]) for name, (_, _, each) in OPERATIONS.items() if "requestBody" in each]
    for name, body in bodies:
        for media_type, content in body["content"].items():
            assert content["examples"], name
            for example in content["examples"].values():
                if "json" in media_type:
                    assert matches(resolve(example)["value"], content["schema"]), name


def test_every_parameter_and_header_has_a_description_and_a_fitting_example() -> None:
    parameters = [each for _, _, described in OPERATIONS.values() for each in described.get("parameters", [])]
    for each in (*parameters, *DOCUMENT["components"]["headers"].values()):
        assert each["description"], each
        assert matches(each["example"], each["schema"]), each


def test_every_route_says_who_may_ask_and_what_it_does() -> None:
    for method, path, described in OPERATIONS.values():
        assert described["security"] == ([] if path == "/healthz" else [{"login": []}]), path
        assert described["summary"], path
        assert described["description"].endswith("."), path
        assert ("requestBody" in described) == (method == "PUT"), path


@pytest.mark.parametrize(
    ("status", "header"),
    [("401", "WWW-Authenticate"), ("429", "Retry-After"), ("503", "Retry-After"), ("507", "Retry-After")],
)
def test_headers_that_belong_to_a_status_are_described_wherever_it_is(status: str, header: str) -> None:
    found = [response for _, each, response in responses() if each == status]
    assert found
    assert all(header in response["headers"] for response in found)


def test_parameters_are_checked_as_they_are_described() -> None:
    def described(name: str) -> dict[str, Any]:
        (found,) = {
            json.dumps(each["schema"])
            for _, _, one in OPERATIONS.values()
            for each in one.get("parameters", [])
            if each["name"] == name
        }
        return dict(json.loads(found))

    def bounds(annotated: Any, *names: str) -> dict[str, Any]:
        limits = [limit for each in annotated.__metadata__ for limit in getattr(each, "metadata", ())]
        return {name: getattr(limit, name) for name in names for limit in limits if hasattr(limit, name)}

    name, operation, wait = described("system"), described("operation"), described("wait")
    assert bounds(SystemName, "min_length", "max_length") == {
        "min_length": name["minLength"],
        "max_length": name["maxLength"],
    }
    assert bounds(OperationId, "pattern") == {"pattern": operation["pattern"]}
    assert bounds(Wait, "ge", "le") == {"ge": wait["minimum"], "le": wait["maximum"]}
