# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard for production systems, tested on a stand-in's: it sends nothing that was not permitted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.guard import ForbiddenError, GuardedSession, Leave
from tests.contract.systems import System
from tests.contract.ways import SDK_SYNC, Way
from tests.harness.lab import Lab

RUN_SECONDS = 240
CONTRACT = Path(__file__).parent
REAL = CONTRACT / "test_real_system.py"
KEPT = "production.plb"
FOREIGN = [KEPT, "contract-of-somebody.plb", ""]
UNUSABLE = 4
"""pytest's exit code for invalid options."""

Suite = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def production(system: System) -> System:
    """A system with a backup that does not belong to the test suite."""
    session = system.connect()
    session.create_new(KEPT)
    session.close()
    return system


@pytest.fixture
def suite(production: System, lab: Lab, tmp_path: Path) -> Suite:
    """Runs the test suite on that system in a separate process: by default the tests for real systems."""

    def run(*options: str, tests: Path = REAL, **login: str) -> subprocess.CompletedProcess[str]:
        login = {"USERNAME": production.username, "PASSWORD": production.password, **login}
        words = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "-p", "no:xdist"]
        words += [f"--basetemp={tmp_path / 'base'}", f"--system={production.name}"]
        words += [f"--sdk-module={production.standin.module}", f"--gateway-url={lab.url}", f"--ca-path={lab.ca_path}"]
        done = subprocess.run(
            [*words, *options, str(tests), f"--ignore={CONTRACT / 'mutants'}"],
            cwd=CONTRACT.parents[1],
            env={**os.environ, **{f"ACTIVELOGIC_{name}": value for name, value in login.items()}},
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        assert production.password not in done.stdout + done.stderr
        return done

    return run


def test_without_leave_nothing_changes(suite: Suite, production: System) -> None:
    with production.unchanged():
        done = suite(tests=CONTRACT)
    assert done.returncode == 0, done.stdout
    assert re.search(r"[0-9]{3,} deselected", done.stdout), "other tests than those for real systems ran"
    assert "--allow-write is not given" in done.stdout


def test_with_leave_to_write_only_the_run_s_own_backups_come_and_go(suite: Suite, production: System) -> None:
    configuration, backups = production.configuration(), production.backups()
    done = suite("--allow-write")
    assert done.returncode == 0, done.stdout
    assert "--allow-write is not given" not in done.stdout
    assert "--allow-restore is not given" in done.stdout
    assert (production.configuration(), production.backups(), production.restores()) == (configuration, backups, 0)


def test_with_the_machine_id_what_was_made_is_restored(suite: Suite, production: System) -> None:
    configuration, backups = production.configuration(), production.backups()
    done = suite("--allow-write", f"--allow-restore={production.machineid()}")
    assert done.returncode == 0, done.stdout
    assert production.restores() == 4
    assert (production.configuration(), production.backups()) == (configuration, backups)


def test_with_another_machine_id_nothing_is_restored(suite: Suite, production: System) -> None:
    configuration, backups = production.configuration(), production.backups()
    done = suite("--allow-write", "--allow-restore=001122334455")
    assert done.returncode == 1, done.stdout
    assert "is not the one to be restored" in done.stdout
    assert (production.configuration(), production.backups(), production.restores()) == (configuration, backups, 0)


def test_half_of_what_it_takes_is_refused(suite: Suite, production: System) -> None:
    with production.unchanged():
        assert suite("--allow-restore=001122334455").returncode == UNUSABLE
        assert suite(PASSWORD="").returncode == UNUSABLE
        assert suite(USERNAME="").returncode == UNUSABLE


@pytest.fixture
def way(production: System) -> Iterator[Way]:
    with Way(SDK_SYNC, production.standin.module, "", "") as made:
        yield made


def guarded(way: Way, system: System, leave: Leave) -> GuardedSession:
    return GuardedSession(way, (system.name, system.username, system.password), leave)


def commands(session: GuardedSession, name: Any, folder: Path) -> list[Callable[[], object]]:
    (folder / "source").write_bytes(b"content")
    return [
        lambda: session.create_new(name),
        lambda: session.create_new(name, "Config"),
        lambda: session.upload(name, folder / "source"),
        lambda: session.download(name, folder / "target"),
        lambda: session.remove(name),
        lambda: session.restore(name),
        lambda: session.restore(name, "Config"),
        lambda: session.type_error("upload", backup_name=name, in_path=str(folder / "source")),
        lambda: session.type_error("download", backup_name=name, dest_path=str(folder / "target")),
        lambda: session.type_error("remove", name=name),
    ]


def refused(session: GuardedSession, system: System, name: Any, folder: Path) -> None:
    with system.unchanged():
        for command in commands(session, name, folder):
            with pytest.raises(ForbiddenError):
                command()
    assert not (folder / "target").exists()


@pytest.mark.parametrize("name", [*FOREIGN, None, 5, b"contract-"], ids=repr)
def test_a_name_of_somebody_else_is_never_touched(way: Way, production: System, tmp_path: Path, name: Any) -> None:
    with guarded(way, production, Leave(True, production.machineid())) as session:
        refused(session, production, name, tmp_path)


def test_a_name_of_another_run_is_never_touched(way: Way, production: System, tmp_path: Path) -> None:
    leave = Leave(True, production.machineid())
    with guarded(way, production, leave) as session:
        for name in (Leave().name("made"), leave.prefix, leave.name("../made"), leave.name("made") + "x"):
            refused(session, production, name, tmp_path)


def test_without_leave_not_even_own_names_are_written(way: Way, production: System, tmp_path: Path) -> None:
    leave = Leave(False, production.machineid())
    with guarded(way, production, leave) as session:
        refused(session, production, leave.name("made"), tmp_path)


def test_what_was_uploaded_is_not_restored(way: Way, production: System, tmp_path: Path) -> None:
    leave = Leave(True, production.machineid())
    with guarded(way, production, leave) as session:
        (tmp_path / "source").write_bytes(production.backups()[KEPT])
        session.upload(leave.name("up"), tmp_path / "source")
        with production.unchanged(), pytest.raises(ForbiddenError):
            session.restore(leave.name("up"))


def test_leftovers_are_removed_after_a_failure(way: Way, production: System, tmp_path: Path) -> None:
    leave, backups = Leave(True), production.backups()
    (tmp_path / "source").write_bytes(b"content")

    def fail() -> None:
        with guarded(way, production, leave) as session:
            session.create_new(leave.name("one"))
            session.upload(leave.name("two"), tmp_path / "source")
            assert len(production.backups()) == len(backups) + 2
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    assert production.backups() == backups
