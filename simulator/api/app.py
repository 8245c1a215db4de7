"""The application: the table of operations, their routes, and the gateway around them."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from functools import cache
from typing import Any, TypeVar

import msgspec
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.api.admin.abuse import AbuseRoutes
from simulator.api.admin.chain import ChainRoutes
from simulator.api.admin.credits import CreditRoutes
from simulator.api.admin.events import EventRoutes
from simulator.api.admin.jobdetail import JobDetailRoutes
from simulator.api.admin.jobs import JobActRoutes
from simulator.api.admin.platform import PlatformRoutes
from simulator.api.admin.tenants import TenantRoutes
from simulator.api.billing import BillingRoutes
from simulator.api.contract.document import build_document
from simulator.api.contract.operation import Operation, Routing
from simulator.api.deps import ApiDeps
from simulator.api.jobs import BATCH_PATH, JobRoutes
from simulator.api.live import PATH as LIVE_PATH
from simulator.api.live import LiveRoutes
from simulator.api.public import PublicRoutes
from simulator.api.webhooks import WebhookRoutes
from simulator.gateway.exchange import WHOLE
from simulator.gateway.stack import Gateway, Guards, Rule
from simulator.identity.issuer import TOKEN_PATH
from simulator.intake.records import SUBMIT_PATH
from zjops.domain.errors import Problem

EXTRA: tuple[Any, ...] = ()
"""Further parts, such as a second major version beside the first: each is made from `ApiDeps`."""
ASKED = ("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Accept-Version", "Prefer",
         "Last-Event-ID", "X-Device-Fingerprint", "X-Request-Id", "traceparent", "tracestate")  # fmt: skip
"""Headers of ours that a browser may send from an origin that is let in."""
SUBMISSIONS = frozenset({("POST", SUBMIT_PATH), ("POST", BATCH_PATH)})


class Api:
    """The interface as one ASGI application, with the table that it was made from."""

    def __init__(self, deps: ApiDeps) -> None:
        self._live = LiveRoutes(deps)
        public = PublicRoutes(deps, self.document)
        parts = (
            JobRoutes(deps), self._live, WebhookRoutes(deps), TenantRoutes(deps), PlatformRoutes(deps),
            BillingRoutes(deps), CreditRoutes(deps), AbuseRoutes(deps), EventRoutes(deps), ChainRoutes(deps),
            JobActRoutes(deps), public, JobDetailRoutes(deps), *(more(deps) for more in EXTRA),
        )  # fmt: skip
        self.operations: list[Operation] = [one for part in parts for one in part.operations()]
        self._routing = Routing(self.operations)
        self._rules = {one.id: _rule_of(one) for one in self.operations}
        self._public_paths = frozenset(one.path for one in self.operations if one.scope is None)
        self._document = cache(lambda: msgspec.json.encode(build_document(self.operations, TOKEN_PATH)))
        guards = Guards(
            deps.verifier, deps.addresses, deps.tenants, deps.versions, self.rule, self._is_public
        )  # fmt: skip
        proxies = frozenset(part.strip() for part in deps.settings.trusted_proxies.split(",") if part.strip())
        app: ASGIApp = Gateway(
            self._application(public), guards, deps.clock, deps.ids, deps.telemetry, deps.tracing,
            deps.tally, trusted_proxies=proxies,
        )  # fmt: skip
        self._app = _with_cors(app, deps.settings.cors_origins)

    def document(self) -> bytes:
        """The OpenAPI document as JSON."""
        return self._document()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "websocket" and scope["path"] == LIVE_PATH:
            return self._live_app(scope, receive, send)
        return self._app(scope, receive, send)

    async def _live_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._ticket(scope)
        await self._app(scope, receive, send)

    async def _ticket(self, scope: Scope) -> None:
        try:
            await self._live.principal_of_ticket(scope)
        except Problem:
            # The gateway will say that nobody is identified.
            return

    def rule(self, method: str, path: str) -> Rule | None:
        """What the gateway must know of the operation at a path; None when there is none."""
        one = self._routing.find(method, path)
        return None if one is None else self._rules[one.id]

    def _is_public(self, path: str) -> bool:
        return path in self._public_paths or path.startswith("/docs/")

    def _application(self, public: PublicRoutes) -> ASGIApp:
        app = FastAPI(title="Zama Jobs API", openapi_url=None, docs_url=None, redoc_url=None)
        by_path: dict[str, dict[str, Operation]] = {}
        for one in self.operations:
            by_path.setdefault(one.path, {})[one.method] = one
        # What has no parameter is matched first: /v1/jobs/subscribe is no job.
        for path in sorted(by_path, key=lambda p: ("{" in p, p)):
            app.router.routes.append(_whole(_route(path, by_path[path])))
        app.router.routes.append(_whole(Route("/docs/{name}", public.asset, methods=["GET"], include_in_schema=False)))
        app.router.routes.append(_whole(WebSocketRoute(LIVE_PATH, self._live.socket)))
        app.router.redirect_slashes = False
        direct = {(one.method, one.path): one.call for one in self.operations if not one.parameters}

        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            # The gateway is the only one that turns errors into answers; the framework's own handlers stay outside.
            call = direct.get((scope.get("method", ""), scope["path"]))
            if call is not None:
                # The quick lane of what has no parameter: one look-up instead of a search, and no error handlers.
                response = await call(Request(scope, receive))
                await response(scope, receive, send)
                return
            scope["app"] = app
            await app.router(scope, receive, send)

        return inner


def _rule_of(one: Operation) -> Rule:
    return Rule(one.path, one.scope, (one.method, one.path) in SUBMISSIONS, one.tag == "admin", one.path == BATCH_PATH)


Path = TypeVar("Path", Route, WebSocketRoute)


def _whole(route: Path) -> Path:
    """The route for its path alone.

    The framework ends its patterns in `$`, which a line feed may follow: the gateway, which matches whole paths,
    would see no operation there and check no scope, and the route would answer all the same.
    """
    route.path_regex = re.compile(route.path_regex.pattern.removesuffix("$") + r"\Z")
    return route


def _route(path: str, methods: dict[str, Operation]) -> Route:
    if len(methods) == 1:
        (method, one), *_ = methods.items()
        return Route(path, one.call, methods=[method], include_in_schema=False)
    calls = {method: one.call for method, one in methods.items()}

    async def dispatch(request: Request) -> Response:
        return await calls["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, dispatch, methods=list(methods), include_in_schema=False)


def _with_cors(app: ASGIApp, origins: str) -> ASGIApp:
    """Browsers of other origins are let in only where a setting names them."""
    allowed = [origin.strip() for origin in origins.split(",") if origin.strip()]
    if not allowed:
        return app
    exposed: list[Any] = ["*"]

    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        # The middleware adds its headers to the messages of ASGI itself and knows no extension.
        known = {name: value for name, value in scope.get("extensions", {}).items() if name != WHOLE}
        await app({**scope, "extensions": known}, receive, send)

    return CORSMiddleware(
        plain, allow_origins=allowed, allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=ASKED, expose_headers=exposed, allow_credentials=False, max_age=600,
    )  # fmt: skip
