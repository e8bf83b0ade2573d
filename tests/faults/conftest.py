# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One lab for all tests of a worker; each test gets a system in a known state and its own folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.scene import EDGE, OLD_REQUESTS, Scene, version_of_urllib3
from tests.harness.lab import Lab


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: only in the full form of the suite")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests marked ``full`` unless FAULTS=full."""
    if os.environ.get("FAULTS") == "full":
        return
    left_out = [each for each in items if each.get_closest_marker("full")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [each for each in items if not each.get_closest_marker("full")]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A gateway and one embedded system."""
    assert version_of_urllib3().startswith("1.26.") == bool(OLD_REQUESTS)
    with Lab(tmp_path_factory.mktemp("lab"), [EDGE]) as running:
        yield running


@pytest.fixture
def scene(lab: Lab, tmp_path: Path) -> Scene:
    """A system with one backup, and a folder with an older copy of it."""
    made = Scene(lab, tmp_path)
    made.set_up()
    return made
