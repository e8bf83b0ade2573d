# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration, the command, and what happens at start, on SIGHUP and with client certificates."""

from __future__ import annotations

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
from gateway_lab import Lab

GATEWAY = (sys.executable, "-m", "activelogic_gateway")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GATEWAY, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def good(tmp_path: Path, ca: trustme.CA) -> dict[str, Any]:
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "gateway.pem"))
    (tmp_path / "systems").mkdir()
    return {
        "sdk": "activelogic_embedded",
        "embedded_root": "systems",
        "listen": "127.0.0.1:0",
        "tls": {"certificate": "gateway.pem", "key": "gateway.pem"},
        "state_dir": "state",
        "systems": {"edge1": {"host": "192.0.2.10"}},
    }


def check(folder: Path, settings: object) -> subprocess.CompletedProcess[str]:
    path = folder / "gateway.yml"
    path.write_text(settings if isinstance(settings, str) else yaml.safe_dump(settings), encoding="utf-8")
    return run("check", "--config", str(path))


def test_good_configuration_passes_and_leaves_nothing(tmp_path: Path, good: dict[str, Any]) -> None:
    result = check(tmp_path, good)
    assert (result.returncode, result.stderr) == (0, "")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sytems": {}}, "sytems: no such key"),
        ({"limits": {"upload_byte": 1}}, "limits.upload_byte: no such key"),
        ({"limits": {"upload_bytes": "many"}}, "limits.upload_bytes: "),
        ({"limits": {"upload_bytes": 0}}, "limits.upload_bytes: "),
        ({"limits": {"connections": True}}, "limits.connections: "),
        ({"limits": {"read_seconds": float("inf")}}, "limits.read_seconds: "),
        ({"systems": {}}, "systems: "),
        ({"systems": {"edge1": {}}}, "systems.edge1.host: is missing"),
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
        ({"state_dir": "gateway.pem"}, "gateway.pem can't be made or written to"),
        ({"state_dir": "gateway.pem/state"}, "can't be made or written to"),
        ({"audit_log": "systems"}, "systems can't be made or written to"),
        ({"audit_log": "nowhere/audit.log"}, "audit.log can't be made or written to"),
    ],
)
def test_check_says_what_is_wrong_and_where(
    tmp_path: Path, good: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    result = check(tmp_path, {**good, **change})
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert all(line.startswith("activelogic-gateway: ") for line in result.stderr.splitlines())


def test_check_says_everything_that_is_wrong_at_once(tmp_path: Path, good: dict[str, Any]) -> None:
    change = {"embedded_root": "nowhere", "state_dir": "gateway.pem", "audit_log": "nowhere/log"}
    result = check(tmp_path, {**good, **change, "tls": {"certificate": "none.pem", "key": "none.pem"}})
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == [
        "tls",
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
    result = check(tmp_path, {**good, "tls": {"certificate": "ended.pem", "key": "ended.pem"}})
    assert (result.returncode, "ended.pem has expired" in result.stderr) == (2, True)
    result = check(tmp_path, {**good, "tls": {"certificate": "gateway.pem", "key": "ended.pem"}})
    assert result.returncode == 2
    assert f"the key {tmp_path / 'ended.pem'} can't be used" in result.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
def test_check_knows_a_folder_that_it_may_not_write_to(tmp_path: Path, good: dict[str, Any]) -> None:
    def as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
        words = ["setpriv", "--reuid=65534", "--clear-groups", *command]
        return subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)

    def check_as_nobody(state_dir: str) -> subprocess.CompletedProcess[str]:
        path = folder / "gateway.yml"
        path.write_text(yaml.safe_dump({**good, "tls": None, "state_dir": state_dir}), encoding="utf-8")
        return as_nobody(*GATEWAY, "check", "--config", str(path))

    if as_nobody(*GATEWAY, "--version").returncode != 0:
        pytest.skip("this Python is closed to anybody else")
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to anybody else
        folder = Path(name)
        for path in (folder, folder / "systems", folder / "open", folder / "closed"):
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
        (folder / "open").chmod(0o777)
        assert check_as_nobody("open/state").returncode == 0
        result = check_as_nobody("closed/state")
    assert result.returncode == 2
    assert f"state_dir: {folder / 'closed' / 'state'} can't be made or written to" in result.stderr


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
    result = run("serve", "--config", str(lab.folder / "gateway.yml"))
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
    assert run("serve", "--config", str(path), "--ready-file", str(ready)).returncode == 2
    assert not ready.exists()
    result = run("serve", "--config", str(path), "--ready-file", str(tmp_path / "none" / "ready.json"))
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
