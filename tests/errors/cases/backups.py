# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups that are missing, incomplete, or different from what they should be."""

from __future__ import annotations

import bz2
import re
from datetime import datetime, timedelta, timezone

from tests.errors.scene import BACKUP, INFO, TRANSFER, Facts, Scene, case
from tests.harness.login import DIRECT

TAKEN = "taken.plb"
HALF = bz2.compress(b"configuration" * 1000)[:-20]


@case("MACHINE_OTHER")
def machine_that_is_not_meant(scene: Scene) -> Facts:
    scene.run(BACKUP, name="new.plb", expected_machine_id="ffffffffffff")
    return {"expected": "ffffffffffff"}


@case("BACKUP_MISSING")
def restore_of_what_is_not_there(scene: Scene) -> Facts:
    scene.make("there.plb")
    scene.run(BACKUP, state="restored", name="missing.plb")
    return {"name": "missing.plb", "there": "there.plb"}


@case("BACKUP_VANISHED", DIRECT)
def removed_between_look_and_download(scene: Scene) -> Facts:
    scene.make(TAKEN)
    scene.odd_sdk("Vanishing")
    scene.may_change = True
    scene.run(TRANSFER, direction="fetch", name=TAKEN, dest=str(scene.archive))
    assert list(scene.archive.iterdir()) == []
    return {"name": TAKEN}


@case("BACKUP_TAKEN", DIRECT)
def made_between_look_and_upload(scene: Scene) -> Facts:
    scene.odd_sdk("Appearing")
    scene.may_change = True
    scene.run(TRANSFER, direction="push", src=scene.file("pushed.plb"), name=TAKEN)
    assert scene.listed()[TAKEN] != len(b"the content of a file"), "the other one's backup is lost"
    return {"name": TAKEN}


@case("BACKUP_INCOMPLETE")
def restore_of_an_empty_backup(scene: Scene) -> Facts:
    scene.place("empty.plb", b"")
    scene.run(BACKUP, state="restored", name="empty.plb")
    return {"why": "is empty"}


@case("BACKUP_INCOMPLETE")
def fetch_of_an_empty_backup(scene: Scene) -> Facts:
    scene.place("empty.plb", b"")
    scene.run(TRANSFER, direction="fetch", name="empty.plb", dest=str(scene.archive))
    return {"why": "is empty"}


@case("BACKUP_INCOMPLETE_THERE")
def small_backup_to_rely_on(scene: Scene) -> Facts:
    scene.place("small.plb", b"small")
    scene.run(BACKUP, name="small.plb", min_size=100)
    return {"name": "small.plb", "why": "has 5 bytes, less than 100 bytes (min_size)"}


@case("BACKUP_LATE")
def backup_that_stays_empty(scene: Scene) -> Facts:
    scene.quirks(complete_after=-1, incomplete_size="empty")
    scene.may_change = True
    scene.run(BACKUP, name="new.plb", wait_timeout=1)
    assert scene.listed() == {}
    return {"seconds": 1, "name": "new.plb", "why": "is empty"}


def _damaged(kind: str) -> str:
    return f"is a {kind} archive that is damaged, or of which bytes are missing"


@case("BACKUP_INCOMPLETE_THERE")
def half_a_backup_to_rely_on(scene: Scene) -> Facts:
    scene.place("half.plb", HALF)
    scene.run(BACKUP, name="half.plb")
    return {"name": "half.plb", "why": _damaged("bzip2")}


@case("BACKUP_DAMAGED")
def restore_of_half_a_backup(scene: Scene) -> Facts:
    scene.place("half.plb", HALF)
    scene.run(BACKUP, state="restored", name="half.plb")
    return {"why": _damaged("bzip2")}


@case("NEW_BACKUP_DAMAGED")
def backup_that_stays_half(scene: Scene) -> Facts:
    scene.quirks(complete_after=-1, incomplete_size="short")
    scene.may_change = True
    scene.run(BACKUP, name="new.plb", wait_timeout=1)
    assert scene.listed() == {}
    return {"name": "new.plb", "why": _damaged("gzip")}


@case("DOWNLOADS_DIFFER")
def downloads_that_are_damaged_each_in_another_way(scene: Scene) -> Facts:
    scene.make(TAKEN)
    flip = {"command": "download", "does": "flip", "when": "during"}
    scene.quirks(faults=[{**flip, "times": times, "at": 50 * times} for times in (1, 2, 3)])
    scene.run(BACKUP, name=TAKEN)
    return {"times": 3, "name": TAKEN}


@case("BACKUP_NOT_NEW", DIRECT)
def create_that_names_an_old_backup(scene: Scene) -> Facts:
    scene.make(TAKEN)
    scene.odd_sdk("NotNew")
    scene.run(BACKUP, always=True, system_name=True)
    return {"name": TAKEN}


@case("BACKUP_RENAMED", DIRECT)
def create_under_another_name(scene: Scene) -> Facts:
    scene.odd_sdk("Renaming")
    scene.may_change = True
    scene.run(BACKUP, name="new.plb")
    assert list(scene.listed()) == ["NEW.PLB"]
    return {"name": "NEW.PLB"}


@case("BACKUP_NAMED_ILLEGALLY", DIRECT)
def create_under_a_name_that_leads_out(scene: Scene) -> Facts:
    scene.odd_sdk("Escaping")
    scene.may_change = True
    scene.run(BACKUP, name="new.plb")
    assert list(scene.listed()) == ["new.plb"]
    return {"name": "../new.plb", "flaw": "holds '/'"}


