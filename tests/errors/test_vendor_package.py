# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever the vendor's package does to its process harms neither the module nor its result."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from activelogic_embedded import admin
from ansible_collections.netops.activelogic.plugins.module_utils._transport._sdk_process import SdkProcess

from tests.errors.conftest import VENDOR
from tests.errors.scene import BACKUP, INFO, TRANSFER, Scene
from tests.harness.lab import Lab
from tests.harness.login import DIRECT
from tests.harness.waiting import has_ended, until

QUICK = 15.0
"""Seconds within which a failure must be detected: far less than the shortest timeout option."""


@pytest.fixture
def scene(lab: Lab, tmp_path: Path) -> Iterator[Scene]:
    """A system with one backup."""
    made = Scene(lab, VENDOR, DIRECT, tmp_path)
    made.quirks()
    for each in made.backups.iterdir():
        each.unlink()
    made.make("there.plb")
    yield made
    made.quirks()


def failure(scene: Scene) -> dict[str, Any]:
    """The error of a module that failed in time, with a one-line message that contains no secret."""
    assert scene.outcome is not None
    assert scene.outcome.code == 1, scene.outcome.output
    assert scene.lab.password not in scene.outcome.output
    result = scene.outcome.result
    assert result["failed"] is True
    assert result["elapsed"] < QUICK
    assert "\n" not in result["msg"]
    return {**result["error"], "msg": result["msg"]}


@pytest.mark.parametrize("at", ["import", "connect", "after create_new"])
def test_what_it_prints_is_no_part_of_the_result(scene: Scene, at: str) -> None:
    scene.trick(at, "print")
    scene.run(BACKUP, name="new.plb")
    assert scene.outcome is not None
    assert scene.outcome.code == 0, scene.outcome.output
    assert scene.outcome.output.strip().startswith("{")
    assert scene.outcome.result["changed"] is True
    assert scene.lab.password not in scene.outcome.output
    assert sorted(scene.listed()) == ["new.plb", "there.plb"]


HOW = {
    "exit": "SystemExit (3)",
    "interrupt": "KeyboardInterrupt",
    "end": "ended its process with exit status 7",
    "kill": "ended its process by signal SIGKILL",
    "crash": "ended its process by signal SIGSEGV",
    "memory": "MemoryError",
    "unspeakable": "UnspeakableError",
}


@pytest.mark.parametrize(
    ("does", "at"),
    [
        *(("crash", at) for at in ("import", "connect", "machineid", "list", "download", "create_new")),
        *(("exit", at) for at in ("import", "connect", "list", "create_new", "after create_new")),
        *((does, "list") for does in ("interrupt", "end", "kill", "memory", "unspeakable")),
        ("end", "after create_new"),
    ],
)
def test_what_ends_it_is_noticed_at_once(scene: Scene, does: str, at: str) -> None:
    scene.trick(at, does)
    before = scene.listed()
    if at == "download":
        scene.run(TRANSFER, direction="fetch", name="there.plb", dest=str(scene.archive / "x"))
    else:
        scene.run(BACKUP, name="new.plb")
    made = {"new.plb": before["there.plb"]} if at == "after create_new" else {}
    assert scene.listed() == {**before, **made}
    assert list(scene.archive.iterdir()) == []
    if made:  # the answer was lost, but the listing shows the complete backup
        assert scene.outcome is not None
        assert scene.outcome.code == 0, scene.outcome.output
        assert scene.outcome.result["changed"] is True
        return
    error = failure(scene)
    if (does, at) == ("exit", "import"):
        assert error["kind"] == "dependency"
    elif at == "create_new":
        assert error["kind"] == "outcome_unknown"
    else:
        assert error["kind"] == "protocol"
    assert HOW[does] in error["msg"]


DISTURBS = [
    "garbage",
    "a line without an end",
    "JSON in depth",
    "an answer of its own",
    "an old answer",
    "rows of its own",
]


@pytest.mark.parametrize("does", DISTURBS)
def test_what_it_writes_into_our_socket_is_not_believed(scene: Scene, does: str) -> None:
    scene.trick("machineid", does)
    scene.run(INFO)
    error = failure(scene)
    assert error["kind"] == "protocol", error
    assert "odd_sdk gave an answer that can't be read; " in error["msg"]


def test_a_command_in_which_it_writes_there_is_not_known_to_have_run(scene: Scene) -> None:
    scene.trick("remove", "garbage")
    scene.run(BACKUP, state="absent", name="there.plb")
    assert scene.outcome is not None
    assert scene.outcome.result["elapsed"] < QUICK
    error = scene.outcome.result.get("error") or {}
    assert scene.outcome.code == 0 or error["kind"] == "outcome_unknown", scene.outcome.output
    assert "UNEXPECTED" not in scene.outcome.output


