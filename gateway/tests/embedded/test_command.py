# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command activelogic-embedded: sometimes run as users do, mostly in a forked process, which starts faster."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import activelogic_embedded as sdk
from activelogic_embedded.exception import PLDBError, PLDBIOError
from tests.harness.forked_programs import EMBEDDED, run_forked


def run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return run_forked(EMBEDDED, *map(str, arguments), stdin=stdin)


def run_program(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "activelogic_embedded", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)


def fails(*arguments: object, stdin: str = "") -> str:
    """Run the command, which must exit with status 2 and one line on standard error; return that line."""
    done = run(*arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("activelogic-embedded: ")
    return done.stderr


def test_init_prints_a_generated_password_once_and_it_logs_in(root: Path) -> None:
    done = run_program("init", root, "edge2", "edge3")
    assert (done.returncode, done.stderr) == (0, "")
    found = re.fullmatch(r"password of admin: ([A-Za-z0-9]{20})\n", done.stdout)
    assert found
    for system in ("edge2", "edge3"):
        sdk.sync_connect(system, "admin", found[1]).close()
    with pytest.raises(PLDBIOError):
        sdk.sync_connect("edge1", "admin", found[1])


@pytest.mark.parametrize("password", ["pässwörd", " spaces ", "a:b", "x" * 200, "tab\tinside", "пароль"])
def test_init_takes_the_first_line_of_a_file_as_the_password(root: Path, tmp_path: Path, password: str) -> None:
    (tmp_path / "file").write_text(f"{password}\nsecond line\n", encoding="utf-8")
    done = run("init", root, "edge2", "--username", "ops", "--password-file", tmp_path / "file")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    sdk.sync_connect("edge2", "ops", password).close()
    with pytest.raises(PLDBIOError):
        sdk.sync_connect("edge2", "admin", password)


def test_init_takes_the_password_from_standard_input(root: Path) -> None:
    assert run_program("init", root, "edge2", "--password-file", "-", stdin="from stdin\r\nmore").returncode == 0
    sdk.sync_connect("edge2", "admin", "from stdin").close()


def test_init_makes_a_missing_root_and_systems_that_differ(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert run("init", folder, "one", "two").returncode == 0
    assert sorted(each.name for each in folder.iterdir()) == ["one", "two"]
    assert (folder / "one").stat().st_mode & 0o777 == 0o700
    digests = {run("digest", folder, name).stdout for name in ("one", "two")}
    assert len(digests) == 2


def test_init_refuses_a_name_that_is_taken_and_makes_none(root: Path) -> None:
    before = run("digest", root).stdout
    assert "'edge1' exists" in fails("init", root, "edge2", "edge1")
    assert not (root / "edge2").exists()
    assert run("digest", root).stdout == before


@pytest.mark.parametrize("names", [["a/b"], [".hidden"], [""], ["twice", "twice"], ["good", ".hidden"]], ids=str)
def test_init_refuses_what_can_be_no_name(root: Path, names: list[str]) -> None:
    fails("init", root, *names)
    assert [each.name for each in root.iterdir()] == ["edge1"]


def test_an_empty_or_missing_password_file_is_an_error(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    fails("init", root, "edge2", "--password-file", tmp_path / "empty")
    assert "missing" in fails("init", root, "edge2", "--password-file", tmp_path / "missing")
    assert not (root / "edge2").exists()


def test_of_two_that_make_the_same_system_one_succeeds_and_nothing_is_left_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "activelogic_embedded", "init", str(tmp_path), "edge1"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    for _round in range(5):
        started = [subprocess.Popen(command, **pipes) for _number in range(4)]  # type: ignore[call-overload]
        ended = [(process.communicate(timeout=60), process.returncode) for process in started]
        assert sorted(code for _output, code in ended) == [0, 2, 2, 2]
        assert all("exists already" in output[1] for output, code in ended if code)
        assert [each.name for each in tmp_path.iterdir()] == ["edge1"]
        shutil.rmtree(tmp_path / "edge1")


def test_text_that_is_no_unicode_is_an_error_in_one_line(root: Path, tmp_path: Path) -> None:
    (tmp_path / "latin-1").write_bytes("pässwörd".encode("latin-1"))
    assert "UTF-8" in fails("init", root, "edge2", "--password-file", tmp_path / "latin-1")
    assert not (root / "edge2").exists()
    before = run("digest", root).stdout
    assert "UTF-8" in fails("set", root, "edge1", "Config", "hostname", '"\\ud800"')
    assert run("digest", root).stdout == before


def test_a_damaged_database_is_an_error_in_one_line(root: Path) -> None:
    (root / "edge1" / "system.sqlite").write_bytes(b"no database" * 1000)
    for name, *more in (("show",), ("digest",), ("set", "Config", "a", "1")):
        assert "database" in fails(name, root, "edge1", *more)


def test_what_is_no_json_is_stored_as_text(root: Path) -> None:
    for text in ("NaN", "[Infinity]"):
        assert run("set", root, "edge1", "Config", "hostname", text).returncode == 0
        assert json.loads(run("show", root, "edge1", "Config").stdout)["hostname"] == text


def test_quirks_are_changed_and_printed(root: Path) -> None:
    assert json.loads(run("quirks", root, "edge1").stdout)["volatile"] == ""
    done = run(
        "quirks", root, "edge1", "volatile=content", "restart_after=5", 'faults=[{"command":"list","does":"lose"}]'
    )
    shown = json.loads(done.stdout)
    assert (shown["volatile"], shown["restart_after"], shown["faults"][0]["does"]) == ("content", 5, "lose")
    assert json.loads(run("quirks", root, "edge1", "outage=1").stdout) == {**shown, "outage": 1}
    assert "'nothing'" in fails("quirks", root, "edge1", "nothing=1")
    assert "KEY=VALUE" in fails("quirks", root, "edge1", "volatile")
    assert json.loads(run("quirks", root, "edge1").stdout) == {**shown, "outage": 1}


def test_an_outage_begins_when_it_is_asked_for(root: Path, login: tuple[str, str, str]) -> None:
    run("quirks", root, "edge1", "outage=60")
    sdk.sync_connect(*login).close()
    run("quirks", root, "edge1", "--outage")
    with pytest.raises(ConnectionRefusedError):
        sdk.sync_connect(*login)


def test_user_adds_one_with_a_privilege(root: Path) -> None:
    done = run("user", root, "edge1", "reader", "--privilege", "read", "--password-file", "-", stdin="secret")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with sdk.sync_connect("edge1", "reader", "secret") as connection:
        assert connection.backup().list(sdk.BackupFile) == []
        with pytest.raises(PLDBError, match="privilege write on the resource Backup"):
            connection.backup().create_new("b")


def test_user_changes_the_privilege_on_one_resource_and_keeps_the_password(
    root: Path, login: tuple[str, str, str]
) -> None:
    assert run("user", root, "edge1", "admin", "--privilege", "none", "--resource", "Backup").returncode == 0
    with sdk.sync_connect(*login) as connection, pytest.raises(PLDBError, match="privilege read"):
        connection.backup().list(sdk.BackupFile)
    assert run("user", root, "edge1", "admin", "--privilege", "write", "--resource", "Backup").returncode == 0
    with sdk.sync_connect(*login) as connection:
        assert connection.backup().create_new("b") == "b"


def test_user_refuses_an_unknown_resource_and_a_new_user_without_password(root: Path) -> None:
    before = run("digest", root).stdout
    assert "'Nothing'" in fails("user", root, "edge1", "admin", "--privilege", "read", "--resource", "Nothing")
    assert "password" in fails("user", root, "edge1", "new", "--privilege", "read")
    assert run("digest", root).stdout == before


def test_show_prints_all_resources_or_one_as_json(root: Path) -> None:
    everything = json.loads(run("show", root, "edge1").stdout)
    assert set(everything) >= {"Config", "Ruleset", "System Diagnostics"}
    assert everything["Config"]["hostname"] == "edge1"
    assert json.loads(run("show", root, "edge1", "Ruleset").stdout) == everything["Ruleset"]


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("ntp.enabled", "false", False),
        ("hostname", "büro", "büro"),
        ("hostname", '"123"', "123"),
        ("new.deep.key", '{"a": [1, null]}', {"a": [1, None]}),
        ("hostname", "-1.5", -1.5),
    ],
)
def test_set_changes_one_value_and_nothing_else(root: Path, key: str, text: str, value: object) -> None:
    before = json.loads(run("show", root, "edge1").stdout)
    assert run("set", root, "edge1", "Config", key, "--", text).returncode == 0
    place = before["Config"]
    *parents, last = key.split(".")
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    assert json.loads(run("show", root, "edge1").stdout) == before


def test_errors_name_what_is_missing_and_change_nothing(root: Path, tmp_path: Path) -> None:
    before = run("digest", root).stdout
    assert "'edge9'" in fails("show", root, "edge9")
    assert "'Nothing'" in fails("show", root, "edge1", "Nothing")
    assert "'Backup'" in fails("set", root, "edge1", "Backup", "a", "1")
    assert "'Nothing'" in fails("set", root, "edge1", "Nothing", "a", "1")
    assert "'hostname'" in fails("set", root, "edge1", "Config", "hostname.below", "1")
    assert "'edge9'" in fails("digest", root, "edge9")
    assert "'edge1'" in fails("show", tmp_path / "nowhere", "edge1")
    assert "nowhere" in fails("digest", tmp_path / "nowhere")
    assert run("digest", root).stdout == before
    assert not (tmp_path / "nowhere").exists()


def test_the_digest_follows_configuration_backups_and_users(root: Path, login: tuple[str, str, str]) -> None:
    digests = [run("digest", root, "edge1").stdout]
    assert re.fullmatch(r"[0-9a-f]{64}\n", digests[0])
    assert run("digest", root, "edge1").stdout == digests[0]
    run("set", root, "edge1", "Config", "hostname", "other")
    digests.append(run("digest", root, "edge1").stdout)
    with sdk.sync_connect(*login) as connection:
        connection.backup().create_new("b")
    digests.append(run("digest", root, "edge1").stdout)
    (root / "edge1" / "backups" / "b").write_bytes(b"other content")
    digests.append(run("digest", root, "edge1").stdout)
    run("user", root, "edge1", "admin", "--privilege", "read")
    digests.append(run("digest", root, "edge1").stdout)
    assert len(set(digests)) == 5


def test_passwords_are_not_on_disk(root: Path) -> None:
    run("init", root, "edge2", "--password-file", "-", stdin="a-secret-of-twenty-ch")
    for path in root.rglob("*"):
        if path.is_file():
            assert b"a-secret-of-twenty-ch" not in path.read_bytes()


@pytest.mark.parametrize("command", [[], ["init"], ["user"], ["show"], ["set"], ["quirks"], ["digest"]], ids=str)
def test_help_is_there(command: list[str]) -> None:
    done = run_program(*command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: activelogic-embedded" in done.stdout


def test_without_a_command_or_with_a_wrong_one_it_says_how_to_use_it() -> None:
    for arguments in ([], ["nothing"], ["init"]):
        done = run_program(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "usage: activelogic-embedded" in done.stderr
