"""Traffic in virtual time, against an API that takes, refuses or hangs as it is told."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from simulator.supervisor.asking import Asked, Reply
from simulator.supervisor.spec import Notice
from simulator.supervisor.traffic import PATIENCE_S, UNDER_WAY_MOST, Traffic, job_of, rate_of, shares
from simulator.worker.handlers import validate
from zjops.domain.clock import VirtualClock, run_virtual
from zjops.domain.errors import UsageError
from zjops.domain.ids import SeededIds
from zjops.domain.jobs import JobType
from zjops.domain.plans import price_book
from zjops.domain.runfile import ClientEntry, RunFile

START_MS = 1_793_000_000_000
DAY_S = 86_400
CLIENTS = [
    ClientEntry(tenant=f"demo-{plan}", plan=plan, client_id=plan, client_secret="s", scopes=[])
    for plan in ("free", "starter", "pro", "enterprise")
]
RUN = RunFile(
    run_id="r", home="/", started_at_ms=0, supervisor_pid=1, supervisor_started_at=0, api_url="http://127.0.0.1:1",
    issuer="i", token_url="http://127.0.0.1:1/token", control_url="c", control_token="t", nats_url="n", nats_user="u",
    nats_password="p", rpc_url="r", chain_id=1, log_dir="/", operator=CLIENTS[0], clients=CLIENTS,
)  # fmt: skip


class Api:
    """Answers every job alike, and remembers who submitted what."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.status, self.takes_s = 202, 0.01
        self.jobs: list[Asked] = []
        self.at: list[float] = []
        self.tokens = self.open = self.most_open = 0
        self._ends: dict[str, float] = {}

    async def ask(self, asked: Asked, within_s: float) -> Reply:
        if asked.path == "/token":
            self.tokens += 1
            plan = base64.b64decode(asked.headers["Authorization"].removeprefix("Basic ")).decode().partition(":")[0]
            token = f"{plan}-{self.tokens}"
            self._ends[f"Bearer {token}"] = self._clock.monotonic() + 900
            return Reply(200, json.dumps({"access_token": token, "expires_in": 900}).encode())
        assert self._ends[asked.headers["Authorization"]] > self._clock.monotonic()
        self.jobs.append(asked)
        self.at.append(self._clock.monotonic())
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            async with asyncio.timeout(within_s):
                await self._clock.sleep(self.takes_s)
        except TimeoutError:
            return Reply(0)
        finally:
            self.open -= 1
        return Reply(self.status)

    def by_plan(self) -> Counter[str]:
        return Counter(job.headers["Authorization"].removeprefix("Bearer ").split("-")[0] for job in self.jobs)


Story = Callable[[Api, VirtualClock], Awaitable[None]]


def _play(rate: float, story: Story) -> tuple[Api, Traffic, list[Notice]]:
    async def whole() -> tuple[Api, Traffic, list[Notice]]:
        clock, told = VirtualClock(START_MS), list[Notice]()
        api = Api(clock)
        traffic = Traffic(RUN, api.ask, clock, SeededIds(clock, 1), told.append, rate=rate)
        await traffic.stop()
        await traffic.start()
        await story(api, clock)
        await traffic.stop()
        await traffic.stop()
        return api, traffic, told

    return run_virtual(whole())


@pytest.mark.parametrize(
    ("text", "rate"), [("5/s", 5.0), ("0.1/s", 0.1), ("50/s", 50.0), ("30/m", 0.5), ("6/m", 0.1), ("0.25/s", 0.25)]
)
def test_a_rate_is_jobs_a_second_or_a_minute(text: str, rate: float) -> None:
    assert rate_of(text) == pytest.approx(rate)


@pytest.mark.parametrize(
    "text", ["", "5", "5/h", "/s", "-1/s", "0/s", "0.09/s", "5/m", "50.1/s", "5 /s", "1e1/s", "٥/s"]
)
def test_another_rate_is_refused_with_what_may_be_said(text: str) -> None:
    with pytest.raises(UsageError, match=r"such as 5/s or 30/m, 0\.1/s to 50/s"):
        rate_of(text)


