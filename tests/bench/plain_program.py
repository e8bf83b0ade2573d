# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Back up many systems with threads: the same calls as the role's modules, without a pause between two listings.

Reads its task as JSON from standard input.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

PIECE = 1024 * 1024
SECONDS = 120
POLLS = 10


class System:
    """One system behind the gateway."""

    def __init__(self, task: dict[str, Any], name: str) -> None:
        self._url = f"{task['url']}/v1/systems/{name}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = tuple(task["login"])
        self._session.verify = task["ca"]

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        answer = self._session.request(method, self._url + path, timeout=SECONDS, **more)
        answer.raise_for_status()
        return answer

    def look(self, times: int) -> None:
        """Get the system's identity, then list its backups ``times`` times."""
        self.call("GET", "")
        for _number in range(times):
            self.call("GET", "/backups")

    def run(self, body: dict[str, str]) -> tuple[str, dict[str, Any]]:
        """Run an operation on the gateway; returns its path and its result once it has succeeded."""
        path = f"/operations/{uuid.uuid4()}"
        self.call("PUT", path, json=body)
        for _number in range(POLLS):
            document = self.call("GET", f"{path}?wait=25").json()
            if document["state"] == "succeeded":
                return path, document["result"]
        raise TimeoutError(f"{path} does not end: {document}")

    def fetch(self, path: str, target: Path, sha256: str) -> None:
        """Download content to a file and sync it to disk."""
        digest = hashlib.sha256()
        answer = self.call("GET", f"{path}/content", stream=True)
        with answer, target.open("wb") as file:
            for piece in answer.iter_content(PIECE):
                file.write(piece)
                digest.update(piece)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != sha256:
            raise ValueError(f"{target} has another digest")


def save(task: dict[str, Any], name: str) -> None:
    """Make a backup and fetch it."""
    folder = Path(task["dest"]) / name
    folder.mkdir()
    made = f"{uuid.uuid4()}.plb"
    system = System(task, name)
    system.look(1)
    system.run({"action": "create_new", "name": made})
    for _number in range(2):
        system.call("GET", "/backups")
    system.look(2)
    path, result = system.run({"action": "download", "name": made})
    system.fetch(path, folder / made, result["sha256"])
    system.call("DELETE", path)


def main() -> None:
    """Save all systems."""
    task = json.load(sys.stdin)
    with ThreadPoolExecutor(task["threads"]) as pool:
        list(pool.map(lambda name: save(task, name), task["systems"]))


if __name__ == "__main__":
    main()
