# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Legal backup names, generated names, and the facts that a name contains."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

import pytest
from activelogic_embedded import store as embedded_store
from activelogic_gateway import names as gateway_names
from ansible_collections.netops.activelogic.plugins.module_utils import _names
from ansible_collections.netops.activelogic.plugins.module_utils._errors import OptionError

NOW = datetime(2026, 1, 31, 2, 15, 0, tzinfo=timezone.utc)

LEGAL = [
    "20210622-04.48.plb",
    "a",
    "with space.plb",
    "ö" * 127,
    "-leading-dash",
    "a,b.plb",
    "...",
    "x" * 255,
    "\u202ereversed",
]
ILLEGAL = [
    "",
    ".",
    "..",
    "a/b",
    "/a",
    "a\\b",
    "a\0b",
    "a\nb",
    "a\x7fb",
    "a\x85b",
    "x" * 256,
    "ö" * 128,
    "\ud800",
]


@pytest.mark.parametrize("name", LEGAL)
def test_legal_name_is_accepted(name: str) -> None:
    assert _names.why_illegal(name) == ""
    assert _names.require_legal(name) == name


@pytest.mark.parametrize("name", ILLEGAL)
def test_illegal_name_is_refused_with_its_option(name: str) -> None:
    assert _names.why_illegal(name)
    with pytest.raises(OptionError) as caught:
        _names.require_legal(name, "prefix")
    assert caught.value.reason.startswith("prefix ")


@pytest.mark.parametrize("name", LEGAL + ILLEGAL)
def test_gateway_and_embedded_system_draw_the_same_line(name: str) -> None:
    legal = _names.why_illegal(name) == ""
    assert (gateway_names.why_illegal(name) == "") is legal
    assert (embedded_store.why_illegal(name) == "") is legal


def test_generated_name_has_the_documented_form_and_tells_its_date() -> None:
    name = _names.generate(NOW, prefix="nightly-")
    assert name.startswith("nightly-20260131T021500Z-")
    assert name.endswith(".plb")
    assert len(name) == len("nightly-20260131T021500Z-7f3a.plb")
    assert _names.created_at(name) == NOW
    assert _names.purpose(name) == _names.FULL


def test_generated_name_of_a_part_is_no_full_backup() -> None:
    name = _names.generate(NOW, resource_name="System Diagnostics")
    assert name.endswith("-only-system-diagnostics.plb")
    assert _names.purpose(name) == _names.PARTIAL
    assert _names.created_at(name) == NOW


def test_two_generated_names_differ() -> None:
    assert len({_names.generate(NOW) for _number in range(50)}) > 40


def test_safety_backup_is_told_by_its_name() -> None:
    assert _names.purpose(_names.generate(NOW, prefix=_names.SAFETY_PREFIX)) == _names.SAFETY


def test_name_of_the_system_has_a_date_only_with_a_time_zone() -> None:
    assert _names.created_at("20210622-04.48.plb") is None
    found = _names.created_at("20210622-04.48.plb", timezone(timedelta(hours=2)))
    assert found == datetime(2021, 6, 22, 2, 48, tzinfo=timezone.utc)


@pytest.mark.parametrize("name", ["20219922-04.48.plb", "before-upgrade.plb", "x20210622-04.48.plb", "20210622-04.48"])
def test_name_without_a_date_has_none(name: str) -> None:
    assert _names.created_at(name, timezone.utc) is None


@pytest.mark.parametrize(
    ("created", "age"),
    [
        (None, None),
        (NOW - timedelta(hours=3), timedelta(hours=3)),
        (NOW + timedelta(minutes=5), timedelta(0)),
        (NOW + timedelta(minutes=5, seconds=1), None),
    ],
)
def test_age_is_unknown_without_a_date_and_far_in_the_future(created: datetime | None, age: timedelta | None) -> None:
    assert _names.age_at(NOW, created) == age


# Ambiguous names

HEX = "7f3a"
STAMP = "20260131T021500Z"
FORMER_SAFETY = f"pre-restore-{STAMP}-{HEX}.plb"
"""This and the following: names of the first version's scheme."""

FORMER_COMPARE = f"compare-{STAMP}-{HEX}-only-ruleset.plb"
FORMER_PARTS = (
    f"{STAMP}-{HEX}-only-system-diagnostics.plb",
    f"rules-{STAMP}-{HEX}-only-ruleset.plb",
    f"{STAMP}-{HEX}-only-.plb",
)

PIECES = [
    *("", "-", "a", "Z", "0", "7", "é", "\U0001f4be", " ", ".", "-only-", "only", "-only", "pre-restore-", "compare-"),
    *("Pre-Restore-", "nightly-", "x-only-y-", STAMP, f"{STAMP}-{HEX}", f"{STAMP}-{HEX}-only-", f"{STAMP}-{HEX}.plb"),
    *(FORMER_SAFETY, FORMER_COMPARE, *FORMER_PARTS, "20210622-04.48.plb", "20210622-04.48", ".plb", ".part", ".json"),
    *(".sha256", "20269999T999999Z-0000", STAMP.lower(), "T"),
]