@pytest.mark.parametrize("does", ["child", "child and end"])
def test_a_process_that_it_starts_neither_holds_us_nor_stays(scene: Scene, does: str) -> None:
    scene.trick("list", does)
    scene.run(INFO)
    assert scene.outcome is not None
    assert scene.outcome.result["elapsed"] < QUICK
    assert scene.outcome.code == (0 if does == "child" else 1), scene.outcome.output
    deadline = time.monotonic() + 5
    while left := processes_of_the_package(scene):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def processes_of_the_package(scene: Scene) -> list[int]:
    """Ids of the processes whose environment contains this lab's password."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"ODD_SDK_PASSWORD={scene.lab.password}".encode() in (each / "environ").read_bytes():
                found.append(int(each.name))
    return found


@pytest.mark.parametrize(
    ("does", "says"),
    [("a list without an end", "listed more than"), ("closed", "ended its process with exit status 1")],
)
def test_what_has_no_end_or_no_channel_is_an_error(scene: Scene, does: str, says: str) -> None:
    scene.trick("list", does)
    scene.run(INFO)
    error = failure(scene)
    assert error["kind"] == "protocol"
    assert says in error["msg"]


@pytest.mark.parametrize("how", ["fetch", "look into"])
def test_a_download_without_an_end_is_ended(scene: Scene, how: str) -> None:
    scene.odd_sdk("Flooding")
    if how == "fetch":
        scene.run(TRANSFER, direction="fetch", name="there.plb", dest=str(scene.archive / "x"), retries=0)
    else:
        scene.run(BACKUP, name="there.plb", retries=0)
    error = failure(scene)
    size = scene.listed()["there.plb"]
    assert error["kind"] == "transfer"
    assert f"{size + 1024 * 1024} or more bytes arrived, the system lists {size}" in error["msg"]
    assert list(scene.archive.iterdir()) == []


def test_long_texts_are_cut_before_they_leave_its_process(scene: Scene) -> None:
    scene.trick("list", "names of 1 MB")
    scene.run(INFO)
    assert scene.outcome is not None
    assert scene.outcome.result["backups"] == []
    assert len(scene.outcome.output) < 100_000
    scene.trick("machineid", "a text of 40 MB")
    scene.run(INFO)
    assert failure(scene)["kind"] == "protocol"


def test_a_text_of_a_class_of_its_own_is_its_characters(scene: Scene) -> None:
    scene.trick("list", "nasty texts")
    scene.run(INFO)
    assert scene.outcome is not None
    assert [each["name"] for each in scene.outcome.result["backups"]] == ["there.plb"]


def test_a_restore_in_which_it_crashes_is_not_known_to_have_run(scene: Scene) -> None:
    admin.set_value(scene.lab.root, VENDOR, "Config", "hostname", "changed")
    scene.trick("restore", "crash")
    scene.run(BACKUP, state="restored", name="there.plb", force=True, settle_after_restore=0, safety_backup=False)
    assert scene.outcome is not None
    assert scene.outcome.code == 1, scene.outcome.output
    assert scene.outcome.result["error"]["kind"] == "outcome_unknown"
    assert scene.outcome.result["verified"] is None


@pytest.mark.parametrize("does", ["KeyError", "end"])
def test_a_restore_whose_session_can_not_be_ended_is_not_known_to_last(scene: Scene, does: str) -> None:
    """Ending the session may be what commits it, and here neither a comparison nor an outage shows what happened."""
    scene.quirks(volatile="content")
    scene.trick("close", does)
    scene.run(BACKUP, state="restored", name="there.plb", force=True, settle_after_restore=0, safety_backup=False)
    assert scene.outcome is not None
    assert scene.outcome.result["error"]["kind"] == "outcome_unknown", scene.outcome.output


def test_a_listing_of_other_types_is_an_error(scene: Scene) -> None:
    scene.trick("list", "sizes as floats")
    scene.run(INFO)
    error = failure(scene)
    assert error["kind"] == "protocol"
    assert "odd_sdk listed a backup with a float as its size, not an int; " in error["msg"]


def test_a_machine_id_of_another_type_is_an_error(scene: Scene) -> None:
    scene.trick("machineid", "a mapping")
    scene.run(INFO)
    assert "odd_sdk gave a dict as machineid, not a str; " in failure(scene)["msg"]


def test_a_session_that_says_that_it_is_not_connected_is_lost(scene: Scene) -> None:
    scene.trick("machineid", "ValueError")
    scene.run(INFO)
    error = failure(scene)
    assert error["kind"] == "unreachable"
    assert "the connection was lost (not connected)" in error["msg"]


def test_a_created_backup_without_a_name_is_looked_up(scene: Scene) -> None:
    scene.trick("after create_new", "a mapping")
    scene.run(BACKUP, name="new.plb")
    assert scene.outcome is not None
    assert scene.outcome.result["backup"]["name"] == "new.plb"
    scene.trick("create_new", "a mapping")
    scene.run(BACKUP, name="other.plb")
    assert failure(scene)["kind"] == "outcome_unknown"


@pytest.mark.parametrize(
    ("does", "at", "kind", "says"),
    [
        ("EMFILE", "connect", "local_file", "Too many open files"),
        ("EMFILE behind", "connect", "local_file", "Too many open files"),
        ("EHOSTUNREACH", "list", "unreachable", "No route to host"),
        ("EACCES", "create_new", "outcome_unknown", "Permission denied"),
    ],
)
def test_an_error_on_this_side_is_told_as_one(scene: Scene, does: str, at: str, kind: str, says: str) -> None:
    scene.trick(at, does)
    scene.run(BACKUP, name="new.plb")
    error = failure(scene)
    assert error["kind"] == kind, error["msg"]
    assert says in error["msg"]


@pytest.mark.parametrize("direction", ["fetch", "push"])
def test_a_full_disk_of_a_transfer_is_told_with_its_file(scene: Scene, direction: str) -> None:
    path = scene.file("pushed.plb", (scene.backups / "there.plb").read_bytes())
    if direction == "fetch":
        scene.trick("download", "ENOSPC")
        scene.run(TRANSFER, direction="fetch", name="there.plb", dest=str(scene.archive / "x"))
        assert failure(scene)["kind"] == "local_file"
        assert str(scene.archive) in failure(scene)["msg"]
    else:
        scene.trick("upload", "ENOSPC")
        scene.run(TRANSFER, direction="push", src=path)
        assert failure(scene)["kind"] == "outcome_unknown"
    assert list(scene.listed()) == ["there.plb"]
    assert [each.name for each in scene.archive.iterdir()] == ["pushed.plb"]


def test_a_process_that_can_not_be_started_is_an_error_on_this_side(scene: Scene) -> None:
    scene.wrapper = ["sh", "-c", 'ulimit -n 6; exec "$@"', "sh"]
    scene.trick("list", "nothing")
    scene.run(INFO)
    error = failure(scene)
    assert error["kind"] == "local_file", error["msg"]
    assert "Too many open files" in error["msg"]


def test_without_a_temporary_folder_reading_back_is_an_error_on_this_side(scene: Scene) -> None:
    path = scene.file("there.plb", (scene.backups / "there.plb").read_bytes())
    scene.environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scene.folder / "missing"))
    readonly = "for each in /tmp /var/tmp; do mount --bind $each $each && mount -o remount,ro,bind $each; done"
    scene.wrapper = ["unshare", "--mount", "sh", "-ec", f'{readonly}; cd /proc; exec "$@"', "sh"]
    scene.run(TRANSFER, direction="push", src=path)
    error = failure(scene)
    assert error["kind"] == "local_file"
    assert "the temporary folder (TMPDIR): No usable temporary directory found" in error["msg"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_its_process_ends_with_the_module(scene: Scene, number: int) -> None:
    scene.fault("list", "block", times=1)
    state = scene.backups.parent / "quirks.json"
    process = scene.start(INFO)
    until(lambda: bool(json.loads(state.read_text(encoding="utf-8"))["state"]["happened"]), 20)
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    os.kill(process.pid, number)
    scene.end(process)
    until(lambda: has_ended(int(child)), 20)


def test_a_call_that_keeps_the_interpreter_is_ended_in_time(scene: Scene) -> None:
    scene.trick("list", "hold")
    before = set(descendants())
    scene.run(INFO, read_timeout=0.5)
    error = failure(scene)
    assert error["kind"] == "deadline"
    until(lambda: set(descendants()) <= before, 3)


def descendants() -> list[str]:
    """Ids of the processes that run the package's session."""
    found = []
    for each in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if b"ODD_SDK_TRICK=hold" in each.read_bytes():
                found.append(each.parent.name)
    return found


def test_its_process_ends_where_the_module_left_an_answer_unread() -> None:
    process = SdkProcess("activelogic_embedded")
    assert select.select([process._socket], [], [], 60)[0], "it does not say that it is ready"
    process._socket.close()  # as after a kill: the next read fails instead of reporting the end
    assert process._process.wait(10) == 1
