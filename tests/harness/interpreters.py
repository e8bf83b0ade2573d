# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Installed Python versions that are too old for the modules."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

OLD = ("3.6", "3.7", "3.8")


@cache
def old_pythons() -> dict[str, str]:
    """Paths of working interpreters by version: those in ``PATH``, and those of pyenv."""
    found = {}
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for number in OLD:
        candidates = [*map(str, sorted(root.glob(f"{number}.*/bin/python"))), shutil.which(f"python{number}")]
        for each in candidates:
            if each is None:
                continue
            done = subprocess.run([each, "--version"], capture_output=True, text=True, timeout=60, check=False)
            if done.stdout.startswith(f"Python {number}."):  # pyenv has shims for versions that it lacks
                found[number] = each
                break
    return found
