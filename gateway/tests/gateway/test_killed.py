# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 of the gateway at random moments under load: no partial results, no repeated commands, no lost operations.

``GATEWAY_KILLS`` is the number of kills and ``GATEWAY_SEED`` seeds their moments; a failing test prints both.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from activelogic_embedded import admin, archive
from tests.harness.lab import FINAL, PASSWORD, Lab

KILLS = int(os.environ.get("GATEWAY_KILLS", "20"))
SEED = os.environ.get("GATEWAY_SEED", "1")
SYSTEMS = ("edge1", "edge2", "edge3")
CLIENTS = 8
LONGEST_LOAD = 0.8
"""Seconds."""


@dataclass
class Asked:
    """One operation that a client requested. System, action and name together are unique."""

    system: str
    body: dict[str, Any]
    sha256: str = ""
    accepted: bool = False
    known: dict[str, Any] | None = None
    operation: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def path(self) -> str:
        return f"/v1/systems/{self.system}/operations/{self.operation}"

    @property
    def command(self) -> tuple[str, str, str]:
        return self.system, self.body["action"], self.body["name"]


class Client(threading.Thread):
    """Creates, restores, removes, uploads and downloads until the gateway is killed."""

    def __init__(self, url: str, ca: Path, number: str, asked: list[Asked]) -> None:
        super().__init__()
        self.random = random.Random(number)
        self.number = number
        self.asked = asked
        self.surprises: list[str] = []
        self.url = url
        self.session = requests.Session()
        self.session.verify = str(ca)
        self.session.trust_env = False
        self.session.auth = ("admin", PASSWORD)

    def run(self) -> None:
        try:
            for turn in range(10_000):
                system = self.random.choice(SYSTEMS)
                name = f"{self.number}-{turn}.plb"
                if self.random.random() < 0.5:
                    self.create_restore_remove(system, name)
                else:
                    self.upload_download_remove(system, name)
        except requests.RequestException:
            pass  # the gateway was killed
        except Exception as error:
            self.surprises.append(repr(error))
        finally:
            self.session.close()

    def create_restore_remove(self, system: str, name: str) -> None:
        for action in ("create_new", "restore", "remove")[: self.random.randint(2, 3)]:
            self.finish(self.ask(Asked(system, {"action": action, "name": name})))

    def upload_download_remove(self, system: str, name: str) -> None:
        content = self.random.randbytes(self.random.randint(1, 2_000_000))
        sha256 = hashlib.sha256(content).hexdigest()
        upload = self.ask(Asked(system, {"action": "upload", "name": name, "size": len(content)}, sha256))
        self.request("PUT", upload.path + "/content", data=content)
        self.request("PUT", upload.path + "/commit", json={"sha256": sha256})
        self.finish(upload)
        download = self.ask(Asked(system, {"action": "download", "name": name}))
        self.finish(download)
        if self.request("GET", download.path + "/content").content != content:
            self.surprises.append(f"{name} came back as something else")
        if self.random.random() < 0.5:
            self.finish(self.ask(Asked(system, {"action": "remove", "name": name})))

    def ask(self, asked: Asked) -> Asked:
        self.asked.append(asked)
        self.request("PUT", asked.path, json=asked.body)
        asked.accepted = True
        return asked

    def finish(self, asked: Asked) -> None:
        while True:
            document = self.request("GET", asked.path + "?wait=20").json()
            if document["state"] in FINAL:
                break
        asked.known = document
        if document["state"] != "succeeded":
            self.surprises.append(f"{asked.command}: {document}")

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        response = self.session.request(method, self.url + path, timeout=30, **options)
        if response.status_code not in (200, 202):
            raise AssertionError(f"{method} {path}: {response.status_code} {response.text}")
        return response


@pytest.fixture
def killed(make_lab: Callable[..., Lab]) -> Lab:
    lab = make_lab(systems=SYSTEMS)
    # Slow every command down, so that kills interrupt some.
    lab.trouble(**dict.fromkeys(("create_new", "restore", "remove", "upload", "download"), "slow:0.02"))
    lab.start()
    return lab


