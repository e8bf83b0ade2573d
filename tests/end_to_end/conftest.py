# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One laboratory for all end-to-end tests; each test has systems in a known state and a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.ansible_runs import Runner
from tests.harness.lab import Lab
from tests.harness.login import GATEWAY, WAYS


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A gateway and three embedded systems."""
    with Lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(params=WAYS)
def ansible(request: pytest.FixtureRequest, lab: Any, tmp_path: Path) -> Runner:
    """Ansible with the laboratory's systems in its inventory, once through the gateway and once direct."""
    return Runner(lab, request.param, tmp_path)


@pytest.fixture
def through_gateway(lab: Any, tmp_path: Path) -> Runner:
    """Ansible with the laboratory's systems in its inventory, for what only a gateway can do wrong."""
    return Runner(lab, GATEWAY, tmp_path)
