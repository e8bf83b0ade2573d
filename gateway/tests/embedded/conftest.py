# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures: a root with systems, and programs that use them in separate processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from activelogic_embedded import admin
from activelogic_embedded.store import ROOT_VARIABLE

PASSWORD = "Xq7-correct-horse-9zT4"
PRELUDE = f"""
import sys, activelogic_embedded as sdk
from activelogic_embedded.exception import *
connection = sdk.sync_connect("edge1", "admin", {PASSWORD!r})
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with the system edge1, set in the environment of this process and its children."""
    folder = tmp_path / "systems"
    admin.create_system(folder, "edge1", "admin", PASSWORD)
    monkeypatch.setenv(ROOT_VARIABLE, str(folder))
    return folder


@pytest.fixture
def login() -> tuple[str, str, str]:
    """Host, user and password of the administrator of edge1."""
    return "edge1", "admin", PASSWORD


@pytest.fixture
def start(root: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start programs that have a ``connection`` to edge1; those still running at the end of the test are killed."""
    running: list[subprocess.Popen[str]] = []

    def run(program: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PRELUDE + program, *arguments]
        pipe = subprocess.PIPE
        running.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()
