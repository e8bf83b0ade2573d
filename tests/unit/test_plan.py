# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan decides what is done and what ``changed`` reports."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils import _plan
from ansible_collections.netops.activelogic.plugins.module_utils._errors import IncompleteBackupError, OptionError
from ansible_collections.netops.activelogic.plugins.module_utils._model import BackupFile, Listing

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=timezone.utc)
OLD = BackupFile("20260130T000000Z-0000.plb", 10)
YOUNG = BackupFile("20260131T100000Z-0001.plb", 10)

AHEAD = BackupFile("20260131T120501Z-0002.plb", 10)
"""One second beyond the tolerance for dates in the future."""


def listing(*backups: BackupFile, incomplete: dict[str, str] | None = None) -> Listing:
    return Listing(tuple(backups), incomplete or {})


def fresh(found: Listing, prefix: str = "", zone: timezone | None = None) -> _plan.Plan:
    return _plan.plan_fresh(found, "new.plb", max_age=timedelta(hours=20), now=NOW, prefix=prefix, zone=zone)


def named(found: Listing, name: str, force: bool) -> _plan.Plan:
    return _plan.plan_named(found, name, force, now=NOW, zone=None)


def test_complete_named_backup_is_reused() -> None:
    plan = named(listing(BackupFile("a", 1)), "a", force=False)
    assert (plan.action, plan.changed) == ("reused", False)


@pytest.mark.parametrize(
    ("name", "zone", "said"),
    [
        ("before-upgrade.plb", None, "its age is not known"),
        ("20260131-11.00.plb", None, "its age is not known"),
        (AHEAD.name, None, "its age is not known"),
        ("20260131-11.00.plb", timezone.utc, "1 h old"),
        (YOUNG.name, None, "2 h old"),
    ],
)
def test_a_reused_name_says_how_old_the_backup_is_or_warns(name: str, zone: timezone | None, said: str) -> None:
    plan = _plan.plan_named(listing(BackupFile(name, 10)), name, False, now=NOW, zone=zone)
    assert plan.reason.endswith(said)
    assert ("max_age" in plan.warning) is ("not known" in said)


def test_a_name_that_is_made_warns_of_nothing() -> None:
    assert named(listing(), "before-upgrade.plb", force=False).warning == ""


def test_missing_named_backup_is_created() -> None:
    plan = named(listing(BackupFile("a", 1)), "b", force=False)
    assert (plan.action, plan.changed, plan.name) == ("created", True, "b")
    assert [each.name for each in plan.after] == ["a", "b"]


def test_incomplete_named_backup_is_an_error_without_force() -> None:
    with pytest.raises(IncompleteBackupError, match="is empty"):
        named(listing(BackupFile("a", 0), incomplete={"a": "is empty"}), "a", force=False)


def test_incomplete_named_backup_is_made_anew_with_force() -> None:
    plan = named(listing(BackupFile("a", 0), incomplete={"a": "is empty"}), "a", force=True)
    assert (plan.action, plan.changed, plan.remove) == ("created", True, ("a",))
    assert plan.before == (BackupFile("a", 0),)


def test_young_backup_is_reused_and_the_newest_is_taken() -> None:
    plan = fresh(listing(OLD, YOUNG))
    assert (plan.action, plan.changed, plan.name) == ("reused", False, YOUNG.name)
    assert "is 2 h old, at most 20 h is wanted" in plan.reason
    assert plan.warning == ""


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
        (BackupFile("20260131T130000Z-0002.plb", 10), "1 date ahead of the clock"),
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


# Dates in the future


def newest(found: Listing, prefix: str = "") -> _plan.Newest:
    return _plan.newest_full(found, now=NOW, prefix=prefix, zone=None)


def test_a_date_ahead_is_passed_over_and_warned_of() -> None:
    found = newest(listing(OLD, YOUNG, AHEAD))
    assert (found.backup, found.ahead) == (YOUNG, AHEAD.name)
    assert AHEAD.name in found.warning
    why = "has a date that lies 5 min 1 s ahead of the clock"
    assert _plan.passed_over_to_result(found.candidates) == [{"name": AHEAD.name, "why": why}]


@pytest.mark.parametrize("found", [listing(AHEAD), listing(OLD, AHEAD), listing(YOUNG, AHEAD)])
def test_a_date_ahead_is_a_warning_whether_a_backup_is_made_or_reused(found: Listing) -> None:
    plan = fresh(found)
    assert AHEAD.name in plan.warning
    assert [each.name for each in plan.passed_over] == [AHEAD.name]


def test_a_date_ahead_within_the_tolerance_counts_as_new() -> None:
    near = BackupFile("20260131T120500Z-0002.plb", 10)
    found = newest(listing(YOUNG, near))
    assert (found.backup, found.age, found.ahead, found.warning) == (near, timedelta(0), "", "")


@pytest.mark.parametrize(
    "name",
    [
        f"other-{AHEAD.name}",
        f"pre-restore-{AHEAD.name}",
        f"nightly-{AHEAD.name[:-4]}-only-ruleset.plb",
        f"compare-{AHEAD.name}",
    ],
)
def test_a_date_ahead_of_what_could_not_be_the_newest_does_not_matter(name: str) -> None:
    mine = BackupFile(f"nightly-{YOUNG.name}", 10)
    found = newest(listing(mine, BackupFile(name, 10)), prefix="nightly-")
    assert (found.backup, found.ahead, found.warning, found.candidates) == (mine, "", "", ())


def test_a_date_ahead_of_a_backup_that_is_not_complete_does_not_matter() -> None:
    found = newest(listing(YOUNG, AHEAD, incomplete={AHEAD.name: "is empty"}))
    assert (found.backup, found.ahead) == (YOUNG, "")
    assert _plan.passed_over_to_result(found.candidates) == [{"name": AHEAD.name, "why": "is empty"}]


def test_what_was_passed_over_is_bounded_in_the_result_and_in_the_sentence() -> None:
    many = [BackupFile(f"{number:05}-{AHEAD.name}", 10) for number in range(5000)]
    found = newest(listing(*many))
    assert len(_plan.passed_over_to_result(found.candidates)) == _plan.MOST_PASSED_OVER
    assert found.ahead.endswith("and 4990 more")
    assert len(found.warning) < 1000


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
