"""The relay on the real broker and a real SQLite file: killed between publish and mark, away for long, not alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from simulator.broker.nats import NatsBroker
from simulator.broker.port import Broker, Outgoing
from simulator.lease import Lease
from simulator.outbox import MOST, Relay, enqueue_ops, event_row, work_row
from simulator.store.port import Store, T, Work
from simulator.store.sqlite import SqliteStore
from simulator.telemetry import Telemetry
from tests.support.nats import NatsServer, eventually, running_server
from zjops.domain.clock import SystemClock
from zjops.domain.errors import BrokerUnavailable, Fenced, StoreUnavailable
from zjops.domain.events import (
    DURABLES,
    EVENTS,
    OPS,
    STREAMS,
    WORK,
    EventType,
    JobEvent,
    OpsEvent,
    StreamSpec,
    open_envelope,
)
from zjops.domain.events import Work as Dispatch
from zjops.domain.ids import SystemIds, job_id

WINDOW_S = 1
CLOCK = SystemClock()
IDS = SystemIds(CLOCK)


class Dying:
    """A store whose process dies in place of the next mark."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.armed = False

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        return None

    async def read(self, work: Work[T]) -> T:
        return await self._store.read(work)

    async def transact(self, work: Work[T]) -> T:
        if self.armed and "_mark" in work.__code__.co_names:  # type: ignore[attr-defined]
            raise StoreUnavailable("killed between publish and mark")
        return await self._store.transact(work)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with running_server(tmp_path_factory.mktemp("nats")) as made:
        yield made


@pytest.fixture
async def broker(server: NatsServer) -> AsyncIterator[Broker]:
    made = NatsBroker(server.url, server.user, server.password)
    await made.start()
    # The window within which the server knows an id is cut down, so that a test can outlast it.
    await made.ensure([spec._replace(duplicate_window_s=WINDOW_S) for spec in STREAMS], DURABLES)
    yield made
    await made.stop()


@pytest.fixture
async def store(tmp_path: Path, broker: Broker) -> AsyncIterator[Store]:
    made = SqliteStore(tmp_path / "store.sqlite")
    await made.start()
    yield made
    await made.stop()


def _relay(store: Store, broker: Broker, owner: str, ttl_s: float = 0.3) -> Relay:
    lease = Lease(store, CLOCK, "outbox", owner, ttl_s)
    return Relay(store, broker, CLOCK, Telemetry("t", CLOCK, stream=None), lease, poll_s=0.02, keep_s=3600)


async def _tell(store: Store, names: list[str]) -> None:
    def work(tx: Any) -> None:
        for name in names:
            enqueue_ops(tx, IDS, CLOCK, OpsEvent(kind="action", actor="t", action=name, tenant="acme", values={}))

    await store.transact(work)


async def _unpublished(store: Store) -> int:
    row = await store.read(lambda tx: tx.one("outbox_unpublished"))
    assert row is not None
    return int(row["count"])


async def _seen(broker: Broker, first: int) -> list[str]:
    """The actions that stand in the stream behind a sequence, in order, each as often as it stands there."""
    found = []
    while messages := await broker.follow("meter-ops", first, 500, 0.2):
        first = messages[-1].sequence
        found += [message.data.decode().partition('"action":"')[2].partition('"')[0] for message in messages]
    return found


async def _outlast_the_window(broker: Broker, tag: str) -> None:
    """Until the server takes an id a second time that it got at the beginning, which it does after its window."""
    spec = StreamSpec(f"probe-{tag}", (f"probe.{tag}",), "limits", 60, WINDOW_S)
    await broker.ensure([spec], ())
    probe = [Outgoing(f"probe.{tag}", b"", "the-id", {})]
    first = await broker.publish(spec.name, probe)

    async def taken_again() -> bool:
        return await broker.publish(spec.name, probe) > first

    await eventually(taken_again, 20)


