"""Tenants: their bucket, breaker and traffic, and the headers that tell them of it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from simulator.abuse import Abuse
from simulator.gateway.addresses import remember
from simulator.gateway.context import RequestContext, Seat
from simulator.gateway.desk import Desk
from simulator.gateway.directory import Directory
from simulator.gateway.headers import limit_headers
from simulator.gateway.watchlist import Watchlist
from simulator.intake.records import Tenant
from simulator.policy.abuse import SignalKind
from simulator.policy.admission import Refusal, admit
from simulator.policy.breaker import Breaker, State
from simulator.policy.capacity import Capacity
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock
from zjops.domain.errors import Problem
from zjops.domain.requests import PROBER_TENANT

DEVICES_MOST = 1_000
"""How many device fingerprints of a tenant a process looks at: a header that is always new must not fill the store."""
BULK_LEAST = 16
"""Bulk submissions under way, whatever was done lately: each is up to a hundred jobs."""
Ready = Callable[[], Awaitable[dict[str, bool]]]


class Shed(NamedTuple):
    """A submission that is refused at the door: its tenant's plan, why, and the headers that tell of the tenant."""

    plan: str
    refused: Refusal
    headers: dict[str, str]


def overloaded(refused: Refusal) -> Problem:
    """The problem of there being no room (503)."""
    return Problem(
        "overloaded", refused.why, headers={"Retry-After": str(refused.retry_after_s)},
        extra={"violated-policies": ["capacity"]},
    )  # fmt: skip


