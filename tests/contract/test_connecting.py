# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connecting, the Connection, the list of systems, and the names of the exceptions."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import re
from datetime import datetime
from typing import Any

import pytest

from tests.contract import standins
from tests.contract.conftest import NOBODY
from tests.contract.standins import Standin
from tests.contract.systems import System
from tests.contract.ways import LOCAL_FILE, LOGIN, NO_SESSION, SDK_ASYNC, UNREACHABLE, CommandError


async def settle(result: Any) -> Any:
    """Await the result of ``close`` if necessary; whether it is a coroutine is not documented."""
    return await result if inspect.isawaitable(result) else result


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
    assert distversion == (system.distversion() or distversion) != ""


@pytest.mark.sentence("connection.facts")
def test_logging_in_changes_nothing(session: Any, system: System) -> None:
    with system.unchanged():
        session.identity()


@pytest.mark.sentence("connection.facts")
def test_two_systems_have_different_machine_ids(session: Any, system: System, way: Any) -> None:
    other = system.neighbour()
    elsewhere = way.connect(other.name, other.username, other.password)
    assert other.machineid() != system.machineid()
    assert session.identity()[0] == system.machineid()
    assert elsewhere.identity()[0] == other.machineid()


@pytest.mark.sentence("connect.authorization")
@pytest.mark.parametrize("password", PASSWORDS, ids=[str(number) for number in range(len(PASSWORDS))])
def test_a_password_of_any_characters_logs_in(way: Any, system: System, password: str) -> None:
    system.standin.add_user(system.name, "somebody", password, "write")
    session = way.connect(system.name, "somebody", password)
    assert session.create_new("made.plb") == "made.plb"
    assert list(system.backups()) == ["made.plb"]
    with pytest.raises(CommandError) as caught:
        way.connect(system.name, "somebody", password[:-1] + "?").list()
    assert caught.value.word == LOGIN


@pytest.mark.sentence("connect.authorization")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda password: password[:-1],
        lambda password: password + " ",
        lambda password: password.swapcase(),
        lambda password: "-" + password,
        lambda password: " " + password,
        lambda password: password[:8],
        lambda password: password.replace("\u00e9", "e\u0301"),
        lambda password: "quite-Another-0ne",
        lambda password: "*",
        lambda password: "",
    ],
    ids=["shorter", "longer", "case", "before", "space before", "8", "decomposed", "other", "pattern", "none"],
)
def test_a_wrong_password_is_refused_and_not_told(way: Any, system: System, spoil: Any) -> None:
    system.standin.add_user(system.name, "somebody", "aB3-correct-hors\u00e9", "write")
    before = system.digest()
    wrong = spoil("aB3-correct-hors\u00e9")
    with pytest.raises(CommandError) as caught:
        way.connect(system.name, "somebody", wrong).list()
    assert caught.value.word == LOGIN
    assert not wrong or wrong not in caught.value.text
    assert "correct-hors" not in caught.value.text
    assert system.digest() == before


@pytest.mark.sentence("connect.authorization")
@pytest.mark.parametrize("username", ["nobody", "Admin", "admin ", "admin\x00"], ids=ascii)
def test_an_unknown_user_is_refused(way: Any, system: System, username: str) -> None:
    with pytest.raises(CommandError) as caught:
        way.connect(system.name, username, system.password).list()
    assert caught.value.word == LOGIN


@pytest.mark.sentence("connect.authorization")
def test_the_user_of_another_system_is_refused(way: Any, system: System) -> None:
    other = system.neighbour()
    other.standin.add_user(other.name, "only-there", other.password, "write")
    for username in (other.username, "only-there"):
        with pytest.raises(CommandError) as caught:
            way.connect(system.name, username, other.password).list()
        assert caught.value.word == LOGIN


@pytest.mark.sentence("connect.authorization")
def test_a_user_logs_in_with_no_password_but_the_own(way: Any, system: System) -> None:
    username, password = system.add_user("read")
    for login in ((username, system.password), (system.username, password)):
        with pytest.raises(CommandError) as caught:
            way.connect(system.name, *login).list()
        assert caught.value.word == LOGIN
    assert way.connect(system.name, username, password).list() == {}


