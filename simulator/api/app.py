"""The application: routers, the error handlers, and the gateway around them."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from simulator.api.admin import AdminRoutes
from simulator.api.deps import ApiDeps
from simulator.api.jobs import JobRoutes
from simulator.api.public import PublicRoutes
from simulator.gateway.context import context_of
from simulator.gateway.problems import problem_response
from simulator.gateway.stack import Gateway
from zjops.domain.errors import FieldError, Problem

_BY_STATUS = {404: "not-found", 405: "method-not-allowed"}


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error, request.url.path, context_of(request.scope).trace_id)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    code = _BY_STATUS.get(error.status_code, "malformed-request")
    return await _on_problem(request, Problem(code, str(error.detail), headers=headers))


async def _on_bad_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [FieldError("#/" + "/".join(str(p) for p in e["loc"][1:]), e["msg"]) for e in error.errors()]
    return await _on_problem(request, Problem("invalid-parameter", "A parameter is wrong.", errors=errors))


def build_app(deps: ApiDeps, *, processes: int = 1) -> ASGIApp:
    """The whole REST interface as one ASGI application."""
    app = FastAPI(title="Zama Jobs API", version="1.0.0", docs_url=None, redoc_url=None)
    for routes in (JobRoutes(deps), AdminRoutes(deps), PublicRoutes(deps)):
        app.include_router(routes.router())
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_bad_parameter)
    return Gateway(app, deps.verifier, deps.directory, deps.clock, deps.ids, deps.telemetry, processes=processes)