class TenantGuard:
    """Decides about requests of known tenants. Buckets are this process's share of the plan's limit."""

    def __init__(
        self, directory: Directory, clock: Clock, telemetry: Telemetry, watch: Watchlist, abuse: Abuse, ready: Ready, *,
        processes: int = 1, most_jobs: int, most_lag_s: float, most_wait_s: float,
    ) -> None:  # fmt: skip
        self._directory, self._clock, self._telemetry, self._watch = directory, clock, telemetry, watch
        self._abuse, self._ready, self._processes = abuse, ready, processes
        self._most_jobs, self._most_lag_s = most_jobs, most_lag_s
        self._single, self._bulk = Capacity(most_wait_s), Capacity(most_wait_s, BULK_LEAST)
        self._desks: dict[str, Desk] = {}

    def desk(self, tenant: str) -> Desk:
        """The desk of a tenant; when there are too many, those that were opened longest ago are closed."""
        found = self._desks.get(tenant)
        if found is None:
            found = Desk()
            remember(self._desks, tenant, found)
        return found

    async def identify(self, context: RequestContext) -> None:
        """Who it is, and one token of the bucket. Raises `Problem`."""
        assert context.principal is not None
        directory, name = self._directory, context.principal.tenant
        state = directory.remembered(name) or await directory.get(name)
        if state is None:
            raise Problem("unauthorized", "The token's tenant does not exist.")
        tenant = context.tenant = state.tenant
        desk = context.desk = self.desk(tenant.tenant)
        plan, now_ms = tenant.plan, self._clock.now_ms()
        decision = desk.take(plan, self._processes, now_ms)
        share = desk.share
        headers = context.headers
        headers.update(state.headers)
        headers.update(limit_headers(plan, share, decision, state.used, now_ms, state.reset_ms))
        if tenant.status != "active":
            raise Problem("tenant-suspended", f"This tenant is {tenant.status}; ask an operator.")
        if not decision.allowed:
            self._telemetry.count("rate_limit_exceeded_total", plan=plan.name, limit="rps")
            raise Problem(
                "rate-limit-exceeded", f"{share} requests a second are this tenant's limit here.",
                extra={"violated-policies": ["rps"]},
            )  # fmt: skip

    def look_for_abuse(self, context: RequestContext, device: str | None) -> Awaitable[None] | None:
        """Spikes, and signals by which accounts are seen to belong together; what is to be awaited, if anything.

        As a rule nothing is, and what runs for every request makes no coroutine for it.
        """
        tenant, desk = context.tenant, context.desk
        assert tenant is not None
        assert desk is not None
        times = desk.spike.add(self._clock.now_ms() // 60_000)
        known = self._abuse.knows(tenant.tenant, SignalKind.ADDRESS, context.address)
        return None if times is None and known and not device else self._suspect(context, tenant, times, device)

    async def _suspect(self, context: RequestContext, tenant: Tenant, times: int | None, device: str | None) -> None:
        if times is not None:
            await self._abuse.spike(tenant.tenant, times)
        step = await self._abuse.observe(tenant.tenant, tenant.plan.name, SignalKind.ADDRESS, context.address)
        if device and context.desk is not None and context.desk.devices < DEVICES_MOST:
            context.desk.devices += not self._abuse.knows(tenant.tenant, SignalKind.DEVICE, device[:200])
            step = await self._abuse.observe(tenant.tenant, tenant.plan.name, SignalKind.DEVICE, device[:200]) or step
        if step is not None:
            self._directory.forget(tenant.tenant)

    def suspended(self, context: RequestContext) -> Awaitable[None] | None:
        """What is to be awaited while the tenant's breaker is not closed. It raises `Problem` (503)."""
        assert context.desk is not None
        breaker = context.desk.breaker
        return None if breaker.state is State.CLOSED else self._try(context, breaker)

    async def _try(self, context: RequestContext, breaker: Breaker) -> None:
        ready = breaker.state is State.OPEN and all((await self._ready()).values())
        wait = breaker.admit(self._clock.monotonic(), ready)
        if wait:
            headers = {"Retry-After": str(max(1, math.ceil(wait)))}
            raise Problem("circuit-open", "Too many requests of this tenant failed just now.", headers=headers)
        context.trial = breaker.state is State.HALF_OPEN

    def check_capacity(
        self, context: RequestContext, *, submission: bool, bulk: bool = False, late: bool = False
    ) -> None:
        """Whether there is room on the platform; a submission is counted until `left`. Raises `Problem` (503).

        One whose body is `late` is counted once it has come (`whole`): who sends slowly takes nobody's room.
        """
        refused = admit(
            self._watch.pressure, submission=submission, most_jobs=self._most_jobs, most_lag_s=self._most_lag_s
        )
        if refused is None and submission and context.seat is None:
            # One that wishes to wait for the end of its job is under way for long, and no burden meanwhile.
            room = None if b"prefer" in context.given else self._bulk if bulk else self._single
            refused = self._later(context, room) if late else self._let_in(context, room)
        if refused is not None:
            raise overloaded(refused)
        context.admitted = True

    def _later(self, context: RequestContext, room: Capacity | None) -> Refusal | None:
        """One whose body comes late is let in once more when it has come; what is full now it need not send to."""
        assert context.tenant is not None
        tenant, now_s = context.tenant.tenant, self._clock.monotonic()
        context.late, context.room = True, room
        backlog = self._watch.backlog
        refused = None if tenant == PROBER_TENANT else backlog.refusal(tenant, now_s)
        return refused or (room.refusal(tenant, now_s) if room is not None else None)

    def _seat(self, tenant: str, capacity: Capacity | None) -> Seat | Refusal:
        """A seat for a submission, or why there is none. Only one that has it counts as let in."""
        now_s = self._clock.monotonic()
        backlog = self._watch.backlog if self._watch.backlog.standing and tenant != PROBER_TENANT else None
        refused = backlog.refusal(tenant, now_s) if backlog is not None else None
        if refused is None and capacity is not None:
            refused = capacity.begin(tenant, now_s)
        if refused is None and backlog is not None:
            backlog.took(tenant, 1, now_s)
        return refused or Seat(capacity, tenant, backlog)

    @property
    def crowded(self) -> bool:
        """Whether there may be no room for somebody."""
        return self._single.crowded or self._bulk.crowded or self._watch.backlog.standing

    def seat_or_shed(self, tenant: str, size: int, *, bulk: bool) -> Seat | Shed | None:
        """A seat for a submission of so many bytes, or what to tell of one for which there is no room.

        None for whoever is to be told something else, or of whom too little is known here.
        """
        capacity = self._bulk if bulk else self._single
        state = self._directory.remembered(tenant)
        if state is None or state.tenant.status != "active" or tenant == PROBER_TENANT:
            return None
        known = self._desks.get(tenant)
        if known is not None and known.breaker.state is not State.CLOSED:
            return None
        if size > state.tenant.plan.body_bytes:
            return None
        seat = self._seat(tenant, capacity)
        if isinstance(seat, Seat):
            return seat
        plan, desk, now_ms = state.tenant.plan, self.desk(tenant), self._clock.now_ms()
        decision = desk.take(plan, self._processes, now_ms)
        if not decision.allowed:
            return None
        limits = limit_headers(plan, desk.share, decision, state.used, now_ms, state.reset_ms)
        return Shed(plan.name, seat, state.headers | limits)

    def _let_in(self, context: RequestContext, capacity: Capacity | None) -> Refusal | None:
        assert context.tenant is not None
        seat = self._seat(context.tenant.tenant, capacity)
        if isinstance(seat, Refusal):
            return seat
        context.seat = seat
        return None

    def whole(self, context: RequestContext) -> None:
        """The body that was late has come. Raises `Problem` (503) where there is no room for it any more."""
        late, context.late = context.late, False
        refused = self._let_in(context, context.room) if late else None
        if refused is not None:
            context.admitted = False
            raise overloaded(refused)

    def left(self, context: RequestContext) -> None:
        """It is not under way any more, whatever became of it."""
        seat, context.seat = context.seat, None
        if seat is not None:
            seat.end(context.jobs, self._clock.monotonic())

    def answered(self, context: RequestContext, status: int) -> None:
        """Count an answer for the breaker: 5xx and timeouts of requests that were let in (C87)."""
        if context.desk is None:
            return
        if not context.admitted:
            if context.trial:
                context.desk.breaker.untried()
            return
        if context.desk.breaker.record(self._clock.monotonic(), status >= 500):
            self._telemetry.count("breaker_opened_total")

    def levels(self, tenant: str) -> dict[str, object]:
        """What operators may see of a tenant in this process (C85)."""
        desk = self._desks.get(tenant) or Desk()
        return {
            "bucketTokens": None if desk.bucket is None else round(desk.bucket.tokens, 3),
            "breaker": desk.breaker.state.value,
        }