@case("LISTING_LONG", DIRECT)
def listing_without_end(scene: Scene) -> Facts:
    scene.odd_sdk("Endless")
    scene.run(INFO)
    return {"most": 100_000}


@case("IDENTITY_WRONG", DIRECT)
def machine_id_that_clears_the_screen(scene: Scene) -> Facts:
    scene.odd_sdk("Boastful")
    scene.run(INFO)
    return {"what": "machine id", "most": 255}


@case("BACKUPS_LEFT", DIRECT)
def remove_that_does_nothing(scene: Scene) -> Facts:
    scene.make("old.plb")
    scene.odd_sdk("Keeping")
    scene.run(BACKUP, state="absent", name="old.plb")
    return {"names": "old.plb"}


@case("NO_UNUSED_NAME")
def all_names_taken(scene: Scene) -> None:
    clock = "import datetime\nimport secrets\n\nsecrets.token_hex = lambda _size: '0000'\n"
    moment = "datetime.datetime(2026, 1, 31, 2, 15, tzinfo=datetime.timezone.utc)"
    still = f"class Still(datetime.datetime):\n    @classmethod\n    def now(cls, tz=None):\n        return {moment}\n"
    scene.python("sitecustomize.py", f"{clock}\n\n{still}\n\ndatetime.datetime = Still\n")
    scene.place("20260131T021500Z-0000.plb", b"taken")
    scene.run(BACKUP, always=True)


@case("NO_LATEST")
def nothing_to_fetch(scene: Scene) -> Facts:
    scene.place("of-an-unknown-date.plb", b"content")
    scene.run(TRANSFER, direction="fetch", latest=True, dest=str(scene.archive))
    return {"passed_over": " (passed over: 1 unknown date)"}


def name_of(age: timedelta, prefix: str = "") -> str:
    """A name that the collection would give to a backup of that age."""
    return f"{prefix}{datetime.now(timezone.utc) - age:%Y%m%dT%H%M%SZ}-00ff.plb"


@case("LATEST_AHEAD")
def backup_made_where_the_clock_is_seven_minutes_ahead(scene: Scene) -> Facts:
    old, ahead = name_of(timedelta(days=10)), name_of(-timedelta(minutes=7))
    others = [name_of(-timedelta(days=1), prefix) for prefix in ("pre-restore-", "compare-")]
    for name in (old, ahead, *others):
        scene.make(name)
    scene.run(TRANSFER, direction="fetch", latest=True, dest=str(scene.archive))
    assert scene.outcome is not None
    (passed_over,) = scene.outcome.result["passed_over"]
    assert passed_over["name"] == ahead
    assert re.match("has a date that lies [56] min", passed_over["why"])
    return {"names": ahead}


@case("LATEST_AHEAD", DIRECT)
def backup_ahead_where_a_missing_one_may_be_skipped(scene: Scene) -> Facts:
    ahead = name_of(-timedelta(days=400), "nightly-")
    scene.make(ahead)
    scene.run(TRANSFER, direction="fetch", latest=True, prefix="nightly-", on_missing="skip", dest=str(scene.archive))
    return {"names": ahead}


@case("PREFIX_RESERVED", DIRECT)
def prefix_of_safety_backups(scene: Scene) -> Facts:
    scene.run(BACKUP, max_age="1h", prefix="pre-restore-")
    return {"prefix": "pre-restore-"}


@case("PREFIX_RESERVED", DIRECT)
def prefix_of_backups_to_compare(scene: Scene) -> Facts:
    scene.run(BACKUP, always=True, prefix="compare-", resource_name="Ruleset")
    return {"prefix": "compare-"}


@case("NAME_MISTAKEN")
def name_of_a_full_backup_for_one_resource(scene: Scene) -> Facts:
    name = name_of(timedelta(0), "nightly-")
    scene.run(BACKUP, name=name, resource_name="Ruleset")
    return {"name": name, "what": "a full backup"}


@case("NAME_MISTAKEN", DIRECT)
def name_of_a_safety_backup(scene: Scene) -> Facts:
    name = name_of(timedelta(0), "pre-restore-")
    scene.run(BACKUP, name=name, _ansible_check_mode=True)
    return {"name": name, "what": "one that a restore made"}


@case("SYSTEM_NAME_WRONG", DIRECT)
def system_names_a_backup_of_one_resource(scene: Scene) -> Facts:
    scene.run(BACKUP, always=True, system_name=True, resource_name="Ruleset")
    return {"options": "resource_name", "what": "that a backup is of one resource", "advice": "leave system_name off"}


@case("SYSTEM_NAME_WRONG", DIRECT)
def system_names_a_backup_with_a_prefix(scene: Scene) -> Facts:
    scene.run(BACKUP, max_age="1h", system_name=True, prefix="nightly-", timezone="UTC")
    return {"options": "max_age and prefix", "what": "the prefix", "advice": "leave out one of them"}


@case("SYSTEM_NAME_WRONG", DIRECT)
def system_names_a_backup_whose_age_counts(scene: Scene) -> Facts:
    scene.run(BACKUP, max_age="1h", system_name=True)
    advice = "set timezone to the one of the system"
    return {"options": "max_age and without timezone", "what": "the age", "advice": advice}
