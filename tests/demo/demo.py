# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Back up three embedded systems, fetch the backups, break one system and restore it. Run by ``make demo``."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from tests.harness.lab import BIN, Lab, LabError, remove

HERE = Path(__file__).parent
WORK = HERE.parent.parent / ".demo"
ARCHIVE = WORK / "archive"
VICTIM = "edge2"
"""The system that is broken and restored; restore.yml names it too."""

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
"""Signals that end the demo early: terminal closed, Ctrl-C, ``kill``."""

LIMIT = 300
"""Timeout of a command, in seconds."""


class StoppedError(BaseException):
    """The demo was asked to stop."""


def stop(number: int, _frame: FrameType | None) -> None:
    """Unwind the stack, so that everything that was started is stopped."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise StoppedError(number)


def heading(text: str) -> None:
    """Print the heading of the next step."""
    print(f"\n=== {text}\n", flush=True)


def processes() -> dict[int, tuple[str, int]]:
    """State (one letter) and parent of every process, by process id."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
            found[int(stat.parent.name)] = (state, int(parent))
    return found


def end(first: int) -> None:
    """Kill a process and its descendants: Ansible's workers run in their own sessions, and some survive SIGTERM."""
    doomed = [first]
    for each in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGSTOP)
        deadline = time.monotonic() + 1
        while processes().get(each, ("Z", 0))[0] not in "TtZX" and time.monotonic() < deadline:
            time.sleep(0.01)  # let a fork in progress finish before it stops
        doomed += [pid for pid, (_state, parent) in processes().items() if parent == each]
    for each in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def run(command: list[str]) -> None:
    """Print a command and run it.

    :raises LabError: when it fails.
    """
    print("$ " + " ".join(command), flush=True)
    with subprocess.Popen(
        [str(BIN / command[0]), *command[1:]],
        env={key: value for key, value in os.environ.items() if not key.startswith("ACTIVELOGIC_")},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            code = process.wait(LIMIT)
        except BaseException as error:
            end(process.pid)
            if isinstance(error, subprocess.TimeoutExpired):
                raise LabError(f"{command[0]} took longer than {LIMIT} seconds") from error
            raise
    if code != 0:
        raise LabError(f"{command[0]} ended with exit code {code}")


def ruleset(lab: Lab) -> Any:
    """The rules of the broken system, as the system itself shows them.

    :raises LabError: when the system can't show them.
    """
    command = [str(BIN / "activelogic-embedded"), "show", str(lab.root), VICTIM, "Ruleset"]
    try:
        return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    except subprocess.SubprocessError as error:
        raise LabError(f"the rules of {VICTIM} can't be read: {error}") from error


def demonstrate(lab: Lab) -> None:
    """Run all steps.

    :raises LabError: at the first unexpected result.
    """
    inventory = str(lab.inventory)
    heading(f"A gateway at {lab.url}, with three embedded systems behind it")
    print(f"systems: {', '.join(lab.systems)}   inventory: {inventory}")

    heading("Back up every system and fetch the backups")
    playbook = ["ansible-playbook", "-i", inventory, "netops.activelogic.backup_and_fetch"]
    run([*playbook, "-e", f"backup_and_fetch_dest={ARCHIVE}"])
    backups = sorted((ARCHIVE / VICTIM).glob("*.plb"))
    if len(backups) != 1:
        raise LabError(f"one backup of {VICTIM} was expected in {ARCHIVE}, there are {len(backups)}")

    heading(f"Somebody breaks the rules of {VICTIM}")
    good = ruleset(lab)
    run(["activelogic-embedded", "set", str(lab.root), VICTIM, "Ruleset", "shaping.rules", "[]"])
    broken = ruleset(lab)
    if broken == good:
        raise LabError(f"the rules of {VICTIM} did not change")
    print(f"shaping rules of {VICTIM}: {json.dumps(broken['shaping']['rules'])}")

    heading(f"Bring {VICTIM} back from its backup")
    run(["ansible-playbook", "-i", inventory, str(HERE / "restore.yml"), "-e", f"restore_name={backups[0].name}"])
    if ruleset(lab) != good:
        raise LabError(f"the rules of {VICTIM} are not back")
    print(f"shaping rules of {VICTIM}: {json.dumps(ruleset(lab)['shaping']['rules'])}")


def main() -> int:
    """Run the demo in a fresh folder."""
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # respect nohup
            signal.signal(number, stop)
    start = time.monotonic()
    lab = Lab(WORK)
    try:
        lab.stop()  # left over from a killed run
        remove(WORK)
        with lab:
            demonstrate(lab)
    except LabError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    except StoppedError as stopped:
        print("\ndemo: stopped", file=sys.stderr)
        return 128 + int(stopped.args[0])
    heading(f"The data is back. {time.monotonic() - start:.0f} seconds. The gateway is stopped")
    print(f"The archive is in {ARCHIVE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
