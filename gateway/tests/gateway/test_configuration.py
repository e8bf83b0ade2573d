# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration, the command line, startup, SIGHUP and client certificates."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
import yaml

from activelogic_gateway.cli import main
from tests.harness.forked_programs import GATEWAY, run_forked
from tests.harness.lab import AS_PROGRAM, Lab

PROGRAM = (sys.executable, "-m", "activelogic_gateway")


@pytest.fixture(scope="module")
def program() -> tuple[str, ...]:
    return AS_PROGRAM


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as users do."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def good(tmp_path: Path, ca: trustme.CA) -> dict[str, Any]:
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "gateway.pem"))
    (tmp_path / "gateway.pem").chmod(0o600)
    (tmp_path / "systems").mkdir()
    return {
        "sdk": "activelogic_embedded",
        "embedded_root": "systems",
        "listen": "127.0.0.1:0",
        "tls": {"certificate": "gateway.pem", "key": "gateway.pem"},
        "state_dir": "state",
        "systems": {"edge1": {"host": "192.0.2.10"}},
    }


def check(folder: Path, settings: object, command: str = "check") -> subprocess.CompletedProcess[str]:
    """Run a command on a configuration: ``serve`` in a forked process, ``check`` in this one, to start faster."""
    path = folder / "gateway.yml"
    path.write_text(settings if isinstance(settings, str) else yaml.safe_dump(settings), encoding="utf-8")
    arguments = [command, "--config", str(path)]
    if command == "serve":
        return run_forked(GATEWAY, *arguments)
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        code = main(arguments)
    return subprocess.CompletedProcess(arguments, code, stdout.getvalue(), stderr.getvalue())


def test_good_configuration_passes_and_leaves_nothing(tmp_path: Path, good: dict[str, Any]) -> None:
    (tmp_path / "gateway.yml").write_text(yaml.safe_dump(good), encoding="utf-8")
    result = run("check", "--config", str(tmp_path / "gateway.yml"))
    assert (result.returncode, result.stderr) == (0, "")
    assert not (tmp_path / "state").exists()


