# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A live gateway over TLS, in a separate process, with embedded systems behind it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import trustme
import yaml

from activelogic_embedded import admin
from activelogic_embedded.store import EVERY_RESOURCE, Level
from tests.harness.forked_programs import GATEWAY, ForkedProgram
from tests.harness.waiting import until

PASSWORD = "Xq7-correct-horse-9zT4"
AS_PROGRAM = ("-m", "activelogic_gateway")
"""Python arguments that start a gateway as users do."""
GATEWAY_FOLDER = Path(__file__).parents[2]
"""Processes import the stand-ins for the vendor's package from here."""

TROUBLED = "tests.harness.sdks.troubled"
FINAL = ("succeeded", "failed", "unknown")


@dataclass
class Answer:
    """The answer to an operation."""

    path: str
    document: dict[str, Any]

    @property
    def kind(self) -> str | None:
        return (self.document["problem"] or {}).get("kind")


@dataclass
class Lab:
    """A folder with embedded systems, certificates, a configuration, and the gateway's process."""

    folder: Path
    ca: trustme.CA
    settings: dict[str, Any]
    process: subprocess.Popen[bytes] | ForkedProgram | None = None
    url: str = ""
    session: requests.Session = field(default_factory=requests.Session)
    program: tuple[str, ...] = ()
    """Python arguments that start the gateway as a separate program; if empty, it is forked."""
    function: str = GATEWAY
    """The function that a forked gateway runs."""
    environment: dict[str, str] = field(default_factory=dict)
    output: str = "stderr"
    """Name of the file that gets standard output."""

    def start(self) -> None:
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        (self.folder / "gateway.yml").write_text(yaml.safe_dump(self.settings), encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(GATEWAY_FOLDER), "TROUBLE_FOLDER": str(self.folder)}
        environment["ACTIVELOGIC_EMBEDDED_ROOT"] = str(self.folder / "systems")
        environment.update(self.environment)
        arguments = ["serve", "--config", str(self.folder / "gateway.yml"), "--ready-file", str(ready)]
        stdout, stderr = self.folder / self.output, self.folder / "stderr"
        if self.program:
            with stderr.open("ab") as errors, stdout.open("ab") as printed:
                self.process = subprocess.Popen(
                    [sys.executable, *self.program, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=errors,
                    env=environment,
                )
        else:
            self.process = ForkedProgram(self.function, arguments, environment, stdout=stdout, stderr=stderr)
        deadline = time.monotonic() + 20
        while not ready.exists():
            assert self.process.poll() is None, self.errors()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self.url = json.loads(ready.read_text(encoding="utf-8"))["url"]

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Stop the gateway, and return its exit status. The client keeps its idle connection open."""
        self.ask_to_stop(how)
        assert self.process is not None
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def ask_to_stop(self, how: int = signal.SIGTERM) -> None:
        """Send a signal without waiting for the gateway to end."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)

    def errors(self) -> str:
        return (self.folder / "stderr").read_text(encoding="utf-8")

    def session_processes(self) -> list[int]:
        """The descendants of the fork server."""
        assert self.process is not None
        return [each for server in children(self.process.pid) for each in descendants(server)]

    def all_processes(self) -> set[int]:
        """All processes started with the lab's environment, whatever their parent is now."""
        mark = f"TROUBLE_FOLDER={self.folder}".encode()
        found = set()
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes().split(b"\0"):
                    found.add(int(path.parent.name))
        return found

    def descriptors(self) -> tuple[int, int]:
        """The numbers of descriptors that the gateway and its fork server have open."""
        assert self.process is not None
        gateway, server = (
            len(list(Path(f"/proc/{each}/fd").iterdir())) for each in (self.process.pid, self.fork_server())
        )
        return gateway, server

    def assert_no_session_is_left(self) -> None:
        """Wait a moment first, since the session of the last answered request may still be ending."""
        deadline = time.monotonic() + 5
        while left := self.session_processes():
            assert time.monotonic() < deadline, left
            time.sleep(0.02)

    def fork_server(self) -> int:
        """The process ID of the fork server."""
        assert self.process is not None
        (found,) = children(self.process.pid)
        return found

    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "audit.log").read_text(encoding="utf-8").splitlines()]

    def refusals(self, kind: str, at_least: int = 1) -> list[dict[str, Any]]:
        """The audit lines of refusals of this kind, which are written after the client has its answer."""
        deadline = time.monotonic() + 5
        while True:
            found = [line for line in self.audit() if line["outcome"]["kind"] == kind]
            if len(found) >= at_least or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    def trouble(self, **calls: str) -> None:
        """Set how the SDK misbehaves from now on."""
        part = self.folder / "trouble.part"
        part.write_text(json.dumps(calls), encoding="utf-8")
        part.replace(self.folder / "trouble.json")

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text(encoding="utf-8").split() if path.exists() else []

    def notes(self) -> list[dict[str, Any]]:
        """Records of when commands on backups began and ended on the systems' side, in order."""
        path = self.folder / "notes"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def backups(self, system: str = "edge1") -> Path:
        """The folder where the embedded system stores its backups, to check them without the gateway."""
        return self.folder / "systems" / system / "backups"

    def request(
        self, method: str, path: str, *, user: str = "admin", password: str = PASSWORD, **options: Any
    ) -> requests.Response:
        auth: Any = (user.encode(), password.encode()) if user else None  # bytes are sent unchanged
        return self.session.request(method, self.url + path, auth=auth, timeout=40, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def put(
        self, body: dict[str, Any], *, system: str = "edge1", operation: str | None = None, **options: Any
    ) -> requests.Response:
        path = f"/v1/systems/{system}/operations/{operation or uuid.uuid4()}"
        return self.request("PUT", path, json=body, **options)

    def path_of(self, response: requests.Response) -> str:
        return str(response.request.path_url)

    def run(self, body: dict[str, Any], **options: Any) -> Answer:
        """Request an operation and wait until it ends."""
        response = self.put(body, **options)
        assert response.status_code in (200, 202), response.text
        return self.finish(self.path_of(response))

    def wait_until_running(self, path: str) -> None:
        """Wait until an operation runs, for at most ten seconds."""
        until(lambda: bool(self.get(path).json()["state"] == "running"))

    def finish(self, path: str) -> Answer:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            response = self.get(path + "?wait=20")
            assert response.status_code == 200, response.text
            document = response.json()
            if document["state"] in FINAL:
                return Answer(path, document)
        raise AssertionError("the operation did not end")

    def create(self, name: str, system: str = "edge1") -> bytes:
        """Create a backup through the gateway, and return its bytes from the system's disk."""
        assert self.run({"action": "create_new", "name": name}, system=system).document["state"] == "succeeded"
        return (self.backups(system) / name).read_bytes()

    def upload(self, name: str, content: bytes, replace: bool = False, system: str = "edge1") -> Answer:
        body = {"action": "upload", "name": name, "size": len(content), "replace": replace}
        response = self.put(body, system=system)
        assert response.status_code == 202, response.text
        path = self.path_of(response)
        assert self.request("PUT", path + "/content", data=content).status_code == 200
        digest = hashlib.sha256(content).hexdigest()
        assert self.request("PUT", path + "/commit", json={"sha256": digest}).status_code == 202
        return self.finish(path)

    @contextlib.contextmanager
    def connected(self, address: str = "127.0.0.1", timeout: float = 10.0) -> Iterator[ssl.SSLSocket]:
        """A TLS connection to the gateway from one of this machine's addresses; the timeout is in seconds."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        port = int(self.url.rsplit(":", 1)[1])
        with (
            socket.create_connection(("127.0.0.1", port), timeout, source_address=(address, 0)) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as sock,
        ):
            yield sock

    def raw(self, data: bytes, seconds: float = 5.0) -> bytes:
        """Send bytes over TLS, and return everything received until the connection closes or the time is up."""
        received = b""
        with self.connected(timeout=seconds) as sock, contextlib.suppress(TimeoutError, ConnectionResetError):
            sock.sendall(data)
            while piece := sock.recv(65536):
                received += piece
        return received


def children(process: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{process}/task").iterdir():
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def descendants(process: int) -> list[int]:
    return [each for child in children(process) for each in (child, *descendants(child))]


def add_user(lab: Lab, system: str, username: str, password: str, privilege: str = "write") -> None:
    """Add a user to an embedded system, or change a user's password."""
    levels = {EVERY_RESOURCE: Level[privilege.upper()]}
    admin.set_user(lab.folder / "systems", system, username, password, levels)
