# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module as Ansible does, in a process that kills itself at a named point of the code.

Arguments: the module's name, and the point, as ``<module_utils>:<function>:<before or after>:<how many times before>``;
an empty one is never reached. The options come as JSON on standard input. Pauses between looks are shortened.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from ansible.module_utils.testing import patch_module_args

COLLECTION = "ansible_collections.netops.activelogic.plugins"


def main() -> None:
    """Set the trap, and run the module."""
    name, point = sys.argv[1:]
    options = json.load(sys.stdin)
    client: Any = importlib.import_module(f"{COLLECTION}.module_utils._client")
    client.SETTLING_TIME = client.PROBE_PAUSE = 0.1
    restored: Any = importlib.import_module(f"{COLLECTION}.module_utils._restored")
    restored.MINUTE = 0.1
    if point:
        set_trap(*point.split(":"))
    module = importlib.import_module(f"{COLLECTION}.modules.{name}")
    with patch_module_args(options):
        module.main()


def set_trap(module: str, function: str, when: str, skip: str) -> None:
    """Kill the process before or after the call number ``skip`` of a function."""
    place: Any = importlib.import_module(f"{COLLECTION}.module_utils.{module}")
    *parents, last = function.split(".")
    for each in parents:
        place = getattr(place, each)
    left = int(skip)
    original: Callable[..., Any] = getattr(place, last)

    @wraps(original)
    def trapped(*positional: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*positional, **named)
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(place, last, trapped)


if __name__ == "__main__":
    main()