def test_check_of_a_wrong_configuration_exits_with_2(tmp_path: Path, good: dict[str, Any]) -> None:
    (tmp_path / "gateway.yml").write_text(yaml.safe_dump({**good, "sytems": {}}), encoding="utf-8")
    result = run("check", "--config", str(tmp_path / "gateway.yml"))
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sytems": {}}, "sytems: no such key; is 'systems' meant?"),
        ({"Listen": "x"}, "Listen: no such key; is 'listen' meant?"),
        (
            {"zzz": 1},
            "zzz: no such key; there are sdk, embedded_root, listen, tls, state_dir, audit_log, systems, limits,"
            " isolation",
        ),
        ({"isolation": {"preload": "yes"}}, "isolation.preload: should be true or false, not 'yes'"),
        ({"isolation": {"memory_bytes": 1000}}, f"isolation.memory_bytes: should be at least {64 * 1024**2}, not 1000"),
        ({"isolation": {"memory": 1}}, "isolation.memory: no such key"),
        ({"limits": {"upload_byte": 1}}, "limits.upload_byte: no such key; is 'upload_bytes' meant?"),
        ({"tls": {"certificate": "gateway.pem", "keys": "gateway.pem"}}, "tls.keys: no such key; is 'key' meant?"),
        ({"systems": {"edge1": {"hots": "x"}}}, "systems.edge1.hots: no such key; is 'host' meant?"),
        ({"limits": {"upload_bytes": "many"}}, "limits.upload_bytes: should be a whole number, not 'many'"),
        ({"limits": {"upload_bytes": 1.5}}, "limits.upload_bytes: should be a whole number, not 1.5"),
        ({"limits": {"upload_bytes": [1]}}, "limits.upload_bytes: should be a whole number, not a list"),
        ({"limits": {"upload_bytes": None}}, "limits.upload_bytes: is empty; give it a value, or remove it"),
        ({"limits": {"upload_bytes": 0}}, "limits.upload_bytes: should be at least 1, not 0"),
        ({"limits": {"upload_bytes": 2**63}}, f"limits.upload_bytes: should be at most {2**62}, not {2**63}"),
        ({"limits": {"connections": True}}, "limits.connections: should be a number, not true"),
        ({"limits": {"read_seconds": "soon"}}, "limits.read_seconds: should be a number, not 'soon'"),
        ({"limits": {"read_seconds": 0}}, "limits.read_seconds: should be more than 0, not 0"),
        ({"limits": {"read_seconds": 10**9}}, "limits.read_seconds: should be at most 2592000, not 1000000000"),
        ({"limits": {"read_seconds": float("inf")}}, "limits.read_seconds: should be at most 2592000, not inf"),
        ({"limits": None}, "limits: is empty; give it a value, or remove it to have the default"),
        ({"limits": [1]}, "limits: should be a mapping of keys to values, not a list"),
        ({"tls": "gateway.pem"}, "tls: should be a mapping of keys to values, not 'gateway.pem'"),
        ({"tls": {"certificate": "gateway.pem"}}, "tls.key: is missing; add it"),
        ({"tls": {"certificate": "", "key": "gateway.pem"}}, "tls.certificate: is empty; name a file or folder"),
        ({"systems": None}, "systems: is empty; give it a value"),
        ({"systems": {}}, "systems: should have 1 entry at least"),
        ({"systems": ["edge1"]}, "systems: should be a mapping of names to values, not a list"),
        (
            {"systems": {"edge1": "192.0.2.10"}},
            "systems.edge1: should be a mapping of keys to values, not '192.0.2.10'",
        ),
        ({"systems": {"edge1": None}}, "systems.edge1: is empty"),
        ({"systems": {5: {"host": "x"}}}, "systems.5: this name should be text; put it in quotes"),
        ({"systems": {"edge1": {}}}, "systems.edge1.host: is missing; add it"),
        ({"systems": {"edge1": {"host": 10}}}, "systems.edge1.host: should be text, not 10; put it in quotes"),
        ({"systems": {"edge1": {"host": None}}}, "systems.edge1.host: is empty"),
        ({"systems": {"edge1": {"host": ""}}}, "systems.edge1: host should be an address or a host name"),
        ({"sdk": 5}, "sdk: should be text, not 5; put it in quotes"),
        ({"state_dir": ""}, "state_dir: is empty; name a file or folder, or remove it"),
        ({"state_dir": 5}, "state_dir: should be the path of a file or folder, not 5"),
        ({"state_dir": "a\0b"}, "state_dir: holds a NUL character"),
        ({"audit_log": " "}, "audit_log: is empty; name a file or folder, or remove it"),
        ({"systems": {"edge1": {"host": "a b"}}}, "systems.edge1: host should be an address"),
        ({"systems": {"a/b": {"host": "x"}}}, "'a/b' should have only letters"),
        ({"systems": {"a": {"host": "x"}, "b": {"host": "x"}}}, "'x' already stands for systems.a"),
        ({"state_dir": None}, "state_dir: "),
        ({"listen": "8443"}, "listen should have the form"),
        ({"listen": "127.0.0.1:99999"}, "listen should have the form"),
        ({"listen": "0.0.0.0:0", "tls": None}, "is not a loopback address"),
        ({"tls": {"certificate": "missing.pem", "key": "gateway.pem"}}, "missing.pem"),
        ({"tls": {"certificate": "gateway.pem", "key": "gateway.pem", "client_ca": "none.pem"}}, "client_ca"),
        ({"sdk": "activelogic", "embedded_root": None}, "'activelogic' (sdk) is not installed"),
        ({"sdk": "json", "embedded_root": None}, "has no async_connect and no BackupFile"),
        ({"sdk": "not a module", "embedded_root": None}, "sdk should be the name of a Python module"),
        ({"sdk": "activelogic"}, "embedded_root goes with sdk activelogic_embedded only"),
        ({"embedded_root": "nowhere"}, "nowhere is not a folder"),
        ({"state_dir": "gateway.pem"}, "gateway.pem is not a folder; name another one"),
        ({"state_dir": "gateway.pem/state"}, "gateway.pem is not a folder; name another one"),
        ({"audit_log": "systems"}, "systems can't be made or written to"),
        ({"audit_log": "nowhere/audit.log"}, "audit.log can't be made or written to"),
    ],
)
def test_check_says_what_is_wrong_and_where(
    tmp_path: Path, good: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    result = check(tmp_path, {**good, **change})
    assert result.returncode == 2
    told = result.stderr
    assert said in told
    for word in ("Input", "Value error", "valid", "NoneType", "errors.pydantic"):
        assert word not in told  # pydantic's wording
    assert all(line.startswith("activelogic-gateway: ") for line in told.splitlines())


def test_check_says_everything_that_is_wrong_at_once(tmp_path: Path, good: dict[str, Any]) -> None:
    change = {"embedded_root": "nowhere", "state_dir": "gateway.pem", "audit_log": "nowhere/log"}
    result = check(tmp_path, {**good, **change, "tls": {"certificate": "none.pem", "key": "none.pem"}})
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == [
        "tls.certificate",
        "tls.key",
        "embedded_root",
        "state_dir",
        "audit_log",
    ]
    result = check(tmp_path, {**good, "sytems": {}, "listen": 5, "limits": {"upload_byte": 1}})
    assert len(result.stderr.splitlines()) == 3


def test_check_knows_an_expired_certificate_and_a_key_of_another(
    tmp_path: Path, good: dict[str, Any], ca: trustme.CA
) -> None:
    ended = ca.issue_cert("127.0.0.1", not_after=datetime.now(UTC) - timedelta(days=1))
    ended.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "ended.pem"))
    (tmp_path / "ended.pem").chmod(0o600)
    result = check(tmp_path, {**good, "tls": {"certificate": "ended.pem", "key": "ended.pem"}})
    assert (result.returncode, "ended.pem has expired on 20" in result.stderr) == (2, True)
    coming = ca.issue_cert("127.0.0.1", not_before=datetime.now(UTC) + timedelta(days=1))
    coming.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "coming.pem"))
    (tmp_path / "coming.pem").chmod(0o600)
    result = check(tmp_path, {**good, "tls": {"certificate": "coming.pem", "key": "coming.pem"}})
    assert (result.returncode, "coming.pem is not valid before 20" in result.stderr) == (2, True)
    result = check(tmp_path, {**good, "tls": {"certificate": "gateway.pem", "key": "ended.pem"}})
    assert result.returncode == 2
    said = f"the key {tmp_path / 'ended.pem'} does not belong to the certificate {tmp_path / 'gateway.pem'}"
    assert said in result.stderr


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("key", b"", "is empty; put the private key there"),
        ("key", b"\x30\x82\x01\x00", "is in DER form; convert it to PEM"),
        ("key", b"nonsense", "holds no private key in PEM form"),
        ("key", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n", "is encrypted, and nobody types its passphrase"),
        ("key", b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", "is encrypted"),
        ("key", b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", "can't be used"),
        ("certificate", b"-----BEGIN PRIVATE KEY-----\n", "holds no certificate in PEM form"),
        ("certificate", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "is damaged"),
        ("client_ca", b"-----BEGIN PRIVATE KEY-----\n", "holds no certificate in PEM form"),
        ("client_ca", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "is damaged"),
    ],
)
def test_check_and_serve_say_what_is_wrong_with_a_file_of_tls(
    tmp_path: Path, good: dict[str, Any], option: str, content: bytes, said: str
) -> None:
    path = tmp_path / "other.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    for command in ("check", "serve"):
        result = check(tmp_path, {**good, "tls": {**good["tls"], option: "other.pem"}}, command)
        assert result.returncode == 2
        for part in (f"tls.{option}: ", f"{path} ", said):
            assert part in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("mode", "who"), [(0o640, "its group"), (0o620, "its group"), (0o604, "everybody")])
