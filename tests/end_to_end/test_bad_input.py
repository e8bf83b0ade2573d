# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every failure ends in one clear message that names the system and what to do, and changes nothing."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.harness import ansible_runs
from tests.harness.ansible_runs import Run, succeeded
from tests.harness.lab import Lab
from tests.harness.login import WAYS
from tests.harness.module_runs import ModuleRunner
from tests.harness.observer import digest_of_systems, digest_of_tree
from tests.harness.plays import Play, PlaysRun

BACKUP = "activelogic_backup"
INFO = "activelogic_backup_info"
TRANSFER = "activelogic_backup_transfer"
WRONG = "wrong-Pa55word-of-the-test"


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require_refused(run: Run, password: str, *said: str, system: str = "edge1") -> None:
    """Require that a task failed with a proper message and without showing a secret."""
    assert run.code == 2, run.output
    message = run.result()["msg"]
    assert f"ActiveLogic system {system}: " in message
    for each in said:
        assert each in message, message
    assert message.count("\n") == 0
    assert message.endswith(".")
    assert "Traceback" not in run.output
    for secret in (password, WRONG):
        assert secret not in run.output
    assert run.result()["error"]["kind"]
    assert run.result().get("changed", False) is False


def refused(modules: ModuleRunner, module: str, *said: str, system: str = "edge1", **more: Any) -> Run:
    """Run a module that must fail with a proper message, without changing anything or showing a secret."""
    files = digest_of_tree(modules.folder / "archive")
    before = digest_of_systems(modules.lab)
    run = modules.run(module, host=system, **more)
    require_refused(run, modules.lab.password, *said, system=system)
    assert digest_of_systems(modules.lab) == before
    assert digest_of_tree(modules.folder / "archive") == files
    return run


@pytest.fixture(autouse=True)
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "old.plb").write_bytes(b"the last good copy")
    return folder


def test_unknown_system(modules: ModuleRunner) -> None:
    refused(modules, INFO, system="edge-unknown")


def test_wrong_password(modules: ModuleRunner) -> None:
    run = refused(modules, INFO, "username and password", password=WRONG)
    assert run.result()["error"]["kind"] == "authentication"
    assert run.result()["tries"] == 1


def test_gateway_down(modules_through_gateway: ModuleRunner) -> None:
    url = f"https://127.0.0.1:{free_port()}"
    refused(modules_through_gateway, INFO, url, "refuses connections", "gateway_url", gateway_url=url)


def test_certificate_that_is_not_trusted(modules_through_gateway: ModuleRunner) -> None:
    refused(modules_through_gateway, INFO, "certificate", "ca_path", ca_path=None)


def test_certificate_for_another_name(modules_through_gateway: ModuleRunner) -> None:
    url = modules_through_gateway.lab.url.replace("127.0.0.1", "127.0.0.2")
    refused(modules_through_gateway, INFO, "127.0.0.2", gateway_url=url)


@pytest.mark.parametrize("name", ["../edge2/backups/x.plb", "a/b", "..", "a\tb"])
def test_name_that_is_not_legal(modules: ModuleRunner, name: str) -> None:
    refused(modules, BACKUP, "not a legal name", name=name)
    refused(modules, BACKUP, "not a legal name", state="absent", names=[name])
    refused(modules, BACKUP, "not a legal name", state="restored", name=name)
    refused(modules, TRANSFER, "not a legal name", direction="fetch", name=name, dest=f"{modules.folder}/archive")


def test_unknown_resource(modules: ModuleRunner) -> None:
    refused(modules, BACKUP, "No Such Resource", name=f"bad-{modules.way}.plb", resource_name="No Such Resource")


def test_empty_file_to_push(modules: ModuleRunner, archive: Path) -> None:
    (archive / "empty.plb").touch()
    refused(modules, TRANSFER, "empty", direction="push", src=str(archive / "empty.plb"))


def test_missing_file_to_push(modules: ModuleRunner, archive: Path) -> None:
    refused(modules, TRANSFER, "missing.plb", direction="push", src=str(archive / "missing.plb"))


def test_missing_backup(modules: ModuleRunner, archive: Path) -> None:
    there = f"there-{modules.way}.plb"
    assert modules.run(BACKUP, name=there).code == 0
    refused(modules, BACKUP, "never-there.plb", there, state="restored", name="never-there.plb")
    refused(modules, TRANSFER, "never-there.plb", there, direction="fetch", name="never-there.plb", dest=str(archive))


def test_no_way_of_being_present(modules: ModuleRunner) -> None:
    refused(modules, BACKUP, "name, max_age", always=False)


def test_package_of_the_vendor_that_is_not_installed(modules: ModuleRunner) -> None:
    missing: dict[str, Any] = {"gateway_url": None, "ca_path": None, "sdk_module": None}
    run = refused(modules, INFO, "activelogic", "install it", "gateway_url", **missing)
    assert run.result()["error"]["kind"] == "dependency"


def test_file_where_a_folder_is_expected(modules: ModuleRunner, archive: Path) -> None:
    name = f"folder-{modules.way}.plb"
    assert modules.run(BACKUP, name=name).code == 0
    dest = str(archive / "old.plb") + "/"
    refused(modules, TRANSFER, "not a folder", direction="fetch", name=name, dest=dest)


# Empty environment variables, as a credential with unset fields creates them

EMPTY = (
    "USERNAME",
    "PASSWORD",
    "VALIDATE_CERTS",
    "CONNECT_TIMEOUT",
    "RETRIES",
    "PROXY_URL",
    "SDK_MODULE",
    "GATEWAY_URL",
    "CA_PATH",
    "HOST",
)
NOT_SET = {
    option: Play(f"no-{option}", [{"name": "List", ansible_runs.INFO: {}}], {f"activelogic_{option}": None})
    for option in ("username", "password")
}
UNDISTURBED = Play(
    "undisturbed",
    [{"name": "List", ansible_runs.INFO: {}}],
    {"activelogic_validate_certs": "", "activelogic_retries": None},
)


@pytest.fixture(scope="module")
def run_with_empty_environment(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> PlaysRun:
    """One run with all these plays."""
    environment = {f"ACTIVELOGIC_{option}": "" for option in EMPTY}
    before = digest_of_systems(lab)
    run = PlaysRun(lab, tmp_path_factory.mktemp("empty"), [*NOT_SET.values(), UNDISTURBED], environment=environment)
    assert digest_of_systems(lab) == before
    return run


@pytest.mark.xdist_group("bad_input")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("option", ["username", "password"])
def test_empty_environment_counts_as_unset(run_with_empty_environment: PlaysRun, way: str, option: str) -> None:
    run = run_with_empty_environment.of(NOT_SET[option], way)
    said = (f"{option} is not set", f"ACTIVELOGIC_{option.upper()}")
    require_refused(run, run_with_empty_environment.lab.password, *said)
    assert run.result()["error"]["kind"] == "option"


@pytest.mark.xdist_group("bad_input")
@pytest.mark.parametrize("way", WAYS)
def test_empty_environment_does_not_disturb_defaults(run_with_empty_environment: PlaysRun, way: str) -> None:
    succeeded(run_with_empty_environment.of(UNDISTURBED, way))
