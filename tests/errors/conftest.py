# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One lab for all cases, with one system per case."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.errors.cases import CASES
from tests.harness.lab import Lab

OUTSIDE_SYSTEM = "outside"
"""The system of test_from_outside.py."""
VENDOR = "vendor"
"""The system of test_vendor_package.py."""
OWN_SIDE = tuple(f"own-side{number}" for number in range(4))
"""Systems for tests outside of the cases; several, because a gateway may still be busy with the previous test's."""


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A gateway that knows one system per case, which the case creates, and some more."""
    cases = [f"edge{number}" for number in range(len(CASES))]
    with Lab(tmp_path_factory.mktemp("lab"), [OUTSIDE_SYSTEM, VENDOR, *OWN_SIDE], later=cases) as running:
        yield running