async def test_killed_between_publish_and_mark_and_away_for_long_repeats_nothing(store: Store, broker: Broker) -> None:
    start, _ = await broker.last(OPS)
    dying = Dying(store)
    doomed = _relay(dying, broker, "first")
    names = [f"act-{n}" for n in range(20)]
    await _tell(store, names)
    dying.armed = True
    assert await doomed._lease.hold()
    with pytest.raises(StoreUnavailable):
        await doomed.publish_once()
    assert (await broker.last(OPS))[0] == start + 20, "published"
    assert await _unpublished(store) == 20, "and not marked"
    await _outlast_the_window(broker, "kill")
    await _tell(store, ["after"])
    successor = _relay(store, broker, "second")
    await successor.start()
    await eventually(lambda: _is(_later(store, successor, broker, start), 21))
    await successor.stop()
    assert await _seen(broker, start) == [*names, "after"]


async def _later(store: Store, relay: Relay, broker: Broker, start: int) -> int:
    return (await broker.last(OPS))[0] - start


async def _is(value: Any, expected: int) -> bool:
    return bool(await value == expected)


async def test_a_successor_repeats_nothing_where_the_outbox_holds_more_than_it_reads_at_once(
    store: Store, broker: Broker
) -> None:
    start, _ = await broker.last(OPS)
    names = [f"long-{n}" for n in range(2 * MOST + 10)]
    await _tell(store, names)
    first, second = _relay(store, broker, "a"), _relay(store, broker, "b")
    assert await first._lease.hold()
    while await _unpublished(store):
        await first.publish_once()
    await first._lease.release()
    await _outlast_the_window(broker, "long")
    # No work ever left, so that for its stream the successor begins at the front of the outbox.
    await _tell(store, ["after"])
    assert await second._lease.hold()
    while await _unpublished(store):
        await second.publish_once()
    assert await _seen(broker, start) == [*names, "after"]


async def test_a_second_relay_is_fenced_by_the_stream_itself(store: Store, broker: Broker) -> None:
    start, _ = await broker.last(OPS)
    first, second = _relay(store, broker, "a"), _relay(store, broker, "b")
    await _tell(store, ["one", "two"])
    assert await first._lease.hold()
    for relay in (first, second):
        await relay._resume(OPS)
    # The second believes that the lease is its own and publishes what the first has published already.
    assert await first.publish_once() == 2
    with pytest.raises(Fenced):
        await second.publish_once()
    assert await _seen(broker, start) == ["one", "two"]


async def test_a_successor_takes_over_when_the_lease_ends(store: Store, broker: Broker) -> None:
    start, _ = await broker.last(OPS)
    first, second = _relay(store, broker, "a"), _relay(store, broker, "b")
    await first.start()
    await second.start()
    await _tell(store, [f"n{n}" for n in range(50)])
    first.wake()
    await eventually(lambda: _is(_later(store, first, broker, start), 50))
    # As a kill does it: nothing is released.
    assert first._task is not None
    first._task.cancel()
    await asyncio.gather(first._task, return_exceptions=True)
    first._task = None
    await _tell(store, [f"n{n}" for n in range(50, 100)])
    await eventually(lambda: _is(_later(store, second, broker, start), 100))
    await second.stop()
    assert await _seen(broker, start) == [f"n{n}" for n in range(100)]


async def test_order_holds_across_a_broker_that_is_killed(store: Store, broker: Broker, server: NatsServer) -> None:
    start, _ = await broker.last(OPS)
    relay = _relay(store, broker, "a")
    await relay.start()
    names = [f"k{n}" for n in range(300)]
    for n in range(0, 300, 30):
        await _tell(store, names[n : n + 30])
        relay.wake()
        if n == 150:
            server.kill()
            server.start()
    await eventually(lambda: _is(_later(store, relay, broker, start), 300), 30)
    await relay.stop()
    assert await _seen(broker, start) == names


class Refusing:
    """A broker that is away for one stream."""

    def __init__(self, broker: Broker, stream: str) -> None:
        self._broker, self.stream = broker, stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def publish(self, stream: str, messages: Any, **how: Any) -> int:
        if stream == self.stream:
            raise BrokerUnavailable(f"{stream} cannot be reached")
        return await self._broker.publish(stream, messages, **how)


EVENT = JobEvent(
    tenant="acme", plan="starter", job_id=job_id(b"\1" * 16), job_type="compute_heavy", status="pending",
    accepted_at=1_790_000_000_000, payload_bytes=10, compute_units=20,
)  # fmt: skip
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def _accept(store: Store, count: int, trace: str | None = None) -> None:
    """The rows that an accepted job puts into the outbox: its event, and its work."""
    work = Dispatch(job_id=EVENT.job_id, tenant="acme", job_type="compute_heavy", timeout_s=60)
    rows = []
    for _ in range(count):
        rows.append(event_row(IDS.name(), EventType.SUBMITTED, EVENT, 1_790_000_000_000, trace))
        rows.append(work_row(IDS.name(), work, 5, 1_790_000_000_000))
    await store.transact(lambda tx: tx.many("outbox_put", rows))