def test_check_knows_a_key_that_others_can_use(tmp_path: Path, good: dict[str, Any], mode: int, who: str) -> None:
    path = tmp_path / "gateway.pem"
    path.chmod(mode)
    result = check(tmp_path, good)
    assert result.returncode == 2
    assert f"tls.key: {path} is open to {who} (mode 0{mode:o}); close it: chmod 600 {path}" in result.stderr


def test_check_and_serve_know_what_is_no_folder_for_the_state(tmp_path: Path, good: dict[str, Any]) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "kept").write_text("kept", encoding="utf-8")
    link, dangling = tmp_path / "link", tmp_path / "dangling"
    link.symlink_to(victim)
    dangling.symlink_to(tmp_path / "nowhere")
    folders = [tmp_path / name for name in ("with-link", "with-file", "with-database")]
    for each in folders:
        each.mkdir()
    (folders[0] / "spool").symlink_to(victim)
    (folders[1] / "spool").touch()
    (folders[2] / "operations.sqlite").symlink_to(victim / "kept")
    for state_dir, said in (
        (link, f"{link} is a link; name the folder itself"),
        (dangling, f"{dangling} is a link; name the folder itself"),
        (dangling / "state", f"{dangling} is not a folder"),
        (folders[0], f"{folders[0] / 'spool'} is a link"),
        (folders[1], f"{folders[1] / 'spool'} is not a folder"),
        (folders[2], f"{folders[2] / 'operations.sqlite'} is not a file of user"),
    ):
        for command in ("check", "serve"):
            result = check(tmp_path, {**good, "state_dir": str(state_dir)}, command)
            assert result.returncode == 2
            assert said in result.stderr
            assert len(result.stderr.splitlines()) == 1, result.stderr
    assert (victim / "kept").read_text(encoding="utf-8") == "kept"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
