"""Rate and unit headers (R42, R48, R49, C3, C89) from the plan: never written by hand."""

from __future__ import annotations

from simulator.policy.ratelimit import RateDecision
from zjops.domain.plans import Plan, split_units


def rate_headers(plan: Plan, decision: RateDecision, now_ms: int) -> dict[str, str]:
    """`X-RateLimit-*` as designed and the draft's `RateLimit` fields with delta seconds."""
    limit = plan.requests_per_second
    headers = {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(decision.remaining),
        "X-RateLimit-Reset": str(now_ms // 1000 + decision.reset_s),
        "RateLimit-Policy": f'"rps";q={limit};w=1',
        "RateLimit": f'"rps";r={decision.remaining};t={max(decision.retry_after_s, 1)}',
    }
    return headers if decision.allowed else headers | {"Retry-After": str(decision.retry_after_s)}


def unit_headers(plan: Plan, used: int, reset_ms: int) -> dict[str, str]:
    """`X-ComputeUnits-*` for this month."""
    split = split_units(plan, used)
    headers = {
        "X-ComputeUnits-Limit": str(plan.compute_units),
        "X-ComputeUnits-Used": str(used),
        "X-ComputeUnits-Remaining": str(plan.compute_units - split.included),
        "X-ComputeUnits-Reset": str(reset_ms // 1000),
        "X-ComputeUnits-Buffer-Remaining": str(plan.buffer_units - split.buffer),
        "X-ComputeUnits-Overage-Enabled": str(plan.overage_enabled).lower(),
        "X-ComputeUnits-Overage-Rate": _dollars(plan.overage_nanousd),
    }
    if not split.overage:
        return headers
    cost = f"{split.overage * plan.overage_nanousd // 1000 / 1_000_000:.6f}"
    return headers | {"X-ComputeUnits-Overage-Applied": str(split.overage), "X-ComputeUnits-Overage-Cost": cost}


def _dollars(nanousd: int) -> str:
    return f"{nanousd // 1_000_000_000}.{nanousd % 1_000_000_000:09d}"
