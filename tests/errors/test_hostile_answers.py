# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever answers in the gateway's place, the client stops in time, within its memory limit, with one message."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.errors.hostile_gateway import ANSWERS, MIB, hostile_gateway, requests_for

MEMORY = 64 * MIB
"""Bytes allowed beyond those of an idle client."""

SECONDS = 1.0
"""Each timeout of the client; the longest resulting limit is three times as long."""

# One process makes all calls and resets its memory peak before each.
CALL = """
import json, resource, sys, time
from ansible_collections.netops.activelogic.plugins.module_utils._client import open_client
from ansible_collections.netops.activelogic.plugins.module_utils._connection import Settings
from ansible_collections.netops.activelogic.plugins.module_utils._errors import ActiveLogicError

url, seconds, most, calls = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])

def kib(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key))

def call(client, what):
    if what == "list":
        return [each.name for each in client.list().backups]
    if what == "create":
        return client.create_new("new.plb")
    return client.identity().machineid if what == "identity" else client.download("there.plb", "/dev/null").sha256

for name, what in calls:
    timeouts = dict.fromkeys(["connect_timeout", "read_timeout", "transfer_timeout", "wait_timeout"], seconds)
    settings = Settings(name, "user", "Pa55word-of-the-test", gateway_url=url, retries=0, **timeouts)
    client = open_client(settings)
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")
    before, start = kib("VmHWM"), time.monotonic()
    said, found = "", None
    try:
        found = call(client, what)
    except ActiveLogicError as error:
        said = error.sentence(name)
    except Exception as error:
        said = "UNEXPECTED " + repr(error)
    client.close()
    result = {"said": said, "found": found, "warning": client.passed_over}
    memory, took = (kib("VmHWM") - before) * 1024, time.monotonic() - start
    print(json.dumps({**result, "memory": memory, "seconds": took}), flush=True)
"""


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, Any]]:
    """The outcome for each answer."""
    with hostile_gateway() as gateway:
        calls = requests_for(ANSWERS)
        done = subprocess.run(
            [sys.executable, "-c", CALL, gateway.url, str(SECONDS), str(MEMORY), json.dumps(calls)],
            check=False, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(lines) == len(calls), done.stderr
        assert gateway.cookies == 0  # they would accumulate over a long operation
        return {name: {**line, "asked": gateway.asked[name]} for (name, _call), line in zip(calls, lines)}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_hostile_answer_ends_in_one_sentence(name: str, results: dict[str, dict[str, Any]]) -> None:
    answer, result = ANSWERS[name], results[name]
    assert bool(result["said"]) is bool(answer.says), result
    assert re.search(answer.says, result["said"]), result["said"]
    assert re.search(answer.warns, result["warning"])
    assert bool(result["warning"]) is bool(answer.warns)
    assert result["said"].isprintable()
    assert len(result["said"]) < 1500
    if answer.names is not None:
        assert result["found"] == list(answer.names)
    assert result["memory"] < MEMORY
    assert result["seconds"] < 8 * SECONDS  # generous, for a busy machine
    assert result["asked"] < 20
