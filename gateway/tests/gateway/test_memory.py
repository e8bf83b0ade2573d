# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Concurrent large transfers: neither the gateway's memory nor that of its sessions grows with the file size.

``GATEWAY_TRANSFER_MIB`` sets the file size; the test prints its measurements and needs nine times that disk space.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness.lab import AS_PROGRAM, Lab
from tests.harness.watching import MostMemory, held, resident

MIB = 1024 * 1024
SIZE = int(os.environ.get("GATEWAY_TRANSFER_MIB", "96")) * MIB
MOST_GROWTH = 48 * MIB
MOST_OF_SESSION = 24 * MIB
NAMES = tuple(f"large-{number}.plb" for number in range(4))


@pytest.fixture(scope="module")
def program() -> tuple[str, ...]:
    return AS_PROGRAM


@pytest.fixture
def large(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A file of random bytes, and its SHA-256."""
    assert shutil.disk_usage(tmp_path).free > 10 * SIZE
    path = tmp_path / "large"
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for _ in range(SIZE // MIB):
            piece = os.urandom(MIB)
            digest.update(piece)
            stream.write(piece)
    yield path, digest.hexdigest()
    path.unlink()


@pytest.fixture
def quiet(make_lab: Callable[..., Lab]) -> Iterator[Lab]:
    lab = make_lab(sdk="activelogic_embedded")
    lab.start()
    yield lab
    lab.stop()
    shutil.rmtree(lab.folder)


def all_at_once(lab: Lab, transfer: Callable[[str], object], way: str) -> None:
    """Transfer all names concurrently, and compare the memory with that of the idle gateway."""
    assert lab.process is not None
    idle = resident(lab.process.pid, "VmHWM")
    watch = MostMemory(lambda: sum(map(held, lab.session_processes())))
    watch.start()
    began = time.monotonic()
    with ThreadPoolExecutor(len(NAMES)) as pool:
        list(pool.map(transfer, NAMES))
    seconds = time.monotonic() - began
    sessions = watch.end()
    assert lab.process.poll() is None
    growth = resident(lab.process.pid, "VmHWM") - idle
    total = len(NAMES) * SIZE / MIB
    print(
        f"\n{way:>4} {len(NAMES)} x {SIZE // MIB} MiB: {seconds:6.1f} s, {total / seconds:6.0f} MiB/s in all,"
        f" memory {idle / MIB:.1f} MiB idle + {growth / MIB:.1f} MiB, sessions {sessions / MIB:.1f} MiB"
    )
    assert growth <= MOST_GROWTH
    assert 0 < sessions <= len(NAMES) * MOST_OF_SESSION


def test_memory_does_not_grow_with_downloads(quiet: Lab, large: tuple[Path, str]) -> None:
    path, sha256 = large
    for name in NAMES:
        (quiet.backups() / name).hardlink_to(path)

    def download(name: str) -> None:
        answer = quiet.run({"action": "download", "name": name})
        assert answer.document["result"] == {"name": name, "size": SIZE, "sha256": sha256}
        digest = hashlib.sha256()
        with quiet.get(answer.path + "/content", stream=True) as response:
            for piece in response.iter_content(MIB):
                digest.update(piece)
        assert digest.hexdigest() == sha256
        assert quiet.request("DELETE", answer.path).status_code == 200

    all_at_once(quiet, download, "down")


def test_memory_does_not_grow_with_uploads(quiet: Lab, large: tuple[Path, str]) -> None:
    path, sha256 = large

    def upload(name: str) -> None:
        asked = quiet.path_of(quiet.put({"action": "upload", "name": name, "size": SIZE}))
        with path.open("rb") as stream:
            assert quiet.request("PUT", asked + "/content", data=stream).json() == {"size": SIZE, "sha256": sha256}
        assert quiet.request("PUT", asked + "/commit", json={"sha256": sha256}).status_code == 202
        assert quiet.finish(asked).document["state"] == "succeeded"

    all_at_once(quiet, upload, "up")
    for name in NAMES:
        with (quiet.backups() / name).open("rb") as stream:
            assert hashlib.file_digest(stream, "sha256").hexdigest() == sha256
