# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files inside a job's container are known to be lost with it; files on volumes mounted from outside are kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils._errors import OptionError
from ansible_collections.netops.activelogic.plugins.module_utils._files._lasting import (
    LAYERS,
    checked,
    ephemeral_mount,
    in_container_of_a_job,
    read_mountinfo,
)
from ansible_collections.netops.activelogic.plugins.module_utils._options import require_absolute

VOLUME = "/var/lib/containers/storage/volumes/" + "0f" * 32 + "/_data"
NAMED = "/var/lib/containers/storage/volumes/archive/_data"
EMPTY_DIR = "/var/lib/kubelet/pods/0d/volumes/kubernetes.io~empty-dir/scratch"
PODMAN = rf"""
100 90 0:52 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
101 100 0:55 / /proc rw,nosuid - proc proc rw
102 100 0:56 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k
103 102 0:60 / /dev/shm rw - tmpfs shm rw
110 100 253:0 /awx_12_k3b /runner rw,relatime - xfs /dev/mapper/root rw
111 110 253:0 /awx_12_k3b/project /runner/project rw,relatime - xfs /dev/mapper/root rw
112 110 253:0 /srv/archive /runner/archive rw,relatime - xfs /dev/mapper/root rw
113 110 253:0 /srv/artifacts /runner/artifacts rw,relatime - xfs /dev/mapper/root rw
120 100 253:0 /srv/activelogic /srv/activelogic rw,relatime shared:4 master:1 - xfs /dev/mapper/root rw
121 120 0:61 / /srv/activelogic/scratch rw - tmpfs tmpfs rw
122 100 0:70 / /mnt/our\040nas rw,relatime - nfs4 nas.example.com:/archive rw
123 100 0:52 /copy /mnt/own-layer rw - overlay overlay rw
124 100 0:62 / /mnt/copy-on-write rw - overlay overlay rw,lowerdir=/srv/x
125 100 0:30 /srv/outer /mnt/outer-layer rw - overlay overlay rw
126 100 253:0 {VOLUME} /mnt/unnamed rw - xfs /dev/mapper/root rw
127 100 253:0 {NAMED} /mnt/named rw - xfs /dev/mapper/root rw
128 100 0:63 / /mnt/twice rw - tmpfs tmpfs rw
129 128 253:0 /srv/twice /mnt/twice rw - xfs /dev/mapper/root rw
130 100 253:0 {EMPTY_DIR} /mnt/scratch rw - xfs /dev/mapper/root rw
"""
PLACES = {
    "/backups": "/",
    "/": "/",
    "/srv": "/",
    "/srv/activelogic-other": "/",
    "/home/runner/backups": "/",
    "/dev/shm/backups": "/dev/shm",  # noqa: S108  # never written to
    "/runner": "/runner",
    "/runner/backups": "/runner",
    "/runner/project/backups": "/runner/project",
    "/runner/artifacts/7": "/runner/artifacts",
    "/runner/archive/edge1": None,
    "/runnery": "/",
    "/srv/activelogic": None,
    "/srv/activelogic/edge1/": None,
    "/srv/activelogic/../x": "/",
    "/srv/activelogic/scratch/edge1": "/srv/activelogic/scratch",
    "/mnt/our nas/edge1": None,
    "/mnt/our": "/",
    "/mnt/own-layer/x": "/mnt/own-layer",
    "/mnt/copy-on-write": "/mnt/copy-on-write",
    "/mnt/outer-layer/x": None,
    "/mnt/unnamed/x": "/mnt/unnamed",
    "/mnt/named/x": None,
    "/mnt/twice/x": None,
    "/mnt/scratch/x": "/mnt/scratch",
}


@pytest.mark.parametrize(("path", "lost_with"), PLACES.items())
def test_longest_mount_above_a_path_tells_whether_it_stays(path: str, lost_with: str | None) -> None:
    mount = ephemeral_mount(path, PODMAN)
    assert (mount.point if mount else None) == lost_with


