"""The gateway: read `Gateway._checks` from top to bottom for the order in which a request is looked at.

Trace context; body cap; token, with the IP limit for whoever has no valid one; the tenant's bucket; the plan's body
cap; version; scope; breaker and admission. All before a byte of the body is read (C89).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simulator.gateway.addresses import AddressGuard, address_of, peer_of
from simulator.gateway.context import KEY, LATE, SEAT, RequestContext
from simulator.gateway.exchange import Exchange
from simulator.gateway.problems import MEDIA_TYPE, as_problem, problem_response
from simulator.gateway.tally import RequestTally
from simulator.gateway.tenants import TenantGuard
from simulator.gateway.versions import Versions
from simulator.identity.verifier import Principal, TokenRefused, Verifier
from simulator.telemetry import Telemetry
from simulator.tracing import Tracing
from zjops.domain.clock import Clock
from zjops.domain.errors import Problem
from zjops.domain.ids import Ids
from zjops.domain.requests import NOBODY, PROBER, PROBER_TENANT, UNKNOWN

BODY_CAP = 100_000_000
SINGLE = frozenset({b"authorization", b"content-length", b"content-type", b"host", b"idempotency-key"})
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Rule(NamedTuple):
    """What the gateway must know of an operation."""

    name: str
    scope: str | None
    submission: bool = False
    admin: bool = False
    bulk: bool = False


Rules = Callable[[str, str], "Rule | None"]


class Guards(NamedTuple):
    """Who decides about what."""

    verifier: Verifier
    addresses: AddressGuard
    tenants: TenantGuard
    versions: Versions
    rules: Rules
    public: Callable[[str], bool]


class Gateway:
    """Pure ASGI around the application; every answer passes back through it."""

    def __init__(
        self, app: ASGIApp, guards: Guards, clock: Clock, ids: Ids, telemetry: Telemetry, tracing: Tracing,
        tally: RequestTally, *, trusted_proxies: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        self._app, self._guards, self._clock, self._ids = app, guards, clock, ids
        self._telemetry, self._tracing, self._trusted = telemetry, tracing, trusted_proxies
        self._tally = tally
        telemetry.registry.register(tally)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        began = self._clock.monotonic()
        raw = scope["headers"]
        headers: dict[bytes, bytes] = dict(raw)
        span = self._tracing.begin(headers.get(b"traceparent"), headers.get(b"tracestate"))
        context = scope[KEY] = RequestContext(span.traceparent, headers, seat=scope.get(SEAT))
        exchange = Exchange(context, receive, send, scope, self._clock.monotonic)
        context.answer = exchange.answer
        rule = self._guards.rules(scope.get("method", "GET"), scope["path"])
        try:
            limit = await self._checks(scope, raw, headers, context, rule)
            exchange.limit_body(limit)
            receive = exchange.receive if LATE not in scope else self._late(context, exchange)
            await self._app(scope, receive, exchange.send)
        except Exception as exc:
            await self._fail(scope, exchange, exc)
        finally:
            self._guards.tenants.left(context)
            # Else the request holds itself: nothing of it would be free before the garbage collector came by.
            context.answer = None
        seconds = self._clock.monotonic() - began
        self._guards.tenants.answered(context, exchange.status)
        self._measure(scope, headers, context, exchange, rule, (exchange.answering_since or began + seconds) - began)
        self._tracing.end(span, scope, rule.name if rule else "unknown", exchange.status, seconds)

    def _late(self, context: RequestContext, exchange: Exchange) -> Receive:
        """A body that did not come with the head: how long its client took is not counted as the platform's time."""
        whole = False

        async def receive() -> Message:
            nonlocal whole
            if whole:
                return await exchange.receive()
            began = self._clock.monotonic()
            try:
                message = await exchange.receive()
            finally:
                context.waited_s += self._clock.monotonic() - began
            if message["type"] == "http.request" and not message.get("more_body", False):
                whole = True
                self._guards.tenants.whole(context)
            return message

        return receive

    async def _checks(
        self, scope: Scope, raw: list[tuple[bytes, bytes]], headers: dict[bytes, bytes], context: RequestContext,
        rule: Rule | None,
    ) -> int:  # fmt: skip
        """Everything before the body; returns how long the body may be."""
        context.request_id = _request_id(headers, context)
        if len(headers) != len(raw):
            _check_single(raw)
        context.address = peer_of(scope)
        if self._trusted:
            context.address = address_of(context.address, text_of(headers, b"x-forwarded-for"), self._trusted)
        _check_length(headers, BODY_CAP)
        if self._guards.public(scope["path"]):
            return BODY_CAP
        await self._check_token(scope, headers, context)
        tenants = self._guards.tenants
        await tenants.identify(context)
        assert context.tenant is not None
        _check_length(headers, context.tenant.plan.body_bytes)
        self._guards.versions.check(scope["path"], text_of(headers, b"accept-version"), context)
        _check_scope(context, rule)
        if rule is not None and not rule.admin:
            suspect = tenants.look_for_abuse(context, text_of(headers, b"x-device-fingerprint"))
            if suspect is not None:
                await suspect
            trial = tenants.suspended(context)
            if trial is not None:
                await trial
            tenants.check_capacity(context, submission=rule.submission, bulk=rule.bulk, late=LATE in scope)
        return context.tenant.plan.body_bytes

    async def _check_token(self, scope: Scope, headers: dict[bytes, bytes], context: RequestContext) -> None:
        try:
            principal: Principal | None = scope.get("zjops.ticket")
            if principal is None:
                given, verifier = headers.get(b"authorization"), self._guards.verifier
                principal = None if given is None else verifier.remembered(given)
                if principal is None:
                    principal = await verifier.verify(_bearer(scope, headers), given)
            context.principal = principal
        except TokenRefused as exc:
            self._telemetry.count("auth_failures_total", reason="token")
            self._guards.addresses.check_ban(context.address)
            context.headers.update(self._guards.addresses.count(context.address))
            error = ', error="invalid_token"' if b"authorization" in headers else ""
            challenge = f'Bearer realm="zama", resource_metadata="/.well-known/oauth-protected-resource"{error}'
            raise Problem("unauthorized", str(exc), headers={"WWW-Authenticate": challenge}) from exc

    async def _fail(self, scope: Scope, exchange: Exchange, error: Exception) -> None:
        problem = as_problem(error)
        if problem.status >= 500 and problem.kind.code == "internal-error":
            self._telemetry.log(
                "error", "request failed", trace_id=exchange.context.trace_id, path=scope["path"], reason=repr(error)
            )
        if not exchange.started:
            await _tell(problem, scope, exchange)

    def _measure(
        self, scope: Scope, headers: dict[bytes, bytes], context: RequestContext, exchange: Exchange, rule: Rule | None,
        seconds: float,
    ) -> None:  # fmt: skip
        """Count the answer, with the time until it began: how long a stream then runs says nothing of the platform.

        Neither does how long a caller preferred to wait.
        """
        tenant, status = context.tenant, exchange.status
        if tenant is None:
            plan = NOBODY if context.principal is None else UNKNOWN
        else:
            plan = tenant.plan.name if tenant.tenant != PROBER_TENANT else PROBER
        route = rule.name if rule and status != 404 else "unknown"
        method = scope.get("method", "WEBSOCKET") if rule else "other"
        length = headers.get(b"content-length", b"0")
        size = float(length) if length.isdigit() else 0.0
        self._tally.add((method, route, status, plan), seconds - context.waited_s, size)


