# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A request that concerns a system: its caller, its parameters, and its entry in the audit log."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from ..auth import Caller, Login
from ..gateway import Gateway
from ..operations import Operation
from ..problems import Problem
from .parameters import read_parameters


def client_address(request: Request) -> str:
    """Return the peer's address from the socket; no header can override it."""
    return request.client.host if request.client else ""


class SystemRequest:
    """A request that concerns a system: its caller, its parameters, and its entry in the audit log."""

    def __init__(self, gateway: Gateway, request: Request, caller: Caller, parameters: dict[str, Any]) -> None:
        self.audit: dict[str, Any] = request.scope["audit"]
        self.caller = caller
        self.system = caller.system
        self.parameters = parameters
        self._gateway = gateway

    @classmethod
    async def read(cls, gateway: Gateway, request: Request, command: str, **defaults: Any) -> SystemRequest:
        """Parse a request: its system, login and parameters.

        :param command: its name in the audit log.
        :param defaults: default values of the query parameters that the route accepts.
        :raises Problem: ``invalid_request``; for an unknown system as :meth:`CallerSessions.refuse_unknown`.
        """
        parameters = read_parameters(request, defaults)
        audit: dict[str, Any] = request.scope["audit"]
        audit["command"] = command
        given = [name for name, _ in request.query_params.multi_items()]
        if not defaults.keys() >= set(given) or len(set(given)) < len(given):
            raise Problem("invalid_request", "the query has an unknown or repeated parameter")
        login: Login = audit["login"]  # AdmitAndAudit rejects requests without one
        address = client_address(request)
        word: str = parameters["system"]  # the system's name or address
        audit["word"] = word
        system = gateway.config.find_system(word)
        if system is None:
            await gateway.callers.refuse_unknown(word, login, address)
        audit["system"] = system
        return cls(gateway, request, Caller(system, word, login, address), parameters)

    @property
    def uuid(self) -> str:
        """The operation's UUID, in lower case."""
        return str(self.parameters["operation"]).lower()

    async def operation(self, is_named: bool = True) -> Operation:
        """Find the operation that the request is about.

        :param is_named: whether the audit log names its backup.
        :raises Problem: as :meth:`Gateway.find`.
        """
        self.audit.update(operation=self.uuid)
        operation = await self._gateway.find(self.caller, self.uuid)
        if is_named:
            self.audit.update(name=operation.request.name)
        return operation
