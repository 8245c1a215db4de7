"""One front of a world: its tenants call the interface, workers and settlement do the rest, the ledger hears of it."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from simulator.environment import beside, time_skipping
from simulator.identity.roles import DEVELOPER, OPERATOR
from simulator.platform import Platform, Ports
from simulator.rollups import Rollups
from simulator.service import settle_memory
from simulator.store.port import Row, Tx
from simulator.world.client import Client, Reply
from simulator.world.population import Company
from simulator.world.rhythm import DAY_MS, Request, requests_of_day
from simulator.world.shipping import Crate, Ended, Reached, Send, ShippingRequests, ShippingStore
from simulator.world.story import Act, Kind, Span
from zjops.domain.clock import run_virtual
from zjops.domain.errors import InvariantError, StoreUnavailable
from zjops.domain.jobs import JobType
from zjops.domain.requests import OPERATIONS_TENANT

ROLES = ("outbox", "settlement")
SETTINGS: dict[str, Any] = {
    "poll_s": 120.0, "lease_s": 3600.0, "worker_slots": 512, "meter_flush_s": 24 * 3600.0,
    "requests_flush_s": 24 * 3600.0,
    "batch_max_age_s": 1200.0, "block_time_s": 12.0, "chain_poll_s": 12.0, "idle_s": 4 * 3600.0,
}  # fmt: skip
"""An unhurried platform with many workers on a chain of slow blocks: to look around costs time and changes nothing."""
NOTE_MOST = 600
KEPT = ("tenants", "usage", "usage_days", "plan_changes", "links", "abuse_cases", "credits")
"""Tables from which a live platform goes on."""
SETTLE_EVERY_S = 60.0
SINGLE, BULK = "/v1/jobs", "/v1/jobs:batch"
FLOODED = Request(0, "", 0, 1, JobType.ML_INFERENCE, 20, 5, None, 0)


class Part(NamedTuple):
    """What one front plays: of how many it is which, its tenants, and what happens to them or to everybody."""

    seed: int
    number: int
    span: Span
    companies: list[Company]
    acts: list[Act]


def play(part: Part, folder: Path, send: Send) -> None:
    """Play a front to its end. Raises `ZjopsError`."""

    async def played() -> None:
        await Front(part, folder, Crate(send)).play()

    run_virtual(played())


class Front:
    """A platform without ledger, and everybody who asks something of it. Made and used in one virtual loop."""

    def __init__(self, part: Part, folder: Path, crate: Crate) -> None:
        self._part, self._folder, self._crate = part, folder, crate
        self._keys = random.Random(f"{part.seed}/keys/{part.number}")  # noqa: S311 - a seed's world, no secret
        self._told: Counter[str] = Counter()
        self._platform, self._workers = self._platforms()
        self._clients: dict[str, Client] = {}
        self._operator: Client

    def _platforms(self) -> tuple[Platform, Platform]:
        part = self._part

        def shipping(ports: Ports) -> Ports:
            return dataclasses.replace(ports, store=ShippingStore(ports.store, ports.clock, self._crate))

        platform = time_skipping(
            1_000 * part.seed + part.number, part.span.start_ms, self._folder, ROLES, keep_streams=False,
            over=shipping, **SETTINGS,
        )  # fmt: skip
        return platform, beside(platform, self._folder, ("worker",))

    async def play(self) -> None:
        """The whole span, and then until every job has ended."""
        await self._platform.start()
        await self._workers.start()
        await self._open()
        settle_memory()
        for at_ms, things in groupby(self._calendar(), key=lambda thing: thing.at_ms):
            await self._until(at_ms)
            await self._moment(list(things))
        await self._settle()
        await self._workers.stop()
        tables = await self._platform.ports.store.read(_kept)
        self._crate.add(Ended(self._now(), tables))
        self._crate.go()
        await self._platform.stop()

    def _now(self) -> int:
        return self._platform.ports.clock.now_ms()

    async def _until(self, at_ms: int) -> None:
        wait_ms = at_ms - self._now()
        if wait_ms > 0:
            await self._platform.ports.clock.sleep(wait_ms / 1000)

    async def _open(self) -> None:
        """Open the interface, and let the operator make the tenants."""
        ports = self._platform.ports
        interface = await self._platform.api("http://world")
        requests = cast(Any, ShippingRequests(ports.clock, self._crate))
        self._rollups = Rollups(interface.deps.tally.take, requests, ports.clock, ports.ids, interface.deps.telemetry)
        await self._platform.add_tenant(OPERATIONS_TENANT, "enterprise")
        self._operator = Client(interface.app, OPERATIONS_TENANT, OPERATOR, "198.18.255.1")
        for index, company in enumerate(self._part.companies):
            address = f"198.18.{2 * (index // 200) + self._part.number}.{index % 200 + 1}"
            self._clients[company.tenant] = Client(interface.app, company.tenant, DEVELOPER, address)
            asked = {"tenantId": company.tenant, "plan": company.plan, "overrides": company.overrides}
            await self._operate("POST", "/v1/admin/tenants", asked, 201)

    async def _operate(self, method: str, path: str, asked: Mapping[str, Any], status: int) -> None:
        headers = ((b"idempotency-key", str(self._key()).encode()),)
        reply = await self._operator.call(method, path, msgspec.json.encode(dict(asked)), headers)
        if reply.status != status:
            raise InvariantError(f"{method} {path} was answered by {reply.status} {reply.code}")

    def _key(self) -> uuid.UUID:
        return uuid.UUID(int=self._keys.getrandbits(128), version=4)

    def _calendar(self) -> Iterator[Request | Act]:
        """Everything that happens, in its order; a night's run may reach into the next day."""
        part, carried = self._part, list[Request | Act]()
        for day in range(part.span.days):
            day_ms = part.span.start_ms + day * DAY_MS
            for company in part.companies:
                carried += requests_of_day(company, part.seed, day, day_ms)
            carried += [act for act in part.acts if day_ms <= act.at_ms < day_ms + DAY_MS]
            carried.sort(key=_order)
            until = min(day_ms + DAY_MS, part.span.last_ms)
            yield from (thing for thing in carried if thing.at_ms < until)
            carried = [thing for thing in carried if thing.at_ms >= until]

    async def _moment(self, things: list[Request | Act]) -> None:
        """Everything of one moment, at once."""
        for act in things:
            if isinstance(act, Act):
                await self._act(act)
        calls = [self._submit(thing) for thing in things if isinstance(thing, Request)]
        if calls:
            await asyncio.gather(*calls)
        self._rollups.collect()
        await self._rollups.send()
        self._crate.add(Reached(self._now(), dict(self._told)))
        self._told.clear()

    async def _act(self, act: Act) -> None:
        store: Any = self._platform.ports.store
        match act.kind:
            case Kind.STORE_AWAY:
                store.fault = StoreUnavailable("the disk of the store is full")
            case Kind.STORE_BACK:
                store.fault = None
            case Kind.WORKERS_STOP:
                await self._workers.stop()
            case Kind.WORKERS_START:
                await self._workers.start()
            case Kind.CHANGE:
                await self._operate("PATCH", f"/v1/admin/tenants/{act.tenant}", act.values, 200)
            case Kind.CREDIT:
                await self._operate("POST", f"/v1/admin/tenants/{act.tenant}/credits", act.values, 201)
            case Kind.DEVICE:
                await self._look(act)
            case Kind.FLOOD:
                flood = FLOODED._replace(at_ms=act.at_ms, tenant=act.tenant)
                await asyncio.gather(*(self._submit(flood) for _ in range(act.values["requests"])))

    async def _look(self, act: Act) -> None:
        """A tenant looks at its jobs from a device that can be told from others."""
        headers = ((b"x-device-fingerprint", str(act.values["device"]).encode()),)
        reply = await self._clients[act.tenant].call("GET", SINGLE, b"", headers)
        self._told[f"requests {reply.status}"] += 1

    async def _submit(self, request: Request) -> None:
        """One request: a bulk of equal jobs, or a single one; large bodies go one by one."""
        job = job_body(request, self._keys)
        if request.large or request.jobs == 1:
            await asyncio.gather(*(self._single(request.tenant, job) for _ in range(request.jobs)))
            return
        body = b'{"jobs":[' + b",".join([job] * request.jobs) + b"]}"
        reply = await self._post(request.tenant, BULK, body)
        if reply.status != 200:
            self._told[reply.code] += request.jobs
            return
        answer = msgspec.json.decode(reply.body, type=_Answer)
        self._told["accepted"] += answer.accepted
        for item in answer.items:
            if item.problem is not None:
                self._told[item.problem.code] += 1

    async def _single(self, tenant: str, job: bytes) -> None:
        reply = await self._post(tenant, SINGLE, job)
        self._told["accepted" if reply.status == 202 else reply.code] += 1

    async def _post(self, tenant: str, path: str, body: bytes) -> Reply:
        reply = await self._clients[tenant].call("POST", path, body, ((b"idempotency-key", str(self._key()).encode()),))
        self._told[f"requests {reply.status}"] += 1
        return reply

    async def _settle(self) -> None:
        """Until no job is on its way."""

        def active(tx: Tx) -> int:
            row = tx.one("jobs_active_total")
            assert row is not None
            return int(row["total"])

        while await self._platform.ports.store.read(active):
            await self._platform.ports.clock.sleep(SETTLE_EVERY_S)
            self._crate.add(Reached(self._now(), {}))


