"""Rate and unit headers (R42, R48, R49, C3, C89) from the plan: never written by hand."""

from __future__ import annotations

import functools

from simulator.policy.ratelimit import RateDecision
from zjops.domain.plans import Plan, split_units

UNIT = "zama-cu"
MONTH_S = 2_592_000
IDENTIFIED = (
    "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit",
    "X-ComputeUnits-Limit", "X-ComputeUnits-Used", "X-ComputeUnits-Remaining", "X-ComputeUnits-Reset",
    "X-ComputeUnits-Buffer-Remaining", "X-ComputeUnits-Overage-Enabled", "X-ComputeUnits-Overage-Rate",
)  # fmt: skip
"""What every answer to an identified tenant carries."""


@functools.lru_cache(maxsize=4096)
def _policy(limit: int, units: int) -> str:
    return f'"rps";q={limit};w=1, "cu";q={units};qu="{UNIT}";w={MONTH_S}'


def limit_headers(
    plan: Plan, share: int, decision: RateDecision, used: int, now_ms: int, reset_ms: int
) -> dict[str, str]:
    """`X-RateLimit-*` as designed, and the draft's `RateLimit-Policy` and `RateLimit` with delta seconds.

    `share` is what this process grants a second of the plan's limit; the month of `used` units ends at `reset_ms`.
    """
    allowed, remaining, retry_s, full_s = decision
    free = str(remaining if remaining < share else share)
    units, month_s = plan.compute_units, max(1, (reset_ms - now_ms) // 1000)
    headers = {
        "X-RateLimit-Limit": str(share),
        "X-RateLimit-Remaining": free,
        "X-RateLimit-Reset": str(now_ms // 1000 + full_s),
        "RateLimit-Policy": _policy(share, units),
        "RateLimit": f'"rps";r={free};t={retry_s or 1}, "cu";r={units - used if used < units else 0};t={month_s}',
    }
    return headers if allowed else headers | {"Retry-After": str(retry_s)}


def address_fields(limit: int, decision: RateDecision) -> dict[str, str]:
    """The policy for an address without a valid token (R56)."""
    headers = {
        "RateLimit-Policy": f'"ip";q={limit};w=3600',
        "RateLimit": f'"ip";r={decision.remaining};t={max(decision.retry_after_s, 1)}',
    }
    return headers if decision.allowed else headers | {"Retry-After": str(decision.retry_after_s)}


@functools.lru_cache(maxsize=4096)
def _fixed_units(plan: Plan, reset_ms: int) -> dict[str, str]:
    return {
        "X-ComputeUnits-Limit": str(plan.compute_units),
        "X-ComputeUnits-Reset": str(reset_ms // 1000),
        "X-ComputeUnits-Overage-Enabled": str(plan.overage_enabled).lower(),
        "X-ComputeUnits-Overage-Rate": f"{plan.overage_nanousd / 1e9:.9f}",
        "X-ComputeUnits-Buffer-Remaining": str(plan.buffer_units),
    }


def unit_headers(plan: Plan, used: int, reset_ms: int) -> dict[str, str]:
    """`X-ComputeUnits-*` for this month; at 80 % of the allowance a warning too (S10)."""
    headers = _fixed_units(plan, reset_ms).copy()
    headers["X-ComputeUnits-Used"] = str(used)
    if used * 5 < plan.compute_units * 4:
        headers["X-ComputeUnits-Remaining"] = str(plan.compute_units - used)
        return headers
    split = split_units(plan, used)
    headers["X-ComputeUnits-Remaining"] = str(plan.compute_units - split.included)
    headers["X-ComputeUnits-Buffer-Remaining"] = str(plan.buffer_units - split.buffer)
    if plan.compute_units > 0:
        headers["X-ComputeUnits-Warning"] = f"{used * 100 // plan.compute_units} % of the month's units are used"
    if not split.overage:
        return headers
    cost = f"{split.overage * plan.overage_nanousd // 1000 / 1_000_000:.6f}"
    return headers | {"X-ComputeUnits-Overage-Applied": str(split.overage), "X-ComputeUnits-Overage-Cost": cost}
