# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two labs for all end-to-end tests of a worker: one with shared systems, one with a new system for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.ansible_runs import Runner
from tests.harness.lab import Lab
from tests.harness.login import GATEWAY, WAYS
from tests.harness.module_runs import ModuleRunner
from tests.harness.systems import make_anew

NEW_SYSTEMS = tuple(f"new{number}" for number in range(1, 9))
"""More than one, because the gateway may still be busy with the previous test's system."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Reject a pytest-xdist that does not group tests: each worker would repeat the runs that tests share.

    :raises pytest.UsageError: when tests should be grouped, but are not.
    """
    if getattr(config.option, "loadgroup", False):
        for item in items:
            if item.get_closest_marker("xdist_group") and "@" not in item.nodeid.rpartition("]")[2]:
                raise pytest.UsageError(
                    f"pytest-xdist does not group {item.nodeid}: use another version of it or pytest"
                )


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A gateway and three embedded systems."""
    with Lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(params=WAYS)
def ansible(request: pytest.FixtureRequest, lab: Any, tmp_path: Path) -> Runner:
    """Ansible with the lab's systems in its inventory, in both ways."""
    return Runner(lab, request.param, tmp_path)


@pytest.fixture(scope="session")
def lab_of_new_systems(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A gateway, and systems that are recreated for each test that uses one."""
    with Lab(tmp_path_factory.mktemp("new") / "lab", NEW_SYSTEMS) as running:
        yield running


@pytest.fixture(scope="session")
def names_of_new_systems() -> Iterator[str]:
    """Names of these systems, round-robin."""
    return itertools.cycle(NEW_SYSTEMS)


@pytest.fixture
def new_system(lab_of_new_systems: Lab, names_of_new_systems: Iterator[str]) -> str:
    """The name of a system that only this test uses, with factory configuration."""
    name = next(names_of_new_systems)
    make_anew(lab_of_new_systems, name)
    return name


@pytest.fixture(params=WAYS)
def modules(request: pytest.FixtureRequest, lab: Lab, tmp_path: Path) -> ModuleRunner:
    """Modules in processes of their own, with the shared systems, in both ways."""
    return ModuleRunner(lab, request.param, tmp_path)


@pytest.fixture
def modules_through_gateway(lab: Lab, tmp_path: Path) -> ModuleRunner:
    """The same, through the gateway only, for what only a gateway can get wrong."""
    return ModuleRunner(lab, GATEWAY, tmp_path)


@pytest.fixture
def through_gateway(lab: Any, tmp_path: Path) -> Runner:
    """Ansible with the lab's systems in its inventory, for what only a gateway can get wrong."""
    return Runner(lab, GATEWAY, tmp_path)
