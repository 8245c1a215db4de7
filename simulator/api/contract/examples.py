"""Examples, made from the tier table and the real rules: never written by hand (C2)."""

from __future__ import annotations

from typing import Any

from simulator.gateway.headers import limit_headers, unit_headers
from simulator.intake.acceptance import refusal
from simulator.policy.ratelimit import take
from zjops.domain.clock import month_bounds_ms
from zjops.domain.errors import PROBLEMS, FieldError, Problem
from zjops.domain.plans import compute_units, decide_quota, price_book

MONTH = "2026-11"
PLAN = "starter"
TEXTS = {
    "X-RateLimit-Limit": "Requests a second that this process grants.",
    "X-RateLimit-Remaining": "Requests that may follow at once.",
    "X-RateLimit-Reset": "Unix time at which the bucket is full.",
    "RateLimit-Policy": "Policies (draft-ietf-httpapi-ratelimit-headers).",
    "RateLimit": "What is left of each, and in how many seconds there is more.",
    "X-ComputeUnits-Limit": "Compute units of the month.",
    "X-ComputeUnits-Used": "Units held and charged this month.",
    "X-ComputeUnits-Remaining": "Units left of the month's.",
    "X-ComputeUnits-Reset": "Unix time at which the next month begins.",
    "X-ComputeUnits-Buffer-Remaining": "Free units left above the limit.",
    "X-ComputeUnits-Overage-Enabled": "Whether paid overage is on.",
    "X-ComputeUnits-Overage-Rate": "US dollars a unit of overage.",
}

SOMETIMES = {
    "X-ComputeUnits-Warning": "Stands from 80 % of the month's units on.",
    "X-ComputeUnits-Overage-Applied": "Units of overage this month; stands while there are some.",
    "X-ComputeUnits-Overage-Cost": "What they cost, in US dollars.",
}
"""Headers that stand only where they have something to say."""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def submission_example() -> dict[str, Any]:
    """A body that is accepted."""
    return {"jobType": "compute_heavy", "parameters": {"algorithm": "prime_sieve", "limit": 1_000_000}}


def header_examples() -> dict[str, Any]:
    """The headers of every identified answer, as a Starter tenant sees them after one small job."""
    plan = price_book().plan(PLAN)
    start, end = month_bounds_ms(MONTH)
    share, now = plan.requests_per_second, start + 3_600_000
    _, decision = take(None, float(share), float(share * plan.burst_seconds), now)
    used = compute_units(200)
    values = limit_headers(plan, share, decision, used, now, end) | unit_headers(plan, used, end)
    return _described(TEXTS, values) | _described(SOMETIMES, _overage(end))


def _described(texts: dict[str, str], values: dict[str, str]) -> dict[str, Any]:
    return {
        name: {"description": text, "schema": {"type": "string"}, "example": values[name]}
        for name, text in texts.items()
    }


def _overage(end: int) -> dict[str, str]:
    """A tenth over the month's units, as in the second of the golden invoices (R84)."""
    plan = price_book().plan(PLAN, {"overage_enabled": True})
    return unit_headers(plan, plan.compute_units * 11 // 10, end)


def problem_example(code: str) -> dict[str, Any]:
    """A problem document, by the rules that make the real ones."""
    return _problem(code).document("/v1/jobs", TRACE)


def _problem(code: str) -> Problem:
    start, end = month_bounds_ms(MONTH)
    if code in ("quota-exceeded", "overage-limit-reached"):
        plan = price_book().plan(PLAN, {"overage_enabled": code == "overage-limit-reached"})
        used = plan.compute_units + plan.buffer_units + (plan.overage_cap_units if plan.overage_enabled else 0)
        return refusal(plan, decide_quota(plan, used, compute_units(200)), end, start)
    errors = None
    if code == "validation-failed":
        errors = [FieldError("#/timeoutSeconds", "Expected `int` >= 60")]
    return Problem(code, PROBLEMS[code].title, errors=errors)
