# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each worker has one lab; each case gets a new system in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.harness.lab import Lab

SYSTEMS = tuple(f"edge{number}" for number in range(1, 9))
"""More than one, because the gateway may still be busy with the previous case's system."""


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "run every STEP-th row of the table only (default: %(default)s)"
    parser.addoption("--step", type=int, default=1, metavar="STEP", help=text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    step = config.getoption("--step")
    config.hook.pytest_deselected(items=[item for number, item in enumerate(items) if number % step])
    items[:] = items[::step]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A gateway in front of embedded systems."""
    with Lab(tmp_path_factory.mktemp("lab"), SYSTEMS) as running:
        yield running


@pytest.fixture(scope="session")
def next_system() -> Iterator[str]:
    """Names of the lab's systems, round-robin."""
    return itertools.cycle(SYSTEMS)
