# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules do what they promise, report what they did, and write nothing in check mode."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from tests.harness.ansible_runs import Run
from tests.harness.login import GATEWAY
from tests.harness.module_runs import ModuleRunner
from tests.harness.observer import backups_on, configuration_of, digest_of_systems, digest_of_tree
from tests.harness.systems import change_configuration

BACKUP = "activelogic_backup"
INFO = "activelogic_backup_info"
TRANSFER = "activelogic_backup_transfer"


def checked_then_done(modules: ModuleRunner, module: str, folder: Path | None = None, **options: Any) -> dict[str, Any]:
    """Run in check mode, which must write nothing, then for real; both must report the same."""

    def state() -> tuple[Any, ...]:
        return digest_of_systems(modules.lab), digest_of_tree(folder) if folder else None

    before = state()
    checked = modules.run(module, check=True, **options)
    assert checked.code == 0, checked.output
    assert state() == before, "check mode wrote something"
    done = modules.run(module, **options)
    assert done.code == 0, done.output
    assert done.result()["changed"] == checked.result()["changed"]
    assert done.result()["action"] == checked.result()["action"]
    assert set(done.result()) == set(checked.result())
    assert done.result()["changed"] == (state() != before)
    return done.result()


def make(modules: ModuleRunner, name: str) -> dict[str, Any]:
    run = modules.run(BACKUP, name=name)
    assert run.code == 0, run.output
    return run.result()


def test_present_creates_once(modules: ModuleRunner) -> None:
    name = f"once {modules.way}, ä.plb"
    created = checked_then_done(modules, BACKUP, name=name)
    assert (created["changed"], created["action"], created["backup"]["name"]) == (True, "created", name)
    assert created["backup"]["size"] == backups_on(modules.lab, "edge1")[name]
    assert created["system"]["machineid"]
    assert created["system"]["distversion"]
    again = checked_then_done(modules, BACKUP, name=name)
    assert (again["changed"], again["action"], again["backup"]["size"]) == (False, "reused", created["backup"]["size"])


def test_present_with_max_age_reuses_a_young_backup(modules: ModuleRunner) -> None:
    prefix = f"age-{modules.way}-"
    created = checked_then_done(modules, BACKUP, max_age="1h", prefix=prefix)
    assert created["action"] == "created"
    again = checked_then_done(modules, BACKUP, max_age="1h", prefix=prefix)
    assert (again["action"], again["backup"]["name"]) == ("reused", created["backup"]["name"])


def test_backup_of_one_resource_is_marked_and_never_counts_as_full(modules: ModuleRunner) -> None:
    prefix = f"part-{modules.way}-"
    part = checked_then_done(modules, BACKUP, always=True, prefix=prefix, resource_name="Ruleset")
    assert part["backup"]["purpose"] == "partial"
    assert part["backup"]["name"].endswith("-only-ruleset.plb")
    assert checked_then_done(modules, BACKUP, max_age="1h", prefix=prefix)["action"] == "created"


def test_diff_shows_sorted_names_and_sizes(modules: ModuleRunner) -> None:
    run = modules.run(BACKUP, diff=True, name=f"diff-{modules.way}.plb")
    diff = run.diff()
    after = {each["name"]: each["size"] for each in diff["after"]["backups"]}
    assert after == backups_on(modules.lab, "edge1")
    assert list(after) == sorted(after)
    assert {each["name"] for each in diff["before"]["backups"]} == set(after) - {f"diff-{modules.way}.plb"}


def test_absent_removes_the_named_backups_only(modules: ModuleRunner) -> None:
    names = [f"gone-{modules.way}-{number}.plb" for number in range(3)]
    for name in names:
        make(modules, name)
    before = backups_on(modules.lab, "edge1")
    removed = checked_then_done(modules, BACKUP, state="absent", names=[*names[:2], "never-there.plb"])
    assert removed["action"] == "removed"
    assert set(before) - set(backups_on(modules.lab, "edge1")) == set(names[:2])
    assert checked_then_done(modules, BACKUP, state="absent", name=names[0])["action"] == "none"
    assert checked_then_done(modules, BACKUP, state="absent", names=[])["action"] == "none"