def test_link_leads_to_where_the_files_are(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/srv/activelogic")
    assert ephemeral_mount(str(tmp_path / "link" / "edge1"), PODMAN) is None
    assert ephemeral_mount(str(tmp_path / "edge1"), PODMAN) is not None


@pytest.mark.parametrize("text", ["", "nonsense\n", "1 2 0:1 / /srv rw - xfs /dev/x rw\n", "\0 - \n - a b\n"])
def test_without_knowledge_nothing_is_said(text: str) -> None:
    assert ephemeral_mount("/srv/archive", text) is None


MARKS = [
    ({}, (), False),
    ({"container": "podman"}, (), False),
    ({}, ("/.dockerenv",), False),
    ({"AWX_PRIVATE_DATA_DIR": "/awx_1"}, (), False),  # a job outside of containers
    ({"AWX_PRIVATE_DATA_DIR": "", "container": "podman"}, (), False),
    ({"AWX_PRIVATE_DATA_DIR": "/awx_1", "container": "oci"}, (), True),
    ({"AWX_ISOLATED_DATA_DIR": "/runner/artifacts/1"}, ("/run/.containerenv",), True),
    ({"RUNNER_OMIT_EVENTS": "False"}, ("/.dockerenv",), True),
    ({"RUNNER_OMIT_EVENTS": "False", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, (), True),
]


@pytest.mark.parametrize(("environment", "files", "expected"), MARKS)
def test_job_in_a_container_is_known_by_both_marks(
    environment: dict[str, str], files: tuple[str, ...], expected: bool
) -> None:
    assert in_container_of_a_job(environment, files.__contains__) is expected


def test_outside_of_a_job_every_absolute_path_is_fine() -> None:
    assert checked("/nowhere", "x", "s", allowed=False, in_job=False, folder="/") == ("/nowhere", "")


def test_loss_that_is_accepted_is_a_warning() -> None:
    path, warning = checked("/nowhere", "x", "s", allowed=True, in_job=True, folder="/")
    assert path == "/nowhere"
    assert warning.startswith("x /nowhere lies inside the container of this job")


@pytest.mark.parametrize("path", ["backups", "", ".", "~nobody-at-all/x", "$NOT_SET/x", "C:\\x", "../x"])
def test_relative_path_is_refused_and_the_message_says_what_it_would_have_been(path: str) -> None:
    with pytest.raises(OptionError) as caught:
        require_absolute(path, "archive", "/plays/nightly")
    assert os.path.normpath(f"/plays/nightly/{path}") in caught.value.reason


PROGRAM = """
import sys
from ansible_collections.netops.activelogic.plugins.module_utils._files._lasting import ephemeral_mount, read_mountinfo
for path in sys.argv[1:]:
    mount = ephemeral_mount(path, read_mountinfo())
    print("-" if mount is None else mount.point)
"""


def test_real_mounts_of_this_machine_are_understood(tmp_path: Path) -> None:
    outside, memory = tmp_path / "out side", tmp_path / "memory"
    outside.mkdir()
    memory.mkdir()
    mount = 'mount --bind "$0" "$0" && mount -t tmpfs none "$1" && exec "${@:2}"'
    paths = [f"{outside}/edge1", f"{memory}/edge1", "/archive-of-nobody"]
    command = ["unshare", "--mount", "bash", "-c", mount, str(outside), str(memory), sys.executable, "-c", PROGRAM]
    done = subprocess.run([*command, *paths], check=True, capture_output=True, text=True, timeout=60)
    # If this machine is a container itself, a bind mount of its own folder still belongs to the container's layer.
    layer = any(f" - {kind} " in line for line in read_mountinfo().splitlines() if " / / " in line for kind in LAYERS)
    assert done.stdout.splitlines() == [str(outside) if layer else "-", str(memory), "/"]
