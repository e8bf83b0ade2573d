# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab in one folder: embedded systems, certificates, and a running gateway.

For the demo and the tests. ``python -m tests.harness.lab up FOLDER`` starts one that keeps running, and
``python -m tests.harness.lab down FOLDER`` stops it.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import string
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import trustme
import yaml
from activelogic_embedded import admin
from activelogic_embedded.store import StoreError

SYSTEMS = ("edge1", "edge2", "edge3")
BIN = Path(sys.executable).parent
"""Folder with the programs installed next to the current Python."""

START_SECONDS = 30.0
STOP_SECONDS = 15.0
MARK = "activelogic-laboratory"
"""Name of the empty file that marks a folder as a lab's."""


class LabError(Exception):
    """The lab can't be started or stopped; the text gives the reason."""


class Lab:
    """Embedded systems and a gateway in front of them.

    :param folder: the lab's folder; created if missing.
    :param systems: names of the systems.
    :param later: names of further systems that the gateway knows, which tests create when they need them.
    """

    def __init__(self, folder: Path, systems: Sequence[str] = SYSTEMS, later: Sequence[str] = ()) -> None:
        self.folder = folder.resolve()
        self.systems = tuple(systems)
        self._later = tuple(later)
        self.root = self.folder / "systems"
        self.ca_path = self.folder / "ca.pem"
        self.gateway_log = self.folder / "gateway.log"
        self.audit_log = self.folder / "gateway-state" / "audit.log"
        self.username = "admin"
        self._ready = self.folder / "ready.json"
        self._password_file = self.folder / "password"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def inventory(self) -> Path:
        """An inventory of the systems behind the gateway."""
        return self.folder / "inventory" / "hosts.yml"

    @property
    def password(self) -> str:
        """The password of :attr:`username` on every system."""
        return self._password_file.read_text(encoding="utf-8").strip()

    @property
    def url(self) -> str:
        """The URL of the running gateway."""
        return str(json.loads(self._ready.read_text(encoding="utf-8"))["url"])

    @property
    def pid(self) -> int:
        """The process id of the running gateway."""
        return int(self._pid_file.read_text(encoding="ascii"))

    def __enter__(self) -> Lab:
        self.prepare()
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def prepare(self) -> None:
        """Create the systems, the certificates, the gateway's configuration, and an inventory.

        :raises LabError: when the folder exists and is not empty.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(self.folder.iterdir()):
            raise LabError(f"{self.folder} is not empty")
        (self.folder / MARK).touch()
        alphabet = string.ascii_letters + string.digits
        self._write(self._password_file, "".join(secrets.choice(alphabet) for _number in range(20)) + "\n")
        try:
            for name in self.systems:
                admin.create_system(self.root, name, self.username, self.password)
        except StoreError as error:
            raise LabError(str(error)) from error
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1", "localhost")
        authority.cert_pem.write_to_path(self.ca_path)
        chain = b"".join(each.bytes() for each in certificate.cert_chain_pems)
        self._write(self.folder / "gateway.pem", chain.decode("ascii"))
        self._write(self.folder / "gateway.key", certificate.private_key_pem.bytes().decode("ascii"))
        configuration = {
            "sdk": "activelogic_embedded",
            "embedded_root": str(self.root),
            "listen": "127.0.0.1:0",
            "tls": {"certificate": "gateway.pem", "key": "gateway.key"},
            "state_dir": "gateway-state",
            "systems": {name: {"host": name} for name in (*self.systems, *self._later)},
        }
        self._write(self.folder / "gateway.yml", yaml.safe_dump(configuration, sort_keys=False))
        variables = {
            "ansible_connection": "local",
            "activelogic_username": self.username,
            "activelogic_password": f"{{{{ lookup('ansible.builtin.file', '{self._password_file}') }}}}",
            "activelogic_gateway_url": f"{{{{ (lookup('ansible.builtin.file', '{self._ready}') | from_json).url }}}}",
            "activelogic_ca_path": str(self.ca_path),
        }
        (self.folder / "inventory").mkdir()
        inventory = {"activelogic": {"hosts": {name: {} for name in self.systems}, "vars": variables}}
        self._write(self.inventory, yaml.safe_dump(inventory, sort_keys=False, width=1000))

    def start(self) -> None:
        """Start the gateway on a free port and wait until it responds.

        :raises LabError: when it does not respond; the text contains the end of its log.
        """
        self._ready.unlink(missing_ok=True)
        command = [str(BIN / "activelogic-gateway"), "serve", "--config", str(self.folder / "gateway.yml")]
        with self.gateway_log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--ready-file", str(self._ready)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._pid_file.write_text(f"{self._process.pid}\n", encoding="ascii")
        deadline = time.monotonic() + START_SECONDS
        while not self._ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"the gateway did not start:\n{self._end_of_log()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the gateway if it is running, even if another process started it."""
        if self._process is not None:
            pid = self._process.pid
        elif self._pid_file.exists():
            pid = int(self._pid_file.read_text(encoding="ascii"))
        else:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self._is_ours(pid):
                break
            os.kill(pid, number)
            deadline = time.monotonic() + STOP_SECONDS
            while self._is_ours(pid) and time.monotonic() < deadline:
                time.sleep(0.05)
        if self._process is not None:
            self._process.wait(STOP_SECONDS)
        self._pid_file.unlink(missing_ok=True)

    @property
    def _pid_file(self) -> Path:
        return self.folder / "gateway.pid"

    def _is_ours(self, pid: int) -> bool:
        """Whether the process is running and is this lab's gateway."""
        if self._process is not None and self._process.poll() is not None:
            return False
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return str(self.folder / "gateway.yml").encode() in words

    def _end_of_log(self) -> str:
        return "\n".join(self.gateway_log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")


def remove(folder: Path) -> None:
    """Remove the folder of a lab, if it exists.

    :raises LabError: when it is a non-empty folder of something else.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / MARK).exists():
        raise LabError(f"{folder} is not a laboratory, so it is not removed")
    shutil.rmtree(folder)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="lab.py", description="Start and stop a laboratory of embedded systems behind a gateway."
    )
    parser.add_argument("action", choices=["up", "down"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--systems", nargs="+", default=SYSTEMS, metavar="NAME")
    options = parser.parse_args()
    lab = Lab(options.folder, options.systems)
    try:
        lab.stop()
        remove(lab.folder)
        if options.action == "up":
            lab.__enter__()
    except LabError as error:
        print(f"lab.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
