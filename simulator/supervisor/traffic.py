"""`up --traffic`: a trickle of jobs from outside for as long as the platform runs.

Arrivals are a Poisson process: they come at their times whatever became of those before, up to a number under way. The
demo tenants' own plans stay usable: traffic takes little of their rate and no more than half of a month's units.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from simulator.service import Looped, background
from simulator.supervisor.asking import Ask, Asked, Reply
from simulator.supervisor.caller import Caller
from simulator.supervisor.runs import TRAFFIC_TENANT
from simulator.supervisor.spec import Notice, Tell
from zjops.domain.clock import Clock
from zjops.domain.errors import UsageError
from zjops.domain.ids import Ids
from zjops.domain.jobs import JobType
from zjops.domain.plans import compute_units, price_book
from zjops.domain.runfile import ClientEntry, RunFile

LEAST, MOST = 0.1, 50.0
"""Jobs a second that may be asked for."""
UNDER_WAY_MOST = 100
PATIENCE_S = 10.0
DAY_S = 86_400
PARTS = {"free": 0.05, "starter": 0.15, "pro": 0.3}
"""The most that a plan's demo tenant has of all arrivals; the tenant of the traffic itself has the rest."""
UNITS_PERCENT = 50
"""The most that traffic takes of a plan's monthly units, and in no less than a day."""
REST_FIRST_S, REST_MOST_S = 1.0, 60.0
"""How long a tenant that was refused is left alone; doubled with each refusal that follows."""
REFUSED = frozenset({402, 429})
FAILURES = 0.02
"""The share of jobs that may fail."""
_RATE = re.compile(r"([0-9]{1,5}(?:\.[0-9]{1,3})?)/(s|m)")


def rate_of(text: str) -> float:
    """Jobs a second from `5/s` or `30/m`. Raises `UsageError`."""
    found = _RATE.fullmatch(text)
    rate = float(found[1]) / (60 if found[2] == "m" else 1) if found else 0.0
    if not LEAST <= rate <= MOST:
        raise UsageError(
            f"--traffic takes jobs a second or minute such as 5/s or 30/m, 0.1/s to 50/s, not {text!r:.40}"
        )
    return rate


class Share(NamedTuple):
    """What one tenant has of the traffic: its part of all arrivals, and how many jobs it may have in all."""

    client: ClientEntry
    part: float
    most: float


def shares(rate: float, clients: list[ClientEntry]) -> list[Share]:
    """How arrivals (jobs a second) are spread over tenants; the parts add up to one. Pure."""
    found = []
    for client in clients:
        if client.plan in PARTS:
            units = price_book().plan(client.plan).compute_units
            most = units * UNITS_PERCENT // 100 // compute_units(0)
            found.append(Share(client, min(PARTS[client.plan], most / DAY_S / rate), most))
    rest = 1 - sum(share.part for share in found)
    own = [client for client in clients if client.tenant == TRAFFIC_TENANT[0]]
    return found + [Share(client, rest / len(own), math.inf) for client in own]


def job_of(source: random.Random) -> dict[str, Any]:
    """A small job of any type: most take some hundredths of a second, a few longer, and a few fail."""
    job_type = source.choice(list(JobType))
    if job_type is JobType.COMPUTE_HEAVY and source.random() < 0.5:
        return {
            "jobType": job_type,
            "parameters": {"algorithm": "prime_sieve", "limit": source.randrange(1_000, 50_000)},
        }
    taken_ms = min(1_000, round(source.lognormvariate(math.log(20), 0.8)))
    parameters: dict[str, Any] = {"algorithm": "synthetic", "duration_ms": taken_ms}
    if source.random() < FAILURES:
        parameters["failure"] = {"kind": "failed", "probability": 1.0}
    return {"jobType": job_type, "parameters": parameters, "priority": source.choices((1, 5, 9), (2, 7, 1))[0]}


class _Source:
    """One tenant's part: its caller, how many jobs it has left, and until when it is left alone."""

    def __init__(self, share: Share, caller: Caller) -> None:
        self.part, self.left, self._caller = share.part, share.most, caller
        self._rest_s, self._resting_until = 0.0, float("-inf")

    def may(self, now: float) -> bool:
        """Whether it may submit at this moment (monotonic seconds)."""
        return self.left > 0 and now >= self._resting_until

    async def submit(self, asked: Asked, monotonic: Callable[[], float]) -> Reply:
        """Send one job; a refusal makes this tenant rest, an acceptance ends that."""
        self.left -= 1
        reply = await self._caller.call(asked, PATIENCE_S)
        now = monotonic()
        if reply.status == 202:
            self._rest_s = 0.0
        elif reply.status in REFUSED and now >= self._resting_until:
            self._rest_s = min(REST_MOST_S, 2 * self._rest_s or REST_FIRST_S)
            self._resting_until = now + self._rest_s
        return reply


class Traffic(Looped):
    """Submits jobs at a rate, and says at its end what became of them.

    `counts` holds `accepted`, `refused`, `failed` (any other answer, or none), and of the arrivals that came to nothing
    `skipped` (too many were under way) and `held` (nobody might submit).
    """

    def __init__(self, run: RunFile, ask: Ask, clock: Clock, ids: Ids, tell: Tell, *, rate: float) -> None:
        super().__init__("traffic")
        self._clock, self._ids, self._tell, self._rate = clock, ids, tell, rate
        self._sources = [_Source(share, Caller(share.client, run, ask, clock)) for share in shares(rate, run.clients)]
        self._random = random.Random(ids.token(8))  # noqa: S311 - arrivals, no secret
        self._under_way: set[asyncio.Task[None]] = set()
        self.counts: Counter[str] = Counter()

    async def stop(self) -> None:
        """No more arrivals; what is under way is let go."""
        if self._task is None:
            return
        await super().stop()
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        names = ("accepted", "refused", "failed", "skipped", "held")
        said = ", ".join(f"{self.counts[name]:,} {name}" for name in names if self.counts[name])
        self._tell(Notice(event="note", name="traffic", message=said or "no job came"))

    async def _run(self) -> None:
        due = self._clock.monotonic()
        while True:
            # A machine that slept owes no jobs of that time.
            due = max(due + self._random.expovariate(self._rate), self._clock.monotonic())
            await self._clock.sleep(due - self._clock.monotonic())
            self._arrive()

    def _arrive(self) -> None:
        now = self._clock.monotonic()
        (source,) = self._random.choices(self._sources, [one.part for one in self._sources])
        if len(self._under_way) >= UNDER_WAY_MOST:
            self.counts["skipped"] += 1
        elif not source.may(now):
            self.counts["held"] += 1
        else:
            task = background(self._submit(source), "traffic job")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _submit(self, source: _Source) -> None:
        key = str(uuid.UUID(bytes=self._ids.token(16), version=4))
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        asked = Asked("POST", "/v1/jobs", headers, msgspec.json.encode(job_of(self._random)))
        reply = await source.submit(asked, self._clock.monotonic)
        name = "accepted" if reply.status == 202 else "refused" if reply.status in REFUSED else "failed"
        self.counts[name] += 1