@pytest.mark.sentence("connect.refused")
def test_a_system_that_is_not_there_refuses_the_connection(way: Any, system: System) -> None:
    with pytest.raises(CommandError) as caught:
        way.connect(NOBODY, system.username, system.password).list()
    assert caught.value.word in ({UNREACHABLE} if system.answers(standins.PLAIN_ERRORS) else {UNREACHABLE, LOCAL_FILE})


@pytest.mark.sentence("connect.refused")
@pytest.mark.parametrize("spoil", ["./{}", "{}/", "{}/../{}", "../{}", " {}", "{}x", ""])
def test_what_is_only_like_the_address_of_a_system_is_none(sdk_way: Any, system: System, spoil: str) -> None:
    system.needs(standins.EXACT_NAMES)
    with system.unchanged(), pytest.raises(CommandError) as caught:
        sdk_way.connect(spoil.format(system.name, system.name), system.username, system.password)
    assert caught.value.word == UNREACHABLE


@pytest.mark.sentence("connect.async")
def test_connecting_for_asyncio_gives_a_connection(standin: Standin, system: System) -> None:
    sdk = importlib.import_module(standin.module)

    async def use() -> None:
        connection = await sdk.async_connect(system.name, system.username, system.password)
        backup = await connection.backup()
        assert await backup.create_new("made.plb") == "made.plb"
        if system.answers(standins.CLOSES):
            await settle(connection.close())

    asyncio.run(use())
    assert list(system.backups()) == ["made.plb"]


@pytest.mark.sentence("connect.sync", "connect.async")
def test_the_parameters_of_connecting_can_be_given_by_name(sdk_way: Any, standin: Standin, system: System) -> None:
    system.needs(standins.CLOSES)
    sdk = importlib.import_module(standin.module)
    named = {"password": system.password, "username": system.username, "host": system.name}

    async def use() -> str:
        async with await sdk.async_connect(**named) as connection:
            return str(connection.machineid)

    if sdk_way.name == SDK_ASYNC:
        assert asyncio.run(use()) == system.machineid()
    else:
        with sdk.sync_connect(**named) as connection:
            assert connection.machineid == system.machineid()


@pytest.mark.sentence("connect.sync")
def test_the_proxy_gives_plain_values(standin: Standin, system: System) -> None:
    system.needs(standins.CLOSES)
    sdk = importlib.import_module(standin.module)
    with sdk.sync_connect(system.name, system.username, system.password) as connection:
        backup = connection.backup()
        assert backup.create_new("made.plb") == "made.plb"
        assert [each.name for each in backup.list(sdk.BackupFile)] == ["made.plb"]
        assert not inspect.isawaitable(backup.remove("made.plb"))
    assert system.backups() == {}


@pytest.mark.sentence("connect.sync")
def test_blocking_methods_work_also_where_a_loop_runs(standin: Standin, system: System) -> None:
    system.needs(standins.BLOCKS_INSIDE_LOOPS)
    sdk = importlib.import_module(standin.module)

    async def use() -> None:
        connection = sdk.sync_connect(system.name, system.username, system.password)
        assert connection.backup().create_new("made.plb") == "made.plb"

    asyncio.run(use())
    assert list(system.backups()) == ["made.plb"]


@pytest.mark.sentence("connect.sync")
def test_a_resource_outlives_the_name_of_its_connection(standin: Standin, system: System) -> None:
    system.needs(standins.RESOURCES_KEEP_CONNECTIONS)
    sdk = importlib.import_module(standin.module)
    backup = sdk.sync_connect(system.name, system.username, system.password).backup()
    assert backup.create_new("made.plb") == "made.plb"
    assert list(system.backups()) == ["made.plb"]


