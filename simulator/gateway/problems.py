"""The one table from an error to a problem document (RFC 9457)."""

from __future__ import annotations

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from zjops.domain.errors import Problem, UnreachableError

MEDIA_TYPE = "application/problem+json"
_BY_STATUS = {404: "not-found", 405: "method-not-allowed"}


def as_problem(error: Exception) -> Problem:
    """The problem that tells a client of an error; what is not expected becomes a 500 that reveals nothing."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return Problem(
            _BY_STATUS.get(error.status_code, "malformed-request"), str(error.detail), headers=dict(error.headers or {})
        )
    if isinstance(error, ClientDisconnect):
        return Problem("malformed-request", "The client went away before its request was whole.")
    if isinstance(error, UnreachableError):
        return Problem(
            "unavailable", "A part of the platform is not there now; try again.", headers={"Retry-After": "1"}
        )
    return Problem("internal-error", "Something went wrong; the trace id names it in the logs.")


def problem_response(problem: Problem, instance: str, trace_id: str) -> Response:
    """A problem as an HTTP answer."""
    body = msgspec.json.encode(problem.document(instance, trace_id))
    return Response(body, status_code=problem.status, media_type=MEDIA_TYPE, headers=problem.headers)
