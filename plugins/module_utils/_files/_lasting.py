# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that a local path is absolute, and that files there outlive the job. Private to this collection.

A job of AWX, of the Automation Platform or of ansible-navigator runs in a container that is removed when the job ends,
with every file that is not in a folder mounted from outside. The environment shows that this is such a job, and
``/proc/self/mountinfo`` (see proc(5)) shows on which mount a path is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .._failures import PATH_EPHEMERAL
from .._options import require_absolute
from ._access import exact, native

MOUNTINFO = "/proc/self/mountinfo"
LARGEST_MOUNTINFO = 16 * 1024 * 1024
"""Maximum number of bytes read from it."""

JOB_MARKS = ("AWX_PRIVATE_DATA_DIR", "AWX_ISOLATED_DATA_DIR", "RUNNER_OMIT_EVENTS")
"""Environment variables that AWX and ansible-runner set in a job."""

CONTAINER_VARIABLES = ("container", "KUBERNETES_SERVICE_HOST")
"""Environment variables that container engines (podman) and Kubernetes set in a container."""

CONTAINER_FILES = ("/run/.containerenv", "/.dockerenv")
"""Files that container engines put into a container."""

JOB_FOLDER = "/runner"
"""Mount point of the job's own folder in ansible-runner; it is deleted after the job."""

ARTIFACTS = JOB_FOLDER + "/artifacts"

LAYERS = ("overlay", "fuse.fuse-overlayfs", "aufs")
"""File systems of a container's own layer, unless mounted from another container."""

IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2")
"""File systems whose files are lost with the container."""

REMOVED_WITH_CONTAINER = re.compile(r"/volumes/[0-9a-f]{64}/_data$|/kubernetes\.io~empty-dir/")
"""Anonymous volumes, which are removed with their container, and a pod's ``emptyDir``."""


@dataclass(frozen=True)
class Mount:
    """A line of mountinfo: mount point, device, root within the device, and file system type."""

    point: str
    device: str
    root: str
    kind: str


def in_container_of_a_job(environment: Mapping[str, str], exists: Callable[[str], bool] = os.path.exists) -> bool:
    """Whether this process belongs to a job in a container; this takes marks of both."""
    job = any(environment.get(name) for name in JOB_MARKS)
    container = any(environment.get(name) for name in CONTAINER_VARIABLES) or any(map(exists, CONTAINER_FILES))
    return job and container


def checked(path: str, option: str, switch: str, *, allowed: bool, in_job: bool, folder: str) -> tuple[str, str]:
    """Check a path, in which ``~`` and variables are already replaced; returns it with a warning, which may be empty.

    :param switch: the option or variable that allows a path that is lost with the job's container.
    :param allowed: whether that is allowed, with a warning.
    :param in_job: whether this is such a job.
    :param folder: where a relative path would have been resolved.
    :raises OptionError: when the path is relative, or is lost with the container and that is not allowed.
    """
    require_absolute(path, option, folder)
    mount = ephemeral_mount(path, read_mountinfo()) if in_job else None
    if mount is None:
        return path, ""
    error = PATH_EPHEMERAL.error(option=option, path=path, switch=switch, point=mount.point, filesystem=mount.kind)
    if not allowed:
        raise error
    return path, error.reason


def read_mountinfo() -> str:
    """The content of ``/proc/self/mountinfo``; empty where it does not exist."""
    try:
        with open(MOUNTINFO, encoding="utf-8", errors="surrogateescape") as source:
            return source.read(LARGEST_MOUNTINFO)
    except OSError:
        return ""


def ephemeral_mount(path: str, mountinfo: str) -> Mount | None:
    """The mount of a path, if its files are lost with the container; ``None`` if they stay.

    :param path: absolute; its folders need not exist.
    :param mountinfo: the content of ``/proc/self/mountinfo``; without a root mount the result is ``None``.
    """
    mounts = {mount.point: mount for mount in _mounts(mountinfo)}  # a later mount hides an earlier one
    if "/" not in mounts:
        return None
    mount = _holding(exact(os.path.realpath(native(path))), mounts)
    return mount if _goes_with_container(mount, mounts) else None


def _mounts(mountinfo: str) -> Iterator[Mount]:
    for line in mountinfo.splitlines():
        before, dash, behind = line.partition(" - ")
        words = before.split(" ")
        if dash and len(words) >= 6:
            yield Mount(_unescaped(words[4]), words[2], _unescaped(words[3]), behind.split(" ")[0])


def _unescaped(text: str) -> str:
    """Decode space, tab, newline and backslash, which are written as three octal digits (proc(5))."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), text)


def _holding(path: str, mounts: Mapping[str, Mount]) -> Mount:
    while path not in mounts:
        path = os.path.dirname(path)
    return mounts[path]


def _goes_with_container(mount: Mount, mounts: Mapping[str, Mount]) -> bool:
    if mount.point == "/" or mount.kind in IN_MEMORY or REMOVED_WITH_CONTAINER.search(mount.root):
        return True
    if mount.kind in LAYERS:  # a nested container mounts folders of the outer one's layer, which stay
        return mount.root == "/" or mount.device == mounts["/"].device
    return _in_job_folder(mount, mounts)


def _in_job_folder(mount: Mount, mounts: Mapping[str, Mount]) -> bool:
    """Whether it is the job's own folder or a part of it, and not another folder that is mounted below it."""
    if mount.point in (JOB_FOLDER, ARTIFACTS) or mount.point.startswith(ARTIFACTS + "/"):
        return True
    job = mounts.get(JOB_FOLDER)
    if job is None or not mount.point.startswith(JOB_FOLDER + "/"):
        return False
    return mount.device == job.device and (mount.root + "/").startswith(job.root.rstrip("/") + "/")
