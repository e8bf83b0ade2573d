# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``state: restored``: proof before and after, and true reports of everything in between."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.harness.ansible_runs import Run, Runner
from tests.harness.lab import Lab
from tests.harness.login import WAYS
from tests.harness.module_runs import ModuleRunner
from tests.harness.observer import backups_on, configuration_of, digest_of_system, restores_on
from tests.harness.systems import change_configuration, log_in, set_quirks
from tests.harness.waiting import until

WANTED = "wanted.plb"
RULES = "rules.plb"
FACTOR = 0.2
"""The times of quirks, and the time to settle, are a fifth of a real system's."""


@pytest.fixture(params=WAYS)
def modules(request: pytest.FixtureRequest, lab_of_new_systems: Lab, new_system: str, tmp_path: Path) -> ModuleRunner:
    """Modules with a system that only this test uses, with two backups and another configuration than theirs."""
    with log_in(lab_of_new_systems, new_system) as connection:
        backup = connection.backup()
        backup.create_new(WANTED)
        backup.create_new(RULES, "Ruleset")
    change_configuration(lab_of_new_systems, new_system, "Ruleset", "marker", "changed")
    return ModuleRunner(lab_of_new_systems, request.param, tmp_path, new_system)


def restore(modules: ModuleRunner, *, check: bool = False, diff: bool = False, **options: Any) -> Run:
    given = {"state": "restored", "name": WANTED, "settle_after_restore": 15 * FACTOR, **options}
    return modules.run("activelogic_backup", check=check, diff=diff, **given)


def succeeds(modules: ModuleRunner, **options: Any) -> dict[str, Any]:
    """Run in check mode, which must write nothing, then for real."""
    before = digest_of_system(modules.lab, modules.system)
    checked = restore(modules, check=True, **options)
    assert checked.code == 0, checked.output
    assert digest_of_system(modules.lab, modules.system) == before
    assert checked.result()["changed"] is True
    run = restore(modules, **options)
    assert run.code == 0, run.output
    return run.result()


def fails(modules: ModuleRunner, kind: str, **options: Any) -> dict[str, Any]:
    run = restore(modules, **options)
    assert run.code != 0, run.output
    result = run.result()
    assert result["error"]["kind"] == kind, run.output
    return result


def safety_backups(modules: ModuleRunner) -> list[str]:
    others = set(backups_on(modules.lab, modules.system)) - {WANTED, RULES}
    assert all(name.startswith("pre-restore-") for name in others), others
    return sorted(others)


def holds_wanted(modules: ModuleRunner) -> bool:
    return "marker" not in configuration_of(modules.lab, modules.system)["Ruleset"]


@pytest.mark.parametrize("volatile", ["", "times"])
def test_a_second_restore_finds_that_nothing_is_to_be_done(modules: ModuleRunner, volatile: str) -> None:
    set_quirks(modules.lab, modules.system, volatile=volatile)
    first = succeeds(modules)
    assert (first["changed"], first["action"], first["verified"]) == (True, "restored", True)
    assert holds_wanted(modules)
    assert safety_backups(modules) == [first["safety_backup"]["name"]]
    listing, configuration = backups_on(modules.lab, modules.system), configuration_of(modules.lab, modules.system)
    second = succeeds(modules)
    assert (second["changed"], second["action"], second["verified"]) == (False, "none", True)
    assert second["safety_backup"] is None
    assert (backups_on(modules.lab, modules.system), configuration_of(modules.lab, modules.system)) == (
        listing,
        configuration,
    )
    assert restores_on(modules.lab, modules.system) == 1


def test_a_restart_at_full_length(modules: ModuleRunner) -> None:
    set_quirks(modules.lab, modules.system, restart_after=5, outage=10)
    modules.hurry = False
    began = time.monotonic()
    result = restore(modules, settle_after_restore=15).result()
    assert (result["changed"], result["verified"]) == (True, True), result["reason"]
    assert time.monotonic() - began >= 5 + 10 + 15
    assert restores_on(modules.lab, modules.system) == 1


def test_a_restart_that_never_ends_is_an_error_that_names_the_safety_backup(modules: ModuleRunner) -> None:
    set_quirks(modules.lab, modules.system, restart_after=0, outage=3000)
    result = fails(modules, "deadline", wait_timeout=4)
    assert result["changed"] is True
    (safety,) = safety_backups(modules)
    for fact in ("4 s (wait_timeout)", f"name={safety}", "state=restored"):
        assert fact in result["msg"]
    assert holds_wanted(modules)


