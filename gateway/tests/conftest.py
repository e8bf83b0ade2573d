# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings for all tests of the gateway and the embedded system."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.harness.forked_programs import stop_forking


def pytest_configure(config: pytest.Config) -> None:
    """Cache bytecode outside the sources, also for the hundreds of programs that tests start."""
    cache = config.cache
    assert cache is not None
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(cache.mkdir("bytecode"))


@pytest.fixture(scope="session", autouse=True)
def forking_ends() -> Iterator[None]:
    """Stop the process that programs are forked from, so that their resource usage counts as that of the tests."""
    yield
    stop_forking()
