# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connecting, the Connection, the list of systems, and the names of the exceptions."""

from __future__ import annotations

import asyncio
import importlib
from datetime import datetime
from typing import Any

import pytest
from conftest import NOBODY, System
from standins import Standin
from ways import LOGIN, NO_SESSION, SDK_ASYNC, UNREACHABLE, CommandError

PASSWORDS = ["pässwörd", "пароль", "a:b", " space at each end ", "x" * 200, "'\"\\$`%{}", "\u65e5\u672c"]

EXCEPTIONS = [
    "PLDBError",
    "PLDBCriticalError",
    "PLDBDetached",
    "PLDBIOError",
    "PLDBNewDataCommitted",
    "PLDBCapabilityError",
    "PLDBUnsupportedInFirmware",
    "PLDBUnsupportedInHardware",
]


@pytest.mark.sentence("connection.facts")
def test_the_session_tells_which_system_it_is(session: Any, system: System) -> None:
    machineid, distversion = session.identity()
    assert machineid == system.machineid()
    assert distversion.replace(".", "").isdigit()


@pytest.mark.sentence("connection.facts")
def test_two_systems_have_different_machine_ids(session: Any, system: System, way: Any) -> None:
    other = System(system.standin, f"{system.name}-other", "admin", system.password)
    other.standin.make(other.name, other.username, other.password)
    assert other.machineid() != system.machineid()
    assert session.identity()[0] == system.machineid()


@pytest.mark.sentence("connect.authorization")
@pytest.mark.parametrize("password", PASSWORDS, ids=[str(number) for number in range(len(PASSWORDS))])
def test_a_password_of_any_characters_logs_in(way: Any, system: System, password: str) -> None:
    system.standin.add_user(system.name, "somebody", password, "write")
    session = way.connect(system.name, "somebody", password)
    assert session.create_new("made.plb") == "made.plb"
    assert list(system.backups()) == ["made.plb"]


@pytest.mark.sentence("connect.authorization")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda password: password[:-1],
        lambda password: password + " ",
        lambda password: password.swapcase(),
        lambda password: "-" + password,
        lambda password: "other",
    ],
    ids=["shorter", "longer", "case", "before", "other"],
)
def test_a_wrong_password_is_refused_and_not_told(way: Any, system: System, spoil: Any) -> None:
    system.standin.add_user(system.name, "somebody", "aB3-correct-horse", "write")
    before = system.digest()
    wrong = spoil("aB3-correct-horse")
    with pytest.raises(CommandError) as caught:
        way.connect(system.name, "somebody", wrong).list()
    assert caught.value.word == LOGIN
    assert wrong not in caught.value.text
    assert "correct-horse" not in caught.value.text
    assert system.digest() == before


@pytest.mark.sentence("connect.authorization")
@pytest.mark.parametrize("username", ["nobody", "Admin", "admin ", "admin\x00"], ids=ascii)
def test_an_unknown_user_is_refused(way: Any, system: System, username: str) -> None:
    with pytest.raises(CommandError) as caught:
        way.connect(system.name, username, system.password).list()
    assert caught.value.word == LOGIN


@pytest.mark.sentence("connect.authorization")
def test_the_user_of_another_system_is_refused(way: Any, system: System) -> None:
    other = System(system.standin, f"{system.name}-other", "admin", "another password")
    other.standin.make(other.name, other.username, other.password)
    with pytest.raises(CommandError) as caught:
        way.connect(system.name, other.username, other.password).list()
    assert caught.value.word == LOGIN


@pytest.mark.sentence("connect.refused")
def test_a_system_that_is_not_there_refuses_the_connection(way: Any, system: System) -> None:
    with pytest.raises(CommandError) as caught:
        way.connect(NOBODY, system.username, system.password).list()
    assert caught.value.word == UNREACHABLE


@pytest.mark.sentence("connect.async")
def test_connecting_for_asyncio_gives_a_connection(standin: Standin, system: System) -> None:
    sdk = importlib.import_module(standin.module)

    async def use() -> None:
        connection = await sdk.async_connect(system.name, system.username, system.password)
        assert isinstance(connection, sdk.Connection)
        backup = await connection.backup()
        assert isinstance(backup, sdk.Backup)
        assert await backup.create_new("made.plb") == "made.plb"
        connection.close()

    asyncio.run(use())
    assert list(system.backups()) == ["made.plb"]


@pytest.mark.sentence("connect.sync")
def test_blocking_methods_work_also_where_a_loop_runs(standin: Standin, system: System) -> None:
    sdk = importlib.import_module(standin.module)

    async def use() -> None:
        with sdk.sync_connect(system.name, system.username, system.password) as connection:
            assert connection.backup().create_new("made.plb") == "made.plb"

    asyncio.run(use())
    assert list(system.backups()) == ["made.plb"]