class _Problem(msgspec.Struct):
    code: str = ""


class _Item(msgspec.Struct):
    problem: _Problem | None = None


class _Answer(msgspec.Struct):
    accepted: int
    items: list[_Item]


def job_body(request: Request, source: random.Random) -> bytes:
    """The JSON of one job of a request."""
    if request.large:
        rows = [{"g": "a", "v": 1, "note": "x" * request.large}]
        parameters: dict[str, Any] = {
            "algorithm": "aggregate", "rows": rows, "group_by": "g", "metrics": [{"column": "v", "function": "sum"}],
        }  # fmt: skip
        return msgspec.json.encode({"jobType": JobType.DATA_PROCESSING.value, "parameters": parameters})
    parameters = {"algorithm": "synthetic", "duration_ms": request.duration_ms}
    if request.failure is not None:
        kind, chance = request.failure
        parameters["failure"] = {"kind": kind, "probability": chance}
    return msgspec.json.encode({
        "jobType": request.job_type.value, "parameters": parameters, "priority": request.priority,
        "metadata": {"note": "x" * source.randrange(NOTE_MOST)},
    })  # fmt: skip


def _order(thing: Request | Act) -> tuple[int, bool, str, int]:
    """By time; what happens to somebody before what they ask for."""
    return thing.at_ms, isinstance(thing, Request), thing.tenant, thing.number if isinstance(thing, Request) else 0


def _kept(tx: Tx) -> dict[str, list[Row]]:
    return {table: tx.all(f"kept_{table}") for table in KEPT}


def split(
    companies: list[Company], acts: list[Act], fronts: int, together: Sequence[str]
) -> list[tuple[list[Company], list[Act]]]:
    """The tenants by front, each with about as many jobs; those that are named stay together."""
    loads, place = [0.0] * fronts, dict[str, int]()
    for company in sorted(companies, key=lambda one: (one.tenant not in together, -one.jobs_a_day, one.tenant)):
        least = place[together[0]] if company.tenant in together and together[0] in place else loads.index(min(loads))
        place[company.tenant] = least
        if company.tenant in together:
            place[together[0]] = least
        loads[least] += company.jobs_a_day
    return [
        (
            [one for one in companies if place[one.tenant] == number],
            [act for act in acts if not act.tenant or place[act.tenant] == number],
        )
        for number in range(fronts)
    ]  # fmt: skip
