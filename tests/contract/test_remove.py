# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup.remove."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import System
from ways import REFUSED, CommandError


@pytest.mark.sentence("remove.removes")
def test_the_backup_is_gone_and_every_other_one_is_as_it_was(session: Any, system: System) -> None:
    for name in ("a.plb", "b.plb", "b"):
        session.create_new(name)
    configuration, backups = system.configuration(), system.backups()
    session.remove("b.plb")
    del backups["b.plb"]
    assert system.backups() == backups
    assert system.configuration() == configuration
    assert list(session.list()) == ["a.plb", "b"]


@pytest.mark.sentence("remove.removes")
@pytest.mark.parametrize("name", ["missing.plb", "A.plb", "a", "a.plb ", "*", "?.plb", "a.pl"])
def test_a_missing_backup_is_refused(session: Any, system: System, name: str) -> None:
    session.create_new("a.plb")
    before = system.digest()
    with pytest.raises(CommandError) as caught:
        session.remove(name)
    assert caught.value.word == REFUSED
    assert system.digest() == before


@pytest.mark.sentence("remove.removes")
@pytest.mark.parametrize("name", ["", ".", "..", "../backups/a.plb", "./a.plb", "a.plb\x00"], ids=ascii)
def test_an_illegal_name_is_refused(session: Any, system: System, name: str) -> None:
    session.create_new("a.plb")
    before = system.digest()
    with pytest.raises(CommandError) as caught:
        session.remove(name)
    assert caught.value.word == REFUSED
    assert system.digest() == before


@pytest.mark.sentence("remove.removes")
def test_a_second_removal_is_refused(session: Any, system: System) -> None:
    session.create_new("a.plb")
    session.remove("a.plb")
    with pytest.raises(CommandError) as caught:
        session.remove("a.plb")
    assert caught.value.word == REFUSED
    assert system.backups() == {}


@pytest.mark.sentence("remove.removes")
def test_the_name_of_a_removed_backup_can_be_used_again(session: Any, system: System) -> None:
    session.create_new("a.plb")
    session.remove("a.plb")
    assert session.create_new("a.plb") == "a.plb"
    assert list(system.backups()) == ["a.plb"]
