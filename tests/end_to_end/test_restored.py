# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``state: restored``: proof before, proof after, and the truth about everything in between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.harness.ansible_runs import Run, Runner
from tests.harness.lab import Lab
from tests.harness.observer import backups_on, configuration_of, digest_of_systems, restores_on
from tests.harness.systems import change_configuration, log_in, set_quirks
from tests.harness.waiting import until

EDGE = "edge1"
WANTED = "wanted.plb"
RULES = "rules.plb"
FACTOR = 0.2
"""Times of quirks are a fifth of what a real system takes, and so is the time to settle."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """One system of the test's own behind a gateway, with two backups and another configuration than in them."""
    with Lab(tmp_path / "lab", [EDGE]) as running:
        with log_in(running, EDGE) as connection:
            backup = connection.backup()
            backup.create_new(WANTED)
            backup.create_new(RULES, "Ruleset")
        change_configuration(running, EDGE, "Ruleset", "marker", "changed")
        yield running


def restore(ansible: Runner, *, check: bool = False, diff: bool = False, **options: Any) -> Run:
    given = {"state": "restored", "name": WANTED, "settle_after_restore": 15 * FACTOR, **options}
    return ansible.ad_hoc("activelogic_backup", check=check, diff=diff, **given)


def succeeds(ansible: Runner, **options: Any) -> dict[str, Any]:
    """Run in check mode, see that nothing was written; run for real."""
    before = digest_of_systems(ansible.lab)
    checked = restore(ansible, check=True, **options)
    assert checked.code == 0, checked.output
    assert digest_of_systems(ansible.lab) == before
    assert checked.result()["changed"] is True
    run = restore(ansible, **options)
    assert run.code == 0, run.output
    return run.result()


def fails(ansible: Runner, kind: str, **options: Any) -> dict[str, Any]:
    run = restore(ansible, **options)
    assert run.code != 0, run.output
    result = run.result()
    assert result["error"]["kind"] == kind, run.output
    return result


def safety_backups(lab: Any) -> list[str]:
    others = set(backups_on(lab, EDGE)) - {WANTED, RULES}
    assert all(name.startswith("pre-restore-") for name in others), others
    return sorted(others)


def holds_wanted(lab: Any) -> bool:
    return "marker" not in configuration_of(lab, EDGE)["Ruleset"]


@pytest.mark.parametrize("volatile", ["", "times"])
def test_a_second_restore_finds_that_nothing_is_to_be_done(ansible: Runner, volatile: str) -> None:
    set_quirks(ansible.lab, EDGE, volatile=volatile)
    first = succeeds(ansible)
    assert (first["changed"], first["action"], first["verified"]) == (True, "restored", True)
    assert holds_wanted(ansible.lab)
    assert safety_backups(ansible.lab) == [first["safety_backup"]["name"]]
    listing, configuration = backups_on(ansible.lab, EDGE), configuration_of(ansible.lab, EDGE)
    second = succeeds(ansible)
    assert (second["changed"], second["action"], second["verified"]) == (False, "none", True)
    assert second["safety_backup"] is None
    assert (backups_on(ansible.lab, EDGE), configuration_of(ansible.lab, EDGE)) == (listing, configuration)
    assert restores_on(ansible.lab, EDGE) == 1


def test_a_restart_at_full_length(ansible: Runner) -> None:
    set_quirks(ansible.lab, EDGE, restart_after=5, outage=10)
    began = time.monotonic()
    result = restore(ansible, settle_after_restore=15).result()
    assert (result["changed"], result["verified"]) == (True, True), result["reason"]
    assert time.monotonic() - began >= 5 + 10 + 15
    assert restores_on(ansible.lab, EDGE) == 1


def test_a_restart_that_never_ends_is_an_error_that_names_the_safety_backup(ansible: Runner) -> None:
    set_quirks(ansible.lab, EDGE, restart_after=0, outage=3000)
    result = fails(ansible, "deadline", wait_timeout=4)
    assert result["changed"] is True
    (safety,) = safety_backups(ansible.lab)
    for fact in ("4 s (wait_timeout)", f"name={safety}", "state=restored"):
        assert fact in result["msg"]
    assert holds_wanted(ansible.lab)


def test_another_password_after_the_restore_is_named_as_the_cause(ansible: Runner) -> None:
    other = "of long ago"
    set_quirks(ansible.lab, EDGE, restored_password=other)
    result = fails(ansible, "deadline", wait_timeout=4)
    assert "another password" in result["msg"]
    assert safety_backups(ansible.lab)[0] in result["msg"]
    assert other not in str(result)
    assert result["elapsed"] < 30


