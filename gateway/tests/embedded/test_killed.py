# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kill -9 at any moment: listed backups are complete, and the system keeps working."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import activelogic_embedded as sdk
from activelogic_embedded import admin, archive

Login = tuple[str, str, str]
Start = Callable[..., subprocess.Popen[str]]
KILLS = 20

CREATE = """
backup = connection.backup()
print("ready", flush=True)
for number in range(10000):
    backup.create_new(f"{sys.argv[1]}-{number}")
"""

UPLOAD = """
backup = connection.backup()
print("ready", flush=True)
for number in range(10000):
    backup.upload(f"{sys.argv[1]}-{number}", in_path=sys.argv[2])
    backup.remove(f"{sys.argv[1]}-{number}")
"""

RESTORE = """
backup = connection.backup()
print("ready", flush=True)
for number in range(10000):
    backup.restore("one" if number % 2 else "two")
"""


def kill_at_some_moment(process: subprocess.Popen[str], most: float) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(random.uniform(0, most))
    assert process.poll() is None
    process.kill()
    process.wait()


def listed(login: Login) -> dict[str, int]:
    with sdk.sync_connect(*login) as connection:
        return {each.name: each.size for each in connection.backup().list(sdk.BackupFile)}


def go_on(root: Path, login: Login) -> None:
    """The system runs the next command, and the killed process left nothing behind."""
    with sdk.sync_connect(*login) as connection:
        backup = connection.backup()
        assert backup.create_new("next") == "next"
        backup.restore("next")
        backup.remove("next")
    assert list((root / "edge1" / "tmp").iterdir()) == []


def test_killed_while_it_creates(start: Start, root: Path, login: Login) -> None:
    made = 0
    for number in range(KILLS):
        kill_at_some_moment(start(CREATE, str(number)), 0.1)
        for name, size in listed(login).items():
            content = (root / "edge1" / "backups" / name).read_bytes()
            assert len(content) == size
            assert archive.load(content).resources == admin.show(root, "edge1")
        made = max(made, len(listed(login)))
        go_on(root, login)
    assert made > KILLS / 2


def test_killed_while_it_uploads(start: Start, root: Path, login: Login, tmp_path: Path) -> None:
    content = random.randbytes(4_000_000)
    (tmp_path / "file").write_bytes(content)
    interrupted = 0
    for number in range(KILLS):
        kill_at_some_moment(start(UPLOAD, str(number), str(tmp_path / "file")), 0.1)
        interrupted += len(list((root / "edge1" / "tmp").iterdir()))
        for name, size in listed(login).items():
            assert size == len(content)
            assert (root / "edge1" / "backups" / name).read_bytes() == content
            (root / "edge1" / "backups" / name).unlink()
        go_on(root, login)
    assert interrupted  # at least one kill interrupted a command


def test_killed_while_it_restores(start: Start, root: Path, login: Login) -> None:
    states = []
    with sdk.sync_connect(*login) as connection:
        for state in ("one", "two"):
            for resource in ("Config", "Ruleset", "System Diagnostics"):
                admin.set_value(root, "edge1", resource, "state", state)
            connection.backup().create_new(state)
            states.append(admin.show(root, "edge1"))
    restores = 0
    for _number in range(KILLS):
        kill_at_some_moment(start(RESTORE), 0.1)
        assert admin.show(root, "edge1") in states
        assert admin.restore_count(root, "edge1") >= restores
        restores = admin.restore_count(root, "edge1")
        go_on(root, login)
    assert restores > KILLS
