# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks with ``become`` run as the other user and need nothing from the user who runs Ansible."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import activelogic_embedded
import pytest

from tests.harness.ansible_runs import BACKUP, INFO, TRANSFER, Runner, succeeded
from tests.harness.lab import Lab
from tests.harness.login import DIRECT, WAYS

ANOTHER = "nobody"
SYSTEM_PYTHON = "/usr/bin/python3"


def why_no_other_user() -> str:
    """Why tasks can't become another user on this machine; empty if they can."""
    if os.geteuid() != 0:
        return "only root becomes another user without a password"
    probe = [str(shutil.which("su")), "-s", "/bin/sh", ANOTHER, "-c", f"{SYSTEM_PYTHON} -c 'import ssl, sqlite3'"]
    if probe[0] == "None" or subprocess.run(probe, check=False, capture_output=True, timeout=30).returncode != 0:
        return f"there is no su, no user {ANOTHER}, or no {SYSTEM_PYTHON} for that user"
    return ""


def copy_packages(folder: Path) -> None:
    """Copy the modules' dependencies to where every user can read them; a virtual environment may be inaccessible."""
    for name in ("requests", "urllib3", "idna", "certifi", "charset-normalizer"):
        for each in importlib.metadata.files(name) or []:
            if ".." not in each.parts and each.suffix in (".py", ".pem"):
                target = folder / each
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(str(each.locate())), target)
    embedded = Path(activelogic_embedded.__file__).parent
    shutil.copytree(embedded, folder / embedded.name, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can access; pytest's own are private."""
    with tempfile.TemporaryDirectory(prefix="activelogic-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.skipif(bool(why_no_other_user()), reason=why_no_other_user())
def test_task_that_becomes_another_user_works_as_that_user(way: str, open_folder: Path) -> None:
    packages, archive, work = (open_folder / each for each in ("packages", "archive", "work"))
    for folder in (archive, work):
        folder.mkdir()
    copy_packages(packages)
    shutil.chown(archive, ANOTHER)
    with Lab(open_folder / "lab", ["edge1"]) as lab:
        ansible = Runner(lab, way, work)
        lab.folder.chmod(0o711)
        for path in [lab.root, *lab.root.rglob("*")]:
            shutil.chown(path, ANOTHER)  # on the direct way that user must be able to change the system's files
        ansible.variables |= {
            "ansible_become_method": "su",
            "ansible_become_flags": "-s /bin/sh",
            "ansible_python_interpreter": SYSTEM_PYTHON,
        }
        environment = {"PYTHONPATH": str(packages)}
        if way == DIRECT:
            environment["ACTIVELOGIC_EMBEDDED_ROOT"] = str(lab.root)
        else:
            environment["REQUESTS_CA_BUNDLE"] = ansible.variables.pop("activelogic_ca_path")
        fetch = {"direction": "fetch", "name": "made.plb", "dest": f"{archive}/"}
        become: dict[str, Any] = {"become": True, "become_user": ANOTHER, "environment": environment}
        unreadable = lab.folder / "unreadable.pem"
        unreadable.touch(mode=0o600)
        refused = {"name": "Refused", INFO: {"ca_path": str(unreadable), "gateway_url": lab.url}, "ignore_errors": True}
        run = succeeded(ansible.play({BACKUP: {"name": "made.plb"}}, {TRANSFER: fetch}, refused, **become))
        stored, fetched = lab.root / "edge1" / "backups" / "made.plb", archive / "made.plb"
        assert fetched.read_bytes() == stored.read_bytes()
        assert (fetched.owner(), fetched.stat().st_mode & 0o777) == (ANOTHER, 0o600)
        assert stored.owner() == (ANOTHER if way == DIRECT else "root")

        run = run.of_task("Refused")
        assert run.code == 2, run.output
        assert run.result()["error"]["kind"] == "option"
        assert f"ca_path {unreadable} does not exist, or the user" in run.result()["msg"]
