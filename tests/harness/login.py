# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Login options of a system, for each of the two ways to reach it."""

from __future__ import annotations

from typing import Any

from tests.harness.lab import Lab

GATEWAY = "gateway"
DIRECT = "direct"
WAYS = (GATEWAY, DIRECT)
EMBEDDED = "activelogic_embedded"
"""The package that replaces the vendor's on the direct way."""


def login_options(lab: Lab, system: str, way: str, **more: Any) -> dict[str, Any]:
    """Options of a module, or of the client's ``Settings``, for a system of the lab.

    :param way: one of :data:`WAYS`.
    :param more: options that are added or override these.
    """
    options = {"host": system, "username": lab.username, "password": lab.password}
    there = route_options(way, lab.url, str(lab.ca_path)) if way == GATEWAY else route_options(way)
    return {**options, **there, **more}


def route_options(way: str, gateway_url: str = "", ca_path: str = "", sdk_module: str = EMBEDDED) -> dict[str, Any]:
    """The options of a way, without the login: the gateway's, or the package of the direct way.

    :raises ValueError: when ``way`` is unknown.
    """
    if way == GATEWAY:
        return {"gateway_url": gateway_url, "ca_path": ca_path}
    if way == DIRECT:
        return {"sdk_module": sdk_module}
    raise ValueError(f"{way!r} is none of {', '.join(WAYS)}")
