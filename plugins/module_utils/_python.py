# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which Python the modules need, and the one sentence that an older one gives. Private to this collection.

The only file, beside the modules themselves, that an older Python reads: it and they are written so that Python 3.6 can
(without ``from __future__ import annotations``).
"""

import json
import sys

MINIMUM = (3, 9)
KIND = "dependency"
REASON = "the modules need Python 3.9 or later, and {interpreter} is Python {version}"
HINT = "set the variable ansible_python_interpreter of the host to the path of a Python 3.9 or later"


def require_python() -> None:
    """End the process with a result that says what to do, as core does it, where this Python is too old.

    What the options say is not read then, so that the system has no name in it.
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