def by_chance(chance: random.Random) -> str:
    """A prefix or a resource, put together from strings that have a meaning in names."""
    return "".join(chance.choice(PIECES) for _number in range(chance.randrange(5)))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_a_prefix_holds_a_name_tells_what_was_made(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - not for security
    for _number in range(500):
        prefix = by_chance(chance)
        if prefix in _names.OWN_PREFIXES:
            continue
        moment = NOW + timedelta(seconds=chance.randrange(-(10**9), 10**9))
        resource = chance.choice(["Ruleset", by_chance(chance)])
        try:
            full = _names.generate(moment, prefix=prefix)
            part = _names.generate(moment, prefix=prefix, resource_name=resource or "é")
        except OptionError:
            continue
        assert full.startswith(prefix)
        assert part.startswith(prefix)
        assert (_names.purpose(full), _names.created_at(full, timezone.utc)) == (_names.FULL, moment), full
        assert (_names.purpose(part), _names.created_at(part, timezone.utc)) == (_names.PARTIAL, moment), part


@pytest.mark.parametrize("prefix", _names.OWN_PREFIXES)
def test_a_prefix_of_a_restores_own_backups_is_refused(prefix: str) -> None:
    with pytest.raises(OptionError, match="prefix"):
        _names.require_prefix(prefix)
    for other in ("", f"my-{prefix}", f"{prefix}x-", prefix[:-1], prefix.upper(), f"{prefix}{prefix}"):
        assert _names.require_prefix(other) == other


@pytest.mark.parametrize("name", [FORMER_SAFETY, FORMER_COMPARE, f"compare-{STAMP}-{HEX}.plb"])
def test_what_restores_made_before_is_recognised(name: str) -> None:
    assert (_names.purpose(name), _names.created_at(name)) == (_names.SAFETY, NOW)


@pytest.mark.parametrize("name", FORMER_PARTS)
def test_what_was_made_of_one_resource_before_is_recognised(name: str) -> None:
    assert (_names.purpose(name), _names.created_at(name)) == (_names.PARTIAL, NOW)


@pytest.mark.parametrize(
    "name",
    [
        "my-only-backup.plb",
        "pre-restore-by-hand.plb",
        "compare-me.plb",
        f"pre-restore-x-{STAMP}-{HEX}.plb",
        f"x-only-{STAMP}-{HEX}.plb",
        f"pre-restore-20269999T999999Z-{HEX}.plb",
        f"pre-restore-{STAMP}-{HEX}.plb.json",
        f"pre-restore-{STAMP}-{HEX}.plb.part",
        f"pre-restore-{STAMP}-{HEX.upper()}.plb",
        f"{STAMP}-{HEX}-only-Ruleset.plb",
        f"{STAMP}-{HEX}-only-a--b.plb",
        f"{STAMP}-{HEX}-only-ruleset.plb.sha256",
        f"{STAMP.lower()}-{HEX}-only-ruleset.plb",
    ],
)
def test_only_exactly_our_forms_tell_a_purpose(name: str) -> None:
    assert _names.purpose(name) == _names.FULL


@pytest.mark.parametrize(
    "name",
    [
        f"{STAMP}-{HEX}.plb.json",
        f"{STAMP}-{HEX}.plb.sha256",
        f".{STAMP}-{HEX}.plb.part",
        f"{STAMP}-{HEX}.plb\n",
        f"{STAMP}-{HEX}",
        f"{STAMP}-{HEX}5.plb",
        "20210622-04.48.plb.json",
        "20210622-04.48.plb-nightly",
        "nightly-20210622-04.48.plb",
        "20210622-04.48.plb20210622-04.48.plb",
        "20210622-4.48.plb",
        "20210622-04.48.PLB",
        "\u0662\u0660210622-04.48.plb",
    ],
)
def test_what_only_looks_like_a_date_is_none(name: str) -> None:
    assert _names.created_at(name, timezone.utc) is None


def test_a_vendors_name_inside_a_prefix_is_no_date() -> None:
    name = _names.generate(NOW, prefix="20210622-04.48.plb-")
    assert _names.created_at(name, timezone(timedelta(hours=2))) == NOW


@pytest.mark.parametrize(
    ("name", "resource", "taken_for"),
    [
        ("before-upgrade.plb", None, ""),
        ("rules.plb", "Ruleset", ""),
        (f"{STAMP}-{HEX}.plb", None, ""),
        (f"{STAMP}-{HEX}-only-ruleset.plb", "Ruleset", ""),
        (f"{STAMP}-{HEX}.plb", "Ruleset", "a full backup"),
        ("20210622-04.48.plb", "Ruleset", "a full backup"),
        (f"{STAMP}-{HEX}-only-ruleset.plb", None, "a backup of one resource"),
        (FORMER_SAFETY, None, "one that a restore made"),
        (FORMER_COMPARE, "Ruleset", "one that a restore made"),
    ],
)
def test_a_name_that_would_be_taken_for_something_else_is_found(
    name: str, resource: str | None, taken_for: str
) -> None:
    assert _names.mistaken_for(name, resource) == taken_for


def test_a_resource_that_is_too_long_for_a_name_is_named_as_the_cause() -> None:
    with pytest.raises(OptionError, match="resource_name"):
        _names.generate(NOW, resource_name="x" * 300)
