# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Import the artifact as Galaxy does, and check the log: the importer succeeds in spite of violations.

``run_importer.py ENVIRONMENT ARTIFACT``: ENVIRONMENT is a virtual environment with ``galaxy-importer``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

SILENT = ("Loading ", "Importing with ", "Getting doc strings ", "Finding content ", "Linting collection ")
END = ["...ansible-lint run complete", "Collection loading complete", "Importer processing completed successfully"]


def main() -> int:
    """Run the importer; any unexpected line of its log counts as a finding."""
    binaries, artifact = Path(sys.argv[1]).resolve() / "bin", Path(sys.argv[2]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [str(binaries / "python"), "-m", "galaxy_importer.main", str(artifact)],
            cwd=folder,
            env={"PATH": f"{binaries}:{os.defpath}", "HOME": folder, "LANG": "C.UTF-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    findings = [line for line in done.stdout.splitlines() if line and not line.startswith(SILENT)]
    if done.returncode == 0 and findings == END:
        return 0
    print(done.stdout, end="")
    return done.returncode or 1


if __name__ == "__main__":
    sys.exit(main())
