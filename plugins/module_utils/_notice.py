# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small file in which a module reports what it left behind, for a command that was interrupted.

Private to this collection. Ctrl-C ends at once the process that reads the module's result, so the result is lost, and
with it the name of a safety backup. The action plugin creates the file; the command shows its content when it ends.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

VARIABLE = "_ACTIVELOGIC_NOTICE"
"""Environment variable with the path of the file; the underscore shows that it is not an option."""


class Notice:
    """The file, if there is one. The module holds a lock on it until it ends.

    Errors with it are ignored, as the task's result says the same.
    """

    def __init__(self, path: str) -> None:
        self._descriptor: int | None = None
        if path:
            with suppress(OSError):
                self._descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, text: str) -> None:
        """Replace the content with ``text``; with an empty text nothing is shown."""
        if self._descriptor is None:
            return
        content = text.encode("utf-8", "backslashreplace")
        with suppress(OSError):
            os.pwrite(self._descriptor, content, 0)
            os.ftruncate(self._descriptor, len(content))
