# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that openapi-python-client generates from docs/openapi.json: no warning, and it knows every problem."""

from __future__ import annotations

import base64
import importlib
import ssl
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from activelogic_gateway.api.openapi import problem_schema_name
from activelogic_gateway.problems import KINDS
from tests.harness.lab import PASSWORD, Lab
from tests.harness.openapi_reader import OPERATIONS, PATH, resolve

PACKAGE = "generated_gateway_client"

PROBLEMS = [
    pytest.param(operation_id, int(status), kind, id=f"{operation_id}-{kind}")
    for operation_id, (method, _, described) in OPERATIONS.items()
    if method != "HEAD"
    for status, response in described["responses"].items()
    if int(status) >= 400
    for kind in response["content"]["application/problem+json"]["examples"]
]
"""Each problem of each route; answers to HEAD have no body."""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of the generated package, which can be imported; its generator had nothing to warn of."""
    folder = tmp_path_factory.mktemp("client")
    settings = folder / "settings.yml"
    settings.write_text("post_hooks: []\n", encoding="utf-8")  # what it makes is not formatted: nobody reads it
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", str(PATH), "--meta", "none"]
    command += ["--output-path", str(folder / PACKAGE), "--config", str(settings), "--fail-on-warning"]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    said = made.stdout + made.stderr
    assert (made.returncode, said.strip().replace("\n", "")) == (0, f"Generating {folder / PACKAGE}"), said
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield PACKAGE


def endpoint(generated: str, operation_id: str) -> Any:
    """The generated module of a route."""
    return importlib.import_module(f"{generated}.api.default.{operation_id}")


def model(generated: str, kind: str) -> Any:
    """The generated class of a kind of problem."""
    return getattr(importlib.import_module(f"{generated}.models"), problem_schema_name(kind))


@pytest.fixture
def client(generated: str, lab: Lab) -> Iterator[Any]:
    """A generated client with the login of the lab's user."""
    with new_client(generated, lab) as made:
        yield made


def new_client(generated: str, lab: Lab, password: str = PASSWORD) -> Any:
    """A generated client, whose connections end with its block."""
    return importlib.import_module(f"{generated}.client").AuthenticatedClient(
        base_url=lab.url,
        token=base64.b64encode(f"admin:{password}".encode()).decode(),
        prefix="Basic",
        verify_ssl=ssl.create_default_context(cafile=str(lab.folder / "ca.pem")),
        timeout=httpx.Timeout(20.0),
        httpx_args={"trust_env": False},
    )


def test_every_status_is_in_the_generated_client(generated: str) -> None:
    for operation_id, (_, _, described) in OPERATIONS.items():
        source = Path(endpoint(generated, operation_id).__file__).read_text(encoding="utf-8")
        for status in described["responses"]:
            assert f"response.status_code == {status}" in source, (operation_id, status)


@pytest.mark.parametrize(("operation_id", "status", "kind"), PROBLEMS)
def test_every_problem_of_every_route_becomes_an_object_of_its_class(
    generated: str, operation_id: str, status: int, kind: str
) -> None:
    response = OPERATIONS[operation_id][2]["responses"][str(status)]
    example = resolve(response["content"]["application/problem+json"]["examples"][kind])["value"]
    parse = endpoint(generated, operation_id)._parse_response
    parsed = parse(client=None, response=httpx.Response(status, json=example))
    assert type(parsed) is model(generated, kind)
    assert parsed.to_dict() == example


def test_a_problem_of_another_kind_is_none_of_a_route(generated: str) -> None:
    """The control for the test above: a class takes nothing but its own kind."""
    other = OPERATIONS["put_operation"][2]["responses"]["409"]
    example = resolve(other["content"]["application/problem+json"]["examples"]["conflict"])["value"]
    with pytest.raises(ValueError, match="const"):
        endpoint(generated, "show_system")._parse_response(client=None, response=httpx.Response(404, json=example))


def test_an_operation_that_failed_has_a_problem_with_every_member(generated: str, client: Any) -> None:
    models = importlib.import_module(f"{generated}.models")
    operation = uuid.uuid4()
    body = models.Download(action="download", name="missing.plb")
    put, show = endpoint(generated, "put_operation"), endpoint(generated, "show_operation")
    assert put.sync("edge1", operation, client=client, body=body) is not None
    document = show.sync("edge1", operation, client=client, wait=20.0)
    assert type(document) is models.OperationDocument
    assert type(document.problem) is models.ProblemDocument
    assert (document.problem.kind, document.problem.reason) == (
        "unknown_backup", "system edge1 has no backup 'missing.plb'",
    )  # fmt: skip


def body_that_holds_the_password(generated: str) -> Any:
    return importlib.import_module(f"{generated}.models").CreateNew(action="create_new", name=f"{PASSWORD}.plb")


def ask_with_wrong_password(generated: str, _client: Any, lab: Lab) -> Any:
    with new_client(generated, lab, "wrong") as stranger:
        return endpoint(generated, "show_system").sync_detailed("edge1", client=stranger)


LIVE: dict[str, Callable[[str, Any, Lab], Any]] = {
    "authentication_failed": ask_with_wrong_password,
    "unknown_system": lambda generated, client, _: endpoint(generated, "list_backups").sync_detailed(
        "edge9", client=client
    ),
    "unknown_operation": lambda generated, client, _: endpoint(generated, "get_content").sync_detailed(
        "edge1", uuid.uuid4(), client=client
    ),
    "invalid_request": lambda generated, client, _: endpoint(generated, "show_system").sync_detailed(
        "x" * 256, client=client
    ),
    "password_in_operation": lambda generated, client, _: endpoint(generated, "put_operation").sync_detailed(
        "edge1", uuid.uuid4(), client=client, body=body_that_holds_the_password(generated)
    ),
    "unreachable": lambda generated, client, _: endpoint(generated, "list_backups").sync_detailed(
        "down", client=client
    ),
}
"""How a generated client meets a few kinds at a live gateway."""


@pytest.mark.parametrize("kind", LIVE)
def test_a_live_gateways_problem_becomes_an_object_of_its_class(
    generated: str, client: Any, lab: Lab, kind: str
) -> None:
    assert lab.get("/v1/systems/edge1").status_code == 200  # who has logged in is told which systems there are
    response = LIVE[kind](generated, client, lab)
    assert (type(response.parsed), int(response.status_code)) == (model(generated, kind), KINDS[kind][0])
    assert response.parsed.kind == kind
    assert response.parsed.detail.endswith(response.parsed.reason)


def test_an_answer_to_head_has_no_body_to_read(generated: str, client: Any) -> None:
    response = endpoint(generated, "head_content").sync_detailed("edge1", uuid.uuid4(), client=client)
    assert (int(response.status_code), response.parsed, response.content) == (404, None, b"")