# The client library leaves a connection that is killed during its handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_killed_at_random_moments_under_load(killed: Lab) -> None:
    print(f"GATEWAY_KILLS={KILLS} GATEWAY_SEED={SEED}")
    moments = random.Random(SEED)
    everything: list[Asked] = []
    outcomes: Counter[str] = Counter()
    for turn in range(KILLS):
        asked: list[Asked] = []
        clients = [
            Client(killed.url, killed.folder / "ca.pem", f"{SEED}-{turn}-{number}", asked) for number in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        time.sleep(moments.uniform(0, LONGEST_LOAD))
        killed.stop(signal.SIGKILL)
        for client in clients:
            client.join(40)
            assert not client.is_alive()
            assert client.surprises == []
        killed.start()
        assert list((killed.folder / "state" / "spool").iterdir()) == []
        everything += asked
        begun = Counter(
            (note["host"], note["call"], note["name"])
            for note in killed.notes()
            if note["begins"] and note["call"] != "download"
        )
        assert [command for command, times in begun.items() if times > 1] == []  # nothing ran twice
        for each in asked:
            outcomes[account_for(killed, each, begun)] += 1
        check_systems(killed, everything)
        go_on(killed, f"next-{SEED}-{turn}.plb")
    print(dict(outcomes))
    hit = [each for each in outcomes if each.startswith(("unknown", "failed gateway_restarted"))]
    assert len(hit) >= 2, outcomes  # the load was high enough for kills to interrupt operations


def account_for(lab: Lab, asked: Asked, begun: Counter[tuple[str, str, str]]) -> str:
    """Check that an operation's outcome fits what its client saw and what its system did; return the outcome.

    :param begun: the commands that began on the systems, except downloads.
    """
    response = lab.get(asked.path)
    if response.status_code == 404:
        assert not asked.accepted
        assert asked.command not in begun
        return "never arrived"
    document = response.json()
    state = document["state"]
    assert state in FINAL, document
    outcome = " ".join([state, (document["problem"] or {}).get("kind", ""), document["cause"] or ""])
    if asked.known is not None:
        assert document == asked.known  # an outcome never changes
    elif state == "unknown":
        assert document["cause"] == "gateway_restarted"
    elif state == "failed":
        assert document["problem"]["kind"] == "gateway_restarted"
    if asked.body["action"] != "download" and state != "unknown":
        assert (asked.command in begun) == (state == "succeeded"), document
    again = lab.put(asked.body, system=asked.system, operation=asked.operation)
    assert (again.status_code, again.json()) == (200, document)
    asked.known = document
    return outcome


def check_systems(lab: Lab, everything: list[Asked]) -> None:
    """Listed backups are complete and match the outcomes of the operations."""
    asked = {each.command: each for each in everything}

    def state_of(system: str, action: str, name: str) -> str:
        found = asked.get((system, action, name))
        return found.known["state"] if found is not None and found.known is not None else "never"

    for system in SYSTEMS:
        configuration = admin.show(lab.folder / "systems", system)
        listed = {each["name"]: each["size"] for each in lab.get(f"/v1/systems/{system}/backups").json()}
        assert listed == {path.name: path.stat().st_size for path in lab.backups(system).iterdir()}
        for name in listed:
            content = (lab.backups(system) / name).read_bytes()
            upload = asked.get((system, "upload", name))
            if upload is not None:
                assert hashlib.sha256(content).hexdigest() == upload.sha256
            else:
                assert archive.load(content).resources == configuration
            made = {state_of(system, action, name) for action in ("create_new", "upload")}
            assert made & {"succeeded", "unknown"}
            assert state_of(system, "remove", name) != "succeeded"
        for made_by, action, name in asked:
            if made_by == system and action in ("create_new", "upload") and name not in listed:
                gone = state_of(system, "remove", name) in ("succeeded", "unknown")
                assert gone or state_of(system, action, name) != "succeeded", name


def go_on(lab: Lab, name: str) -> None:
    """Every system runs the next commands, and the killed ones left nothing on it."""
    for system in SYSTEMS:
        for action in ("create_new", "restore", "remove"):
            answer = lab.run({"action": action, "name": name}, system=system)
            assert answer.document["state"] == "succeeded", answer.document
        assert list((lab.folder / "systems" / system / "tmp").iterdir()) == []
