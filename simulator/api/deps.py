"""What the routers need, as one record that the composition root fills."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from starlette.responses import Response

from simulator.blobs.port import Blobs
from simulator.chain.port import ChainIdentity
from simulator.gateway.directory import Directory
from simulator.identity.issuer import Issuer
from simulator.identity.verifier import Verifier
from simulator.intake import Intake
from simulator.store.port import Store
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock
from zjops.domain.ids import Ids

Readiness = Callable[[], Awaitable[dict[str, bool]]]


@dataclass(frozen=True)
class ApiDeps:
    """Everything behind the REST interface."""

    store: Store
    blobs: Blobs
    clock: Clock
    ids: Ids
    intake: Intake
    issuer: Issuer
    verifier: Verifier
    directory: Directory
    telemetry: Telemetry
    chain: Callable[[], ChainIdentity]
    readiness: Readiness
    base_url: str
    wake: Callable[[], None]


def answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A model as JSON."""
    return Response(msgspec.json.encode(value), status, headers, "application/json")