def test_another_password_after_the_restore_is_named_as_the_cause(modules: ModuleRunner) -> None:
    other = "of long ago"
    set_quirks(modules.lab, modules.system, restored_password=other)
    result = fails(modules, "deadline", wait_timeout=4)
    assert "another password" in result["msg"]
    assert safety_backups(modules)[0] in result["msg"]
    assert other not in str(result)
    assert result["elapsed"] < 30


def test_a_system_that_restores_something_else_fails_the_task(modules: ModuleRunner) -> None:
    set_quirks(modules.lab, modules.system, restores_otherwise=True)
    result = fails(modules, "not_restored")
    (safety,) = safety_backups(modules)
    assert (result["verified"], result["changed"], result["safety_backup"]["name"]) == (False, True, safety)
    assert safety in result["msg"]
    set_quirks(modules.lab, modules.system)
    command = result["msg"].split('-a "')[1].split('"')[0]
    arguments = ["-m", "netops.activelogic.activelogic_backup", "-a", f"{command} settle_after_restore=1"]
    ansible = Runner(modules.lab, modules.way, modules.folder)
    back = ansible.run(["ansible", modules.system, "-i", ansible.inventory(), *arguments])
    assert back.code == 0, back.output
    assert configuration_of(modules.lab, modules.system)["Ruleset"]["marker"] == "changed"


def test_a_lost_call_that_did_not_run_is_unknown(modules: ModuleRunner) -> None:
    set_quirks(modules.lab, modules.system, faults=[{"command": "restore", "does": "lose"}])
    result = fails(modules, "outcome_unknown")
    assert "not known whether the restore ran" in result["msg"]
    assert result["verified"] is None
    (safety,) = safety_backups(modules)
    assert safety in result["msg"]
    assert restores_on(modules.lab, modules.system) == 0


def test_without_a_safety_backup_that_can_be_made_nothing_is_restored(modules: ModuleRunner) -> None:
    set_quirks(modules.lab, modules.system, faults=[{"command": "create_new", "does": "refuse"}])
    before = digest_of_system(modules.lab, modules.system)
    fails(modules, "refused")
    assert digest_of_system(modules.lab, modules.system) == before


def test_backups_that_are_complete_only_after_a_while_are_waited_for(modules: ModuleRunner) -> None:
    set_quirks(modules.lab, modules.system, complete_after=15, time_factor=FACTOR)
    result = succeeds(modules)
    assert (result["changed"], result["verified"]) == (True, True)
    assert succeeds(modules)["changed"] is False


def test_a_refused_restore_leaves_no_safety_backup(modules: ModuleRunner) -> None:
    (modules.lab.root / modules.system / "backups" / WANTED).write_bytes(b"no backup at all")
    configuration = configuration_of(modules.lab, modules.system)
    result = fails(modules, "refused")
    assert "changed" not in result or result["changed"] is False
    assert safety_backups(modules) == []
    assert configuration_of(modules.lab, modules.system) == configuration


def test_a_wanted_backup_that_is_incomplete_or_missing_is_refused_also_in_check_mode(modules: ModuleRunner) -> None:
    (modules.lab.root / modules.system / "backups" / WANTED).write_bytes(b"")
    before = digest_of_system(modules.lab, modules.system)
    for check in (True, False):
        fails(modules, "incomplete", check=check)
        assert RULES in fails(modules, "not_found", check=check, name="missing.plb")["msg"]
        fails(modules, "conflict", check=check, expected_machine_id="00112233445f")
    assert digest_of_system(modules.lab, modules.system) == before


def test_somebody_else_at_work_stops_the_restore(modules: ModuleRunner) -> None:
    set_quirks(modules.lab, modules.system, faults=[{"command": "download", "does": "wait", "seconds": 4, "times": 1}])
    runs: list[Run] = []
    thread = Thread(target=lambda: runs.append(restore(modules)))
    thread.start()
    until(lambda: any(name.startswith("pre-restore-") for name in backups_on(modules.lab, modules.system)))
    with log_in(modules.lab, modules.system) as connection:
        connection.backup().create_new("of a colleague.plb")
    thread.join(120)
    result = runs[0].result()
    assert (result["error"]["kind"], "of a colleague.plb" in result["msg"]) == ("conflict", True), result
    assert restores_on(modules.lab, modules.system) == 0
    assert set(backups_on(modules.lab, modules.system)) == {WANTED, RULES, "of a colleague.plb"}


def test_the_diff_names_the_members_that_differed(modules: ModuleRunner) -> None:
    run = restore(modules, diff=True)
    assert run.code == 0, run.output
    assert run.diff()["before"]["differing_members"] == ["manifest.json", "resources/Ruleset.json"]
    assert run.diff()["after"]["differing_members"] == []
    assert [each["name"] for each in run.diff()["before"]["backups"]] == [RULES, WANTED]
