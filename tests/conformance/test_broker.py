"""One suite for every adapter of the Broker port."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import nats
import pytest
from msgspec.structs import replace
from nats.aio.msg import Msg

from simulator.broker.memory import MemoryBroker
from simulator.broker.nats import NatsBroker
from simulator.broker.port import Broker, Logged, Message, Outgoing
from simulator.broker.pull import Pull
from tests.support.nats import NatsServer, eventually, running_server
from zjops.domain.clock import SystemClock
from zjops.domain.errors import BrokerUnavailable, Fenced, UsageError
from zjops.domain.events import DURABLES, STREAMS, DurableSpec, StreamSpec

ACK_WAIT_S = 0.5
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with running_server(tmp_path_factory.mktemp("nats")) as running:
        yield running


class Bench:
    """Brokers on one server, and a stream of each kind that only this test uses."""

    def __init__(self, make: Callable[[], Broker]) -> None:
        self._make = make
        self._made: list[Broker] = []
        self.tag = tag = f"t{next(_numbers)}"
        self.log = StreamSpec(f"{tag}-log", (f"{tag}.log.>",), "limits", 3600, 2)
        self.work = StreamSpec(f"{tag}-work", (f"{tag}.work.*",), "workqueue", 3600, 2)
        self.durables = (
            DurableSpec(f"{tag}-reader", self.log.name, f"{tag}.log.>", ACK_WAIT_S, 10_000),
            DurableSpec(f"{tag}-high", self.work.name, f"{tag}.work.high", ACK_WAIT_S, 10),
            DurableSpec(f"{tag}-low", self.work.name, f"{tag}.work.low", 30.0, 10),
            DurableSpec(f"{tag}-tail", self.log.name, f"{tag}.log.a", followed=True),
        )
        self.reader, self.high, self.low, self.tail = (durable.name for durable in self.durables)

    async def broker(self) -> Broker:
        broker = self._make()
        self._made.append(broker)
        await broker.start()
        await broker.ensure((self.log, self.work), self.durables)
        return broker

    async def close(self) -> None:
        for broker in self._made:
            await broker.stop()

    def event(self, n: int, prefix: str = "e") -> Outgoing:
        return Outgoing(f"{self.tag}.log.a", b"%d" % n, f"{self.tag}-{prefix}{n}", {"n": str(n)})

    def events(self, first: int, count: int, prefix: str = "e") -> list[Outgoing]:
        return [self.event(n, prefix) for n in range(first, first + count)]

    def foreign(self) -> Outgoing:
        """One of the log that does not fall under the filter of `tail`."""
        return Outgoing(f"{self.tag}.log.b", b"b")

    def job(self, band: str, n: int) -> Outgoing:
        return Outgoing(f"{self.tag}.work.{band}", b"%d" % n)


@pytest.fixture(params=["memory", "nats"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "nats":
        server: NatsServer = request.getfixturevalue("server")
        made = Bench(lambda: NatsBroker(server.url, server.user, server.password))
    else:
        hub = MemoryBroker(SystemClock())
        made = Bench(lambda: MemoryBroker(SystemClock(), hub))
    yield made
    await made.close()


@pytest.fixture
async def broker(bench: Bench) -> Broker:
    return await bench.broker()


async def drain(broker: Broker, durable: str, count: int, within_s: float = 10.0) -> list[Message]:
    """Fetch until that many messages came."""
    taken: list[Message] = []
    deadline = time.monotonic() + within_s
    while len(taken) < count:
        assert time.monotonic() < deadline, f"{len(taken)} of {count} messages after {within_s} s"
        taken += await broker.fetch(durable, min(500, count - len(taken)), 1.0)
    return taken


async def followed(broker: Broker, durable: str, after: int, count: int, within_s: float = 10.0) -> list[Logged]:
    """Follow until that many messages came."""
    found: list[Logged] = []
    deadline = time.monotonic() + within_s
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} messages after {within_s} s"
        found += await broker.follow(durable, after, count - len(found), 1.0)
        after = found[-1].sequence if found else after
    return found


def numbers(found: Sequence[Logged]) -> list[int]:
    return [logged.sequence for logged in found]


async def acked(messages: list[Message]) -> None:
    for message in messages:
        await message.ack()


def pending_is(broker: Broker, durable: str, count: int) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return await broker.pending(durable) == count

    return holds


async def test_a_message_arrives_as_it_was_published(bench: Bench, broker: Broker) -> None:
    before = time.time() * 1000
    assert await broker.publish(bench.log.name, [bench.event(7)]) == 1
    (message,) = await broker.fetch(bench.reader, 10, 5.0)
    assert (message.subject, message.data, message.sequence, message.delivered) == (f"{bench.tag}.log.a", b"7", 1, 1)
    assert message.headers["n"] == "7"
    assert message.headers["Nats-Msg-Id"] == f"{bench.tag}-e7"
    assert before - 1000 <= message.timestamp_ms <= time.time() * 1000 + 1000


async def test_five_thousand_chained_messages_keep_their_order(bench: Bench, broker: Broker) -> None:
    assert await broker.publish(bench.log.name, bench.events(1, 5_000), expected_last=0) == 5_000
    messages = await drain(broker, bench.reader, 5_000)
    assert [int(message.data) for message in messages] == list(range(1, 5_001))
    assert [message.sequence for message in messages] == list(range(1, 5_001))
    await acked(messages)
    await eventually(pending_is(broker, bench.reader, 0))


async def test_publishing_nothing_says_where_the_stream_is(bench: Bench, broker: Broker) -> None:
    assert await broker.publish(bench.log.name, []) == 0
    await broker.publish(bench.log.name, bench.events(1, 3))
    assert await broker.publish(bench.log.name, []) == 3
    assert await broker.publish(bench.log.name, [], expected_last=3) == 3


async def test_last_names_the_last_message(bench: Bench, broker: Broker) -> None:
    assert await broker.last(bench.log.name) == (0, None)
    await broker.publish(bench.log.name, bench.events(1, 3))
    assert await broker.last(bench.log.name) == (3, f"{bench.tag}-e3")


async def test_last_keeps_the_sequence_of_a_message_that_is_gone(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.work.name, [replace(bench.job("high", 1), msg_id=f"{bench.tag}-w")])
    await acked(await broker.fetch(bench.high, 1, 5.0))

    async def gone() -> bool:
        return await broker.last(bench.work.name) == (1, None)

    await eventually(gone)


async def test_an_unacknowledged_message_comes_back_with_its_count(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.work.name, [bench.job("high", 1)])
    (first,) = await broker.fetch(bench.high, 10, 5.0)
    claimed = time.monotonic()
    assert await broker.fetch(bench.high, 10, 0.0) == []
    (second,) = await broker.fetch(bench.high, 10, 5.0)
    assert time.monotonic() - claimed >= ACK_WAIT_S - 0.1
    assert (first.delivered, second.delivered, second.sequence) == (1, 2, first.sequence)
    await second.ack()
    assert await broker.fetch(bench.high, 10, ACK_WAIT_S * 2) == []


async def test_in_progress_keeps_a_claim(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.work.name, [bench.job("high", 1)])
    (message,) = await broker.fetch(bench.high, 1, 5.0)
    for _ in range(6):
        assert await broker.fetch(bench.high, 1, ACK_WAIT_S / 2.5) == []
        await message.in_progress()
    await message.ack()
    await eventually(pending_is(broker, bench.high, 0))


async def test_nak_gives_back_at_once_or_after_its_delay(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.log.name, [bench.event(1)])
    (first,) = await broker.fetch(bench.reader, 1, 5.0)
    started = time.monotonic()
    await first.nak()
    (second,) = await broker.fetch(bench.reader, 1, 5.0)
    assert time.monotonic() - started < ACK_WAIT_S * 0.8
    started = time.monotonic()
    await second.nak(1.0)
    (third,) = await broker.fetch(bench.reader, 1, 5.0)
    assert time.monotonic() - started >= 0.8
    assert (second.delivered, third.delivered) == (2, 3)
    await third.ack()


async def test_what_is_given_back_comes_with_the_new_ones(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.log.name, bench.events(1, 2))
    (first,) = await broker.fetch(bench.reader, 1, 5.0)
    await first.nak()
    messages = await drain(broker, bench.reader, 2)
    assert sorted((message.data, message.delivered) for message in messages) == [(b"1", 2), (b"2", 1)]
    await acked(messages)


async def test_a_work_queue_deletes_what_is_acknowledged(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.work.name, [bench.job("high", 1), bench.job("low", 2), bench.job("high", 3)])
    assert (await broker.pending(bench.high), await broker.pending(bench.low)) == (2, 1)
    high = await broker.fetch(bench.high, 10, 5.0)
    assert [message.data for message in high] == [b"1", b"3"]
    assert await broker.pending(bench.high) == 2
    await acked(high)
    await eventually(pending_is(broker, bench.high, 0))
    assert [message.data for message in await broker.fetch(bench.low, 10, 5.0)] == [b"2"]


async def test_no_more_than_max_ack_pending_are_out(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.work.name, [bench.job("low", n) for n in range(15)])
    started = time.monotonic()
    first = await broker.fetch(bench.low, 100, 20.0)
    assert len(first) == 10
    assert time.monotonic() - started < 5
    assert await broker.fetch(bench.low, 100, 0.0) == []
    await acked(first)
    assert len(await drain(broker, bench.low, 5)) == 5


async def test_a_durable_goes_on_in_a_new_broker_object(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.log.name, bench.events(1, 10))
    await acked(await drain(broker, bench.reader, 4))
    await eventually(pending_is(broker, bench.reader, 6))
    await broker.stop()
    again = await bench.broker()
    assert [int(message.data) for message in await drain(again, bench.reader, 6)] == [5, 6, 7, 8, 9, 10]


async def test_an_id_counts_once_inside_the_window(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.log.name, bench.events(1, 3))
    assert await broker.publish(bench.log.name, bench.events(2, 3)) == 4
    assert [int(message.data) for message in await drain(broker, bench.reader, 4)] == [1, 2, 3, 4]


async def test_an_id_counts_again_outside_the_window(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.log.name, [bench.event(1)])

    async def taken_again() -> bool:
        return await broker.publish(bench.log.name, [bench.event(1)]) == 2

    await eventually(taken_again)


async def test_a_second_publisher_is_fenced(bench: Bench, broker: Broker) -> None:
    other = await bench.broker()
    await broker.publish(bench.log.name, bench.events(1, 5), expected_last=0)
    with pytest.raises(Fenced) as caught:
        await other.publish(bench.log.name, bench.events(1, 3, "x"), expected_last=0)
    assert caught.value.actual_last == 5
    assert await other.publish(bench.log.name, bench.events(6, 5), expected_last=5) == 10


@pytest.mark.parametrize("expected", [4, 6], ids=["too low by one", "too high by one"])
async def test_a_fenced_batch_leaves_no_part_of_itself(bench: Bench, broker: Broker, expected: int) -> None:
    await broker.publish(bench.log.name, bench.events(1, 5))
    with pytest.raises(Fenced):
        await broker.publish(bench.log.name, bench.events(1, 100, "x"), expected_last=expected)
    assert await broker.last(bench.log.name) == (5, f"{bench.tag}-e5")


async def test_a_chained_message_that_is_there_already_is_fenced(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.log.name, bench.events(1, 3), expected_last=0)
    with pytest.raises(Fenced) as caught:
        await broker.publish(bench.log.name, [bench.event(2)], expected_last=3)
    assert caught.value.actual_last == 3


async def test_of_two_racing_publishers_each_stores_a_prefix(bench: Bench, broker: Broker) -> None:
    other = await bench.broker()
    outcomes = await asyncio.gather(
        broker.publish(bench.log.name, bench.events(1, 1_000, "a"), expected_last=0),
        other.publish(bench.log.name, bench.events(1, 1_000, "b"), expected_last=0),
        return_exceptions=True,
    )
    assert any(isinstance(outcome, Fenced) for outcome in outcomes)
    sequence, _ = await broker.last(bench.log.name)
    messages = await drain(broker, bench.reader, sequence)
    for writer in "ab":
        numbers = [int(m.data) for m in messages if m.headers["Nats-Msg-Id"].startswith(f"{bench.tag}-{writer}")]
        assert numbers == list(range(1, len(numbers) + 1))


async def test_a_chained_message_needs_an_id(bench: Bench, broker: Broker) -> None:
    with pytest.raises(UsageError, match="needs an id"):
        await broker.publish(bench.log.name, [bench.job("high", 1)], expected_last=0)


async def test_a_fetch_ends_empty_when_its_time_is_up(bench: Bench, broker: Broker) -> None:
    started = time.monotonic()
    assert await broker.fetch(bench.reader, 10, 0.0) == []
    assert time.monotonic() - started < 0.5
    started = time.monotonic()
    assert await broker.fetch(bench.reader, 10, 0.4) == []
    assert 0.3 < time.monotonic() - started < 1.5


async def test_a_waiting_fetch_returns_with_the_first_message(bench: Bench, broker: Broker) -> None:
    waiting = asyncio.ensure_future(broker.fetch(bench.reader, 100, 20.0))
    await asyncio.sleep(0)
    started = time.monotonic()
    await broker.publish(bench.log.name, [bench.event(1)])
    assert [message.data for message in await waiting] == [b"1"]
    assert time.monotonic() - started < 5


async def test_fetches_side_by_side_share_the_work(bench: Bench, broker: Broker) -> None:
    waiting = [asyncio.ensure_future(broker.fetch(bench.high, 1, 20.0)) for _ in range(4)]
    await asyncio.sleep(0)
    await broker.publish(bench.work.name, [bench.job("high", n) for n in range(4)])
    taken = await asyncio.gather(*waiting)
    assert sorted(message.data for part in taken for message in part) == [b"0", b"1", b"2", b"3"]


async def test_what_a_cancelled_fetch_was_given_goes_to_another(bench: Bench, broker: Broker) -> None:
    waiting = asyncio.ensure_future(broker.fetch(bench.reader, 10, 20.0))
    await broker.fetch(bench.high, 1, 0.0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await broker.publish(bench.log.name, [bench.event(1)])
    started = time.monotonic()
    (message,) = await broker.fetch(bench.reader, 10, 5.0)
    assert message.data == b"1"
    assert time.monotonic() - started < ACK_WAIT_S * 0.8


async def test_a_signal_reaches_every_listener_until_it_stops(bench: Bench, broker: Broker) -> None:
    other, heard = await bench.broker(), list[tuple[str, str, bytes]]()

    def note(who: str) -> Callable[[str, bytes], Awaitable[None]]:
        async def callback(subject: str, data: bytes) -> None:
            heard.append((who, subject.removeprefix(bench.tag), data))

        return callback

    await broker.listen(f"{bench.tag}.cancel.*", note("here"))
    unlisten = await other.listen(f"{bench.tag}.cancel.*", note("there"))
    await broker.signal(f"{bench.tag}.cancel.1", b"x")
    await eventually(lambda: len(heard) == 2)
    assert sorted(heard) == [("here", ".cancel.1", b"x"), ("there", ".cancel.1", b"x")]
    await unlisten()
    await broker.signal(f"{bench.tag}.cancel.2.deep")
    await broker.signal(f"{bench.tag}.cancel.3")
    await eventually(lambda: ("here", ".cancel.3", b"") in heard)
    assert len(heard) == 3


async def test_a_log_is_read_back_by_sequence_and_stays_as_it_is(bench: Bench, broker: Broker) -> None:
    assert await broker.read(bench.log.name, 10) == []
    await broker.publish(bench.log.name, bench.events(1, 700), expected_last=0)
    whole = await broker.read(bench.log.name, 1_000)
    assert [(m.sequence, m.data) for m in whole] == [(n, b"%d" % n) for n in range(1, 701)]
    assert (whole[6].subject, whole[6].headers["n"]) == (f"{bench.tag}.log.a", "7")
    assert whole[6].headers["Nats-Msg-Id"] == f"{bench.tag}-e7"
    assert [m.sequence for m in await broker.read(bench.log.name, 3, first=500)] == [500, 501, 502]
    assert await broker.read(bench.log.name, 3, first=701) == []
    assert await broker.last(bench.log.name) == (700, f"{bench.tag}-e700")
    assert len(await drain(broker, bench.reader, 700)) == 700


async def test_a_log_is_read_back_from_a_moment_on(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.log.name, bench.events(1, 3))
    (_, _, third) = await broker.read(bench.log.name, 3)

    async def later() -> bool:
        return time.time_ns() // 1_000_000 > third.timestamp_ms

    await eventually(later)
    await broker.publish(bench.log.name, bench.events(4, 2))
    assert [m.sequence for m in await broker.read(bench.log.name, 10, since_ms=third.timestamp_ms + 1)] == [4, 5]
    assert len(await broker.read(bench.log.name, 10, since_ms=0)) == 5
    assert await broker.read(bench.log.name, 10, since_ms=third.timestamp_ms + 3_600_000) == []


async def test_what_is_followed_arrives_as_it_was_published(bench: Bench, broker: Broker) -> None:
    before = time.time() * 1000
    await broker.publish(bench.log.name, [bench.event(7)])
    (logged,) = await broker.follow(bench.tail, 0, 10, 5.0)
    assert (logged.sequence, logged.subject, logged.data) == (1, f"{bench.tag}.log.a", b"7")
    assert (logged.headers["n"], logged.headers["Nats-Msg-Id"]) == ("7", f"{bench.tag}-e7")
    assert before - 1000 <= logged.timestamp_ms <= time.time() * 1000 + 1000


async def test_five_thousand_are_followed_in_order_and_the_stream_stays_as_it_is(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.log.name, bench.events(1, 5_000), expected_last=0)
    for _ in range(2):
        found = await followed(broker, bench.tail, 0, 5_000)
        assert [(logged.sequence, int(logged.data)) for logged in found] == [(n, n) for n in range(1, 5_001)]
    assert len(await drain(broker, bench.reader, 5_000)) == 5_000
    assert await broker.last(bench.log.name) == (5_000, f"{bench.tag}-e5000")


async def test_what_is_followed_passes_over_what_falls_outside_the_filter(bench: Bench, broker: Broker) -> None:
    for n in range(1, 4):
        await broker.publish(bench.log.name, [bench.foreign(), bench.event(n)])
    assert numbers(await broker.follow(bench.tail, 0, 10, 5.0)) == [2, 4, 6]
    assert numbers(await broker.follow(bench.tail, 2, 1, 5.0)) == [4]
    assert numbers(await broker.follow(bench.tail, 5, 10, 5.0)) == [6]
    await broker.publish(bench.log.name, [bench.foreign()])
    assert await broker.follow(bench.tail, 6, 10, 0.2) == []


async def test_a_reader_that_follows_may_go_anywhere_at_any_time(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.log.name, bench.events(1, 300), expected_last=0)
    for after in (100, 0, 299, 150, 150, 250, 0, 1, 298):
        assert numbers(await broker.follow(bench.tail, after, 3, 5.0)) == list(
            range(after + 1, min(after + 3, 300) + 1)
        )
    assert await broker.follow(bench.tail, 300, 10, 0.2) == []
    assert numbers(await broker.follow(bench.tail, 297, 10, 5.0)) == [298, 299, 300]


async def test_whoever_is_beyond_the_end_gets_only_what_comes_behind_that(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.log.name, bench.events(1, 3))
    assert await broker.follow(bench.tail, 5, 10, 0.2) == []
    waiting = asyncio.ensure_future(broker.follow(bench.tail, 5, 10, 20.0))
    await broker.publish(bench.log.name, bench.events(4, 2))
    await broker.publish(bench.log.name, bench.events(6, 2))
    assert numbers(await waiting)[0] == 6
    assert numbers(await followed(broker, bench.tail, 5, 2)) == [6, 7]
    assert numbers(await followed(broker, bench.tail, 0, 7)) == [1, 2, 3, 4, 5, 6, 7]


async def test_following_ends_empty_when_its_time_is_up(bench: Bench, broker: Broker) -> None:
    started = time.monotonic()
    assert await broker.follow(bench.tail, 0, 10, 0.0) == []
    assert time.monotonic() - started < 0.5
    started = time.monotonic()
    assert await broker.follow(bench.tail, 0, 10, 0.4) == []
    assert 0.3 < time.monotonic() - started < 1.5


async def test_a_waiting_follow_returns_with_the_first_message(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.log.name, [bench.event(1)])
    assert numbers(await broker.follow(bench.tail, 0, 100, 5.0)) == [1]
    waiting = asyncio.ensure_future(broker.follow(bench.tail, 1, 100, 20.0))
    await asyncio.sleep(0)
    started = time.monotonic()
    await broker.publish(bench.log.name, [bench.event(2)])
    assert numbers(await waiting) == [2]
    assert time.monotonic() - started < 5


async def test_what_a_cancelled_follow_was_given_comes_to_the_next_one(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.log.name, bench.events(1, 2))
    assert numbers(await broker.follow(bench.tail, 0, 10, 5.0)) == [1, 2]
    for first in (3, 5, 7):
        waiting = asyncio.ensure_future(broker.follow(bench.tail, first - 1, 10, 20.0))
        await broker.last(bench.log.name)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await broker.publish(bench.log.name, bench.events(first, 2))
        assert numbers(await followed(broker, bench.tail, first - 1, 2)) == [first, first + 1]


async def test_a_follow_cancelled_amid_its_messages_makes_no_hole(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.log.name, bench.events(1, 3_000), expected_last=0)
    for moment_s in (0.0, 0.001, 0.005, 0.02):
        waiting = asyncio.ensure_future(broker.follow(bench.tail, 0, 2_000, 5.0))
        await asyncio.sleep(moment_s)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert numbers(await followed(broker, bench.tail, 0, 3_000)) == list(range(1, 3_001))


@pytest.mark.parametrize("apart", [False, True], ids=["in one process", "in two"])
async def test_two_that_follow_at_different_places_disturb_each_other_not(
    bench: Bench, broker: Broker, apart: bool
) -> None:
    other = await bench.broker() if apart else broker
    await broker.publish(bench.log.name, bench.events(1, 200), expected_last=0)
    first, second = list[int](), list[int]()
    for _ in range(10):
        first += numbers(await broker.follow(bench.tail, first[-1] if first else 0, 7, 5.0))
        second += numbers(await other.follow(bench.tail, second[-1] if second else 100, 5, 5.0))
    assert (first, second) == (list(range(1, 71)), list(range(101, 151)))


async def test_many_that_follow_side_by_side_all_get_everything(bench: Bench, broker: Broker) -> None:
    readers = [asyncio.ensure_future(followed(broker, bench.tail, after, 400 - after)) for after in range(8)]
    for first in range(1, 400, 100):
        await broker.publish(bench.log.name, bench.events(first, 100), expected_last=first - 1)
    for after, found in enumerate(await asyncio.gather(*readers)):
        assert numbers(found) == list(range(after + 1, 401))


async def test_what_waits_for_a_follower_is_what_it_was_not_given(bench: Bench, broker: Broker) -> None:
    assert await broker.pending(bench.tail) == 0
    await broker.publish(bench.log.name, [bench.event(1), bench.foreign(), *bench.events(2, 9)])
    assert await broker.pending(bench.tail) == 10
    found = await followed(broker, bench.tail, 0, 4)
    await broker.follow(bench.tail, found[-1].sequence, 1, 5.0)
    assert await broker.pending(bench.tail) in (5, 6), "the last one is handed out and perhaps not taken yet"
    assert await (await bench.broker()).pending(bench.tail) in (5, 6)


async def test_a_durable_is_followed_or_fetched_from(bench: Bench, broker: Broker) -> None:
    with pytest.raises(UsageError, match="nobody that is followed"):
        await broker.follow("nobody", 0, 1, 0.0)
    with pytest.raises(UsageError, match="is followed"):
        await broker.follow(bench.reader, 0, 1, 0.0)
    with pytest.raises(UsageError, match="is fetched from"):
        await broker.fetch(bench.tail, 1, 0.0)


async def test_what_is_announced_is_heard_as_it_is_and_stored_nowhere(bench: Bench, broker: Broker) -> None:
    heard: list[tuple[str, bytes]] = []

    async def callback(subject: str, data: bytes) -> None:
        heard.append((subject, data))

    await broker.listen(f"{bench.tag}.replay.>", callback)
    messages = [Outgoing(f"{bench.tag}.replay.a.b", b"%d" % n, f"{bench.tag}-r{n}", {"n": "1"}) for n in range(500)]
    await broker.announce(messages)
    await eventually(lambda: len(heard) == 500)
    assert heard == [(message.subject, message.data) for message in messages]
    assert await broker.last(bench.log.name) == (0, None)


async def test_a_listener_that_fails_hears_the_next_signal(bench: Bench, broker: Broker) -> None:
    heard: list[bytes] = []

    async def callback(subject: str, data: bytes) -> None:
        heard.append(data)
        raise LookupError(subject)

    await broker.listen(f"{bench.tag}.wake", callback)
    await broker.signal(f"{bench.tag}.wake", b"1")
    await broker.signal(f"{bench.tag}.wake", b"2")
    await eventually(lambda: heard == [b"1", b"2"])


async def test_ensure_may_be_repeated_and_changes_settings(bench: Bench, broker: Broker) -> None:
    await broker.publish(bench.work.name, [bench.job("low", n) for n in range(15)])
    wider = tuple(durable._replace(max_ack_pending=12) for durable in bench.durables)
    await broker.ensure((bench.log._replace(max_age_s=7200), bench.work), wider)
    assert len(await broker.fetch(bench.low, 100, 5.0)) == 12


async def test_a_stream_may_go_on_behind_numbers_that_were_given_elsewhere(bench: Bench, broker: Broker) -> None:
    spec = StreamSpec(f"{bench.tag}-on", (f"{bench.tag}.on",), "limits", 3600, 2, first=101)
    durable = DurableSpec(f"{bench.tag}-hears", spec.name, f"{bench.tag}.on", ACK_WAIT_S, 10)
    await broker.ensure((spec,), (durable,))
    assert await broker.last(spec.name) == (100, None)
    told = [Outgoing(f"{bench.tag}.on", b"%d" % n, f"{bench.tag}-on{n}") for n in range(2)]
    with pytest.raises(Fenced) as refused:
        await broker.publish(spec.name, told, expected_last=0)
    assert refused.value.actual_last == 100
    assert await broker.publish(spec.name, told, expected_last=100) == 102
    await broker.ensure((spec._replace(max_age_s=7200),), (durable,))
    assert [message.sequence for message in await drain(broker, durable.name, 2)] == [101, 102]
    assert [logged.sequence for logged in await broker.read(spec.name, 10)] == [101, 102]


async def test_an_unknown_durable_is_a_wrong_use(broker: Broker) -> None:
    with pytest.raises(UsageError, match="nobody"):
        await broker.fetch("nobody", 1, 0.0)


async def test_stop_is_safe_twice_and_before_start(bench: Bench) -> None:
    broker = bench._make()
    await broker.stop()
    await broker.start()
    await broker.start()
    await broker.stop()
    await broker.stop()
    with pytest.raises(BrokerUnavailable):
        await broker.last(bench.log.name)
    with pytest.raises(BrokerUnavailable):
        await broker.read(bench.log.name, 1)
    with pytest.raises(BrokerUnavailable):
        await broker.follow("meter-events", 0, 1, 0.0)
    with pytest.raises(BrokerUnavailable):
        await broker.announce([Outgoing("nobody.hears", b"")])
    await broker.signal("nobody.hears")


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[tuple[NatsServer, Bench]]:
    """A server that the test may kill."""
    with running_server(tmp_path) as server:
        bench = Bench(lambda: NatsBroker(server.url, server.user, server.password))
        yield server, bench
        await bench.close()


async def test_nats_takes_the_whole_table_of_streams(own: tuple[NatsServer, Bench]) -> None:
    broker = await own[1].broker()
    await broker.ensure(STREAMS, DURABLES)
    await broker.ensure(STREAMS, DURABLES)
    assert [await broker.pending(durable.name) for durable in DURABLES] == [0] * len(DURABLES)


async def test_nats_keeps_what_it_acknowledged_when_killed(own: tuple[NatsServer, Bench]) -> None:
    server, bench = own
    broker, heard = await bench.broker(), list[bytes]()

    async def callback(subject: str, data: bytes) -> None:
        heard.append(data)

    await broker.listen(f"{bench.tag}.wake", callback)
    last = await broker.publish(bench.log.name, bench.events(1, 2_000), expected_last=0)
    await acked(await drain(broker, bench.reader, 100))
    await eventually(pending_is(broker, bench.reader, 1_900))
    waiting = asyncio.ensure_future(broker.fetch(bench.high, 1, 20.0))
    await asyncio.sleep(0)
    server.kill()
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        await waiting
    with pytest.raises(BrokerUnavailable):
        await broker.fetch(bench.reader, 1, 0.2)
    assert time.monotonic() - started < 5
    server.start()
    assert await broker.last(bench.log.name) == (last, f"{bench.tag}-e{last}")
    assert await broker.publish(bench.log.name, bench.events(last + 1, 10), expected_last=last) == last + 10
    wanted, left = set(range(101, last + 11)), set[int]()
    while not left >= wanted:
        assert time.monotonic() - started < 30
        # An acknowledgement that was not yet on disk is forgotten: such messages come again.
        left |= {message.sequence for message in await broker.fetch(bench.reader, 500, 1.0)}
    await broker.signal(f"{bench.tag}.wake", b"again")
    await eventually(lambda: heard == [b"again"])


async def test_nats_is_followed_without_a_hole_through_kills(own: tuple[NatsServer, Bench]) -> None:
    server, bench = own
    broker = await bench.broker()
    await broker.publish(bench.log.name, bench.events(1, 2_000), expected_last=0)
    found = await followed(broker, bench.tail, 0, 500)
    waiting = asyncio.ensure_future(broker.follow(bench.tail, 2_000, 1, 20.0))
    await asyncio.sleep(0)
    server.kill()
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        await waiting
    with pytest.raises(BrokerUnavailable):
        await broker.follow(bench.tail, 500, 10, 0.2)
    assert time.monotonic() - started < 5
    server.start()
    await eventually(lambda: _answers(broker, bench))
    found += await followed(broker, bench.tail, 500, 700)
    server.kill()
    server.start()
    await eventually(lambda: _answers(broker, bench))
    await broker.publish(bench.log.name, bench.events(2_001, 10), expected_last=2_000)
    found += await followed(broker, bench.tail, 1_200, 810)
    assert numbers(found) == list(range(1, 2_011))


async def test_nats_that_has_forgotten_a_consumer_is_followed_on(own: tuple[NatsServer, Bench]) -> None:
    server, bench = own
    broker = await bench.broker()
    await broker.publish(bench.log.name, bench.events(1, 5))
    assert numbers(await broker.follow(bench.tail, 0, 3, 5.0)) == [1, 2, 3]
    await _delete_consumers(server, bench)
    assert numbers(await broker.follow(bench.tail, 3, 10, 5.0)) == [4, 5]
    waiting = asyncio.ensure_future(broker.follow(bench.tail, 5, 10, 20.0))
    await broker.last(bench.log.name)
    await _delete_consumers(server, bench)
    await broker.publish(bench.log.name, [bench.event(6)])
    assert numbers(await waiting) == [6]


async def test_nats_of_which_a_message_is_lost_on_the_way_is_asked_for_it_again(
    own: tuple[NatsServer, Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, taken, found = own[1], list[Msg](), list[int]()
    broker = await bench.broker()
    await broker.publish(bench.log.name, bench.events(1, 30))
    take = Pull.take

    def some(pull: Pull, message: Msg) -> bool:
        taken.append(message)
        return len(taken) % 7 == 1 or take(pull, message)

    monkeypatch.setattr(Pull, "take", some)
    with pytest.raises(BrokerUnavailable, match="lost on the way"):
        await broker.follow(bench.tail, 0, 100, 5.0)
    while len(found) < 30:
        found += numbers(await broker.follow(bench.tail, found[-1] if found else 0, 100, 5.0))
    assert found == list(range(1, 31))
    assert len(taken) > 60


async def test_nats_forgets_the_consumer_of_a_version_that_acknowledged(own: tuple[NatsServer, Bench]) -> None:
    server, bench = own
    broker = await bench.broker()
    former = DurableSpec(bench.tail, bench.log.name, f"{bench.tag}.log.a", ACK_WAIT_S, 10)
    await broker.ensure((), (former,))
    await broker.publish(bench.log.name, bench.events(1, 5))
    assert len(await broker.fetch(bench.tail, 3, 5.0)) == 3
    await broker.ensure((bench.log, bench.work), bench.durables)
    assert numbers(await broker.follow(bench.tail, 0, 10, 5.0)) == [1, 2, 3, 4, 5]
    assert bench.tail not in await _consumers(server, bench)


async def _consumers(server: NatsServer, bench: Bench) -> list[str]:
    client = await nats.connect(server.url, user=server.user, password=server.password)
    try:
        return [info.name for info in await client.jetstream().consumers_info(bench.log.name)]
    finally:
        await client.close()


async def _delete_consumers(server: NatsServer, bench: Bench) -> None:
    client = await nats.connect(server.url, user=server.user, password=server.password)
    try:
        for info in await client.jetstream().consumers_info(bench.log.name):
            if info.name.startswith(bench.tail):
                await client.jetstream().delete_consumer(bench.log.name, info.name)
    finally:
        await client.close()


async def test_nats_killed_amid_a_publication_leaves_a_prefix_to_go_on_from(own: tuple[NatsServer, Bench]) -> None:
    server, bench = own
    broker = await bench.broker()
    events = bench.events(1, 30_000)
    publishing = asyncio.ensure_future(broker.publish(bench.log.name, events, expected_last=0))
    other = await bench.broker()

    async def some() -> bool:
        return (await other.last(bench.log.name))[0] > 500

    await eventually(some)
    server.kill()
    with pytest.raises(BrokerUnavailable):
        await publishing
    server.start()
    sequence, msg_id = await broker.last(bench.log.name)
    assert msg_id == events[sequence - 1].msg_id
    rest = events[sequence : sequence + 500]
    assert await broker.publish(bench.log.name, rest, expected_last=sequence) == sequence + len(rest)


async def test_nats_that_hangs_holds_no_reader_for_ever(own: tuple[NatsServer, Bench]) -> None:
    server, bench = own
    broker = await bench.broker()
    server.pause()
    try:
        with pytest.raises(BrokerUnavailable):
            await broker.fetch(bench.reader, 1, 0.2)
        with pytest.raises(BrokerUnavailable):
            await broker.follow(bench.tail, 0, 1, 0.2)
    finally:
        server.resume()
    await eventually(lambda: _answers(broker, bench))


async def test_nats_that_hangs_holds_no_publisher_for_ever(
    own: tuple[NatsServer, Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, bench = own
    broker = await bench.broker()
    monkeypatch.setattr("simulator.broker.nats.PUBLISH_WITHIN_S", 1.0)
    large = [replace(bench.event(n), data=b"x" * 500_000) for n in range(40)]
    server.pause()
    try:
        with pytest.raises(BrokerUnavailable):
            await broker.publish(bench.log.name, large)
    finally:
        server.resume()
    await eventually(lambda: _answers(broker, bench))


async def _answers(broker: Broker, bench: Bench) -> bool:
    try:
        await broker.last(bench.log.name)
    except BrokerUnavailable:
        return False
    return True


async def test_nats_with_a_wrong_password_says_so(own: tuple[NatsServer, Bench]) -> None:
    broker = NatsBroker(own[0].url, own[0].user, "wrong")
    with pytest.raises(BrokerUnavailable, match="Authorization"):
        await broker.start()
    await broker.stop()


async def test_nats_that_is_not_there_is_unavailable_at_start() -> None:
    broker = NatsBroker("nats://127.0.0.1:1", "u", "p")
    with pytest.raises(BrokerUnavailable):
        await broker.start()
    await broker.stop()


async def test_nats_refuses_a_message_that_is_too_large(own: tuple[NatsServer, Bench]) -> None:
    bench = own[1]
    broker = await bench.broker()
    with pytest.raises(UsageError):
        await broker.publish(bench.log.name, [replace(bench.event(1), data=b"x" * 2_000_000)])
    assert await broker.publish(bench.log.name, [bench.event(2)]) == 1
