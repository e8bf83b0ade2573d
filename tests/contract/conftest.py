# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gateway in front of the stand-in for the whole run, and a new system for each test."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "lab")]

import sentences  # noqa: E402
import standins  # noqa: E402
from lab import Lab  # noqa: E402
from ways import CLIENT_WAYS, SDK_WAYS, WAYS, Way  # noqa: E402

NOBODY = "nobody"
"""A system that the gateway knows and that does not exist."""

NAMES = [f"c{number:03}" for number in range(1000)]
"""Systems that the gateway knows; each is made when a test asks for it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    default = os.environ.get("CONTRACT_STANDIN", "Embedded")
    text = "the stand-in for the vendor's package: FILE.py:CLASS, or a class in tests/contract/standins.py"
    parser.addoption("--standin", default=default, help=f"{text} (default: %(default)s)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sentence(*ids): sentences of tests/contract/sentences.py that a test shows")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in item.iter_markers("sentence"):
            unknown = sorted(set(marker.args) - set(sentences.SENTENCES))
            if unknown:
                raise pytest.UsageError(f"{item.nodeid}: there is no sentence {unknown[0]}")


@dataclass
class System:
    """A system of one test: how to log in, and the other side's view of it."""

    standin: standins.Standin
    name: str
    username: str
    password: str

    def add_user(self, privilege: str) -> tuple[str, str]:
        """Add a user with a privilege; returns name and password."""
        username, password = f"user-{privilege}", secrets.token_urlsafe(15)
        self.standin.add_user(self.name, username, password, privilege)
        return username, password

    def configuration(self) -> dict[str, Any]:
        return self.standin.configuration(self.name)

    def change(self, resource: str, value: str) -> None:
        self.standin.change(self.name, resource, value)

    def backups(self) -> dict[str, bytes]:
        return self.standin.backups(self.name)

    def restores(self) -> int:
        return self.standin.restores(self.name)

    def digest(self) -> str:
        return self.standin.digest(self.name)

    def machineid(self) -> str:
        return self.standin.machineid(self.name)

    def quirks(self, **quirks: Any) -> None:
        """Give the system these quirks and no others; skips the test where the stand-in has none."""
        self.needs(standins.QUIRKS)
        self.standin.set_quirks(self.name, quirks)

    def needs(self, answer: str) -> None:
        """Skip the test where the stand-in answers otherwise to what the vendor leaves open."""
        if answer not in self.standin.answers:
            pytest.skip(f"this stand-in does not say: {answer}")


@pytest.fixture(scope="session")
def standin(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[standins.Standin]:
    """The stand-in, which this process finds from now on."""
    made = standins.load(request.config.getoption("--standin"))(tmp_path_factory.mktemp("standin"))
    before = dict(os.environ)
    os.environ.update(made.environment)
    yield made
    for name in made.environment:
        os.environ.pop(name)
    os.environ.update(before)


def running_lab(standin: standins.Standin, folder: Path, **limits: float) -> Iterator[Lab]:
    """A running gateway in front of the stand-in's systems, with limits of its configuration."""
    made = Lab(folder, systems=["unused"])
    made.prepare()
    path = made.folder / "gateway.yml"
    configuration = yaml.safe_load(path.read_text(encoding="utf-8"))
    del configuration["embedded_root"]  # the stand-in's systems are found by the environment, whatever it is
    configuration["sdk"] = standin.module
    configuration["systems"] = {name: {"host": name} for name in [*NAMES, NOBODY]}
    configuration["limits"] = {"failed_logins_per_minute": 100000, **limits}
    path.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def lab(standin: standins.Standin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The gateway of all tests but those of its limits."""
    yield from running_lab(standin, tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="session")
def names() -> Iterator[str]:
    return iter(NAMES)


@pytest.fixture
def system(standin: standins.Standin, lab: Lab, names: Iterator[str]) -> System:
    """A new system with some configuration and no backups."""
    made = System(standin, next(names), "admin", secrets.token_urlsafe(15))
    standin.make(made.name, made.username, made.password)
    return made


def _way(name: str, standin: standins.Standin, lab: Lab) -> Way:
    return Way(name, standin.module, lab.url, str(lab.ca_path))


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, standin: standins.Standin, lab: Lab) -> Iterator[Way]:
    """Each of the four ways."""
    with _way(request.param, standin, lab) as made:
        yield made


@pytest.fixture(params=SDK_WAYS)
def sdk_way(request: pytest.FixtureRequest, standin: standins.Standin, lab: Lab) -> Iterator[Way]:
    """Each way of the Python API, for what only it can say."""
    with _way(request.param, standin, lab) as made:
        yield made


@pytest.fixture(params=CLIENT_WAYS)
def client_way(request: pytest.FixtureRequest, standin: standins.Standin, lab: Lab) -> Iterator[Way]:
    """Each way of the client, for what it says otherwise."""
    with _way(request.param, standin, lab) as made:
        yield made


@pytest.fixture
def session(way: Way, system: System) -> Any:
    """A login of the user who may do everything, on each of the four ways."""
    return way.connect(system.name, system.username, system.password)


@pytest.fixture
def sdk(sdk_way: Way, system: System) -> Any:
    """A login of the user who may do everything, on each way of the Python API."""
    return sdk_way.connect(system.name, system.username, system.password)
