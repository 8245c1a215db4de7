"""Tenants: their bucket, breaker and traffic, and the headers that tell them of it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

from simulator.abuse import Abuse
from simulator.gateway.addresses import remember
from simulator.gateway.context import RequestContext
from simulator.gateway.directory import Directory
from simulator.gateway.headers import limit_fields, rate_headers
from simulator.gateway.watchlist import Watchlist
from simulator.policy.abuse import SignalKind, Spike
from simulator.policy.admission import admit
from simulator.policy.breaker import Breaker, State
from simulator.policy.ratelimit import Bucket, take
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock
from zjops.domain.errors import Problem

Ready = Callable[[], Awaitable[dict[str, bool]]]


class TenantGuard:
    """Decides about requests of known tenants. Buckets are this process's share of the plan's limit."""

    def __init__(
        self, directory: Directory, clock: Clock, telemetry: Telemetry, watch: Watchlist, abuse: Abuse, ready: Ready, *,
        processes: int = 1, most_jobs: int, most_lag_s: float,
    ) -> None:  # fmt: skip
        self._directory, self._clock, self._telemetry, self._watch = directory, clock, telemetry, watch
        self._abuse, self._ready, self._processes = abuse, ready, processes
        self._most_jobs, self._most_lag_s = most_jobs, most_lag_s
        self._buckets: dict[str, Bucket] = {}
        self._breakers: dict[str, Breaker] = {}
        self._spikes: dict[str, Spike] = {}

    async def identify(self, context: RequestContext) -> None:
        """Who it is, and one token of the bucket. Raises `Problem`."""
        assert context.principal is not None
        directory, name = self._directory, context.principal.tenant
        state = directory.remembered(name) or await directory.get(name)
        if state is None:
            raise Problem("unauthorized", "The token's tenant does not exist.")
        tenant = context.tenant = state.tenant
        plan, now_ms = tenant.plan, self._clock.now_ms()
        rate = plan.requests_per_second / self._processes
        share = max(1, math.floor(rate))
        bucket, decision = take(
            self._buckets.get(tenant.tenant), rate, max(1, math.floor(rate * plan.burst_seconds)), now_ms
        )
        remember(self._buckets, tenant.tenant, bucket)
        headers = context.headers
        headers.update(state.headers)
        headers.update(rate_headers(share, decision, now_ms))
        headers.update(limit_fields(plan, share, decision, state.used, max(1, (state.reset_ms - now_ms) // 1000)))
        if tenant.status != "active":
            raise Problem("tenant-suspended", f"This tenant is {tenant.status}; ask an operator.")
        if not decision.allowed:
            self._telemetry.count("rate_limit_exceeded_total", plan=plan.name, limit="rps")
            raise Problem(
                "rate-limit-exceeded", f"{share} requests a second are this tenant's limit here.",
                extra={"violated-policies": ["rps"]},
            )  # fmt: skip

    async def look_for_abuse(self, context: RequestContext, device: str | None) -> None:
        """Spikes, and signals by which accounts are seen to belong together."""
        tenant = context.tenant
        assert tenant is not None
        spike = self._spikes.get(tenant.tenant)
        if spike is None:
            spike = Spike()
            remember(self._spikes, tenant.tenant, spike)
        times = spike.add(self._clock.now_ms() // 60_000)
        if times is not None:
            await self._abuse.spike(tenant.tenant, times)
        step = None
        if not self._abuse.knows(tenant.tenant, SignalKind.ADDRESS, context.address):
            step = await self._abuse.observe(tenant.tenant, tenant.plan.name, SignalKind.ADDRESS, context.address)
        if device:
            step = await self._abuse.observe(tenant.tenant, tenant.plan.name, SignalKind.DEVICE, device[:200]) or step
        if step is not None:
            self._directory.forget(tenant.tenant)

    async def check_capacity(self, context: RequestContext, *, submission: bool) -> None:
        """The breaker of the tenant and the room on the platform. Raises `Problem` (503)."""
        assert context.tenant is not None
        breaker = self._breakers.get(context.tenant.tenant)
        if breaker is not None and breaker.state is not State.CLOSED:
            ready = breaker.state is State.OPEN and all((await self._ready()).values())
            wait = breaker.admit(self._clock.monotonic(), ready)
            if wait:
                headers = {"Retry-After": str(max(1, math.ceil(wait)))}
                raise Problem("circuit-open", "Too many requests of this tenant failed just now.", headers=headers)
        refused = admit(
            self._watch.pressure, submission=submission, most_jobs=self._most_jobs, most_lag_s=self._most_lag_s
        )
        if refused is not None:
            raise Problem(
                "overloaded", refused.why, headers={"Retry-After": str(refused.retry_after_s)},
                extra={"violated-policies": ["capacity"]},
            )  # fmt: skip
        context.admitted = True

    def answered(self, context: RequestContext, status: int) -> None:
        """Count an answer for the breaker: 5xx and timeouts of requests that were let in (C87)."""
        if not context.admitted or context.tenant is None:
            return
        failed = status >= 500
        name = context.tenant.tenant
        breaker = self._breakers.get(name)
        if breaker is None:
            breaker = Breaker()
            remember(self._breakers, name, breaker)
        if breaker.record(self._clock.monotonic(), failed):
            self._telemetry.count("breaker_opened_total")

    def levels(self, tenant: str) -> dict[str, object]:
        """What operators may see of a tenant in this process (C85)."""
        bucket, breaker = self._buckets.get(tenant), self._breakers.get(tenant)
        return {
            "bucketTokens": None if bucket is None else round(bucket.tokens, 3),
            "breaker": (breaker.state if breaker else State.CLOSED).value,
        }
