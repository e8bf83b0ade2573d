# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that are safe on a production system: the one named by ``--system HOST``, otherwise a stand-in's.

Reading is always allowed; the rest needs ``--allow-write`` and ``--allow-restore MACHINEID``, see :mod:`guard`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import make_way
from tests.contract.guard import GuardedSession, Leave
from tests.contract.systems import System
from tests.contract.ways import CLIENT_GATEWAY, SDK_WAYS, TYPE, VALUE, WAYS, CommandError, Way

RESTORE_SECONDS = 900.0
"""Seconds that a real system may take to respond after a restore."""

sdk_only = pytest.mark.parametrize("the_way", SDK_WAYS, indirect=True)
"""For calls that the client does not have."""

Login = tuple[str, str, str]


@pytest.fixture
def login(request: pytest.FixtureRequest) -> Login:
    """Host, username and password: of the real system, or of a new one of the stand-in."""
    host = request.config.getoption("--system")
    if host is None:
        system: System = request.getfixturevalue("system")
        return system.name, system.username, system.password
    return host, os.environ["ACTIVELOGIC_USERNAME"], os.environ["ACTIVELOGIC_PASSWORD"]


@pytest.fixture(params=WAYS)
def the_way(request: pytest.FixtureRequest) -> Iterator[Way]:
    """Each way; through a gateway only if there is one."""
    option = request.config.getoption
    if option("--system") is None:
        with make_way(request) as made:
            yield made
        return
    if request.param == CLIENT_GATEWAY and not option("--gateway-url"):
        pytest.skip("there is no --gateway-url")
    urls = option("--gateway-url") or "", option("--ca-path") or ""
    with Way(request.param, option("--sdk-module"), *urls, keeps_sessions=False, ready_seconds=RESTORE_SECONDS) as made:
        yield made


@pytest.fixture
def leave(request: pytest.FixtureRequest) -> Leave:
    """What the command line permits; everything on a stand-in's system."""
    if request.config.getoption("--system") is None:
        return Leave(True, request.getfixturevalue("system").machineid())
    return Leave(request.config.getoption("--allow-write"), request.config.getoption("--allow-restore"))


@pytest.fixture
def guarded(the_way: Way, login: Login, leave: Leave) -> Iterator[GuardedSession]:
    with GuardedSession(the_way, login, leave) as session:
        yield session


@pytest.fixture
def writing(leave: Leave) -> Leave:
    if not leave.may_write:
        pytest.skip("--allow-write is not given")
    return leave


@pytest.fixture
def restoring(writing: Leave) -> Leave:
    if writing.restore_on is None:
        pytest.skip("--allow-restore is not given")
    return writing


@pytest.mark.sentence("connection.facts")
def test_machine_id_and_firmware_are_told(guarded: GuardedSession) -> None:
    machineid, distversion = guarded.identity()
    assert machineid
    assert distversion
    assert guarded.identity() == (machineid, distversion)


@pytest.mark.sentence("list.returns", "list.name", "list.size")
def test_backups_are_listed_with_names_and_sizes(guarded: GuardedSession) -> None:
    for name, size in guarded.list().items():
        assert name
        assert isinstance(name, str)
        assert isinstance(size, int)
        assert size >= 0


@pytest.mark.sentence("list.returns")
@sdk_only
def test_the_listing_is_a_list_of_backup_files(guarded: GuardedSession) -> None:
    listed = guarded.list_of(guarded.sdk.BackupFile)
    assert isinstance(listed, list)
    assert {type(each) for each in listed} <= {guarded.sdk.BackupFile}


@pytest.mark.sentence("list.value_error")
@pytest.mark.parametrize("cls", [str, object, None], ids=str)
@sdk_only
def test_anything_else_can_not_be_listed(guarded: GuardedSession, cls: Any) -> None:
    with pytest.raises(CommandError) as caught:
        guarded.list_of(cls)
    assert caught.value.word == VALUE


@pytest.mark.sentence("overview.list")
@sdk_only
def test_the_overview_knows_the_system_itself(guarded: GuardedSession) -> None:
    machineid, distversion = guarded.identity()
    assert guarded.overview()[machineid].distversion == distversion


@pytest.mark.sentence("connection.closed")
@sdk_only
def test_after_the_end_facts_are_value_errors(guarded: GuardedSession) -> None:
    if not guarded.can_be_closed:
        pytest.skip("nothing is left of a connection that was let go")
    guarded.run_close()
    for name in ("machineid", "distversion"):
        with pytest.raises(ValueError):  # noqa: PT011 - its text is not documented
            guarded.fact(name)


@pytest.mark.sentence("create_new.creates", "create_new.returns", "remove.removes", "download.dest_path")
def test_a_backup_is_made_listed_downloaded_and_removed(
    guarded: GuardedSession, writing: Leave, tmp_path: Path
) -> None:
    name, before = writing.name("made"), guarded.list()
    assert guarded.create_new(name) == name
    listed = guarded.list()
    assert listed == {**before, name: listed[name]}
    guarded.download(name, tmp_path / "target")
    assert (tmp_path / "target").stat().st_size == listed[name] > 0
    guarded.remove(name)
    assert guarded.list() == before


@pytest.mark.sentence("upload.in_path", "upload.any_bytes", "download.dest_path")
def test_any_bytes_come_back_as_they_were_stored(guarded: GuardedSession, writing: Leave, tmp_path: Path) -> None:
    name, content = writing.name("stored"), bytes(range(256)) * 4100 + b"\r\n\x1a\x00end"
    (tmp_path / "source").write_bytes(content)
    guarded.upload(name, tmp_path / "source")
    assert guarded.list()[name] == len(content)
    guarded.download(name, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == content


@pytest.mark.sentence("download.error.neither", "download.error.both", "download.error.path", "download.error.text")
@sdk_only
def test_a_wrong_use_of_download_is_a_type_error(guarded: GuardedSession, writing: Leave, tmp_path: Path) -> None:
    target = str(tmp_path / "target")
    for named in ({}, {"dest_path": target, "ofile_obj": io.BytesIO()}, {"dest_path": 5}, {"ofile_obj": io.StringIO()}):
        with pytest.raises(CommandError) as caught:
            guarded.type_error("download", backup_name=writing.name("none"), **named)
        assert caught.value.word == TYPE
    assert not (tmp_path / "target").exists()


@pytest.mark.sentence("upload.error.neither", "upload.error.both", "upload.error.path", "upload.error.text")
@sdk_only
def test_a_wrong_use_of_upload_is_a_type_error(guarded: GuardedSession, writing: Leave, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"content")
    both = {"in_path": str(tmp_path / "source"), "ifile_obj": io.BytesIO(b"content")}
    for named in ({}, both, {"in_path": 5}, {"ifile_obj": io.StringIO("text")}, {"ifile_obj": io.BytesIO()}):
        with pytest.raises(CommandError) as caught:
            guarded.type_error("upload", backup_name=writing.name("none"), **named)
        assert caught.value.word == TYPE
    assert writing.name("none") not in guarded.list()


@pytest.mark.sentence("restore.restores")
def test_a_backup_is_restored_and_the_system_answers_again(guarded: GuardedSession, restoring: Leave) -> None:
    before = guarded.identity()
    guarded.create_new(restoring.name("before"))
    guarded.restore(restoring.name("before"))
    assert guarded.identity() == before
    assert restoring.name("before") in guarded.list()
