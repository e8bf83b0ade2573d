# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The minimum Python of the modules, and the error on an older one. Private to this collection.

An older Python reads only this file and the modules themselves, so Python 3.6 has to be able to parse them (they lack
``from __future__ import annotations``).
"""

import json
import sys

MINIMUM = (3, 9)
KIND = "dependency"
REASON = "the modules need Python 3.9 or later, and {interpreter} is Python {version}"
HINT = "set the variable ansible_python_interpreter of the host to the path of a Python 3.9 or later"


def require_python() -> None:
    """If this Python is too old, print a failed result that says what to do, and exit.

    The options have not been read then, so the result does not name the system.
    """
    if sys.version_info >= MINIMUM:
        return
    version = ".".join(str(part) for part in sys.version_info[:3])
    reason = REASON.format(interpreter=sys.executable, version=version)
    details = {"kind": KIND, "operation": "", "system": "", "hint": HINT, "tries": 1, "elapsed": 0.0}
    result = {"failed": True, "msg": f"ActiveLogic: {reason}; {HINT}.", "error": details}
    result.update(tries=1, elapsed=0.0)
    sys.stdout.write(json.dumps(result) + "\n")
    raise SystemExit(1)
