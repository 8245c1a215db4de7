"""What has left the outbox is marked seldom, in virtual time: late by so much and no more, and at the end."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from simulator import outbox
from simulator.broker.memory import MemoryBroker
from simulator.environment import time_skipping
from simulator.lease import Lease
from simulator.outbox import OPS, Relay, enqueue_ops, work_row
from simulator.platform import Platform
from simulator.policy.yielding import MOST_S
from simulator.store.port import T, Work
from simulator.store.sqlite import MemorySqliteStore
from simulator.telemetry import Telemetry
from zjops.domain.clock import VirtualClock, run_virtual
from zjops.domain.errors import StoreUnavailable
from zjops.domain.events import DURABLES, STREAMS, WORK, OpsEvent
from zjops.domain.events import Work as Dispatch
from zjops.domain.ids import SeededIds, job_id

START_MS = 1_790_000_000_000
MARK_S = 0.25
JOB = job_id(b"\1" * 16)


class CountingStore(MemorySqliteStore):
    """Counts transactions, and can fail the marks among them."""

    def __init__(self) -> None:
        super().__init__()
        self.marks = 0
        self.fails = False

    async def transact(self, work: Work[T]) -> T:
        if "_mark" in work.__code__.co_names:  # type: ignore[attr-defined]
            self.marks += 1
            if self.fails:
                raise StoreUnavailable("told to fail")
        return await super().transact(work)


class World:
    """A store, a broker, and relays between them."""

    def __init__(self) -> None:
        self.clock = VirtualClock(START_MS)
        self.ids = SeededIds(self.clock, 1)
        self.store, self.broker = CountingStore(), MemoryBroker(self.clock)

    def relay(
        self, owner: str = "a", mark_s: float = MARK_S, poll_s: float = 10.0, used_s: Callable[[], float] | None = None
    ) -> Relay:  # fmt: skip
        lease = Lease(self.store, self.clock, "outbox", owner, 1.0)
        telemetry = Telemetry("t", self.clock, stream=None)
        return Relay(
            self.store, self.broker, self.clock, telemetry, lease, poll_s=poll_s, keep_s=3600, mark_s=mark_s,
            used_s=used_s,
        )  # fmt: skip

    async def tell(self, relay: Relay | None, *names: str) -> None:
        """Events of an operator's acts, and with each a job's work."""

        def work(tx: Any) -> None:
            for name in names:
                event = OpsEvent(kind="action", actor="t", action=name, tenant="acme", values={})
                enqueue_ops(tx, self.ids, self.clock, event)
                dispatch = Dispatch(job_id=JOB, tenant="acme", job_type="compute_heavy", timeout_s=60)
                tx.many("outbox_put", [work_row(self.ids.name(), dispatch, 5, self.clock.now_ms())])

        await self.store.transact(work)
        if relay is not None:
            relay.wake()

    async def unmarked(self) -> int:
        row = await self.store.read(lambda tx: tx.one("outbox_unpublished"))
        assert row is not None
        return int(row["count"])

    async def left(self, stream: str = OPS) -> list[str]:
        """The actions that a stream holds, each as often as it stands there."""
        found = await self.broker.read(stream, 10_000)
        return [one.data.decode().partition('"action":"')[2].partition('"')[0] for one in found]


def _play(story: Callable[[World], Awaitable[None]]) -> None:
    async def whole() -> None:
        world = World()
        await world.store.start()
        await world.broker.start()
        await world.broker.ensure(STREAMS, DURABLES)
        try:
            await story(world)
        finally:
            await world.broker.stop()
            await world.store.stop()

    run_virtual(whole())


async def _kill(relay: Relay) -> None:
    """As a kill does it: nothing is marked, nothing released."""
    assert relay._task is not None
    relay._task.cancel()
    await asyncio.gather(relay._task, return_exceptions=True)
    relay._task = None


async def _soon(world: World) -> None:
    await world.clock.sleep(0.001)


def test_what_has_left_is_marked_when_its_time_has_come() -> None:
    async def story(world: World) -> None:
        relay = world.relay()
        await relay.start()
        await world.tell(relay, "first")
        await _soon(world)
        assert await world.unmarked() == 0, "the first at once"
        await world.tell(relay, "second")
        await _soon(world)
        assert (await world.left(), await world.unmarked()) == (["first", "second"], 2)
        await world.clock.sleep(MARK_S - 0.01)
        assert await world.unmarked() == 2
        await world.clock.sleep(0.01)
        assert await world.unmarked() == 0
        await relay.stop()

    _play(story)


def test_many_that_leave_one_after_another_are_marked_together() -> None:
    async def story(world: World) -> None:
        relay = world.relay()
        await relay.start()
        for number in range(100):
            await world.tell(relay, f"n{number}")
            await world.clock.sleep(0.01)
        await world.clock.sleep(MARK_S)
        assert await world.unmarked() == 0
        assert world.store.marks <= 6, "four a second and one more at either end"
        before = world.store.marks
        await world.clock.sleep(100)
        assert world.store.marks == before, "and none when there is nothing to mark"
        await relay.stop()

    _play(story)


def test_without_a_wait_each_is_marked_as_it_leaves() -> None:
    async def story(world: World) -> None:
        relay = world.relay(mark_s=0.0)
        await relay.start()
        for number in range(5):
            await world.tell(relay, f"n{number}")
            await _soon(world)
            assert await world.unmarked() == 0
        assert world.store.marks == 5
        await relay.stop()

    _play(story)


@pytest.mark.parametrize("mark_s", [0.1, 0.25, 0.3, 1 / 3, 0.7])
def test_time_that_is_no_round_number_makes_no_turn_without_end(mark_s: float) -> None:
    async def story(world: World) -> None:
        relay = world.relay(mark_s=mark_s)
        await relay.start()
        for number in range(200):
            await world.tell(relay, f"n{number}")
            await world.clock.sleep(0.1 / 3 + number / 7000)
        await world.clock.sleep(mark_s + 0.01)
        assert await world.unmarked() == 0
        await relay.stop()

    _play(story)


def test_a_relay_that_stops_marks_what_has_left_and_gives_its_lease_back() -> None:
    async def story(world: World) -> None:
        relay = world.relay(mark_s=60.0)
        await relay.start()
        await world.tell(relay, "first")
        await _soon(world)
        await world.tell(relay, "second", "third")
        await _soon(world)
        assert await world.unmarked() == 4
        await relay.stop()
        assert await world.unmarked() == 0
        heir = world.relay("b")
        assert await heir._lease.hold()
        assert await heir.publish_once() == 0
        assert len(await world.left(WORK)) == 3

    _play(story)


def test_a_successor_of_a_relay_that_was_killed_repeats_nothing_on_a_chained_stream() -> None:
    async def story(world: World) -> None:
        relay, heir = world.relay(mark_s=60.0), world.relay("b", mark_s=60.0, poll_s=0.5)
        names = [f"n{number}" for number in range(20)]
        await relay.start()
        await world.tell(relay, names[0])
        await _soon(world)
        for name in names[1:10]:
            await world.tell(relay, name)
            await _soon(world)
        assert await world.unmarked() == 18, "all but the first have left and are not marked"
        await _kill(relay)
        await heir.start()
        await world.tell(heir, *names[10:])
        await world.clock.sleep(5)
        assert await world.left() == names
        assert len(await world.left(WORK)) >= len(names), "work may go out again, and none is lost"
        await heir.stop()
        assert await world.unmarked() == 0

    _play(story)


def test_a_store_that_fails_while_it_marks_loses_and_repeats_nothing_on_a_chained_stream() -> None:
    async def story(world: World) -> None:
        relay = world.relay(poll_s=0.5)
        await relay.start()
        await world.tell(relay, "first")
        await _soon(world)
        world.store.fails = True
        await world.tell(relay, "second")
        await world.clock.sleep(2)
        await world.tell(relay, "third")
        await world.clock.sleep(2)
        assert await world.unmarked() == 4
        world.store.fails = False
        await world.clock.sleep(2)
        assert (await world.left(), await world.unmarked()) == (["first", "second", "third"], 0)
        await relay.stop()

    _play(story)


def test_a_relay_that_is_stopped_while_it_looks_where_to_go_on_marks_nothing() -> None:
    async def story(world: World) -> None:
        await world.tell(None, "first", "second")
        relay, reached = world.relay(), asyncio.Event()
        resume = relay._resume

        async def halfway(stream: str) -> None:
            if stream == WORK:
                reached.set()
                await asyncio.Event().wait()
            await resume(stream)

        # What it finds of the streams before: all of theirs has left.
        dead = world.relay("dead", mark_s=60.0)
        assert await dead._lease.hold()
        for stream in outbox.CHAINED:
            await dead._resume(stream)
            rows = await world.store.read(lambda tx, s=stream: tx.all("outbox_next", after=0, most=9))
            part = [row for row in rows if row["stream"] == stream]
            if part:
                await dead._publish(stream, part)
        await dead._lease.release()
        relay._resume = halfway  # type: ignore[method-assign]
        await relay.start()
        await reached.wait()
        await relay.stop()
        assert await world.unmarked() == 4
        heir = world.relay("b", poll_s=0.5)
        await heir.start()
        await world.clock.sleep(2)
        assert (await world.left(), len(await world.left(WORK))) == (["first", "second"], 2)
        await heir.stop()

    _play(story)


def test_while_only_the_store_was_away_work_is_not_sent_again() -> None:
    async def story(world: World) -> None:
        relay = world.relay(poll_s=0.5)
        await relay.start()
        await world.tell(relay, "first")
        await _soon(world)
        world.store.fails = True
        await world.tell(relay, "second")
        # Longer than the broker remembers the ids of what it stored.
        await world.clock.sleep(30)
        world.store.fails = False
        await world.clock.sleep(2)
        assert (len(await world.left(WORK)), await world.unmarked()) == (2, 0)
        await relay.stop()

    _play(story)


def test_a_place_that_was_kept_is_not_behind_what_another_relay_has_marked() -> None:
    async def story(world: World) -> None:
        other = world.relay("other")
        await other.start()
        await world.tell(other, "first", "second")
        await _soon(world)
        await other.stop()
        await world.clock.sleep(30)
        relay = world.relay()
        # As after an absence of the store, in which the lease went to the other and came back.
        relay._cursors = {WORK: 0}
        assert await relay._lease.hold()
        assert await relay.publish_once() == 0
        assert len(await world.left(WORK)) == 2

    _play(story)


def test_what_left_long_ago_goes_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PURGE_MOST", 3)

    async def story(world: World) -> None:
        relay = world.relay()
        await relay.start()
        await world.tell(relay, *[f"n{number}" for number in range(10)])
        await world.clock.sleep(3600 - outbox.PURGE_EVERY_S)
        purged: list[int] = []
        forget = relay._forget
        monkeypatch.setattr(relay, "_forget", lambda tx, before: purged.append(forget(tx, before)) or purged[-1])
        await world.clock.sleep(3 * outbox.PURGE_EVERY_S)
        assert [count for count in purged if count] == [3, 3, 3, 3, 3, 3, 1], "all but the last row"
        await world.tell(relay, "another")
        await _soon(world)
        assert await world.left() == [*[f"n{number}" for number in range(10)], "another"]
        await relay.stop()

    _play(story)


def test_a_relay_waits_while_its_process_is_full_and_then_sends_all_in_order() -> None:
    async def story(world: World) -> None:
        began = world.clock.monotonic()
        relay = world.relay(poll_s=0.1, used_s=lambda: min(4.0, world.clock.monotonic() - began))
        await relay.start()
        await world.clock.sleep(1.0)
        await world.tell(relay, "one", "two")
        await world.clock.sleep(2.0)
        assert await world.left() == [], "what is more urgent has all of the processor"
        await world.clock.sleep(2.0)
        await world.tell(relay, "three")
        await world.clock.sleep(1.0)
        assert await world.left() == ["one", "two", "three"]
        await relay.stop()

    _play(story)


@pytest.mark.parametrize(("roles", "gives_way"), [(("api", "outbox"), True), (("outbox", "settlement"), False)])
def test_only_a_relay_beside_the_interface_gives_way(roles: tuple[str, ...], gives_way: bool, tmp_path: Path) -> None:
    async def gives() -> bool:
        made = time_skipping(1, START_MS, tmp_path)
        ports = dataclasses.replace(made.ports, used_s=made.ports.clock.monotonic)
        relay = Platform(ports, made.settings, made.telemetry, tmp_path, "a", roles).relay
        assert isinstance(relay, Relay)
        return relay._used_s is not None

    assert run_virtual(gives()) is gives_way


def test_a_relay_whose_process_stays_full_sends_all_the_same() -> None:
    async def story(world: World) -> None:
        relay = world.relay(poll_s=0.1, used_s=world.clock.monotonic)
        await relay.start()
        await world.clock.sleep(1.0)
        await world.tell(relay, "one")
        await world.clock.sleep(MOST_S + 5.0)
        assert await world.left() == ["one"]
        await relay.stop()

    _play(story)