@pytest.mark.parametrize("resource", [None, "Ruleset"])
def test_restored_brings_the_data_back_and_leaves_a_safety_backup(modules: ModuleRunner, resource: str | None) -> None:
    name = f"saved-{modules.way}-{resource}.plb"
    make(modules, name)
    saved = configuration_of(modules.lab, "edge1")
    change_configuration(modules.lab, "edge1", "Ruleset", "marker", name)
    change_configuration(modules.lab, "edge1", "Config", "marker", name)
    broken = configuration_of(modules.lab, "edge1")
    assert broken != saved
    before = set(backups_on(modules.lab, "edge1"))
    options: dict[str, Any] = {"resource_name": resource} if resource else {}
    result = checked_then_done(modules, BACKUP, state="restored", name=name, settle_after_restore=1, **options)
    assert (result["action"], result["changed"], result["verified"]) == (
        "restored",
        True,
        True if resource is None else None,
    )
    expected = {**broken, resource: saved[resource]} if resource else saved
    assert configuration_of(modules.lab, "edge1") == expected
    assert set(backups_on(modules.lab, "edge1")) - before == {result["safety_backup"]["name"]}
    assert result["safety_backup"]["purpose"] == "safety"


def test_info_lists_what_is_there_and_changes_nothing(modules: ModuleRunner) -> None:
    make(modules, f"info-{modules.way}.plb")
    before = digest_of_systems(modules.lab)
    for system in modules.hosts:
        run = modules.run(INFO, host=system)
        assert run.code == 0, run.output
        result = run.result(system)
        assert {each["name"]: each["size"] for each in result["backups"]} == backups_on(modules.lab, system)
        assert (result["count"], result["changed"]) == (len(result["backups"]), False)
    assert digest_of_systems(modules.lab) == before


def test_info_says_whether_the_newest_backup_is_fresh(modules: ModuleRunner) -> None:
    prefix = f"fresh-{modules.way}-"
    assert modules.run(INFO, pattern=f"{prefix}*", max_age="1h").result()["fresh"] is False
    made = modules.run(BACKUP, always=True, prefix=prefix).result()
    result = modules.run(INFO, pattern=f"{prefix}*", max_age="1h").result()
    assert (result["fresh"], result["latest"]["name"], result["count"]) == (True, made["backup"]["name"], 1)
    make(modules, f"{prefix}undated.plb")
    assert modules.run(INFO, name=f"{prefix}undated.plb", max_age="1h").result()["fresh"] is None


