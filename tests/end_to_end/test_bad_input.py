# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever goes wrong ends in one clear sentence that names the system and what to do, and changes nothing."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.harness.ansible_runs import Run, Runner
from tests.harness.observer import digest_of_systems, digest_of_tree

BACKUP = "activelogic_backup"
INFO = "activelogic_backup_info"
TRANSFER = "activelogic_backup_transfer"
WRONG = "wrong-Pa55word-of-the-test"


def free_port() -> int:
    """A loopback port where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def refused(ansible: Runner, module: str, *said: str, system: str = "edge1", **more: Any) -> Run:
    """Run a module that has to fail: well said, with nothing changed and no secret shown."""
    files = digest_of_tree(ansible.folder / "archive")
    before = digest_of_systems(ansible.lab)
    run = ansible.ad_hoc(module, **more)
    assert run.code == 2, run.output
    message = run.result()["msg"]
    assert f"ActiveLogic system {system}: " in message
    for each in said:
        assert each in message, message
    assert message.count("\n") == 0
    assert message.endswith(".")
    assert "Traceback" not in run.output
    for secret in (ansible.lab.password, WRONG):
        assert secret not in run.output
    assert run.result()["error"]["kind"]
    assert run.result().get("changed", False) is False
    assert digest_of_systems(ansible.lab) == before
    assert digest_of_tree(ansible.folder / "archive") == files
    return run


@pytest.fixture(autouse=True)
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "old.plb").write_bytes(b"the last good copy")
    return folder


def test_unknown_system(ansible: Runner) -> None:
    refused(ansible, INFO, system="edge-unknown", variables={"activelogic_host": "edge-unknown"})


def test_wrong_password(ansible: Runner) -> None:
    run = refused(ansible, INFO, "username and password", variables={"activelogic_password": WRONG})
    assert run.result()["error"]["kind"] == "authentication"
    assert run.result()["tries"] == 1


def test_gateway_down(through_gateway: Runner) -> None:
    url = f"https://127.0.0.1:{free_port()}"
    refused(
        through_gateway, INFO, url, "refuses connections", "gateway_url", variables={"activelogic_gateway_url": url}
    )


def test_certificate_that_is_not_trusted(through_gateway: Runner) -> None:
    refused(through_gateway, INFO, "certificate", "ca_path", variables={"activelogic_ca_path": None})


def test_certificate_for_another_name(through_gateway: Runner) -> None:
    url = through_gateway.lab.url.replace("127.0.0.1", "127.0.0.2")
    refused(through_gateway, INFO, "127.0.0.2", variables={"activelogic_gateway_url": url})


@pytest.mark.parametrize("name", ["../edge2/backups/x.plb", "a/b", "..", "a\tb"])
def test_name_that_is_not_legal(ansible: Runner, name: str) -> None:
    refused(ansible, BACKUP, "not a legal name", name=name)
    refused(ansible, BACKUP, "not a legal name", state="absent", names=[name])
    refused(ansible, BACKUP, "not a legal name", state="restored", name=name)
    refused(ansible, TRANSFER, "not a legal name", direction="fetch", name=name, dest=f"{ansible.folder}/archive")


def test_unknown_resource(ansible: Runner) -> None:
    refused(ansible, BACKUP, "No Such Resource", name=f"bad-{ansible.way}.plb", resource_name="No Such Resource")


def test_empty_file_to_push(ansible: Runner, archive: Path) -> None:
    (archive / "empty.plb").touch()
    refused(ansible, TRANSFER, "empty", direction="push", src=str(archive / "empty.plb"))


def test_missing_file_to_push(ansible: Runner, archive: Path) -> None:
    refused(ansible, TRANSFER, "missing.plb", direction="push", src=str(archive / "missing.plb"))


def test_missing_backup(ansible: Runner, archive: Path) -> None:
    there = f"there-{ansible.way}.plb"
    assert ansible.ad_hoc(BACKUP, name=there).code == 0
    refused(ansible, BACKUP, "never-there.plb", there, state="restored", name="never-there.plb")
    refused(ansible, TRANSFER, "never-there.plb", there, direction="fetch", name="never-there.plb", dest=str(archive))


def test_no_way_of_being_present(ansible: Runner) -> None:
    refused(ansible, BACKUP, "name, max_age", always=False)


@pytest.mark.parametrize("option", ["username", "password"])
def test_empty_environment_counts_as_unset(ansible: Runner, option: str) -> None:
    run = refused(
        ansible,
        INFO,
        f"{option} is not set",
        f"ACTIVELOGIC_{option.upper()}",
        variables={f"activelogic_{option}": None},
        environment={f"ACTIVELOGIC_{option.upper()}": ""},
    )
    assert run.result()["error"]["kind"] == "option"


def test_empty_environment_does_not_disturb_defaults(ansible: Runner) -> None:
    options = (
        "VALIDATE_CERTS",
        "CONNECT_TIMEOUT",
        "RETRIES",
        "PROXY_URL",
        "SDK_MODULE",
        "GATEWAY_URL",
        "CA_PATH",
        "HOST",
    )
    empty = {f"ACTIVELOGIC_{option}": "" for option in options}
    run = ansible.ad_hoc(INFO, environment=empty, variables={"activelogic_validate_certs": ""})
    assert run.code == 0, run.output


def test_package_of_the_vendor_that_is_not_installed(ansible: Runner) -> None:
    missing = {"activelogic_gateway_url": None, "activelogic_sdk_module": None}
    run = refused(ansible, INFO, "activelogic", "install it", "gateway_url", variables=missing)
    assert run.result()["error"]["kind"] == "dependency"


def test_password_in_the_environment_is_used(ansible: Runner) -> None:
    environment = {"ACTIVELOGIC_USERNAME": ansible.lab.username, "ACTIVELOGIC_PASSWORD": ansible.lab.password}
    login = {"activelogic_username": None, "activelogic_password": None}
    run = ansible.ad_hoc(INFO, environment=environment, variables=login)
    assert run.code == 0, run.output
    assert ansible.lab.password not in run.output


def test_file_where_a_folder_is_expected(ansible: Runner, archive: Path) -> None:
    name = f"folder-{ansible.way}.plb"
    assert ansible.ad_hoc(BACKUP, name=name).code == 0
    dest = str(archive / "old.plb") + "/"
    refused(ansible, TRANSFER, "not a folder", direction="fetch", name=name, dest=dest)


def test_gateway_of_the_environment_is_used(through_gateway: Runner) -> None:
    environment = {
        "ACTIVELOGIC_GATEWAY_URL": through_gateway.lab.url,
        "ACTIVELOGIC_CA_PATH": str(through_gateway.lab.ca_path),
    }
    unset = {"activelogic_gateway_url": None, "activelogic_ca_path": None}
    assert through_gateway.ad_hoc(INFO, environment=environment, variables=unset).code == 0