@pytest.mark.parametrize("rate", [0.1, 5.0, 50.0])
def test_a_demo_tenant_gives_no_more_than_half_of_its_units_and_not_within_a_day(rate: float) -> None:
    spread = shares(rate, CLIENTS)
    assert sum(share.part for share in spread) == pytest.approx(1)
    for share in spread[:-1]:
        units = price_book().plan(share.client.plan).compute_units
        assert share.part * rate * DAY_S * 100 <= units / 2 + 1
        assert share.most * 100 <= units / 2
    assert spread[-1].client.plan == "enterprise"
    assert spread[-1].part >= 0.5


def test_arrivals_come_at_their_rate_from_every_tenant_with_jobs_of_every_type() -> None:
    async def story(api: Api, clock: VirtualClock) -> None:
        await clock.sleep(2_000)

    api, traffic, told = _play(5.0, story)
    assert 9_600 < len(api.jobs) < 10_400
    gaps = sorted(two - one for one, two in zip(api.at, api.at[1:], strict=False))
    # Of an exponential law: the median is ln 2 of the mean, and a twentieth waits for more than three times as long.
    assert gaps[len(gaps) // 2] == pytest.approx(0.2 * 0.693, rel=0.1)
    assert gaps[len(gaps) * 95 // 100] == pytest.approx(0.6, rel=0.1)
    assert set(api.by_plan()) == {"free", "starter", "pro", "enterprise"}
    assert {json.loads(job.body)["jobType"] for job in api.jobs} == {kind.value for kind in JobType}
    assert len({job.headers["Idempotency-Key"] for job in api.jobs}) == len(api.jobs)
    assert traffic.counts == {"accepted": len(api.jobs) - traffic.counts["failed"]}
    assert [notice.message for notice in told] == [f"{len(api.jobs):,} accepted"]


def test_half_of_a_month_and_no_more_is_taken_of_the_free_plan() -> None:
    async def story(api: Api, clock: VirtualClock) -> None:
        await clock.sleep(3 * DAY_S)

    api, traffic, _ = _play(0.1, story)
    assert api.by_plan()["free"] == 150
    assert traffic.counts["held"] > 0
    assert api.by_plan()["enterprise"] > 10_000


def test_a_refusal_makes_it_rest_longer_each_time_and_an_acceptance_ends_that() -> None:
    async def story(api: Api, clock: VirtualClock) -> None:
        api.status = 429
        await clock.sleep(600)
        refused.append(len(api.jobs))
        api.status = 202
        await clock.sleep(200)

    refused: list[int] = []
    _, traffic, _ = _play(20.0, story)
    # Each of four tenants: after 1, 2, 4, 8, 16, 32 seconds, then once a minute.
    assert refused[0] < 80
    assert traffic.counts["refused"] == refused[0]
    assert traffic.counts["held"] > 10_000
    assert traffic.counts["accepted"] > 2_000
    assert traffic.counts["failed"] == 0


def test_an_api_that_hangs_gets_a_hundred_at_most_and_the_others_are_counted() -> None:
    async def story(api: Api, clock: VirtualClock) -> None:
        api.takes_s = 3_600
        await clock.sleep(60)
        api.takes_s = 0.01
        await clock.sleep(60)

    api, traffic, told = _play(50.0, story)
    assert api.most_open == UNDER_WAY_MOST
    assert traffic.counts["skipped"] > 60 * 50 - 7 * UNDER_WAY_MOST
    assert traffic.counts["failed"] == (60 // PATIENCE_S) * UNDER_WAY_MOST
    assert traffic.counts["accepted"] > 2_000
    assert "failed" in (told[0].message or "")


def test_what_is_under_way_is_let_go_at_the_end() -> None:
    async def story(api: Api, clock: VirtualClock) -> None:
        api.takes_s = 5.0
        await clock.sleep(3)

    api, traffic, told = _play(10.0, story)
    assert api.open == 0
    assert traffic.counts["accepted"] == 0
    assert told[0].message == "no job came"


def test_its_jobs_are_such_as_the_platform_takes_and_short() -> None:
    source = random.Random(5)
    taken, failing = list[int](), 0
    for _ in range(2_000):
        job = job_of(source)
        parameters = job["parameters"]
        assert validate(job["jobType"], parameters) == []
        taken.append(parameters.get("duration_ms", 0))
        failing += "failure" in parameters
    assert sum(taken) / len(taken) < 40
    assert max(taken) > 100
    assert len(set(taken)) > 30
    assert 5 < failing < 100