@pytest.mark.sentence("connection.closed")
def test_after_close_facts_are_value_errors_and_commands_have_no_session(sdk: Any, system: System) -> None:
    system.needs(standins.CLOSES)
    connection, backup = sdk.connection, sdk.backup
    assert connection.machineid == system.machineid()
    sdk.run_close()
    for fact in ("machineid", "distversion"):
        with pytest.raises(ValueError):  # noqa: PT011 - its text is not documented
            getattr(connection, fact)
    sdk.backup = backup
    for call in (lambda: sdk.create_new("never.plb"), sdk.list, sdk.reopen):
        with system.unchanged(), pytest.raises(CommandError) as caught:
            call()
        assert caught.value.word == NO_SESSION or not system.answers(standins.PLAIN_ERRORS)


@pytest.mark.sentence("connection.closed")
def test_a_second_close_does_no_harm(sdk: Any, system: System) -> None:
    system.needs(standins.CLOSES_TWICE)
    sdk.run_close()
    sdk.run_close()


@pytest.mark.sentence("connection.closed")
def test_closing_one_session_leaves_another_one_open(sdk: Any, sdk_way: Any, system: System) -> None:
    system.needs(standins.CLOSES)
    other = sdk_way.connect(system.name, system.username, system.password)
    sdk.run_close()
    assert other.create_new("made.plb") == "made.plb"


@pytest.mark.sentence("connection.context")
def test_the_end_of_the_block_closes(sdk_way: Any, system: System, standin: Standin) -> None:
    system.needs(standins.CLOSES)
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
    system.needs(standins.CLOSES)
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
    other = system.neighbour()
    found = sdk.overview()
    mine = found[system.machineid()]
    assert mine.distversion == sdk.connection.distversion
    assert (type(mine), type(mine.name), type(mine.host)) == (sdk.sdk.GraphSystem, str, str)
    assert isinstance(mine.firstupdate, datetime)
    assert isinstance(mine.lastupdate, datetime)
    assert mine.firstupdate <= mine.lastupdate
    assert re.fullmatch("[0-9a-f]{32}", mine.configmd5)
    if system.answers(standins.OVERVIEW_OF_HOSTS):
        theirs = found[other.machineid()]
        assert (mine.name, mine.host, theirs.name, theirs.host) == (system.name,) * 2 + (other.name,) * 2


@pytest.mark.sentence("overview.list")
def test_the_md5_of_the_overview_follows_the_configuration(sdk: Any, system: System) -> None:
    system.needs(standins.MD5_OF_EVERYTHING)

    def md5() -> str:
        return str(sdk.overview()[system.machineid()].configmd5)

    sdk.create_new("before.plb")
    seen = [md5()]
    for resource in system.standin.resources():
        system.change(resource, "changed")
        seen.append(md5())
    assert len(set(seen)) == len(seen)
    sdk.restore("before.plb")
    assert md5() == seen[0]


@pytest.mark.sentence("overview.list")
def test_the_overview_lists_nothing_else(sdk: Any) -> None:
    overview = sdk.run(sdk.connection.system_overview())
    for cls in (sdk.sdk.BackupFile, str, None):
        with pytest.raises(ValueError):  # noqa: PT011 - its text is not documented
            sdk.run(overview.list(cls))


@pytest.mark.sentence("exceptions.names")
@pytest.mark.parametrize("name", EXCEPTIONS)
def test_the_exceptions_have_the_names_of_the_vendor(standin: Standin, name: str) -> None:
    if standins.ALL_EXCEPTIONS not in standin.answers:
        pytest.skip("this stand-in is of a generation with fewer")
    module = importlib.import_module(f"{standin.module}.exception")
    assert issubclass(getattr(module, name), Exception)


@pytest.mark.sentence("exceptions.names")
def test_every_exception_is_a_class_of_its_own(standin: Standin) -> None:
    if standins.ALL_EXCEPTIONS not in standin.answers:
        pytest.skip("this stand-in is of a generation with fewer")
    module = importlib.import_module(f"{standin.module}.exception")
    assert len({getattr(module, name) for name in EXCEPTIONS}) == len(EXCEPTIONS)
