# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""schemathesis against a live gateway: no findings in the gateway, and it finds each planted defect.

``SCHEMATHESIS_EXAMPLES`` sets how many requests it generates for each operation; ``make test-all`` uses more. The
search for a defect covers one operation that has it.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable

import pytest

from tests.harness.forked_programs import import_before_forking, run_forked
from tests.harness.fuzzing.defects import DEFECTS
from tests.harness.fuzzing.exclusions import EXCLUSIONS
from tests.harness.lab import GATEWAY_FOLDER, PASSWORD, Lab
from tests.harness.openapi_reader import PATH as DOCUMENT

import_before_forking(
    "schemathesis.cli.commands.run.executor",
    "schemathesis.cli.commands.run.handlers.output",
    "schemathesis.engine.fuzz",
    "schemathesis.specs.openapi._hypothesis",
    "schemathesis.specs.openapi.coverage",
    "schemathesis.specs.openapi.schemas",
)  # fmt: skip

SEED = 20261124
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "60"))
"""Maximum number of examples per operation in the fuzzing phase."""
MOST = 65536
"""Maximum size of an upload in bytes."""
LIMITS = {
    # High enough that answers don't depend on the speed of the machine.
    "failed_logins_per_minute": 10**6,
    "waiting_writes_per_system": 10**6,
    "waiting_downloads_per_system": 10**6,
    "unfinished_uploads_per_user": 10**6,
    "logins_per_system": 10**6,
    "logins_per_address": 10**6,
    "failed_logins_per_minute_and_address": 10**6,
    "upload_bytes": MOST,
}

REACHED = {
    "health": {200},
    "show_system": {200, 401, 404, 422},
    "list_backups": {200, 401, 404, 422},
    "list_operations": {200, 401, 404, 422},
    "put_operation": {200, 202, 400, 401, 404, 409, 413, 415, 422},
    "show_operation": {200, 401, 404, 422},
    "delete_operation": {200, 401, 404, 422},
    "get_content": {200, 206, 304, 401, 404, 412, 416, 422},
    "head_content": {200, 304, 401, 404, 412, 422},
    "put_content": {200, 400, 401, 404, 409, 422},
    "commit_operation": {200, 202, 400, 401, 404, 409, 415, 422},
}
"""Statuses that a run must see; without them it did not get far enough."""


def seeds(lab: Lab) -> str:
    """Prepare operations of every kind, and return them as JSON for the hooks."""
    content = lab.create("seed.plb")
    body = {"action": "create_new", "name": "created.plb"}
    created = lab.run(body).path
    download = lab.run({"action": "download", "name": "seed.plb"}).path
    failed = lab.run({"action": "remove", "name": "missing.plb"}).path
    upload = lab.path_of(lab.put({"action": "upload", "name": "upload.plb", "size": 5}))
    uploaded = lab.upload("uploaded.plb", b"hello").path
    paths = {"uploaded": uploaded, "created": created, "download": download, "failed": failed, "upload": upload}
    return json.dumps(
        {
            **{name: path.rsplit("/", 1)[1] for name, path in paths.items()},
            "url": lab.url,
            "ca": str(lab.folder / "ca.pem"),
            "user": "admin",
            "password": PASSWORD,
            "system": "edge1",
            "backup": "seed.plb",
            "created_body": body,
            "upload_size": 5,
            "most": MOST,
            "etag": f'"{hashlib.sha256(content).hexdigest()}"',
        }
    )


def fuzz(lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run schemathesis with all checks and phases on the lab's gateway."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(GATEWAY_FOLDER),
        "SCHEMATHESIS_HOOKS": "tests.harness.fuzzing.hooks",
        "FUZZING_SEEDS": seeds(lab),
        "FUZZING_STATUSES": str(lab.folder / "statuses"),
    }
    return run_forked(
        "schemathesis.cli:schemathesis",
        "--no-color", "run", str(DOCUMENT), "--url", lab.url, "--tls-verify", str(lab.folder / "ca.pem"),
        "--auth", f"admin:{PASSWORD}", "--checks", "all", "--phases", "examples,coverage,fuzzing,stateful",
        "--mode", "all", "--seed", str(SEED), "--generation-database", "none", "--max-examples", str(EXAMPLES),
        *arguments,
        environment=environment,
        folder=lab.folder,
        timeout=540,
    )  # fmt: skip


def test_no_finding_and_every_route_was_reached(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(sdk="activelogic_embedded", limits=LIMITS)
    lab.start()
    result = fuzz(lab, "--continue-on-failure")
    assert result.returncode == 0, result.stdout + result.stderr
    seen: dict[str, Counter[int]] = {}
    for line in (lab.folder / "statuses").read_text(encoding="ascii").splitlines():
        _, operation_id, _, status = line.split()
        seen.setdefault(operation_id, Counter())[int(status)] += 1
    print(result.stdout, {name: dict(sorted(counts.items())) for name, counts in seen.items()})
    missing = {name: statuses - set(seen.get(name, ())) for name, statuses in REACHED.items()}
    assert not any(missing.values()), missing
    assert "Traceback" not in lab.errors()


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_planted_defect_is_found(make_lab: Callable[..., Lab], defect: str) -> None:
    lab = make_lab(sdk="activelogic_embedded", limits=LIMITS)
    lab.function = "tests.harness.fuzzing.defects:main"
    lab.environment = {"GATEWAY_DEFECT": defect}
    lab.start()
    only = ("--include-operation-id", DEFECTS[defect].operation_id)
    result = fuzz(lab, *only, "--max-failures", "1", "--no-shrink")
    assert result.returncode == 1, result.stdout + result.stderr
    assert any(check in result.stdout for check in DEFECTS[defect].found_by), result.stdout


def test_each_exclusion_has_a_reason() -> None:
    assert all(len(each.reason) > 5 for each in EXCLUSIONS)
    assert len({(each.operation_id, each.check, each.status) for each in EXCLUSIONS}) == len(EXCLUSIONS)
