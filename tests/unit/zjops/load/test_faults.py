"""What was broken while a load ran, as a supervisor tells it."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from zjops.client.http import Http
from zjops.config import Context
from zjops.domain.clock import SystemClock
from zjops.load.faults import Broken, FaultWatch

CONTEXT = Context(api_url="http://x", token_url="http://x", issuer="x", control_url="http://control", control_token="t")


class Seconds(SystemClock):
    """A clock that is set by hand."""

    at = 100.0

    def monotonic(self) -> float:
        return self.at

    def now_ms(self) -> int:
        return int(self.at * 1000)


class Supervisor:
    """Says what is active, or does not answer; counts how often it was asked."""

    def __init__(self) -> None:
        self.active: list[str] | None = []
        self.asked = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        if self.active is None:
            raise httpx2.ConnectError("away")
        active: list[dict[str, Any]] = [{"id": one, "fault": "store.delay", "target": one} for one in self.active]
        return httpx2.Response(200, json={"kinds": [], "active": active})


@pytest.fixture
def supervisor() -> Supervisor:
    return Supervisor()


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def watch(supervisor: Supervisor, clock: Seconds) -> FaultWatch:
    return FaultWatch(CONTEXT, clock, Http("http://control", transport=httpx2.MockTransport(supervisor), tries=1))


def test_a_fault_lasts_from_the_look_that_first_saw_it_to_the_one_that_saw_it_gone(
    supervisor: Supervisor, clock: Seconds, watch: FaultWatch
) -> None:
    told = ([], ["api"], ["api", "backend"], ["backend"], ["backend"])
    for clock.at, supervisor.active in enumerate(told, 1):
        watch.look()
    assert watch.faults() == (
        Broken("store.delay at api", 2_000, 4_000), Broken("store.delay at backend", 3_000, 5_000),
    )  # fmt: skip


def test_a_supervisor_that_is_silent_has_told_what_it_told(
    supervisor: Supervisor, clock: Seconds, watch: FaultWatch
) -> None:
    for clock.at, supervisor.active in ((1, ["api"]), (2, None), (3, ["api"])):
        watch.look()
    assert watch.faults() == (Broken("store.delay at api", 1_000, 3_000),)


def test_it_looks_once_a_second_at_most(supervisor: Supervisor, clock: Seconds, watch: FaultWatch) -> None:
    for _ in range(3):
        watch.look()
    clock.at += 1
    watch.look()
    assert supervisor.asked == 2


def test_where_there_is_no_supervisor_nothing_is_seen(clock: Seconds) -> None:
    watch = FaultWatch(Context(api_url="http://x", token_url="http://x", issuer="x"), clock)
    watch.look()
    watch.close()
    assert watch.faults() == ()
