# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: labs with a live gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from activelogic_embedded import admin
from tests.harness.lab import PASSWORD, TROUBLED, Lab

MakeLab = Callable[..., Lab]


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def certificate(ca: trustme.CA) -> bytes:
    """Key and certificate chain, in PEM format, which the gateways of all labs share."""
    return ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes()


@pytest.fixture(scope="session")
def new_lab(ca: trustme.CA, certificate: bytes, tmp_path_factory: pytest.TempPathFactory) -> MakeLab:
    """Create a lab's folder, without starting its gateway."""

    def make(
        *,
        sdk: str = TROUBLED,
        systems: tuple[str, ...] = ("edge1", "edge2"),
        limits: dict[str, Any] | None = None,
    ) -> Lab:
        folder = tmp_path_factory.mktemp("lab")
        for name in systems:
            admin.create_system(folder / "systems", name, "admin", PASSWORD)
        ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        (folder / "gateway.pem").touch(0o600)
        (folder / "gateway.pem").write_bytes(certificate)
        settings: dict[str, Any] = {
            "sdk": "activelogic_embedded",
            "embedded_root": "systems",
            "listen": "127.0.0.1:0",
            "tls": {"certificate": "gateway.pem", "key": "gateway.pem"},
            "state_dir": "state",
            "audit_log": "audit.log",
            "systems": {**{name: {"host": name} for name in systems}, "down": {"host": "nowhere"}},
            "limits": limits or {},
        }
        lab = Lab(folder, ca, settings)
        if sdk == TROUBLED:
            # Only the embedded SDK gets its root from the configuration; this one gets it from its environment.
            settings["sdk"] = sdk
            del settings["embedded_root"]
        lab.session.verify = str(folder / "ca.pem")
        lab.session.trust_env = False
        return lab

    return make


@pytest.fixture(scope="module")
def program() -> tuple[str, ...]:
    """How a module's gateways start (:attr:`Lab.program`); modules that test starting and stopping override it."""
    return ()


@pytest.fixture(scope="module")
def make_module_lab(new_lab: MakeLab, program: tuple[str, ...]) -> Iterator[MakeLab]:
    """Create labs for all tests of a module; the running ones are stopped at its end."""
    labs: list[Lab] = []

    def make(**options: Any) -> Lab:
        labs.append(new_lab(**options))
        labs[-1].program = program
        return labs[-1]

    yield make
    for lab in labs:
        if lab.process is not None:
            lab.ask_to_stop()
    for lab in labs:
        lab.session.close()
        if lab.process is not None:
            lab.stop()


@pytest.fixture
def make_lab(make_module_lab: MakeLab) -> Iterator[MakeLab]:
    """Create labs for one test; the running ones get a stop signal after it and end by the end of the module."""
    labs: list[Lab] = []

    def make(**options: Any) -> Lab:
        labs.append(make_module_lab(**options))
        return labs[-1]

    yield make
    for lab in labs:
        lab.session.close()
        if lab.process is not None:
            lab.ask_to_stop()


@pytest.fixture(scope="module")
def lab(make_module_lab: MakeLab) -> Lab:
    """A gateway that runs for the whole module, with the unmodified embedded SDK."""
    made = make_module_lab(sdk="activelogic_embedded", limits={"failed_logins_per_minute": 1000})
    made.start()
    return made
