# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a legal backup name is, how ours are made, and what a name tells."""

from __future__ import annotations

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
