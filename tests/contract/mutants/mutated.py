# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stand-in for :mod:`mutated_embedded`; the tests observe its systems like those of the embedded system."""

from __future__ import annotations

import os
from pathlib import Path

from tests.contract import standins

ROOT = str(Path(__file__).parents[3])
"""The parent folder of the package ``tests``."""


class Mutated(standins.Embedded):
    """The embedded system with a defect; the gateway finds its module by ``PYTHONPATH``."""

    module = "tests.contract.mutants.mutated_embedded"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        paths = [ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
        self.environment = {**self.environment, "PYTHONPATH": os.pathsep.join(paths)}