def test_check_knows_a_folder_that_it_may_not_write_to(tmp_path: Path, good: dict[str, Any]) -> None:
    def as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
        words = ["setpriv", "--reuid=65534", "--clear-groups", *command]
        return subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)

    def check_as_nobody(state_dir: str) -> subprocess.CompletedProcess[str]:
        path = folder / "gateway.yml"
        path.write_text(yaml.safe_dump({**good, "tls": None, "state_dir": state_dir}), encoding="utf-8")
        return as_nobody(*PROGRAM, "check", "--config", str(path))

    if as_nobody(*PROGRAM, "--version").returncode != 0:
        pytest.skip("this Python is closed to anybody else")
    with tempfile.TemporaryDirectory() as name:  # other users can't read pytest's own folders
        folder = Path(name)
        for path in (folder, folder / "systems", folder / "open", folder / "closed"):
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
        (folder / "open").chmod(0o777)
        assert check_as_nobody("open/state").returncode == 0
        of_root = folder / "closed" / "root"
        of_root.mkdir()
        for mode in (0o700, 0o777):
            of_root.chmod(mode)
            result = check_as_nobody("closed/root")
            assert result.returncode == 2
            assert f"{of_root} belongs to user root, and this is user nobody" in result.stderr
        own = folder / "open" / "own"
        own.mkdir()
        os.chown(own, 65534, -1)
        own.chmod(0o500)
        result = check_as_nobody("open/own")
        assert f"{own} can't be written to by user nobody; change its permissions: chmod 700" in result.stderr
        result = check_as_nobody("closed/state")
    assert result.returncode == 2
    assert f"state_dir: {folder / 'closed' / 'state'} can't be made by user nobody, who may not write" in result.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "line 1"),
        ("- a", "should be a mapping"),
        ("state_dir: a\nstate_dir: b\n", "line 2: the key 'state_dir' is given twice"),
        ("", "should be a mapping"),
    ],
)
def test_check_says_where_the_file_is_no_yaml(tmp_path: Path, text: str, said: str) -> None:
    result = check(tmp_path, text)
    assert result.returncode == 2
    assert said in result.stderr


def test_missing_configuration_is_one_sentence(tmp_path: Path) -> None:
    result = run("serve", "--config", str(tmp_path / "none.yml"))
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)


