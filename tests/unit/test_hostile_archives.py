# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No archive can exceed the limits of time and memory, whatever its headers claim."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.archives import END_OF_TAR, tar, tar_header, tar_member
from tests.unit.hostile_archives import DAMAGED, HOSTILE, LIMIT, MIB, UNKNOWN, WHOLE

SECONDS = 4.0
"""CPU seconds allowed per call; CPU time, so that other load on the machine does not count."""

MEMORY = 64 * MIB
"""Bytes allowed per call, beyond the interpreter's own."""

# Runs in its own process, so that its memory can be limited and its peak measured.
LOOK = """
import json, resource, sys, time
from ansible_collections.netops.activelogic.plugins.module_utils._archive._equal import compare
from ansible_collections.netops.activelogic.plugins.module_utils._archive._whole import inspect
from ansible_collections.netops.activelogic.plugins.module_utils._deadline import Deadline

path, other, seconds, most = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])

def kib(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key))

def wholeness(seconds):
    found = inspect(path, Deadline("transfer_timeout", seconds))
    return {"kind": found.kind, "damage": found.damage, "limit": found.limit}

def comparison(seconds):
    deadline = time.monotonic() + seconds
    found = compare(path, other, expired=lambda: time.monotonic() >= deadline)
    return {"outcome": found.outcome.value, "reason": found.reason, "shown": len("".join(found.differing))}

def measured(look, seconds):
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")
    before, start = kib("VmHWM"), time.process_time()
    said = look(seconds)
    return {**said, "seconds": time.process_time() - start, "memory": (kib("VmHWM") - before) * 1024}

resource.setrlimit(resource.RLIMIT_AS, (kib("VmSize") * 1024 + 3 * most,) * 2)
print(json.dumps([measured(wholeness, seconds), measured(wholeness, 0.05), measured(comparison, 1)]))
"""


def outcome(found: dict[str, Any]) -> str:
    if found["limit"]:
        return LIMIT
    return DAMAGED if found["damage"] else WHOLE if found["kind"] else UNKNOWN


@pytest.mark.parametrize("name", HOSTILE)
def test_looking_into_it_and_comparing_it_end(name: str, tmp_path: Path) -> None:
    archive, plain, wanted = tmp_path / "archive", tmp_path / "plain", HOSTILE[name]
    wanted.to_file(archive)
    plain.write_bytes(tar(tar_member(b"a", b"one")))
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(archive), str(plain), str(wanted.seconds), str(MEMORY)],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    archive.unlink()
    assert done.returncode == 0, done.stderr
    found, in_no_time, comparison = json.loads(done.stdout)
    assert outcome(found) == wanted.outcome, found
    limit = found["limit"] or ""
    assert wanted.limit in limit
    assert "than there is" not in limit  # the limit came from the reader, not from the operating system
    assert in_no_time["seconds"] < 0.5
    assert comparison["outcome"] in ("unknown", "different"), comparison
    for each in (found, in_no_time, comparison):
        assert each["seconds"] < SECONDS
        assert each["memory"] < MEMORY


def long_names(other: bytes) -> bytes:
    """Members unique to this archive, with names of maximum length, of which every byte is displayed as an escape."""
    names = [b"%04d" % index + other * 4000 for index in range(2000)]
    return b"".join(tar_member(b"L", name + b"\0", b"L") + tar_header(b"x") for name in names) + END_OF_TAR


def test_comparing_two_archives_with_long_names_takes_little_memory(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(long_names(b"\xfe"))
    two.write_bytes(long_names(b"\xff"))
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(one), str(two), "60", str(MEMORY)],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    comparison = json.loads(done.stdout)[2]
    assert comparison["outcome"] in ("unknown", "different")
    assert comparison["memory"] < MEMORY
    assert comparison["shown"] < MIB