async def test_what_fails_between_two_streams_is_marked_in_neither_and_repeated_in_neither(
    store: Store, broker: Broker
) -> None:
    start, _ = await broker.last(EVENTS)
    work, _ = await broker.last(WORK)
    refusing = Refusing(broker, WORK)
    relay = _relay(store, cast(Broker, refusing), "a")
    await _accept(store, 3)
    assert await relay._lease.hold()
    with pytest.raises(BrokerUnavailable):
        await relay.publish_once()
    assert ((await broker.last(EVENTS))[0], (await broker.last(WORK))[0]) == (start + 3, work), "half of it has left"
    assert await _unpublished(store) == 6
    # As the loop does it with a broker that was away.
    relay._cursors.clear()
    refusing.stream = ""
    await _accept(store, 1)
    assert await relay.publish_once() == 5, "a new event, and all the work"
    assert ((await broker.last(EVENTS))[0], (await broker.last(WORK))[0]) == (start + 4, work + 4)
    assert await _unpublished(store) == 0


async def test_a_stream_that_was_quiet_for_long_is_not_searched_for_row_by_row(store: Store, broker: Broker) -> None:
    start, _ = await broker.last(OPS)
    first = _relay(store, broker, "a")
    assert await first._lease.hold()
    await _tell(store, ["once"])
    await _accept(store, MOST)
    while await first.publish_once():
        pass
    await first.stop()
    heir = _relay(store, broker, "b")
    await first._lease.release()
    assert await heir._lease.hold()
    await _tell(store, ["lately"])
    assert await heir.publish_once() == 1, "the first look finds what is new"
    assert await _seen(broker, start) == ["once", "lately"]


async def test_what_a_stream_has_lost_is_published_again_although_it_is_marked(store: Store, broker: Broker) -> None:
    start, _ = await broker.last(OPS)
    relay = _relay(store, broker, "a")
    assert await relay._lease.hold()
    await _tell(store, ["kept"])
    assert await relay.publish_once() == 1
    await _tell(store, ["lost with the server's machine"])
    await store.transact(lambda tx: tx.run("outbox_mark", upto=2, now=1))
    await relay._lease.release()
    heir = _relay(store, broker, "b")
    assert await heir._lease.hold()
    assert await heir.publish_once() == 1
    assert await _seen(broker, start) == ["kept", "lost with the server's machine"]


@pytest.mark.parametrize("trace", [None, TRACE], ids=["without a trace", "with a trace"])
async def test_an_event_on_the_wire_is_a_whole_cloud_event(store: Store, broker: Broker, trace: str | None) -> None:
    first = (await broker.last(EVENTS))[0] + 1
    relay = _relay(store, broker, "a")
    assert await relay._lease.hold()
    await _accept(store, 1, trace)
    assert await relay.publish_once() == 2
    (told,) = await broker.read(EVENTS, 1, first=first)
    said = json.loads(told.data)
    assert said == {
        "specversion": "1.0", "id": told.headers["Nats-Msg-Id"], "source": "/tenants/acme",
        "type": "ai.zama.jobs.job.submitted.v1", "subject": EVENT.job_id, "time": "2026-09-21T14:13:20.000Z",
        "datacontenttype": "application/json",
        "data": {
            "tenant": "acme", "plan": "starter", "job_id": EVENT.job_id, "job_type": "compute_heavy",
            "status": "pending", "accepted_at": 1_790_000_000_000, "payload_bytes": 10, "compute_units": 20,
        },
    } | ({"traceparent": trace} if trace else {})  # fmt: skip
    assert told.subject == "jobs.submitted"
    names = {"Nats-Msg-Id", "Zjops-Outbox"} | ({"traceparent"} if trace else set())
    assert names <= told.headers.keys()
    cloud, event = open_envelope(told.data)
    assert (cloud.specversion, cloud.traceparent, event) == ("1.0", trace, EVENT)