def test_fetch_copies_once_and_finds_a_rotten_file(modules: ModuleRunner, tmp_path: Path) -> None:
    dest = tmp_path / "archive"
    dest.mkdir()
    name = f"fetch-{modules.way}.plb"
    make(modules, name)
    fetch: dict[str, Any] = {"direction": "fetch", "name": name, "dest": str(dest)}
    fetched = checked_then_done(modules, TRANSFER, dest, **fetch)
    content = (Path(modules.lab.root) / "edge1" / "backups" / name).read_bytes()
    assert (dest / name).read_bytes() == content
    assert fetched["backup"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert fetched["verified_by"] == ["size", *(["digest"] if modules.way == GATEWAY else []), "archive"]
    again = checked_then_done(modules, TRANSFER, dest, **fetch)
    assert (again["action"], again["unchanged_by"], again["bytes_transferred"]) == ("unchanged", "manifest", 0)
    (dest / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert checked_then_done(modules, TRANSFER, dest, **fetch)["action"] == "fetched"
    assert (dest / name).read_bytes() == content


def test_fetch_latest_takes_the_newest_full_backup(modules: ModuleRunner, tmp_path: Path) -> None:
    prefix = f"latest-{modules.way}-"
    made = modules.run(BACKUP, always=True, prefix=prefix).result()["backup"]["name"]
    make(modules, f"{prefix}by-hand.plb")
    run = modules.run(TRANSFER, direction="fetch", latest=True, prefix=prefix, dest=f"{tmp_path}/new/")
    assert run.code == 0, run.output
    assert run.result()["file"]["path"] == str(tmp_path / "new" / made)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_missing_backup_can_be_skipped(modules: ModuleRunner, tmp_path: Path) -> None:
    result = checked_then_done(
        modules, TRANSFER, direction="fetch", name="never-there.plb", dest=str(tmp_path), on_missing="skip"
    )
    assert (result["action"], result["backup"], result["file"]) == ("skipped", None, None)


def test_wrong_checksum_leaves_the_old_file(modules: ModuleRunner, tmp_path: Path) -> None:
    dest = tmp_path / "archive"
    dest.mkdir()
    name = f"checksum-{modules.way}.plb"
    make(modules, name)
    (dest / name).write_bytes(b"the last good copy")
    before = digest_of_tree(dest)
    run = modules.run(TRANSFER, direction="fetch", name=name, dest=str(dest), checksum="sha256:" + "0" * 64)
    assert run.code == 2
    assert "checksum" in run.result()["msg"]
    assert digest_of_tree(dest) == before


def test_validate_decides_before_the_file_takes_its_place(modules: ModuleRunner, tmp_path: Path) -> None:
    name = f"validate-{modules.way}.plb"
    make(modules, name)
    fetch: dict[str, Any] = {"direction": "fetch", "name": name, "dest": str(tmp_path / "file.plb")}
    refused = modules.run(TRANSFER, validate="grep -q no-such-text %s", **fetch)
    assert refused.code == 2
    assert "validate" in refused.result()["msg"]
    assert not (tmp_path / "file.plb").exists()
    assert modules.run(TRANSFER, validate="test -s %s", **fetch).code == 0
    assert (tmp_path / "file.plb").exists()


def test_push_stores_the_file_once_and_refuses_other_content(modules: ModuleRunner, tmp_path: Path) -> None:
    name = f"push-{modules.way}.plb"
    source = tmp_path / name
    source.write_bytes(os.urandom(100_000))
    push: dict[str, Any] = {"direction": "push", "src": str(source)}
    pushed = checked_then_done(modules, TRANSFER, **push)
    stored = Path(modules.lab.root) / "edge1" / "backups" / name
    assert stored.read_bytes() == source.read_bytes()
    assert (pushed["action"], pushed["verified_by"]) == ("pushed", ["size", "content"])
    again = checked_then_done(modules, TRANSFER, **push)
    assert (again["action"], again["unchanged_by"]) == ("unchanged", "content")
    old = source.read_bytes()
    source.write_bytes(os.urandom(100_001))
    refused = modules.run(TRANSFER, **push)
    assert refused.code == 2
    for size in ("100000", "100001"):
        assert size in refused.result()["msg"]
    assert stored.read_bytes() == old
    assert checked_then_done(modules, TRANSFER, force=True, **push)["action"] == "pushed"
    assert stored.read_bytes() == source.read_bytes()


def test_push_of_a_file_from_another_machine_is_refused(modules: ModuleRunner, tmp_path: Path) -> None:
    name = f"other-{modules.way}.plb"
    assert modules.run(BACKUP, host="edge2", name=name).code == 0
    fetched = modules.run(TRANSFER, host="edge2", direction="fetch", name=name, dest=str(tmp_path))
    assert fetched.code == 0, fetched.output
    push: dict[str, Any] = {"direction": "push", "src": str(tmp_path / name)}
    before = digest_of_systems(modules.lab)
    refused = modules.run(TRANSFER, **push)
    assert refused.code == 2
    assert fetched.result("edge2")["system"]["machineid"] in refused.result()["msg"]
    assert digest_of_systems(modules.lab) == before
    assert modules.run(TRANSFER, other_machine=True, **push).code == 0


def test_wrong_machine_is_refused_before_anything_is_done(modules: ModuleRunner) -> None:
    name = f"machine-{modules.way}.plb"
    make(modules, name)
    before = digest_of_systems(modules.lab)
    for state in ("present", "restored", "absent"):
        run: Run = modules.run(BACKUP, state=state, name=name, expected_machine_id="ffffffffffff")
        assert run.code == 2
        assert "ffffffffffff" in run.result()["msg"]
    assert digest_of_systems(modules.lab) == before
