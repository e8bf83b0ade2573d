# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""After Ctrl-C, have the command of Ansible say what an interrupted restore left. Private to this collection.

Ansible ends the process that would read a module's result at once, so the result is lost. But its main process imports
the action plugins too, before it starts that process, and runs exit handlers after its own last message. So each
restore has a small file, which the module keeps up to date (:mod:`_notice`), and what these hold in the end is shown.
"""

from __future__ import annotations

import atexit
import fcntl
import glob
import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ansible import constants
from ansible_collections.netops.activelogic.plugins.module_utils._notice import VARIABLE

WAIT_SECONDS = 10.0
"""How long the command waits for interrupted modules to end: one that has to remove a backup needs a moment."""

PAUSE = 0.1
MAIN = os.getpid()
"""The process that imported this first, which is the command; those that run tasks are forks of it."""

PATTERN = "activelogic-interrupted-{main}-{number}"


def _path(number: str) -> str:
    """A file that only this user can reach: Ansible's own temporary folder, which goes when the command ends."""
    return os.path.join(str(constants.DEFAULT_LOCAL_TMP), PATTERN.format(main=MAIN, number=number))


@contextmanager
def told_when_interrupted(text: str) -> Iterator[None]:
    """Have ``text`` shown, or what the module has put in its place, if the block is never left.

    The module gets the file's path by the environment, which a module on the same machine inherits.
    """
    path = _path(uuid.uuid4().hex)
    try:
        with open(path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as notice:
            notice.write(text)
    except OSError:
        yield  # no room there, for instance: the task is more important
        return
    os.environ[VARIABLE] = path
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        with suppress(OSError):
            os.unlink(path)


def _read(path: str) -> tuple[bool, str]:
    """Whether the module has ended, and what its file says."""
    with open(path, encoding="utf-8", errors="replace") as notice:
        try:
            fcntl.flock(notice, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False, notice.read()
        return True, notice.read()


def _tell() -> None:
    """Show what is left of tasks that were interrupted, one line each, and after all that Ansible itself says."""
    if os.getpid() != MAIN:
        return
    running = sorted(glob.glob(glob.escape(_path("")) + "*"))
    lines: dict[str, str] = {}
    has_said_so = False
    deadline = time.monotonic() + WAIT_SECONDS
    with suppress(KeyboardInterrupt):  # who presses it again does not want to wait, but to read
        while running:
            for path in list(running):
                try:
                    has_ended, lines[path] = _read(path)
                except OSError:
                    has_ended = True
                if has_ended:
                    running.remove(path)
            if not running or time.monotonic() >= deadline:
                break
            if not has_said_so:
                _say(f"waiting up to {WAIT_SECONDS:g} s for {len(running)} interrupted to tidy up")
                has_said_so = True
            time.sleep(PAUSE)
    for path, line in lines.items():
        if line:
            more = " It has not ended yet." if path in running else ""
            _say(f"interrupted: {line}{more}")


def _say(text: str) -> None:
    with suppress(OSError):  # nobody may be there any more
        print(f"[activelogic] {text}", file=sys.stderr, flush=True)


atexit.register(_tell)
