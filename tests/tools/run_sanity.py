# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run ``ansible-test sanity`` on an installed copy of the collection, without downloading anything but packages.

``run_sanity.py COPY HOME [ARGUMENTS...]``: COPY is ``.../ansible_collections/netops/activelogic``, HOME a folder for
ansible-test's virtual environments. Further arguments are passed to ``ansible-test sanity``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PIP_VERSIONS = ("23_1_2", "24_2", "25_2", "25_3", "26_0")
"""pip versions whose bootstrap script some version of ansible-test tries to download."""

NETWORK_VARIABLES = ("PIP_", "SSL_", "REQUESTS_", "HTTP", "NO_PROXY")
"""Prefixes of the variables that pip may need to reach its index."""

BOOTSTRAP = "import ensurepip\nensurepip.bootstrap()\n"


def main() -> int:
    """Run the tests and return their exit code."""
    copy, home, *arguments = sys.argv[1:]
    if not Path(copy, "MANIFEST.json").is_file():
        # Without files ansible-test skips everything and reports success.
        print(f"no collection is installed in {copy}", file=sys.stderr)
        return 1
    cache = Path(home).resolve() / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in PIP_VERSIONS:
        # Use the pip that Python bundles instead of downloading one.
        (cache / f"get_pip_{version}.py").write_text(BOOTSTRAP, encoding="ascii")
    # ansible-test lists files with git: in a repository of its own it finds all of them; a parent's would ignore them.
    subprocess.run(["git", "init", "--quiet", copy], check=True)
    binaries = Path(sys.executable).parent
    real = Path(os.path.realpath(sys.executable)).parent  # not a version manager's shim
    environment = {
        **{key: value for key, value in os.environ.items() if key.upper().startswith(NETWORK_VARIABLES)},
        "PATH": f"{binaries}:{real}:/usr/bin:/bin",
        "HOME": str(Path(home).resolve()),
        "LANG": "C.UTF-8",
    }
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = [str(binaries / "ansible-test"), "sanity", "--local", "--color", "no", "--python", version, *arguments]
    return subprocess.run(command, cwd=copy, env=environment, stdin=subprocess.DEVNULL, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
