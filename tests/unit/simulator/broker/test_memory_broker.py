"""The memory broker in virtual time, where waiting costs nothing and a run repeats exactly."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from simulator.broker.memory import MemoryBroker, matches
from simulator.broker.port import Message, Outgoing
from zjops.domain.clock import VirtualClock, run_virtual
from zjops.domain.events import DurableSpec, StreamSpec

START_MS = 1_764_000_000_000
LOG = StreamSpec("LOG", ("log.*",), "limits", 3600, 120)
WORK = StreamSpec("WORK", ("work.*",), "workqueue", 3600, 120)
BOTH = StreamSpec("BOTH", ("both.*",), "interest", 3600, 120)
READER = DurableSpec("reader", "LOG", "log.*", 6.0, 100)
WORKERS = DurableSpec("workers", "WORK", "work.*", 6.0, 2)
TAIL = DurableSpec("tail", "LOG", "log.*", followed=True)
LEFT = DurableSpec("left", "BOTH", "both.*", 6.0, 100)
RIGHT = DurableSpec("right", "BOTH", "both.a", 6.0, 100)


def virtually(story: Callable[[MemoryBroker, VirtualClock], Awaitable[None]], *, keeps: bool = True) -> None:
    async def main() -> None:
        clock = VirtualClock(START_MS)
        broker = MemoryBroker(clock, keeps=keeps)
        await broker.start()
        await broker.ensure((LOG, WORK, BOTH), (READER, WORKERS, LEFT, RIGHT))
        await story(broker, clock)
        await broker.stop()

    run_virtual(main())


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.*", "a", False),
        ("*.b", "a.b", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a.b", True),
        ("a.*.>", "a.b", False),
        ("a.*.>", "a.b.c.d", True),
    ],
)
def test_patterns_match_as_on_the_server(pattern: str, subject: str, expected: bool) -> None:
    assert matches(pattern, subject) is expected


def test_a_claim_that_runs_out_ends_a_waiting_fetch_at_that_moment() -> None:
    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        await broker.publish("WORK", [Outgoing("work.a", b"1")])
        await broker.fetch("workers", 1, 1.0)
        (again,) = await broker.fetch("workers", 1, 600.0)
        assert again.delivered == 2
        assert clock.monotonic() == pytest.approx(6.0, abs=0.01)

    virtually(story)


def test_an_empty_fetch_takes_exactly_its_time() -> None:
    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        for step in (0.1, 0.3, 7.7, 1 / 3):
            began = clock.monotonic()
            assert await broker.fetch("reader", 10, step) == []
            assert clock.monotonic() - began == pytest.approx(step, abs=0.002)

    virtually(story)


def test_a_waiting_fetch_hears_of_a_publication_at_once() -> None:
    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        waiting = asyncio.ensure_future(broker.fetch("reader", 10, 600.0))
        await clock.sleep(2.5)
        await broker.publish("LOG", [Outgoing("log.a", b"1"), Outgoing("log.a", b"2")])
        assert [message.data for message in await waiting] == [b"1", b"2"]
        assert clock.monotonic() == pytest.approx(2.5)

    virtually(story)


def test_an_acknowledgement_makes_room_for_a_waiting_fetch() -> None:
    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        await broker.publish("WORK", [Outgoing("work.a", b"%d" % n) for n in range(3)])
        claimed = await broker.fetch("workers", 10, 1.0)
        assert len(claimed) == 2
        waiting = asyncio.ensure_future(broker.fetch("workers", 10, 5.0))
        await clock.sleep(1.0)
        await claimed[0].ack()
        assert [message.data for message in await waiting] == [b"2"]
        assert clock.monotonic() == pytest.approx(1.0)

    virtually(story)


def test_what_comes_back_goes_before_what_is_new() -> None:
    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        await broker.publish("LOG", [Outgoing("log.a", b"%d" % n) for n in range(3)])
        (first,) = await broker.fetch("reader", 1, 1.0)
        await first.nak()
        assert [message.data for message in await broker.fetch("reader", 10, 1.0)] == [b"0", b"1", b"2"]

    virtually(story)


def test_a_late_acknowledgement_counts() -> None:
    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        await broker.publish("WORK", [Outgoing("work.a", b"1")])
        (message,) = await broker.fetch("workers", 1, 1.0)
        await clock.sleep(60)
        assert await broker.fetch("reader", 1, 0.0) == []
        await message.ack()
        assert await broker.fetch("workers", 1, 60.0) == []
        assert await broker.pending("workers") == 0

    virtually(story)


def test_messages_past_their_age_are_gone_and_their_numbers_stay() -> None:
    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        await broker.publish("LOG", [Outgoing("log.a", b"1", "one")])
        await clock.sleep(1800)
        await broker.publish("LOG", [Outgoing("log.a", b"2", "two")])
        await clock.sleep(1801)
        assert await broker.pending("reader") == 1
        assert [message.data for message in await broker.fetch("reader", 10, 0.0)] == [b"2"]
        await clock.sleep(3600)
        assert await broker.last("LOG") == (2, None)
        assert await broker.publish("LOG", [Outgoing("log.a", b"3", "three")], expected_last=2) == 3

    virtually(story)


def test_ids_are_forgotten_after_the_window() -> None:
    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        assert await broker.publish("LOG", [Outgoing("log.a", b"1", "one")]) == 1
        await clock.sleep(119)
        assert await broker.publish("LOG", [Outgoing("log.a", b"1", "one")]) == 1
        await clock.sleep(2)
        assert await broker.publish("LOG", [Outgoing("log.a", b"1", "one")]) == 2

    virtually(story)


def test_a_stream_of_interest_keeps_a_message_until_all_have_acknowledged() -> None:
    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        await broker.publish("BOTH", [Outgoing("both.a", b"1", "one")])
        (left,) = await broker.fetch("left", 1, 1.0)
        await left.ack()
        await left.ack()
        assert await broker.last("BOTH") == (1, "one")
        (right,) = await broker.fetch("right", 1, 1.0)
        await right.ack()
        assert await broker.last("BOTH") == (1, None)

    virtually(story)


def test_without_keeping_only_the_last_message_outlives_its_acknowledgement() -> None:
    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        for n in range(1, 6):
            await broker.publish("LOG", [Outgoing("log.a", b"x", f"m{n}")], expected_last=n - 1)
            (message,) = await broker.fetch("reader", 10, 0)
            if n != 3:
                await message.ack()
        assert await broker.last("LOG") == (5, "m5"), "a publisher goes on from it"
        assert [logged.sequence for logged in await broker.read("LOG", 10)] == [3, 5]
        await clock.sleep(6)
        (late,) = await broker.fetch("reader", 10, 0)
        assert (late.sequence, late.delivered) == (3, 2)
        await late.ack()
        assert [logged.sequence for logged in await broker.read("LOG", 10)] == [5]
        assert await broker.pending("reader") == 0

    virtually(story, keeps=False)


def test_an_empty_follow_takes_exactly_its_time_and_a_publication_ends_it_at_once() -> None:
    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        await broker.ensure((), (TAIL,))
        for step in (0.1, 0.3, 7.7, 1 / 3):
            began = clock.monotonic()
            assert await broker.follow("tail", 0, 10, step) == []
            assert clock.monotonic() - began == pytest.approx(step, abs=0.002)
        began = clock.monotonic()
        waiting = asyncio.ensure_future(broker.follow("tail", 0, 10, 600.0))
        await clock.sleep(2.5)
        await broker.publish("LOG", [Outgoing("log.a", b"1"), Outgoing("log.a", b"2")])
        assert [logged.data for logged in await waiting] == [b"1", b"2"]
        assert clock.monotonic() - began == pytest.approx(2.5)

    virtually(story)


def test_without_keeping_what_is_followed_stays_until_its_reader_has_named_a_place_behind_it() -> None:
    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        await broker.ensure((), (TAIL,))
        await broker.publish("LOG", [Outgoing("log.a", b"%d" % n) for n in range(1, 6)])
        for message in await broker.fetch("reader", 10, 0):
            await message.ack()
        assert [logged.sequence for logged in await broker.read("LOG", 10)] == [1, 2, 3, 4, 5]
        assert [logged.sequence for logged in await broker.follow("tail", 0, 3, 0)] == [1, 2, 3]
        assert [logged.sequence for logged in await broker.follow("tail", 0, 3, 0)] == [1, 2, 3]
        assert [logged.sequence for logged in await broker.follow("tail", 3, 3, 0)] == [4, 5]
        assert [logged.sequence for logged in await broker.read("LOG", 10)] == [4, 5]
        assert await broker.pending("tail") == 2
        assert await broker.follow("tail", 5, 3, 0) == []
        assert [logged.sequence for logged in await broker.read("LOG", 10)] == [5], "a publisher goes on from it"
        assert await broker.pending("tail") == 0

    virtually(story, keeps=False)


def test_without_keeping_what_is_fetched_too_stays_until_both_are_done() -> None:
    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        await broker.ensure((), (TAIL,))
        await broker.publish("LOG", [Outgoing("log.a", b"%d" % n) for n in range(1, 4)])
        messages = await broker.fetch("reader", 10, 0)
        await broker.follow("tail", 3, 10, 0)
        assert [logged.sequence for logged in await broker.read("LOG", 10)] == [1, 2, 3]
        await messages[0].ack()
        assert [logged.sequence for logged in await broker.read("LOG", 10)] == [2, 3]

    virtually(story, keeps=False)


def test_what_is_past_its_age_is_followed_no_more() -> None:
    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        await broker.ensure((), (TAIL,))
        await broker.publish("LOG", [Outgoing("log.a", b"1")])
        await clock.sleep(1800)
        await broker.publish("LOG", [Outgoing("log.a", b"2")])
        await clock.sleep(1801)
        assert await broker.pending("tail") == 1
        assert [logged.sequence for logged in await broker.follow("tail", 0, 10, 0)] == [2]

    virtually(story)


class Claims:
    """What must be true of a durable, in the plainest words: when each message comes back, or None once it is done."""

    def __init__(self) -> None:
        self.until: dict[int, float | None] = {}
        self.delivered: dict[int, int] = {}
        self.fresh = 1

    def fetched(self, now: float, batch: int, published: int) -> set[int]:
        back = sorted((until, n) for n, until in self.until.items() if until is not None and until <= now)
        claimed = sum(until is not None and until > now for until in self.until.values())
        room = max(min(batch - len(back), WORKERS.max_ack_pending * 4 - claimed - len(back)), 0)
        new = range(self.fresh, min(self.fresh + room, published + 1))
        self.fresh += len(new)
        found = {n for _, n in back[:batch]} | set(new)
        for n in found:
            self.until[n], self.delivered[n] = now + WORKERS.ack_wait_s, self.delivered.get(n, 0) + 1
        return found


@pytest.mark.parametrize("seed", range(5))
def test_claims_come_back_when_they_are_due_whatever_their_order(seed: int) -> None:
    source = random.Random(seed)

    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        await broker.ensure((), (WORKERS._replace(max_ack_pending=WORKERS.max_ack_pending * 4),))
        held: dict[int, Message] = {}
        model, published = Claims(), 0
        for _ in range(400):
            act, now = source.choice(["publish", "fetch", "fetch", "ack", "nak", "progress", "wait"]), clock.monotonic()
            if act == "publish":
                count = source.randint(1, 3)
                published = await broker.publish("WORK", [Outgoing("work.a", b"x")] * count)
            elif act == "fetch":
                messages = await broker.fetch("workers", 50, 0)
                assert {m.sequence for m in messages} == model.fetched(now, 50, published)
                assert all(m.delivered == model.delivered[m.sequence] for m in messages)
                held |= {m.sequence: m for m in messages}
            elif act == "wait":
                await clock.sleep(source.randint(1, 4))
            elif held:
                sequence = source.choice(list(held))
                runs = (model.until[sequence] or 0) > now
                if act == "ack":
                    await held.pop(sequence).ack()
                    model.until[sequence] = None
                elif act == "nak" and runs:
                    delay = source.randint(0, 9)
                    await held[sequence].nak(delay)
                    model.until[sequence] = now + delay
                elif act == "progress" and runs:
                    await held[sequence].in_progress()
                    model.until[sequence] = now + WORKERS.ack_wait_s
        assert published > 20
        assert max(model.delivered.values()) > 2

    virtually(story)


def test_a_later_durable_reads_what_is_kept() -> None:
    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        await broker.publish("LOG", [Outgoing("log.a", b"1"), Outgoing("log.b", b"2")])
        await broker.ensure((), (DurableSpec("late", "LOG", "log.b", 6.0, 100),))
        assert [message.data for message in await broker.fetch("late", 10, 0.0)] == [b"2"]

    virtually(story)


def test_a_sender_does_not_wait_for_its_listeners() -> None:
    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        heard = asyncio.Event()

        async def slow(subject: str, data: bytes) -> None:
            await clock.sleep(10)
            heard.set()

        await broker.listen("wake", slow)
        await broker.signal("wake")
        assert clock.monotonic() == 0
        await heard.wait()
        assert clock.monotonic() == pytest.approx(10)

    virtually(story)


def test_ten_thousand_messages_through_a_full_queue_stay_quick() -> None:
    async def story(broker: MemoryBroker, clock: VirtualClock) -> None:
        await broker.publish("LOG", [Outgoing("log.a", b"%d" % n, f"id{n}") for n in range(10_000)])
        seen: list[bytes] = []
        while messages := await broker.fetch("reader", 50, 0.0):
            for message in messages:
                seen.append(message.data)
                await message.ack()
        assert seen == [b"%d" % n for n in range(10_000)]

    virtually(story)
