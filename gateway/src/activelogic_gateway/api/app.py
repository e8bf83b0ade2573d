# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ASGI application: its routes and exception handlers. Importing it has no effect, and there is no global state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp

from ..gateway import Gateway
from ..problems import Problem
from .admission import AdmitAndAudit
from .responses import failure, problem_response
from .routes import routes


def create_app(gateway: Gateway) -> ASGIApp:
    """Create the application of a gateway; the gateway's background work runs for the application's lifetime."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        gateway.start()
        try:
            yield
        finally:
            await gateway.close()

    app = Starlette(
        routes=routes(gateway),
        exception_handlers={Problem: _on_problem, HTTPException: _on_http, Exception: _on_failure},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return AdmitAndAudit(app, gateway)


async def _on_problem(request: Request, problem: Exception) -> Response:
    if not isinstance(problem, Problem):
        raise problem
    request.scope["audit"]["kind"] = problem.kind
    audit = request.scope["audit"]
    if audit["login"] is not None and audit["login"].accepted:
        problem.system = problem.system or audit.get("system")
    else:  # before a login, don't reveal which systems exist, or the name that belongs to an address
        problem.system = None if problem.kind == "unknown_system" else audit.get("word")
    return problem_response(problem)


async def _on_failure(request: Request, error: Exception) -> Response:
    return await _on_problem(request, failure(error))  # Starlette raises it again, and AdmitAndAudit logs it


async def _on_http(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == 405:
        allowed = sorted(
            {
                method
                for each in request.app.routes
                if isinstance(each, Route) and each.matches(request.scope)[0] is not Match.NONE
                for method in each.methods or ()
            }
        )
        return await _on_problem(
            request,
            Problem(
                "method_not_allowed", f"{request.method} is not supported here", headers={"Allow": ", ".join(allowed)}
            ),
        )
    if isinstance(error, HTTPException) and error.status_code == 404:
        return await _on_problem(request, Problem("unknown_route", "there is no such route"))
    status = getattr(error, "status_code", 400)
    return await _on_problem(
        request, Problem("bad_request" if status < 500 else "internal_error", "the request can't be handled")
    )
