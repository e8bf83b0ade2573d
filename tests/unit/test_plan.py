# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan alone decides what is done and what ``changed`` says."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils import _plan
from ansible_collections.netops.activelogic.plugins.module_utils._client import Listing
from ansible_collections.netops.activelogic.plugins.module_utils._errors import IncompleteBackupError, OptionError
from ansible_collections.netops.activelogic.plugins.module_utils._model import BackupFile

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=timezone.utc)
OLD = BackupFile("20260130T000000Z-0000.plb", 10)
YOUNG = BackupFile("20260131T100000Z-0001.plb", 10)


def listing(*backups: BackupFile, incomplete: dict[str, str] | None = None) -> Listing:
    return Listing(tuple(backups), incomplete or {})


def fresh(found: Listing, prefix: str = "", zone: timezone | None = None) -> _plan.Plan:
    return _plan.plan_fresh(found, "new.plb", max_age=timedelta(hours=20), now=NOW, prefix=prefix, zone=zone)


def test_complete_named_backup_is_reused() -> None:
    plan = _plan.plan_named(listing(BackupFile("a", 1)), "a", force=False)
    assert (plan.action, plan.changed) == ("reused", False)


def test_missing_named_backup_is_created() -> None:
    plan = _plan.plan_named(listing(BackupFile("a", 1)), "b", force=False)
    assert (plan.action, plan.changed, plan.name) == ("created", True, "b")
    assert [each.name for each in plan.after] == ["a", "b"]


def test_incomplete_named_backup_is_an_error_without_force() -> None:
    with pytest.raises(IncompleteBackupError, match="is empty"):
        _plan.plan_named(listing(BackupFile("a", 0), incomplete={"a": "is empty"}), "a", force=False)


def test_incomplete_named_backup_is_made_anew_with_force() -> None:
    plan = _plan.plan_named(listing(BackupFile("a", 0), incomplete={"a": "is empty"}), "a", force=True)
    assert (plan.action, plan.changed, plan.remove) == ("created", True, ("a",))
    assert plan.before == (BackupFile("a", 0),)


def test_young_backup_is_reused_and_the_newest_is_taken() -> None:
    plan = fresh(listing(OLD, YOUNG))
    assert (plan.action, plan.changed, plan.name) == ("reused", False, YOUNG.name)
    assert "2h" in plan.reason


def test_old_backup_is_not_reused() -> None:
    plan = fresh(listing(OLD))
    assert (plan.action, plan.changed, plan.name) == ("created", True, "new.plb")


@pytest.mark.parametrize(
    ("backup", "counted"),
    [
        (BackupFile("pre-restore-20260131T110000Z-0002.plb", 10), "1 safety backup"),
        (BackupFile("20260131T110000Z-0002-only-ruleset.plb", 10), "1 partial backup"),
        (BackupFile("20260131-11.00.plb", 10), "1 unknown date"),
        (BackupFile("by-hand.plb", 10), "1 unknown date"),
        (BackupFile("20260131T130000Z-0002.plb", 10), "1 unknown date"),
    ],
)
def test_backup_that_can_not_be_relied_on_is_passed_over_and_counted(backup: BackupFile, counted: str) -> None:
    plan = fresh(listing(OLD, backup))
    assert plan.action == "created"
    assert counted in plan.reason


def test_incomplete_backup_is_passed_over() -> None:
    plan = fresh(listing(YOUNG, incomplete={YOUNG.name: "is still changing in size"}))
    assert plan.action == "created"
    assert "1 not complete" in plan.reason


def test_name_of_the_system_counts_with_a_time_zone() -> None:
    plan = fresh(listing(BackupFile("20260131-11.00.plb", 10)), zone=timezone.utc)
    assert (plan.action, plan.name) == ("reused", "20260131-11.00.plb")


def test_other_prefix_is_passed_over() -> None:
    plan = fresh(listing(YOUNG), prefix="nightly-")
    assert plan.action == "created"
    assert "1 other prefix" in plan.reason


def test_always_creates() -> None:
    assert _plan.plan_always(listing(YOUNG), "new.plb").changed


def test_absent_removes_what_is_there_and_nothing_else() -> None:
    plan = _plan.plan_absent(listing(OLD, YOUNG), [OLD.name, "missing", OLD.name])
    assert (plan.action, plan.changed, plan.remove) == ("removed", True, (OLD.name,))
    assert plan.after == (YOUNG,)


def test_absent_of_missing_names_changes_nothing() -> None:
    plan = _plan.plan_absent(listing(OLD), ["missing"])
    assert (plan.action, plan.changed, plan.remove) == ("none", False, ())


def test_restore_is_a_change_even_without_a_safety_backup() -> None:
    plan = _plan.plan_restored(listing(OLD), OLD.name, None, "nothing to compare with")
    assert (plan.action, plan.changed, plan.after) == ("restored", True, (OLD,))
    assert "nothing to compare with" in plan.reason


def test_what_is_proven_to_be_there_is_not_restored() -> None:
    plan = _plan.plan_restored(listing(OLD), OLD.name, "safety.plb", "the same bytes", is_proven=True)
    assert (plan.action, plan.changed, plan.after) == ("none", False, (OLD,))


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604800), (" 2w ", 1209600)]
)
def test_duration_is_read(text: str, seconds: int) -> None:
    assert _plan.parse_duration(text, "max_age").total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "0", "0h", "-1h", "1.5h", "soon", "1h30m", "1y"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(OptionError, match="max_age"):
        _plan.parse_duration(text, "max_age")
