"""A body that comes after its head takes nobody's room meanwhile; and who asks in a crowd while its breaker is open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from simulator.gateway import directory, watchlist
from simulator.policy.backlog import PATIENCE_S, Behind
from simulator.policy.breaker import LEAST_REQUESTS, OPEN_S, Breaker, State
from tests.contract.test_door import BODY, ROOM, Crowd, crowded, hear
from tests.support.nats import eventually


@pytest.fixture
async def crowd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Crowd]:
    monkeypatch.setattr(directory, "REMEMBER_S", 1e9)
    async with crowded(tmp_path) as found:
        yield found


Late = tuple[asyncio.StreamReader, bytes, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def half_sent(crowd: Crowd, token: str, *lines: str) -> AsyncIterator[Late]:
    """A submission of which half the body has come, and the application waits for the rest."""
    whole, before = crowd.request(token, *lines), len(crowd.passed)
    async with crowd.connected() as (reader, writer):
        writer.write(whole[: -len(BODY) // 2])
        await eventually(lambda: len(crowd.passed) > before)
        yield reader, whole[-len(BODY) // 2 :], writer


async def test_who_sends_its_body_late_takes_no_room_until_it_is_whole(crowd: Crowd) -> None:
    slow, quick = await crowd.known("slow"), await crowd.known("quick")
    async with contextlib.AsyncExitStack() as stack:
        late = [await stack.enter_async_context(half_sent(crowd, slow)) for _ in range(5 * ROOM)]
        assert crowd.under_way() == 0
        assert (await crowd.tell(crowd.request(quick))).status_code == 202
        for reader, rest, writer in late[:ROOM]:
            writer.write(rest)
            assert (await hear(reader)).status_code == 202
        assert crowd.under_way() == 0


async def test_in_a_crowd_neither(crowd: Crowd) -> None:
    token = await crowd.known("slow")
    crowd.fill()
    crowd.single.forgo("flood")
    full = crowd.under_way()
    assert crowd.single.crowded
    async with half_sent(crowd, token) as (reader, rest, writer):
        assert crowd.under_way() == full
        writer.write(rest)
        assert (await hear(reader)).status_code == 202
    assert crowd.under_way() == full


async def test_whose_room_has_gone_when_its_body_is_whole_is_told_what_everyone_is_told(crowd: Crowd) -> None:
    token = await crowd.known("slow")
    async with half_sent(crowd, token) as (reader, rest, writer):
        crowd.fill()
        # Its own share is taken too.
        crowd.fill("slow")
        full = crowd.under_way()
        writer.write(rest)
        told = await hear(reader)
    ordinary = await crowd.stage.submit(token)
    assert (told.status_code, told.headers["retry-after"]) == (503, ordinary.headers["retry-after"])
    assert told.json() | {"trace_id": ""} == ordinary.json() | {"trace_id": ""}
    assert crowd.under_way() == full
    assert crowd.stage.deps.tenants.desk("slow").breaker._bad == Breaker()._bad, "it was not let in"


async def test_while_accepted_work_waits_each_counts_once_and_when_it_is_whole(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchlist, "FRESH_S", 60.0)
    token, watch, clock = await crowd.known("slow"), crowd.stage.deps.watch, crowd.stage.deps.clock
    now = clock.now_ms()
    await crowd.stage.store.transact(lambda tx: tx.run("behind_put", owner="b", now=now, wait_ms=15_000, per_s=0.0))
    watch.backlog.see(Behind(15.0, 0.0), 0, clock.monotonic() - PATIENCE_S)
    await watch.refresh()
    assert watch.backlog.standing
    # What is counted is not owed by the next second: it is seen as it is.
    monkeypatch.setattr(watch.backlog, "_move", lambda now_s: None)
    watch.backlog._most = 100.0
    async with half_sent(crowd, token) as (reader, rest, writer):
        assert watch.backlog._total == 0
        writer.write(rest)
        assert (await hear(reader)).status_code == 202
    assert watch.backlog._total == 1
    refused = await crowd.tell(crowd.request(token, body=b"{"))
    assert refused.status_code == 400
    assert watch.backlog._total == 1, "nothing came of it"
    async with half_sent(crowd, token, "Prefer: wait=0") as (reader, rest, writer):
        writer.write(rest)
        assert (await hear(reader)).status_code == 202
    assert watch.backlog._total == 2, "who would wait for the end counts too"


def opened(crowd: Crowd, tenant: str) -> Breaker:
    """The tenant's breaker, which its failures have opened, while what it depends on does not answer yet."""
    breaker, now = crowd.stage.deps.tenants.desk(tenant).breaker, crowd.stage.deps.clock.monotonic()
    for _ in range(LEAST_REQUESTS * 2):
        breaker.record(now, True)
    crowd.stage.ready["store"] = False
    assert breaker.state is State.OPEN
    return breaker


async def both(crowd: Crowd, token: str) -> tuple[httpx2.Response, httpx2.Response]:
    """What one is told over a connection, and what one is told who passes no door."""
    return await crowd.tell(crowd.request(token)), await crowd.stage.submit(token)


async def test_the_door_says_of_an_open_breaker_what_the_gateway_says(crowd: Crowd) -> None:
    token = await crowd.known("flood")
    crowd.fill()
    assert [one.json()["code"] for one in await both(crowd, token)] == ["overloaded"] * 2
    opened(crowd, "flood")
    full = crowd.under_way()
    door, gateway = await both(crowd, token)
    assert [one.json()["code"] for one in (door, gateway)] == ["circuit-open"] * 2
    assert 1 <= int(gateway.headers["retry-after"]) <= int(door.headers["retry-after"]) <= OPEN_S
    assert crowd.under_way() == full


async def test_a_trial_for_which_there_was_no_room_leaves_the_next_one_to_try(crowd: Crowd) -> None:
    token = await crowd.known("flood")
    breaker = opened(crowd, "flood")
    crowd.fill()
    crowd.stage.ready["store"] = True
    assert [one.json()["code"] for one in await both(crowd, token)] == ["overloaded"] * 2
    assert breaker.state is State.HALF_OPEN
    crowd.empty()
    assert (await crowd.tell(crowd.request(token))).status_code == 202
    assert breaker.state is State.CLOSED
