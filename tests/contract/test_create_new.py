# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup.create_new."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
import standins
from conftest import System
from ways import REFUSED, CommandError

ILLEGAL = ["a/b.plb", "../a.plb", "a\\b.plb", "a\x00b", "a\nb", "\x7f", ".", "..", "x" * 256, "ä" * 128]
LEGAL = ["a", ".plb", " a b ", "ä" * 127 + "x", "x" * 255, "a,b;c.plb", "%2e%2e%2f", "-rf", "a?b#c&d=e", "日本.plb"]


@pytest.mark.sentence("create_new.creates", "create_new.name", "create_new.returns")
def test_a_backup_of_the_given_name_appears(session: Any, system: System) -> None:
    assert session.create_new("first.plb") == "first.plb"
    assert list(system.backups()) == ["first.plb"]
    assert system.backups()["first.plb"] != b""


@pytest.mark.sentence("create_new.name")
@pytest.mark.parametrize("name", LEGAL, ids=ascii)
def test_a_legal_name_is_kept_as_it_is(session: Any, system: System, name: str) -> None:
    assert session.create_new(name) == name
    assert list(system.backups()) == [name]
    assert list(session.list()) == [name]


@pytest.mark.sentence("create_new.name")
@pytest.mark.parametrize("name", ILLEGAL, ids=lambda name: ascii(name)[:20])
def test_an_illegal_name_is_refused_and_nothing_is_created(session: Any, system: System, name: str) -> None:
    before = system.digest()
    with pytest.raises(CommandError) as caught:
        session.create_new(name)
    assert caught.value.word == REFUSED
    assert system.digest() == before


@pytest.mark.sentence("create_new.generated_name", "create_new.returns")
def test_a_generated_name_holds_the_minute_in_which_it_was_made(session: Any, system: System) -> None:
    name = session.create_new()
    assert re.fullmatch(r"\d{8}-\d{2}\.\d{2}\.plb", name)
    made = datetime.strptime(name, "%Y%m%d-%H.%M.plb")  # noqa: DTZ007 - whose time zone it is, is not documented
    away = abs(made - datetime.now()) % timedelta(minutes=15)  # noqa: DTZ005
    assert min(away, timedelta(minutes=15) - away) < timedelta(minutes=2)
    assert list(system.backups()) == [name]


@pytest.mark.sentence("create_new.generated_name")
def test_a_generated_name_is_refused_where_it_exists(session: Any, system: System) -> None:
    system.needs(standins.REFUSES_TAKEN_NAMES)
    made, words = [], []
    for _number in range(4):  # among four there are two of the same minute, unless each takes a minute
        try:
            made.append(session.create_new())
        except CommandError as error:
            words.append(error.word)
    assert len(words) >= 2
    assert set(words) == {REFUSED}
    assert sorted(system.backups()) == sorted(made)


@pytest.mark.sentence("create_new.name")
def test_a_taken_name_is_refused_and_the_old_backup_stays(session: Any, system: System) -> None:
    system.needs(standins.REFUSES_TAKEN_NAMES)
    session.create_new("taken.plb")
    system.change(system.standin.resources()[0], "later")
    before = system.digest()
    with pytest.raises(CommandError) as caught:
        session.create_new("taken.plb")
    assert caught.value.word == REFUSED
    assert system.digest() == before


@pytest.mark.sentence("create_new.all_resources")
def test_without_a_resource_all_resources_are_included(session: Any, system: System) -> None:
    before = system.configuration()
    session.create_new("all.plb")
    for resource in system.standin.resources():
        system.change(resource, "changed")
        session.restore("all.plb", resource)
    assert system.configuration() == before


@pytest.mark.sentence("create_new.resource_name")
def test_with_a_resource_only_that_one_is_included(session: Any, system: System) -> None:
    included, other = system.standin.resources()
    before = system.configuration()
    session.create_new("one.plb", included)
    system.change(included, "changed")
    system.change(other, "changed")
    changed = system.configuration()
    session.restore("one.plb")
    assert system.configuration() == {**changed, included: before[included]}
    with pytest.raises(CommandError) as caught:
        session.restore("one.plb", other)
    assert caught.value.word == REFUSED


@pytest.mark.sentence("create_new.resource_name")
@pytest.mark.parametrize("resource", ["No Such Resource", "ruleset ", "*"])
def test_an_unknown_resource_is_refused_and_nothing_is_created(session: Any, system: System, resource: str) -> None:
    before = system.digest()
    with pytest.raises(CommandError) as caught:
        session.create_new("never.plb", resource)
    assert caught.value.word == REFUSED
    assert system.digest() == before


@pytest.mark.sentence("create_new.creates")
def test_creating_changes_no_configuration_and_no_other_backup(session: Any, system: System) -> None:
    session.create_new("first.plb")
    configuration, first = system.configuration(), system.backups()["first.plb"]
    session.create_new("second.plb")
    assert system.configuration() == configuration
    assert system.backups()["first.plb"] == first


@pytest.mark.sentence("create_new.creates")
def test_two_backups_of_an_unchanged_system_are_equal_and_those_of_a_changed_one_are_not(
    session: Any, system: System
) -> None:
    system.needs(standins.EQUAL_BACKUPS)
    for name in ("first.plb", "second"):
        session.create_new(name)
    system.change(system.standin.resources()[0], "changed")
    session.create_new("third")
    backups = system.backups()
    assert backups["first.plb"] == backups["second"]
    assert backups["first.plb"] != backups["third"]


@pytest.mark.sentence("create_new.creates")
def test_the_name_can_be_given_by_position(sdk: Any, system: System) -> None:
    included, other = system.standin.resources()
    assert sdk.call("create_new", "position.plb", included) == "position.plb"
    with pytest.raises(CommandError):
        sdk.restore("position.plb", other)
