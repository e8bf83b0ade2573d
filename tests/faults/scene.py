# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A system with one backup, a folder with an older copy of it, runs of the module, and a naive client."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.faults.proxy import Fault, Proxy
from tests.harness.forked_modules import ForkedModule, start_forked
from tests.harness.lab import Lab
from tests.harness.login import GATEWAY, login_options
from tests.harness.module_process import start_module
from tests.harness.systems import log_in, set_quirks

EDGE = "edge1"
TRANSFER = "activelogic_backup_transfer"
BACKUP = "activelogic_backup"
NAME = "wanted.plb"
SIZE = 2_500_000
SLACK = 12.0
"""Seconds beyond its timeouts that a module may take to start and end on a busy machine."""

PATIENCE = 3.0
"""Seconds after which a client without timeouts counts as hanging."""

CLOCKS: dict[str, Any] = {
    "connect_timeout": 1.5,
    "read_timeout": 1.2,
    "transfer_timeout": 6,
    "wait_timeout": 10,
    "retries": 2,
    "retry_delay": 0.1,
    "retry_max_delay": 0.5,
}
OLD_REQUESTS = os.environ.get("FAULTS_URLLIB3_1", "")
"""A folder with requests on urllib3 1.26 for the modules to use; empty to use the installed version."""


def noise(seed: str, size: int = SIZE) -> bytes:
    """Incompressible bytes, the same for the same seed."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - not for security


WANTED = noise("wanted")
OLD = noise("old", SIZE - 1000)
PUSHED = noise("pushed", SIZE + 1000)


def python_path() -> str:
    """The import path that the modules search first."""
    return ":".join(path for path in (OLD_REQUESTS, os.environ.get("PYTHONPATH", "")) if path)


def version_of_urllib3() -> str:
    """The version of urllib3 that the modules use."""
    command = [sys.executable, "-c", "import requests, urllib3; print(urllib3.__version__)"]
    environment = {**os.environ, "PYTHONPATH": python_path()}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout


@dataclass
class Outcome:
    """How a run of the module ended; ``seconds`` is its wall time."""

    code: int
    output: str
    seconds: float
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def message(self) -> str:
        return str(self.result.get("msg", ""))

    @property
    def kind(self) -> str:
        return str(self.result.get("error", {}).get("kind", ""))


class Scene:
    """The environment of one test. Backups are fetched into ``dest``, which holds an old copy and a note."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.dest = folder / "backups"
        self.src = folder / "pushed.plb"
        self.tmp = folder / "tmp"
        self.site = folder / "site"
        self.url = lab.url
        self.backups = lab.root / EDGE / "backups"
        self._spool = lab.folder / "gateway-state" / "spool"
        self._spooled_before = set(names(self._spool))

    def set_up(self) -> None:
        """Bring the system and the folders into their known state."""
        set_quirks(self.lab, EDGE)
        for each in self.backups.iterdir():
            each.unlink()
        (self.backups / NAME).write_bytes(WANTED)
        self.dest.mkdir()
        self.tmp.mkdir()
        self.site.mkdir()
        (self.dest / NAME).write_bytes(OLD)
        (self.dest / "note").write_bytes(b"of somebody else")
        self.src.write_bytes(PUSHED)

    def proxy(self, faults: Iterable[Fault]) -> Proxy:
        """A proxy in front of the gateway, with these faults; to use it, set :attr:`url` to its URL."""
        return Proxy(self.lab.folder, urlsplit(self.lab.url).port or 0, faults)

    # The module

    def options(self, way: str = GATEWAY, **more: Any) -> dict[str, Any]:
        """Connection options with short timeouts."""
        proxied = {"gateway_url": self.url} if way == GATEWAY else {}
        return login_options(self.lab, EDGE, way, **{**proxied, **CLOCKS, **more})

    def start(
        self, options: Mapping[str, Any], point: str = "", wrapper: Sequence[str] = (), module: str = TRANSFER
    ) -> subprocess.Popen[str] | ForkedModule:
        """Start a module in a process of its own; ``point`` and ``wrapper`` as in :mod:`module_process`.

        It is forked unless it needs a wrapper or another import path.
        """
        environment = {
            "HOME": str(self.folder),
            "TMPDIR": str(self.tmp),
            "ACTIVELOGIC_EMBEDDED_ROOT": str(self.lab.root),
        }
        if not (wrapper or OLD_REQUESTS or any(self.site.iterdir())):
            return start_forked(module, options, environment, point=point)
        environment["PYTHONPATH"] = f"{self.site}:{python_path()}"
        return start_module(module, options, environment, point=point, wrapper=wrapper)

    def end(self, process: subprocess.Popen[str] | ForkedModule, since: float) -> Outcome:
        """Wait at most a minute for a module to end."""
        try:
            output, _none = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        seconds = time.monotonic() - since
        outcome = Outcome(process.returncode, output, seconds)
        if process.returncode != -signal.SIGKILL:
            outcome.result = json.loads(output.strip().splitlines()[-1])
        assert "Traceback" not in output, output
        return outcome

    def run(
        self, options: Mapping[str, Any], point: str = "", wrapper: Sequence[str] = (), module: str = TRANSFER
    ) -> Outcome:
        """Run a module to completion."""
        since = time.monotonic()
        return self.end(self.start(options, point, wrapper, module), since)

    def fetch(self, way: str = GATEWAY, **more: Any) -> Outcome:
        return self.run(self.options(way, direction="fetch", name=NAME, dest=f"{self.dest}/", **more))

    def push(self, way: str = GATEWAY, name: str = "new.plb", **more: Any) -> Outcome:
        return self.run(self.options(way, direction="push", src=str(self.src), name=name, **more))

    def command(self, **options: Any) -> Outcome:
        """Run ``activelogic_backup`` through the gateway."""
        return self.run(self.options(**options), module=BACKUP)

    # The state afterwards

    def listed(self) -> dict[str, str]:
        """Names and digests of the system's backups, read from its disk."""
        return {each.name: digest(each.read_bytes()) for each in self.backups.iterdir()}

    def kept(self) -> list[bytes]:
        """The content of the files in the module's temporary folder."""
        return [each.read_bytes() for each in self.tmp.rglob("*") if each.is_file()]

    def spooled(self) -> list[str]:
        """Files that the gateway's spool holds for this test's transfers."""
        return sorted(set(names(self._spool)) - self._spooled_before)

    def python(self, text: str) -> None:
        """Make each module run this Python code when it starts from now on."""
        (self.site / "sitecustomize.py").write_text(text, encoding="utf-8")

    def require_together(self, path: Path | None = None) -> None:
        """Require that each existing side file matches the backup file beside it."""
        path = path or self.dest / NAME
        found = digest(path.read_bytes())
        sums, manifest = path.with_name(f"{path.name}.sha256"), path.with_name(f"{path.name}.json")
        if sums.exists():
            assert sums.read_text(encoding="utf-8") == f"{found}  {path.name}\n"
        if manifest.exists():
            assert json.loads(manifest.read_text(encoding="utf-8"))["sha256"] == found

    def require_old(self, folder: Path | None = None) -> None:
        """Require that the folder is unchanged."""
        folder = folder or self.dest
        assert names(folder) == sorted([NAME, "note"])
        assert (folder / NAME).read_bytes() == OLD

    def require_new(self) -> None:
        """Require that the folder holds the intact backup and its side files, and nothing else but the note."""
        assert names(self.dest) == sorted([NAME, f"{NAME}.json", f"{NAME}.sha256", "note"])
        assert (self.dest / NAME).read_bytes() == WANTED
        subprocess.run(
            ["sha256sum", "-c", "--strict", f"{NAME}.sha256"], cwd=self.dest, check=True, capture_output=True
        )
        manifest = json.loads((self.dest / f"{NAME}.json").read_text(encoding="utf-8"))
        assert (manifest["size"], manifest["sha256"]) == (SIZE, digest(WANTED))

    def log_in(self) -> Any:
        """Open a session with the system, without the collection."""
        return log_in(self.lab, EDGE)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Naive:
    """A client that makes the same calls with ``requests`` but checks nothing: no status, no length, no digest.

    :param seconds: its timeout; ``None`` is the default of ``requests``, no timeout.
    """

    def __init__(self, scene: Scene, seconds: float | None = None) -> None:
        self._scene = scene
        self._system = f"{scene.url}/v1/systems/{EDGE}"
        self._seconds = seconds
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = (scene.lab.username, scene.lab.password)
        self._session.verify = False
        self._session.headers["Accept-Encoding"] = "identity"

    def __enter__(self) -> Naive:
        return self

    def __exit__(self, *_error: object) -> None:
        self._session.close()

    def _call(self, method: str, path: str, **more: Any) -> requests.Response:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the unverified certificate
            return self._session.request(method, self._system + path, timeout=self._seconds, **more)

    def fetch(self, target: Path) -> None:
        """Download into ``target``; errors are those that ``requests`` raises, others go unnoticed."""
        path = f"/operations/{uuid.uuid4()}"
        self._call("GET", "/backups")
        self._call("PUT", path, json={"action": "download", "name": NAME})
        self._call("GET", f"{path}?wait=1")
        with self._call("GET", f"{path}/content", stream=True) as response, target.open("wb") as file:
            shutil.copyfileobj(response.raw, file)

    def start_curl(self, target: Path) -> subprocess.Popen[bytes]:
        """Start the same download with curl."""
        path = f"/operations/{uuid.uuid4()}"
        self._call("PUT", path, json={"action": "download", "name": NAME})
        self._call("GET", f"{path}?wait=1")
        login = f"{self._scene.lab.username}:{self._scene.lab.password}"
        command = ["curl", "--silent", "--insecure", "--user", login, "--output", str(target)]
        return subprocess.Popen([*command, f"{self._system}{path}/content"])

    def push(self, source: Path, name: str) -> None:
        """Upload ``source``."""
        path = f"/operations/{uuid.uuid4()}"
        content = source.read_bytes()
        body = {"action": "upload", "name": name, "size": len(content)}
        self._call("PUT", path, json=body)
        self._call("PUT", f"{path}/content", data=content, headers={"Content-Type": "application/octet-stream"})
        self._call("PUT", f"{path}/commit", json={"sha256": digest(content)})
        self._call("GET", f"{path}?wait=2")
