# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small file by which a module tells the command of Ansible what is left, when nobody reads its result any more.

Private to this collection. Ctrl-C ends the process between the two at once, so that the result of a module is lost,
with the name of a safety backup in it. The action plugin names the file; the command shows it in the end.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

VARIABLE = "_ACTIVELOGIC_NOTICE"
"""Environment variable with the path of the file; it has an underscore, since it is no option."""


class Notice:
    """The file, or nothing where there is none to write to. The module holds its lock until it ends.

    What goes wrong with it is no reason to fail: the task's own result says the same.
    """

    def __init__(self, path: str) -> None:
        self._descriptor: int | None = None
        if path:
            with suppress(OSError):
                self._descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, text: str) -> None:
        """Put ``text`` in the place of what was there; an empty one says that nothing is to be shown."""
        if self._descriptor is None:
            return
        content = text.encode("utf-8", "backslashreplace")
        with suppress(OSError):
            os.pwrite(self._descriptor, content, 0)
            os.ftruncate(self._descriptor, len(content))
