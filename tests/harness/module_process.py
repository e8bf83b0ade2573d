# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module as Ansible does, in its own process, which can kill itself at a given point of the code.

Command-line arguments: the module's name; the point, as ``<module_utils>:<function>:<before or after>:<number of calls
to let pass>``; and whether to shorten polling pauses. The options come as JSON on standard input.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

COLLECTION = "ansible_collections.netops.activelogic.plugins"
MODULES = ("activelogic_backup", "activelogic_backup_info", "activelogic_backup_transfer")
PAUSE = 0.1
"""The shortened pauses, in seconds."""


def start_module(
    name: str,
    options: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    point: str = "",
    wrapper: Sequence[str] = (),
    hurry: bool = True,
) -> subprocess.Popen[str]:
    """Start a module, which writes its result to standard output.

    :param environment: variables that are added or override this process's.
    :param point: where it kills itself; empty for never.
    :param wrapper: words to put before the command.
    :param hurry: shorten the polling pauses.
    """
    process = subprocess.Popen(
        [*wrapper, sys.executable, __file__, name, point, "hurry" if hurry else ""],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if process.stdin is not None:
        process.stdin.write(json.dumps(options))
        process.stdin.close()
        process.stdin = None
    return process


def main() -> None:
    """Run the module named on the command line, with the options from standard input."""
    name, point, hurry = sys.argv[1:]
    run_module(name, json.load(sys.stdin), point, hurry=bool(hurry))


def run_module(name: str, options: Mapping[str, Any], point: str, *, hurry: bool) -> None:
    """Run the module in this process, after shortening the pauses and setting the trap if requested."""
    from ansible.module_utils.testing import patch_module_args  # noqa: PLC0415 - only the module's process needs it

    if hurry:
        shorten_pauses()
    if point:
        set_trap(*point.split(":"))
    module = importlib.import_module(f"{COLLECTION}.modules.{name}")
    with patch_module_args(dict(options)):
        module.main()


def shorten_pauses() -> None:
    """Set the pauses between two listings or probes to :data:`PAUSE` seconds."""
    client: Any = importlib.import_module(f"{COLLECTION}.module_utils._client")
    client.SETTLING_TIME = client.PROBE_PAUSE = client.DAMAGE_PAUSE = PAUSE  # not the pause after a refused login
    sdk: Any = importlib.import_module(f"{COLLECTION}.module_utils._transport._sdk")
    sdk.STEADY_PAUSE = PAUSE
    restored: Any = importlib.import_module(f"{COLLECTION}.module_utils._module._restored")
    restored.MINUTE = PAUSE


def set_trap(module: str, function: str, when: str, skip: str) -> None:
    """Kill the process before or after a call of a function, once ``skip`` calls have passed."""
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
