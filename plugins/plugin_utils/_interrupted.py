# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""After Ctrl-C, print what an interrupted restore left behind. Private to this collection.

Ansible immediately ends the process that would read a module's result, so the result is lost. But its main process has
imported the action plugins too, and runs exit handlers after its own last message. So each restore has a small file,
which the module keeps up to date (:mod:`_notice`), and an exit handler prints the content of these files.
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
"""How long the command waits for interrupted modules to end: removing a backup takes a moment."""

PAUSE = 0.1
MAIN = os.getpid()
"""The process that first imported this file: the command itself. The processes that run tasks are forks of it."""

PATTERN = "activelogic-interrupted-{main}-{number}"


def _path(number: str) -> str:
    """A path in Ansible's own temporary folder, which is private to the user and removed when the command ends."""
    return os.path.join(str(constants.DEFAULT_LOCAL_TMP), PATTERN.format(main=MAIN, number=number))


@contextmanager
def shown_when_interrupted(text: str) -> Iterator[None]:
    """Have ``text``, or what the module has replaced it with, printed if the process ends within the block.

    The module gets the path of the file from the environment, which it inherits if it runs on the same machine.
    """
    path = _path(uuid.uuid4().hex)
    try:
        with open(path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as notice:
            notice.write(text)
    except OSError:
        yield  # such as a full disk; the task is more important
        return
    os.environ[VARIABLE] = path
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        with suppress(OSError):
            os.unlink(path)


def _read(path: str) -> tuple[bool, str]:
    """Whether the module has ended, and the content of its file."""
    with open(path, encoding="utf-8", errors="replace") as notice:
        try:
            fcntl.flock(notice, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False, notice.read()
        return True, notice.read()


def _print_notices() -> None:
    """Print one line for each interrupted task, after the last message of Ansible itself."""
    if os.getpid() != MAIN:
        return
    running = sorted(glob.glob(glob.escape(_path("")) + "*"))
    lines: dict[str, str] = {}
    has_said_so = False
    deadline = time.monotonic() + WAIT_SECONDS
    with suppress(KeyboardInterrupt):  # whoever presses Ctrl-C again does not want to wait
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
                _say(f"waiting up to {WAIT_SECONDS:g} s for interrupted tasks to clean up ({len(running)})")
                has_said_so = True
            time.sleep(PAUSE)
    for path, line in lines.items():
        if line:
            more = " It has not ended yet." if path in running else ""
            _say(f"interrupted: {line}{more}")


def _say(text: str) -> None:
    with suppress(OSError):  # the terminal may be gone
        print(f"[activelogic] {text}", file=sys.stderr, flush=True)


atexit.register(_print_notices)
