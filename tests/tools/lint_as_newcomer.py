# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run ``ansible-lint`` as in a fresh clone: without any collection installed.

``lint_as_newcomer.py REPOSITORY`` copies all tracked and new files into a fresh repository and runs it there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Run ansible-lint and return its exit code."""
    root = Path(sys.argv[1]).resolve()
    git = ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(git, check=True, capture_output=True).stdout.split(b"\0")
    with tempfile.TemporaryDirectory() as folder:
        checkout, home = Path(folder) / "checkout", Path(folder) / "home"
        home.mkdir()
        for name in filter(None, map(os.fsdecode, names)):
            if (root / name).is_file():  # not deleted in the work tree
                (checkout / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, checkout / name)
        subprocess.run(["git", "init", "--quiet", str(checkout)], check=True)
        subprocess.run(["git", "-C", str(checkout), "add", "--all"], check=True)
        binaries = Path(sys.executable).parent
        environment = {"PATH": f"{binaries}:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
        command = [str(binaries / "ansible-lint"), "--nocolor"]
        return subprocess.run(command, cwd=checkout, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
