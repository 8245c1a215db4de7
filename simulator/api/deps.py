"""What the routers need, as one record that the composition root fills, and how they answer."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from simulator.abuse import Abuse
from simulator.blobs.port import Blobs
from simulator.broker.port import Broker
from simulator.chain.port import ChainIdentity
from simulator.config import Settings
from simulator.gateway.addresses import AddressGuard
from simulator.gateway.context import context_of
from simulator.gateway.directory import Directory
from simulator.gateway.tally import RequestTally
from simulator.gateway.tenants import TenantGuard
from simulator.gateway.versions import Versions
from simulator.gateway.watchlist import Watchlist
from simulator.identity.issuer import Issuer
from simulator.identity.verifier import Verifier
from simulator.intake import Intake
from simulator.live.hub import Hub
from simulator.store.port import Store
from simulator.telemetry import Telemetry
from simulator.tracing import Tracing
from zjops.domain.clock import Clock
from zjops.domain.ids import Ids

Readiness = Callable[[], Awaitable[dict[str, bool]]]


@dataclass(frozen=True)
class ApiDeps:
    """Everything behind the interface, of one of `processes`. `issuer` is None where tokens come from elsewhere.

    `billing` is the folder of closed months; `offload` runs what reads files away from the loop.
    """

    store: Store
    broker: Broker
    blobs: Blobs
    clock: Clock
    ids: Ids
    settings: Settings
    intake: Intake
    issuer: Issuer | None
    verifier: Verifier
    directory: Directory
    addresses: AddressGuard
    tenants: TenantGuard
    versions: Versions
    watch: Watchlist
    abuse: Abuse
    hub: Hub
    telemetry: Telemetry
    tracing: Tracing
    tally: RequestTally
    chain: Callable[[], ChainIdentity]
    readiness: Readiness
    base_url: str
    processes: int
    wake: Callable[[], None]
    billing: Path
    offload: Callable[..., Awaitable[Any]]


class Whole(Response):
    """A JSON document whose bytes and headers stand: what the general class works out is known here."""

    def __init__(self, body: bytes, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.body, self.status_code, self.background = body, status, None
        self.raw_headers = headers
        headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        whole = context_of(scope).answer
        assert whole is not None
        await whole(self.status_code, self.raw_headers, bytes(self.body))


def answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A model as JSON."""
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def conditional(request: Request, body: bytes, headers: dict[str, str] | None = None) -> Response:
    """A document with its ETag, or 304 when the client has this very one (RFC 9110 section 13.1.2)."""
    etag = '"' + hashlib.sha256(body).hexdigest()[:32] + '"'
    found = {"ETag": etag, "Cache-Control": "private, no-cache"} | (headers or {})
    given = request.headers.get("if-none-match", "")
    known = {part.strip().removeprefix("W/") for part in given.split(",")}
    if given.strip() == "*" or etag in known:
        return Response(status_code=304, headers=found)
    return Response(body, 200, found, "application/json")