def test_plain_http_is_served_on_loopback(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(sdk="activelogic_embedded")
    lab.settings["tls"] = None
    lab.start()
    assert lab.url.startswith("http://127.0.0.1:")
    assert lab.get("/healthz").json()["certificate_days_left"] is None


def test_one_process_for_a_state_dir(lab: Lab) -> None:
    result = run_forked(GATEWAY, "serve", "--config", str(lab.folder / "gateway.yml"))
    assert (result.returncode, result.stdout) == (2, "")
    assert "is in use by another gateway" in result.stderr


def test_a_port_in_use_is_one_sentence(lab: Lab, tmp_path: Path) -> None:
    port = lab.url.rsplit(":", 1)[1]
    settings = {**lab.settings, "listen": f"127.0.0.1:{port}", "state_dir": str(tmp_path / "state")}
    path = lab.folder / "second.yml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    result = run("serve", "--config", str(path))
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert f"listen: 127.0.0.1:{port}" in result.stderr


def test_state_is_for_its_owner_alone(lab: Lab) -> None:
    lab.create("private.plb")
    lab.run({"action": "download", "name": "private.plb"})
    state = lab.folder / "state"
    for path in (state, *state.rglob("*"), lab.folder / "audit.log"):
        assert path.stat().st_mode & 0o077 == 0, path


def _serial(lab: Lab) -> int:
    context = ssl.create_default_context(cafile=str(lab.folder / "ca.pem"))
    port = int(lab.url.rsplit(":", 1)[1])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as sock,
    ):
        certificate = sock.getpeercert()
        assert certificate is not None
        return int(str(certificate["serialNumber"]), 16)


def test_certificates_are_read_anew_on_sighup(lab: Lab) -> None:
    first = _serial(lab)
    certificate = lab.folder / "gateway.pem"
    kept = certificate.read_bytes()
    assert lab.process is not None

    def reload() -> None:
        assert lab.process is not None
        lab.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)

    certificate.write_bytes(b"broken")
    reload()
    assert _serial(lab) == first
    lab.ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    assert _serial(lab) == first
    reload()
    assert _serial(lab) != first
    assert certificate.read_bytes() != kept
    assert lab.get("/healthz").status_code == 200


def test_client_certificates_are_required_where_an_authority_is_named(
    make_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    lab = make_lab(sdk="activelogic_embedded")
    lab.settings["tls"]["client_ca"] = "ca.pem"
    lab.start()
    with pytest.raises((requests.exceptions.SSLError, requests.exceptions.ConnectionError)):
        lab.get("/healthz")
    own, foreign = tmp_path / "own.pem", tmp_path / "foreign.pem"
    lab.ca.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(str(own))
    trustme.CA().issue_cert("client").private_key_and_cert_chain_pem.write_to_path(str(foreign))
    assert lab.get("/healthz", cert=str(own)).status_code == 200
    lab.session.close()
    with pytest.raises((requests.exceptions.SSLError, requests.exceptions.ConnectionError)):
        lab.get("/healthz", cert=str(foreign))


def test_an_authority_that_was_replaced_is_no_longer_trusted_after_sighup(
    make_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    lab = make_lab(sdk="activelogic_embedded")
    lab.settings["tls"]["client_ca"] = "clients.pem"
    clients: list[Path] = []
    authorities = [trustme.CA(), trustme.CA()]
    for number, authority in enumerate(authorities):
        clients.append(tmp_path / f"client{number}.pem")
        authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(str(clients[-1]))
    authorities[0].cert_pem.write_to_path(str(lab.folder / "clients.pem"))
    lab.start()
    assert lab.get("/healthz", cert=str(clients[0])).status_code == 200
    authorities[1].cert_pem.write_to_path(str(lab.folder / "clients.pem"))
    assert lab.process is not None
    lab.process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    lab.session.close()
    assert lab.get("/healthz", cert=str(clients[1])).status_code == 200
    lab.session.close()
    with pytest.raises((requests.exceptions.SSLError, requests.exceptions.ConnectionError)):
        lab.get("/healthz", cert=str(clients[0]))


def test_the_ready_file_of_an_earlier_process_is_removed_first(lab: Lab, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    ready.write_text("old", encoding="utf-8")
    port = lab.url.rsplit(":", 1)[1]
    settings = {**lab.settings, "listen": f"127.0.0.1:{port}", "state_dir": str(tmp_path / "state")}
    path = lab.folder / "third.yml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert run_forked(GATEWAY, "serve", "--config", str(path), "--ready-file", str(ready)).returncode == 2
    assert not ready.exists()
    result = run_forked(GATEWAY, "serve", "--config", str(path), "--ready-file", str(tmp_path / "none" / "ready.json"))
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
