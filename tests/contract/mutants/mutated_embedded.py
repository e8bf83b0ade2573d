# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``activelogic_embedded`` with the defect that the environment names, if any (see :mod:`defects`)."""

from __future__ import annotations

import os
import sys

import activelogic_embedded
from activelogic_embedded import exception

from tests.contract.mutants.defects import DEFECTS, VARIABLE

if os.environ.get(VARIABLE):
    DEFECTS[os.environ[VARIABLE]].apply()

sys.modules[f"{__name__}.exception"] = exception
globals().update({name: getattr(activelogic_embedded, name) for name in activelogic_embedded.__all__})