async def _tell(problem: Problem, scope: Scope, exchange: Exchange) -> None:
    """Answer with a problem, as cheaply as can be: when there is too much to do, most answers are one."""
    context = exchange.context
    given = problem.headers or {}
    if scope["type"] != "http" or not given.keys().isdisjoint(context.headers):
        response = problem_response(problem, scope["path"], context.trace_id)
        await response(scope, exchange.receive, exchange.send)
        return
    body = msgspec.json.encode(problem.document(scope["path"], context.trace_id))
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given.items()]
    headers += [(b"content-length", str(len(body)).encode()), (b"content-type", MEDIA_TYPE.encode())]
    await exchange.answer(problem.status, headers, body)


def text_of(headers: dict[bytes, bytes], name: bytes) -> str | None:
    """A header as text; None where it was not sent."""
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


def _bearer(scope: Scope, headers: dict[bytes, bytes]) -> str:
    """The access token that a request carries. Raises `TokenRefused`."""
    scheme, _, token = (text_of(headers, b"authorization") or "").partition(" ")
    token = token.strip()
    if scope["type"] == "websocket" and not scheme:
        scheme, token = "bearer", _subprotocol_token(scope)
    if scheme.lower() != "bearer" or not token:
        raise TokenRefused("Send an access token: Authorization: Bearer …")
    return token


def _request_id(headers: dict[bytes, bytes], context: RequestContext) -> str:
    given = text_of(headers, b"x-request-id")
    return given if given and REQUEST_ID.fullmatch(given) else context.traceparent[36:52]


def _check_single(raw: list[tuple[bytes, bytes]]) -> None:
    """What two servers could read differently is not read at all."""
    seen: set[bytes] = set()
    for name, _ in raw:
        if name in seen and name in SINGLE:
            raise Problem("malformed-request", f"The header {name.decode('latin-1')} stands twice.")
        seen.add(name)


def _check_length(headers: dict[bytes, bytes], limit: int) -> None:
    length = headers.get(b"content-length", b"0")
    if not length.isdigit():
        raise Problem("malformed-request", "Content-Length is not a number.")
    if len(length) > 12 or int(length) > limit:
        raise Problem("payload-too-large", f"The body may hold {limit} bytes.")


def _check_scope(context: RequestContext, rule: Rule | None) -> None:
    assert context.principal is not None
    if rule is not None and rule.scope is not None and rule.scope not in context.principal.scopes:
        challenge = f'Bearer realm="zama", error="insufficient_scope", scope="{rule.scope}"'
        raise Problem(
            "insufficient-scope", f"This needs the scope {rule.scope}.", headers={"WWW-Authenticate": challenge}
        )


def _subprotocol_token(scope: Scope) -> str:
    """Browsers cannot set a header on a WebSocket: the token may come as a subprotocol `bearer.<token>` (C28)."""
    for name in scope.get("subprotocols") or []:
        if name.startswith("bearer."):
            return str(name.removeprefix("bearer."))
    return ""
