# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One gateway in front of the stand-in for the whole run, and a new system for each test."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract import sentences, standins
from tests.contract.systems import NEIGHBOUR, System
from tests.contract.ways import CLIENT_GATEWAY, CLIENT_WAYS, SDK_WAYS, WAYS, Way
from tests.harness.forked_packages import packages_forked
from tests.harness.lab import Lab

NOBODY = "nobody"
"""A system that the gateway knows but that does not exist."""

FEW = 40
"""Smallest number of tests for which a fork server pays off; at most a quarter of them use the direct way."""


def pytest_addoption(parser: pytest.Parser) -> None:
    default = os.environ.get("CONTRACT_STANDIN", "Embedded")
    text = "the stand-in for the vendor's package: FILE.py:CLASS, or a class in tests/contract/standins.py"
    parser.addoption("--standin", default=default, help=f"{text} (default: %(default)s)")
    real = parser.getgroup("a real system", "login by ACTIVELOGIC_USERNAME and ACTIVELOGIC_PASSWORD")
    real.addoption("--system", metavar="HOST", help="run test_real_system.py, and nothing else, on this system")
    real.addoption("--sdk-module", default="activelogic", help="the vendor's Python module (default: %(default)s)")
    real.addoption("--gateway-url", help="a gateway that knows the system by HOST too")
    real.addoption("--ca-path", help="certificate of the authority that the gateway's is signed by")
    real.addoption("--allow-write", action="store_true", help="make, download and remove backups contract-UUID-*")
    real.addoption("--allow-restore", metavar="MACHINEID", help="restore what was made, on the system with this id")


def require_login(config: pytest.Config) -> None:
    """:raises pytest.UsageError: when options that go with ``--system`` are incomplete."""
    option = config.getoption
    if option("--system") is None:
        if option("--allow-write") or option("--allow-restore"):
            raise pytest.UsageError("--allow-write and --allow-restore belong to --system")
        return
    if not (os.environ.get("ACTIVELOGIC_USERNAME") and os.environ.get("ACTIVELOGIC_PASSWORD")):
        raise pytest.UsageError("--system needs ACTIVELOGIC_USERNAME and ACTIVELOGIC_PASSWORD in the environment")
    if option("--allow-restore") and not option("--allow-write"):
        raise pytest.UsageError("--allow-restore needs --allow-write too, to make what is restored")


def pytest_configure(config: pytest.Config) -> None:
    require_login(config)
    config.addinivalue_line("markers", "own_process: the client starts the process of the package, nobody forks it")
    config.addinivalue_line("markers", "sentence(*ids): sentences of tests/contract/sentences.py that a test shows")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--system") is not None:
        others = [item for item in items if item.path.name != "test_real_system.py"]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
    for item in items:
        for marker in item.iter_markers("sentence"):
            unknown = sorted(set(marker.args) - set(sentences.SENTENCES))
            if unknown:
                raise pytest.UsageError(f"{item.nodeid}: there is no sentence {unknown[0]}")


@pytest.fixture(scope="session")
def standin(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[standins.Standin]:
    """The stand-in; the fixture sets the environment variables that this process needs to find its systems."""
    made = standins.load(request.config.getoption("--standin"))(tmp_path_factory.mktemp("standin"))
    before = dict(os.environ)
    os.environ.update(made.environment)
    yield made
    for name in made.environment:
        os.environ.pop(name)
    os.environ.update(before)


@pytest.fixture(autouse=True)
def package_process(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have a fork server start the package's process, because few tests depend on how it starts.

    In a run of few tests, starting the server takes longer than starting all of their processes.
    """
    is_own = request.node.get_closest_marker("own_process") or len(request.session.items) < FEW
    with contextlib.nullcontext() if is_own else packages_forked():
        yield


@pytest.fixture(scope="session")
def hosts(request: pytest.FixtureRequest) -> list[str]:
    """Systems that the gateway knows, one per test; a test creates its own when it needs it."""
    return [f"c{number:04}" for number in range(len(request.session.items))]


@pytest.fixture(scope="session")
def names(hosts: list[str]) -> Iterator[str]:
    """Names of unused systems."""
    return iter(hosts)


def running_lab(standin: standins.Standin, hosts: list[str], folder: Path, **limits: float) -> Iterator[Lab]:
    """A running gateway in front of the stand-in's systems, with these limits in its configuration."""
    made = Lab(folder, systems=["unused"])
    made.prepare()
    path = made.folder / "gateway.yml"
    configuration = yaml.safe_load(path.read_text(encoding="utf-8"))
    del configuration["embedded_root"]  # the gateway finds the stand-in's systems through the environment
    configuration["sdk"] = standin.module
    known = [NOBODY, *hosts, *(name + NEIGHBOUR for name in hosts)]
    configuration["systems"] = {name: {"host": name} for name in known}
    configuration["limits"] = {"failed_logins_per_minute": 100000, **limits}
    path.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def lab(standin: standins.Standin, hosts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The gateway of all tests except those of its limits."""
    yield from running_lab(standin, hosts, tmp_path_factory.mktemp("lab"))


@pytest.fixture
def system(standin: standins.Standin, names: Iterator[str]) -> System:
    """A new system with some configuration and no backups."""
    made = System(standin, next(names), "admin", secrets.token_urlsafe(15))
    standin.make(made.name, made.username, made.password)
    return made


def make_way(request: pytest.FixtureRequest) -> Way:
    """The way named by the parameter; starts the gateway if the way needs it."""
    standin: standins.Standin = request.getfixturevalue("standin")
    through = ("", "")
    if request.param == CLIENT_GATEWAY:
        lab: Lab = request.getfixturevalue("lab")
        through = (lab.url, str(lab.ca_path))
    return Way(request.param, standin.module, *through, standins.KEEPS_SESSIONS in standin.answers)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    """Each of the four ways."""
    with make_way(request) as made:
        yield made


@pytest.fixture(params=SDK_WAYS)
def sdk_way(request: pytest.FixtureRequest) -> Iterator[Way]:
    """Each way of the Python API, for what the client has no call for."""
    with make_way(request) as made:
        yield made


@pytest.fixture(params=CLIENT_WAYS)
def client_way(request: pytest.FixtureRequest) -> Iterator[Way]:
    """Each way of the client, for what the API answers differently."""
    with make_way(request) as made:
        yield made


@pytest.fixture
def session(way: Way, system: System) -> Any:
    """A session of a user with full privileges, on each of the four ways."""
    return way.connect(system.name, system.username, system.password)


@pytest.fixture
def sdk(sdk_way: Way, system: System) -> Any:
    """A session of a user with full privileges, on each way of the Python API."""
    return sdk_way.connect(system.name, system.username, system.password)
