# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup.create_new."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contract import standins
from tests.contract.examples import ILLEGAL, LEGAL, PLAIN
from tests.contract.systems import System
from tests.contract.ways import CommandError


def generated(session: Any, system: System, **named: Any) -> str:
    """Make a backup whose name the system generates; require the name's format."""
    name: str = session.create_new(**named)
    assert re.fullmatch(r"\d{8}-\d{2}\.\d{2}\.plb", name)
    made = datetime.strptime(name, "%Y%m%d-%H.%M.plb")  # noqa: DTZ007 - its time zone is not documented
    away = abs(made - datetime.now())  # noqa: DTZ005
    assert away < timedelta(hours=27)
    assert min(away % timedelta(minutes=15), -away % timedelta(minutes=15)) < timedelta(minutes=2)
    assert list(system.backups()) == [name]
    return name


def holds_only(session: Any, system: System, name: str, included: str, before: dict[str, Any]) -> None:
    """Require that a backup made in the configuration ``before`` contains one resource and no other."""
    for resource in system.standin.resources():
        system.change(resource, "changed")
    changed = system.configuration()
    for other in system.standin.resources():
        if other != included:
            system.not_restored(session, name, other)
    session.restore(name)
    assert system.configuration() == {**changed, included: before[included]}


@pytest.mark.sentence("create_new.creates", "create_new.name", "create_new.returns")
def test_a_backup_of_the_given_name_appears(session: Any, system: System) -> None:
    name = session.create_new("first.plb")
    assert isinstance(name, str)
    assert name == "first.plb"
    assert list(system.backups()) == ["first.plb"]
    assert system.backups()["first.plb"] != b""


@pytest.mark.sentence("create_new.name", "create_new.returns")
@pytest.mark.parametrize("name", [*PLAIN, *LEGAL], ids=ascii)
def test_a_legal_name_is_kept_as_it_is(session: Any, system: System, name: str) -> None:
    if name in LEGAL:
        system.needs(standins.TAKES_LEGAL_NAMES)
    assert session.create_new(name) == name
    assert list(system.backups()) == [name]
    assert list(session.list()) == [name]


@pytest.mark.sentence("create_new.name")
@pytest.mark.parametrize("name", ILLEGAL, ids=lambda name: ascii(name)[:20])
def test_an_illegal_name_is_refused_and_nothing_is_created(session: Any, system: System, name: str) -> None:
    system.needs(standins.REFUSES_ILLEGAL_NAMES, session)
    with system.refused():
        session.create_new(name)


@pytest.mark.sentence("create_new.generated_name", "create_new.returns")
def test_a_generated_name_holds_the_minute_in_which_it_was_made(session: Any, system: System) -> None:
    name = generated(session, system)
    assert list(session.list()) == [name]


@pytest.mark.sentence("create_new.generated_name")
@pytest.mark.parametrize("named", [{"name": ""}, {"resource_name": None}, {"name": "", "resource_name": None}])
def test_the_defaults_may_be_given(sdk: Any, system: System, named: dict[str, Any]) -> None:
    before = system.configuration()
    name = sdk.call("create_new", **named)
    assert re.fullmatch(r"\d{8}-\d{2}\.\d{2}\.plb", name)
    for resource in system.standin.resources():
        system.change(resource, "changed")
    sdk.restore(name)
    assert system.configuration() == before


@pytest.mark.sentence("create_new.generated_name", "create_new.resource_name")
def test_a_backup_of_one_resource_gets_a_generated_name_too(session: Any, system: System) -> None:
    included = system.standin.resources()[1]
    before = system.configuration()
    name = generated(session, system, resource_name=included)
    holds_only(session, system, name, included, before)


@pytest.mark.sentence("create_new.generated_name")
def test_a_generated_name_is_refused_where_it_exists(session: Any, system: System) -> None:
    system.needs(standins.GENERATED_NAMES_COLLIDE)
    made, words = [], set()
    for _number in range(4):  # at least two are of the same minute, unless each takes a minute
        try:
            made.append(session.create_new())
        except CommandError as error:
            words.add(error.word)
    assert len(set(made)) <= 2
    assert len(words) == 1
    assert sorted(system.backups()) == sorted(made)


@pytest.mark.sentence("create_new.generated_name")
def test_every_generated_name_is_that_of_a_backup(session: Any, system: System) -> None:
    made = {session.create_new()}
    for _number in range(2):
        with contextlib.suppress(CommandError):  # same minute
            made.add(session.create_new())
    assert set(session.list()) == set(system.backups()) == made