def test_a_system_that_restores_something_else_fails_the_task(ansible: Runner) -> None:
    set_quirks(ansible.lab, EDGE, restores_otherwise=True)
    result = fails(ansible, "not_restored")
    (safety,) = safety_backups(ansible.lab)
    assert (result["verified"], result["changed"], result["safety_backup"]["name"]) == (False, True, safety)
    assert safety in result["msg"]
    set_quirks(ansible.lab, EDGE)
    command = result["msg"].split('-a "')[1].split('"')[0]
    arguments = ["-m", "netops.activelogic.activelogic_backup", "-a", f"{command} settle_after_restore=1"]
    back = ansible.run(["ansible", EDGE, "-i", ansible.inventory(), *arguments])
    assert back.code == 0, back.output
    assert configuration_of(ansible.lab, EDGE)["Ruleset"]["marker"] == "changed"


def test_a_lost_call_that_did_not_run_is_unknown(ansible: Runner) -> None:
    set_quirks(ansible.lab, EDGE, faults=[{"command": "restore", "does": "lose"}])
    result = fails(ansible, "outcome_unknown")
    assert "not known whether the restore ran" in result["msg"]
    assert result["verified"] is None
    (safety,) = safety_backups(ansible.lab)
    assert safety in result["msg"]
    assert restores_on(ansible.lab, EDGE) == 0


def test_without_a_safety_backup_that_can_be_made_nothing_is_restored(ansible: Runner) -> None:
    set_quirks(ansible.lab, EDGE, faults=[{"command": "create_new", "does": "refuse"}])
    before = digest_of_systems(ansible.lab)
    fails(ansible, "refused")
    assert digest_of_systems(ansible.lab) == before


def test_backups_that_are_complete_only_after_a_while_are_waited_for(ansible: Runner) -> None:
    set_quirks(ansible.lab, EDGE, complete_after=15, time_factor=FACTOR)
    result = succeeds(ansible)
    assert (result["changed"], result["verified"]) == (True, True)
    assert succeeds(ansible)["changed"] is False


def test_a_refused_restore_leaves_no_safety_backup(ansible: Runner) -> None:
    (Path(ansible.lab.root) / EDGE / "backups" / WANTED).write_bytes(b"no backup at all")
    configuration = configuration_of(ansible.lab, EDGE)
    result = fails(ansible, "refused")
    assert "changed" not in result or result["changed"] is False
    assert safety_backups(ansible.lab) == []
    assert configuration_of(ansible.lab, EDGE) == configuration


def test_a_wanted_backup_that_is_incomplete_or_missing_is_refused_also_in_check_mode(ansible: Runner) -> None:
    (Path(ansible.lab.root) / EDGE / "backups" / WANTED).write_bytes(b"")
    before = digest_of_systems(ansible.lab)
    for check in (True, False):
        fails(ansible, "incomplete", check=check)
        assert RULES in fails(ansible, "not_found", check=check, name="missing.plb")["msg"]
        fails(ansible, "conflict", check=check, expected_machine_id="00112233445f")
    assert digest_of_systems(ansible.lab) == before


def test_somebody_else_at_work_stops_the_restore(ansible: Runner) -> None:
    set_quirks(ansible.lab, EDGE, faults=[{"command": "download", "does": "wait", "seconds": 4, "times": 1}])
    runs: list[Run] = []
    thread = Thread(target=lambda: runs.append(restore(ansible)))
    thread.start()
    until(lambda: any(name.startswith("pre-restore-") for name in backups_on(ansible.lab, EDGE)))
    with log_in(ansible.lab, EDGE) as connection:
        connection.backup().create_new("of a colleague.plb")
    thread.join(120)
    result = runs[0].result()
    assert (result["error"]["kind"], "of a colleague.plb" in result["msg"]) == ("conflict", True), result
    assert restores_on(ansible.lab, EDGE) == 0
    assert set(backups_on(ansible.lab, EDGE)) == {WANTED, RULES, "of a colleague.plb"}


def test_the_diff_names_the_members_that_differed(ansible: Runner) -> None:
    run = restore(ansible, diff=True)
    assert run.code == 0, run.output
    assert run.diff()["before"]["differing_members"] == ["manifest.json", "resources/Ruleset.json"]
    assert run.diff()["after"]["differing_members"] == []
    assert [each["name"] for each in run.diff()["before"]["backups"]] == [RULES, WANTED]
