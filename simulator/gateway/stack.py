"""The gateway: read `Gateway._checks` from top to bottom for the order in which a request is looked at.

Trace context; body cap; token, with the IP limit for whoever has no valid one; the plan's body cap; the tenant's
bucket; scope. All before a byte of the body is read (C89).
"""

from __future__ import annotations

import math

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simulator.gateway.context import KEY, RequestContext
from simulator.gateway.directory import Directory
from simulator.gateway.headers import rate_headers, unit_headers
from simulator.gateway.problems import as_problem, problem_response
from simulator.gateway.routes import is_public, route_name, scope_for
from simulator.identity.verifier import TokenRefused, Verifier
from simulator.policy.ratelimit import Bucket, take
from simulator.telemetry import Telemetry, child_traceparent
from zjops.domain.clock import Clock
from zjops.domain.errors import Problem
from zjops.domain.ids import Ids

BODY_CAP = 100_000_000
ANONYMOUS_PER_HOUR = 1_000
BUCKETS_MOST = 100_000


class Gateway:
    """Pure ASGI around the application; every answer passes back through it."""

    def __init__(
        self, app: ASGIApp, verifier: Verifier, directory: Directory, clock: Clock, ids: Ids, telemetry: Telemetry,
        *, processes: int = 1,
    ) -> None:  # fmt: skip
        self._app, self._verifier, self._directory = app, verifier, directory
        self._clock, self._ids, self._telemetry, self._processes = clock, ids, telemetry, processes
        self._tenants: dict[str, Bucket] = {}
        self._addresses: dict[str, Bucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        context = scope[KEY] = RequestContext(child_traceparent(headers.get("traceparent"), self._ids))
        exchange = _Exchange(context, receive, send)
        began = self._clock.monotonic()
        try:
            limit = await self._checks(scope, headers, context)
            exchange.limit_body(limit)
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as exc:
            await self._fail(scope, exchange, exc)
        self._measure(scope, headers, context, exchange, self._clock.monotonic() - began)

    async def _checks(self, scope: Scope, headers: Headers, context: RequestContext) -> int:
        """Everything before the body; returns how long the body may be."""
        self._check_length(headers, BODY_CAP)
        if is_public(scope["path"]):
            return BODY_CAP
        self._check_token(scope, headers, context)
        await self._check_tenant(headers, context)
        self._check_scope(scope, context)
        assert context.tenant is not None
        return context.tenant.plan.body_bytes

    def _check_length(self, headers: Headers, limit: int) -> None:
        length = headers.get("content-length", "0")
        if not length.isdigit():
            raise Problem("malformed-request", "Content-Length is not a number.")
        if int(length) > limit:
            raise Problem("payload-too-large", f"The body may hold {limit} bytes.")

    def _check_token(self, scope: Scope, headers: Headers, context: RequestContext) -> None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        try:
            if scheme.lower() != "bearer" or not token:
                raise TokenRefused("Send an access token: Authorization: Bearer …")
            context.principal = self._verifier.verify(token.strip())
        except TokenRefused as exc:
            self._telemetry.count("auth_failures_total", reason="token")
            self._check_address(scope)
            challenge = 'Bearer realm="zama"' + (', error="invalid_token"' if token else "")
            raise Problem("unauthorized", str(exc), headers={"WWW-Authenticate": challenge}) from exc

    def _check_address(self, scope: Scope) -> None:
        """Only who has no valid token counts against the IP address (C15)."""
        address = (scope.get("client") or ("unknown", 0))[0]
        rate = ANONYMOUS_PER_HOUR / 3600 / self._processes
        bucket, decision = take(
            self._addresses.get(address), rate, ANONYMOUS_PER_HOUR / self._processes, self._clock.now_ms()
        )
        _remember(self._addresses, address, bucket)
        if not decision.allowed:
            self._telemetry.count("rate_limit_exceeded_total", plan="none", limit="ip")
            headers = {"Retry-After": str(decision.retry_after_s)}
            raise Problem("rate-limit-exceeded", "Too many requests without a valid token.", headers=headers)

    async def _check_tenant(self, headers: Headers, context: RequestContext) -> None:
        assert context.principal is not None
        state = await self._directory.get(context.principal.tenant)
        if state is None:
            raise Problem("unauthorized", "The token's tenant does not exist.")
        context.tenant = state.tenant
        plan, now_ms = state.tenant.plan, self._clock.now_ms()
        rate = plan.requests_per_second / self._processes
        capacity = max(1, math.floor(rate * plan.burst_seconds))
        bucket, decision = take(self._tenants.get(state.tenant.tenant), rate, capacity, now_ms)
        _remember(self._tenants, state.tenant.tenant, bucket)
        context.headers |= rate_headers(plan, decision, now_ms) | unit_headers(plan, state.used, state.reset_ms)
        if state.tenant.status == "suspended":
            raise Problem("tenant-suspended", "This tenant is suspended; ask an operator.")
        self._check_length(headers, plan.body_bytes)
        if not decision.allowed:
            self._telemetry.count("rate_limit_exceeded_total", plan=plan.name, limit="rps")
            raise Problem("rate-limit-exceeded", f"{plan.requests_per_second} requests a second are the plan's limit.")

    def _check_scope(self, scope: Scope, context: RequestContext) -> None:
        needed = scope_for(scope["method"], scope["path"])
        assert context.principal is not None
        if needed is not None and needed not in context.principal.scopes:
            challenge = f'Bearer realm="zama", error="insufficient_scope", scope="{needed}"'
            raise Problem(
                "insufficient-scope", f"This needs the scope {needed}.", headers={"WWW-Authenticate": challenge}
            )

    async def _fail(self, scope: Scope, exchange: _Exchange, error: Exception) -> None:
        problem = as_problem(error)
        if problem.status >= 500:
            self._telemetry.log(
                "error", "request failed", trace_id=exchange.context.trace_id, path=scope["path"], reason=repr(error)
            )
        if not exchange.started:
            response = problem_response(problem, scope["path"], exchange.context.trace_id)
            await response(scope, exchange.receive, exchange.send)

    def _measure(
        self, scope: Scope, headers: Headers, context: RequestContext, exchange: _Exchange, seconds: float
    ) -> None:
        plan = context.tenant.plan.name if context.tenant else "none"
        route, method = route_name(scope["path"]) if exchange.status != 404 else "unknown", scope["method"]
        self._telemetry.count("http_requests_total", method=method, route=route, status=str(exchange.status), plan=plan)
        self._telemetry.observe("http_request_duration_seconds", seconds, method=method, route=route, plan=plan)
        size = float(headers.get("content-length", "0") or 0) if headers.get("content-length", "0").isdigit() else 0.0
        self._telemetry.observe("http_request_size_bytes", size, method=method, route=route)


class _Exchange:
    """One request and its answer: counts the body, adds the headers that every answer carries."""

    def __init__(self, context: RequestContext, receive: Receive, send: Send) -> None:
        self.context, self._receive, self._send = context, receive, send
        self._left: int | None = None
        self._limit = 0
        self.started, self.status = False, 0

    def limit_body(self, limit: int) -> None:
        """From here on the body may hold so many bytes."""
        self._limit = self._left = limit

    async def receive(self) -> Message:
        message = await self._receive()
        if self._left is not None and message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise Problem("payload-too-large", f"The body may hold {self._limit} bytes.")
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            headers = MutableHeaders(scope=message)
            headers["traceparent"] = self.context.traceparent
            for name, value in self.context.headers.items():
                headers.setdefault(name, value)
        await self._send(message)


def _remember(buckets: dict[str, Bucket], name: str, bucket: Bucket) -> None:
    """Keep a bucket; when there are too many, the half that was touched longest ago is dropped."""
    buckets.pop(name, None)
    buckets[name] = bucket
    if len(buckets) > BUCKETS_MOST:
        for old in list(buckets)[: BUCKETS_MOST // 2]:
            del buckets[old]