@pytest.mark.sentence("create_new.name")
def test_a_taken_name_is_refused_and_the_old_backup_stays(session: Any, system: System) -> None:
    system.needs(standins.REFUSES_TAKEN_NAMES, session)
    session.create_new("taken.plb")
    system.change(system.standin.resources()[0], "later")
    with system.refused():
        session.create_new("taken.plb")


@pytest.mark.sentence("create_new.name")
def test_after_a_second_backup_of_a_name_there_is_one_and_whole(session: Any, system: System) -> None:
    states = [system.configuration()]
    session.create_new("taken.plb")
    system.change(system.standin.resources()[0], "later")
    states.append(system.configuration())
    try:
        session.create_new("taken.plb")
    except CommandError:
        del states[1]
    assert session.list() == {"taken.plb": len(system.backups()["taken.plb"])}
    system.change(system.standin.resources()[0], "much later")
    session.restore("taken.plb")
    assert system.configuration() == states[-1]


@pytest.mark.sentence("create_new.all_resources")
def test_without_a_resource_all_resources_are_included(session: Any, system: System) -> None:
    before = system.configuration()
    session.create_new("all.plb")
    for resource in system.standin.resources():
        system.change(resource, "changed")
    for resource in system.standin.resources():
        assert system.configuration() != before
        session.restore("all.plb", resource)
    assert system.configuration() == before


@pytest.mark.sentence("create_new.creates")
def test_a_backup_holds_the_configuration_of_its_moment(session: Any, system: System) -> None:
    session.create_new("early.plb")
    session.list()
    for resource in system.standin.resources():
        system.change(resource, "just before")
    moment = system.configuration()
    session.create_new("now.plb")
    for resource in system.standin.resources():
        system.change(resource, "just after")
    session.restore("now.plb")
    assert system.configuration() == moment


@pytest.mark.sentence("create_new.resource_name")
@pytest.mark.parametrize("which", [0, 1, -1])
def test_with_a_resource_only_that_one_is_included(session: Any, system: System, which: int) -> None:
    included = system.standin.resources()[which]
    before = system.configuration()
    assert session.create_new("one.plb", included) == "one.plb"
    holds_only(session, system, "one.plb", included, before)


@pytest.mark.sentence("create_new.resource_name")
@pytest.mark.parametrize("resource", ["No Such Resource", "ruleset ", "*"])
def test_an_unknown_resource_is_refused_and_nothing_is_created(session: Any, system: System, resource: str) -> None:
    if resource != "No Such Resource":
        system.needs(standins.EXACT_NAMES)
    with system.refused():
        session.create_new("never.plb", resource)
    with system.refused():
        session.create_new("", resource)


@pytest.mark.sentence("create_new.creates")
def test_creating_changes_no_configuration_and_no_other_backup(session: Any, system: System, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"no backup of this system")
    session.upload("foreign.plb", tmp_path / "file")
    session.create_new("first.plb")
    configuration, backups = system.configuration(), system.backups()
    session.create_new("second.plb")
    assert system.configuration() == configuration
    after = system.backups()
    assert after.pop("second.plb") != b""
    assert after == backups


@pytest.mark.sentence("create_new.creates")
def test_two_backups_of_an_unchanged_system_are_equal_and_those_of_a_changed_one_are_not(
    session: Any, system: System
) -> None:
    system.needs(standins.EQUAL_BACKUPS)
    for name in ("first.plb", "second.plb"):
        session.create_new(name)
    system.change(system.standin.resources()[0], "changed")
    session.create_new("third.plb")
    backups = system.backups()
    assert backups["first.plb"] == backups["second.plb"]
    assert backups["first.plb"] != backups["third.plb"]


@pytest.mark.sentence("create_new.creates")
def test_the_parameters_can_be_given_by_position_and_by_name(sdk: Any, system: System) -> None:
    included = system.standin.resources()[0]
    before = system.configuration()
    assert sdk.call("create_new", "position.plb", included) == "position.plb"
    assert sdk.call("create_new", resource_name=included, name="name.plb") == "name.plb"
    assert sorted(system.backups()) == ["name.plb", "position.plb"]
    for name in ("position.plb", "name.plb"):
        holds_only(sdk, system, name, included, before)
