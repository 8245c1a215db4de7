"""The interface put together: issuer, verifier, guards, hub and routers on the ports that it is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from simulator.abuse import Abuse
from simulator.api.app import Api
from simulator.api.deps import ApiDeps, Readiness
from simulator.blobs.port import Blobs
from simulator.broker.port import Broker
from simulator.chain.port import ChainIdentity
from simulator.config import Settings
from simulator.gateway.addresses import AddressGuard
from simulator.gateway.directory import Directory
from simulator.gateway.door import Door
from simulator.gateway.tally import RequestTally
from simulator.gateway.tenants import TenantGuard
from simulator.gateway.versions import Versions
from simulator.gateway.watchlist import Watchlist
from simulator.identity.issuer import LIFETIME_S, REALM_PATH, Issuer
from simulator.identity.keys import RemoteKeys, SigningKeys
from simulator.identity.verifier import Verifier
from simulator.intake import Intake
from simulator.live.hub import Hub
from simulator.policy.backlog import Backlog
from simulator.rollups import Rollups
from simulator.service import Service, Stack
from simulator.store.port import Store
from simulator.telemetry import Telemetry
from simulator.tracing import Tracing
from zjops.domain.clock import Clock
from zjops.domain.ids import Ids


@dataclass(frozen=True)
class Interface:
    """The interface: the ASGI application, what is behind it, and the loops that it needs."""

    app: Any
    deps: Any
    loops: Service
    door: Door

    async def start(self) -> None:
        """Start the loops."""
        await self.loops.start()

    async def stop(self) -> None:
        """Stop them."""
        await self.loops.stop()


def _fetch_json(url: str) -> Callable[[], Any]:
    """A reader of a JSON document elsewhere, for the keys of an external issuer."""

    async def fetch() -> dict[str, Any]:
        import httpx2

        async with httpx2.AsyncClient(trust_env=False, timeout=5.0, follow_redirects=False) as http:
            response = await http.get(url)
            response.raise_for_status()
            return msgspec.json.decode(response.content, type=dict[str, Any])

    return fetch


async def build_interface(
    store: Store, broker: Broker, blobs: Blobs, clock: Clock, ids: Ids, *, settings: Settings, telemetry: Telemetry,
    intake: Intake, wake: Callable[[], None], base_url: str, readiness: Readiness, processes: int,
    chain: Callable[[], ChainIdentity], billing: Path, offload: Callable[..., Awaitable[Any]],
) -> Interface:  # fmt: skip
    """One process's interface; `processes` share each tenant's limits."""
    issuer, verifier = await _identity(store, clock, ids, settings, base_url)
    backlog = Backlog(settings.admission_behind_s, processes)
    watch, abuse = Watchlist(store, clock, verifier, backlog), Abuse(store, clock, ids)
    directory, hub = Directory(store, clock), Hub(store, broker, clock)
    tracing, tally = Tracing(ids, "api", settings.otlp_endpoint, settings.trace_share), RequestTally()
    tenants = TenantGuard(
        directory, clock, telemetry, watch, abuse, readiness, processes=processes,
        most_jobs=settings.admission_jobs, most_lag_s=settings.admission_lag_s,
        most_wait_s=settings.admission_wait_s,
    )  # fmt: skip
    deps = ApiDeps(
        store=store, broker=broker, blobs=blobs, clock=clock, ids=ids, settings=settings, intake=intake,
        issuer=issuer, verifier=verifier, directory=directory, tenants=tenants, versions=Versions(), watch=watch,
        abuse=abuse, addresses=AddressGuard(clock, telemetry, watch, abuse, processes=processes), hub=hub,
        telemetry=telemetry, tracing=tracing, tally=tally, chain=chain, readiness=readiness, base_url=base_url,
        wake=wake, processes=processes, billing=billing, offload=offload,
    )  # fmt: skip
    rollups = Rollups(tally.take, broker, clock, ids, telemetry)
    api = Api(deps)
    door = Door(api.rule, verifier, tenants, deps.versions, tracing, tally)
    return Interface(api, deps, Stack(tracing, watch, hub, rollups), door)


async def _identity(
    store: Store, clock: Clock, ids: Ids, settings: Settings, base_url: str
) -> tuple[Issuer | None, Verifier]:
    """The issuer, unless tokens come from elsewhere, and the verifier of its tokens."""
    audience, profile = settings.audience, settings.token_profile
    if settings.external_issuer:
        remote = RemoteKeys(clock, _fetch_json(settings.external_jwks))
        return None, Verifier(clock, remote, issuer=settings.external_issuer, audience=audience, profile=profile)
    keys = SigningKeys(store, clock, ids, lead_s=settings.key_lead_s, lifetime_s=LIFETIME_S)
    await keys.refresh()
    issuer = Issuer(store, clock, ids, keys, issuer=base_url + REALM_PATH, audience=audience, profile=profile)
    return issuer, Verifier(clock, keys, issuer=issuer.issuer, audience=audience, profile=profile)
