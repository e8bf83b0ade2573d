# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Local paths that a role rejects before it makes a backup."""

from __future__ import annotations

import os
import re

from tests.errors.scene import Facts, Scene, case
from tests.harness.login import DIRECT

LOCAL_PATH = "activelogic_local_path"


def check(scene: Scene, path: str) -> None:
    """Check a path as the roles do; no system is contacted."""
    nothing = dict.fromkeys(scene.options())
    scene.run(LOCAL_PATH, **{**nothing, "host": scene.host}, path=path, option="archive", switch="allow_it")


@case("PATH_RELATIVE", DIRECT)
def archive_in_the_working_folder(scene: Scene) -> Facts:
    check(scene, "backups")
    return {"option": "archive", "path": "backups", "absolute": os.path.join(os.getcwd(), "backups")}


@case("PATH_EPHEMERAL", DIRECT)
def archive_in_the_container_of_a_job(scene: Scene) -> Facts:
    scene.environment |= {"container": "podman", "AWX_PRIVATE_DATA_DIR": "/tmp/awx_7_x"}  # noqa: S108  # not used
    check(scene, "/archive-of-nobody/edge1")
    return {
        "option": "archive",
        "path": "/archive-of-nobody/edge1",
        "filesystem": re.compile(r"\S+"),
        "point": "/",
        "switch": "allow_it",
    }
