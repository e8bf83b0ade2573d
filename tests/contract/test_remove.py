# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup.remove."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract import standins
from tests.contract.systems import System


@pytest.mark.sentence("remove.removes")
@pytest.mark.parametrize("name", ["a.plb", "b.plb", "b.plb.plb", "ab.plb"])
def test_the_backup_is_gone_and_every_other_one_is_as_it_was(session: Any, system: System, name: str) -> None:
    for each in ("a.plb", "b.plb", "b.plb.plb", "ab.plb"):
        session.create_new(each)
    configuration, backups = system.configuration(), system.backups()
    session.remove(name)
    del backups[name]
    assert system.backups() == backups
    assert system.configuration() == configuration
    assert sorted(session.list()) == sorted(backups)


@pytest.mark.sentence("remove.removes")
def test_the_parameter_can_be_given_by_name(sdk: Any, system: System) -> None:
    sdk.create_new("a.plb")
    sdk.create_new("b.plb")
    sdk.call("remove", name="a.plb")
    assert list(system.backups()) == ["b.plb"]


@pytest.mark.sentence("remove.removes")
def test_every_backup_can_be_removed_one_after_the_other(session: Any, system: System) -> None:
    names = ["c.plb", "a.plb", "b.plb"]
    for name in names:
        session.create_new(name)
    for number, name in enumerate(names, 1):
        session.remove(name)
        assert sorted(session.list()) == sorted(system.backups()) == sorted(names[number:])


@pytest.mark.sentence("remove.removes")
def test_a_backup_of_the_same_name_on_another_system_stays(session: Any, system: System, way: Any) -> None:
    other = system.neighbour()
    way.connect(other.name, other.username, other.password).create_new("a.plb")
    session.create_new("a.plb")
    with other.unchanged():
        session.remove("a.plb")
    assert system.backups() == {}


@pytest.mark.sentence("remove.removes")
@pytest.mark.parametrize("name", ["missing.plb", "A.plb", "a", "a.plb ", "*", "?.plb", "a.pl", "%61.plb"])
def test_a_missing_backup_is_refused(session: Any, system: System, name: str) -> None:
    system.needs(standins.REFUSES_MISSING_NAMES, session)
    if name != "missing.plb":
        system.needs(standins.EXACT_NAMES, session)
    session.create_new("a.plb")
    with system.refused():
        session.remove(name)


@pytest.mark.sentence("remove.removes")
@pytest.mark.parametrize("name", ["", ".", "..", "../backups/a.plb", "./a.plb", "a.plb\x00"], ids=ascii)
def test_an_illegal_name_is_refused(session: Any, system: System, name: str) -> None:
    system.needs(standins.REFUSES_ILLEGAL_NAMES, session)
    session.create_new("a.plb")
    with system.refused():
        session.remove(name)


@pytest.mark.sentence("remove.removes")
def test_a_second_removal_is_refused(session: Any, system: System) -> None:
    system.needs(standins.REFUSES_MISSING_NAMES, session)
    session.create_new("a.plb")
    session.create_new("b.plb")
    session.remove("a.plb")
    with system.refused():
        session.remove("a.plb")
    assert list(system.backups()) == ["b.plb"]


@pytest.mark.sentence("remove.removes")
def test_the_name_of_a_removed_backup_can_be_used_again(session: Any, system: System) -> None:
    session.create_new("a.plb")
    session.remove("a.plb")
    assert session.create_new("a.plb") == "a.plb"
    assert list(system.backups()) == ["a.plb"]
