"""Counts of every second on their way to the stream, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import pytest

from simulator import rollups
from simulator.broker.memory import MemoryBroker
from simulator.broker.port import Outgoing
from simulator.gateway.tally import RequestTally
from simulator.rollups import Rollups
from simulator.telemetry import Telemetry
from zjops.domain.clock import VirtualClock, run_virtual
from zjops.domain.errors import BrokerUnavailable
from zjops.domain.events import DURABLES, STREAMS, TELEMETRY
from zjops.domain.ids import SeededIds
from zjops.domain.requests import Rollup

START_MS = 1_790_000_000_400
KEY = ("GET", "/v1/jobs", 200, "pro")


class Flaky(MemoryBroker):
    """A broker that is away while told so, and may lose the acknowledgement of what it has stored."""

    away = False
    silent = False

    async def publish(self, stream: str, messages: Sequence[Outgoing], *, expected_last: int | None = None) -> int:
        if self.away:
            raise BrokerUnavailable("away")
        last = await super().publish(stream, messages, expected_last=expected_last)
        if self.silent:
            self.silent = False
            raise BrokerUnavailable("the acknowledgement was lost")
        return last


def _play(story: Callable[[RequestTally, Flaky, VirtualClock, Rollups], Awaitable[None]]) -> list[list[Rollup]]:
    async def whole() -> list[list[Rollup]]:
        clock, tally = VirtualClock(START_MS), RequestTally()
        broker = Flaky(clock)
        await broker.start()
        await broker.ensure(STREAMS, DURABLES)
        made = Rollups(tally.take, broker, clock, SeededIds(clock, 1), Telemetry("api", clock, stream=None))
        await made.start()
        await story(tally, broker, clock, made)
        await made.stop()
        return [msgspec.json.decode(logged.data, type=list[Rollup]) for logged in await broker.read(TELEMETRY, 10_000)]

    return run_virtual(whole())


def test_each_second_is_one_message_and_an_idle_one_is_none() -> None:
    async def story(tally: RequestTally, broker: Flaky, clock: VirtualClock, made: Rollups) -> None:
        for count in (3, 0, 2):
            for _ in range(count):
                tally.add(KEY, 0.01, 0.0)
            await clock.sleep(1.0)

    second = START_MS // 1_000
    assert [(rows[0].second, rows[0].count) for rows in _play(story)] == [(second, 3), (second + 2, 2)]


def test_what_was_counted_last_goes_out_at_the_end() -> None:
    async def story(tally: RequestTally, broker: Flaky, clock: VirtualClock, made: Rollups) -> None:
        tally.add(KEY, 0.01, 0.0)

    assert [[row.count for row in rows] for rows in _play(story)] == [[1]]


def test_while_the_broker_is_away_seconds_wait_in_order_and_stay_apart() -> None:
    async def story(tally: RequestTally, broker: Flaky, clock: VirtualClock, made: Rollups) -> None:
        broker.away = True
        for count in range(1, 40):
            for _ in range(count):
                tally.add(KEY, 0.01, 0.0)
            await clock.sleep(1.0)
        broker.away = False
        await clock.sleep(5.0)

    found = _play(story)
    assert [rows[0].count for rows in found] == list(range(1, 40))
    assert len({rows[0].second for rows in found}) == 39


def test_a_message_whose_acknowledgement_was_lost_is_stored_once() -> None:
    async def story(tally: RequestTally, broker: Flaky, clock: VirtualClock, made: Rollups) -> None:
        broker.silent = True
        tally.add(KEY, 0.01, 0.0)
        await clock.sleep(10.0)

    assert [rows[0].count for rows in _play(story)] == [1]


def test_a_broker_that_stays_away_costs_the_oldest_seconds_not_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "KEPT_MOST", 5)

    async def story(tally: RequestTally, broker: Flaky, clock: VirtualClock, made: Rollups) -> None:
        broker.away = True
        for count in range(1, 9):
            for _ in range(count):
                tally.add(KEY, 0.01, 0.0)
            await clock.sleep(1.0)
        broker.away = False
        await clock.sleep(5.0)

    assert [rows[0].count for rows in _play(story)] == [4, 5, 6, 7, 8]


def test_it_may_be_stopped_twice_and_before_it_began() -> None:
    async def whole() -> None:
        clock = VirtualClock(START_MS)
        made = Rollups(RequestTally().take, Flaky(clock), clock, SeededIds(clock, 1), Telemetry("a", clock, None))
        await made.stop()
        await made.start()
        await made.start()
        await asyncio.gather(made.stop(), made.stop())

    run_virtual(whole())