@pytest.mark.sentence("connect.sync")
def test_a_resource_outlives_the_name_of_its_connection(standin: Standin, system: System) -> None:
    sdk = importlib.import_module(standin.module)
    backup = sdk.sync_connect(system.name, system.username, system.password).backup()
    assert backup.create_new("made.plb") == "made.plb"
    assert list(system.backups()) == ["made.plb"]


@pytest.mark.sentence("connection.closed")
def test_after_close_facts_are_value_errors_and_commands_have_no_session(sdk: Any, system: System) -> None:
    connection, backup = sdk.connection, sdk.backup
    assert connection.machineid == system.machineid()
    sdk.run_close()
    for fact in ("machineid", "distversion"):
        with pytest.raises(ValueError):  # noqa: PT011 - its text is not documented
            getattr(connection, fact)
    before = system.digest()
    sdk.backup = backup
    with pytest.raises(CommandError) as caught:
        sdk.create_new("never.plb")
    assert caught.value.word == NO_SESSION
    with pytest.raises(CommandError) as caught:
        sdk.reopen()
    assert caught.value.word == NO_SESSION
    assert system.digest() == before


@pytest.mark.sentence("connection.closed")
def test_a_second_close_does_no_harm(sdk: Any) -> None:
    sdk.run_close()
    sdk.run_close()


@pytest.mark.sentence("connection.closed")
def test_closing_one_session_leaves_another_one_open(sdk: Any, sdk_way: Any, system: System) -> None:
    other = sdk_way.connect(system.name, system.username, system.password)
    sdk.run_close()
    assert other.create_new("made.plb") == "made.plb"


@pytest.mark.sentence("connection.context")
def test_the_end_of_the_block_closes(sdk_way: Any, system: System, standin: Standin) -> None:
    sdk = importlib.import_module(standin.module)
    login = (system.name, system.username, system.password)

    async def use() -> Any:
        async with await sdk.async_connect(*login) as connection:
            assert connection.machineid == system.machineid()
        return connection

    if sdk_way.name == SDK_ASYNC:
        connection = asyncio.run(use())
    else:
        with sdk.sync_connect(*login) as connection:
            assert connection.machineid == system.machineid()
    with pytest.raises(ValueError):  # noqa: PT011 - its text is not documented
        str(connection.machineid)


@pytest.mark.sentence("connection.context")
def test_an_exception_leaves_the_block_and_closes(sdk_way: Any, system: System, standin: Standin) -> None:
    sdk = importlib.import_module(standin.module)
    login = (system.name, system.username, system.password)
    seen = []

    async def use() -> None:
        async with await sdk.async_connect(*login) as connection:
            seen.append(connection)
            raise KeyError("mine")

    def use_sync() -> None:
        with sdk.sync_connect(*login) as connection:
            seen.append(connection)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(use()) if sdk_way.name == SDK_ASYNC else use_sync()
    with pytest.raises(ValueError):  # noqa: PT011 - its text is not documented
        str(seen[0].machineid)


@pytest.mark.sentence("overview.list")
def test_the_overview_lists_this_system_and_others(sdk: Any, system: System) -> None:
    other = System(system.standin, f"{system.name}-other", "admin", system.password)
    other.standin.make(other.name, other.username, other.password)
    overview = sdk.run(sdk.connection.system_overview())
    found = {each.systemid: each for each in sdk.run(overview.list(sdk.sdk.GraphSystem))}
    assert {system.machineid(), other.machineid()} <= set(found)
    mine = found[system.machineid()]
    assert (mine.name, mine.host, mine.distversion) == (system.name, system.name, sdk.connection.distversion)
    assert isinstance(mine.firstupdate, datetime)
    assert mine.firstupdate <= mine.lastupdate
    assert len(mine.configmd5) == 32


@pytest.mark.sentence("overview.list")
def test_the_md5_of_the_overview_follows_the_configuration(sdk: Any, system: System) -> None:
    def md5() -> str:
        overview = sdk.run(sdk.connection.system_overview())
        rows = sdk.run(overview.list(sdk.sdk.GraphSystem))
        return next(str(each.configmd5) for each in rows if each.systemid == system.machineid())

    sdk.create_new("before.plb")
    before = md5()
    system.change(system.standin.resources()[0], "changed")
    assert md5() != before
    sdk.reopen()
    sdk.restore("before.plb")
    assert md5() == before


@pytest.mark.sentence("overview.list")
def test_the_overview_lists_nothing_else(sdk: Any) -> None:
    overview = sdk.run(sdk.connection.system_overview())
    with pytest.raises(ValueError):  # noqa: PT011 - its text is not documented
        sdk.run(overview.list(sdk.sdk.BackupFile))


@pytest.mark.sentence("exceptions.names")
@pytest.mark.parametrize("name", EXCEPTIONS)
def test_the_exceptions_have_the_names_of_the_vendor(standin: Standin, name: str) -> None:
    module = importlib.import_module(f"{standin.module}.exception")
    assert issubclass(getattr(module, name), Exception)
