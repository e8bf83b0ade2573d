# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: labs with a live gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from tests.harness.lab import PASSWORD, TROUBLED, Lab, embedded


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def make_lab(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Lab]]:
    """Makes labs; those that run are stopped at the end of the module."""
    labs: list[Lab] = []

    def make(
        *,
        sdk: str = TROUBLED,
        systems: tuple[str, ...] = ("edge1", "edge2"),
        limits: dict[str, Any] | None = None,
    ) -> Lab:
        folder = tmp_path_factory.mktemp("lab")
        root = folder / "systems"
        embedded("init", str(root), *systems, "--username", "admin", password=PASSWORD)
        ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "gateway.pem"))
        (folder / "gateway.pem").chmod(0o600)
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
            # The configuration gives a root to the embedded SDK alone; this one finds it in its environment.
            settings["sdk"] = sdk
            del settings["embedded_root"]
        lab.session.verify = str(folder / "ca.pem")
        lab.session.trust_env = False
        labs.append(lab)
        return lab

    yield make
    for lab in labs:
        lab.session.close()
        if lab.process is not None:
            lab.stop()


@pytest.fixture(scope="module")
def lab(make_lab: Callable[..., Lab]) -> Lab:
    """A gateway that runs for the whole module, over the embedded SDK as it is."""
    made = make_lab(sdk="activelogic_embedded", limits={"failed_logins_per_minute": 1000})
    made.start()
    return made


@pytest.fixture
def add_user() -> Callable[..., None]:
    """Adds a user to an embedded system."""

    def add(lab: Lab, system: str, username: str, password: str, privilege: str = "write") -> None:
        embedded("user", str(lab.folder / "systems"), system, username, "--privilege", privilege, password=password)

    return add
