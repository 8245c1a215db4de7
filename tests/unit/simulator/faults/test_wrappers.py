"""Ports that fail on purpose: each fault is seen, within its port's promises, and gone when its lease is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulator.blobs.memory import MemoryBlobs
from simulator.broker.memory import MemoryBroker
from simulator.broker.port import Outgoing
from simulator.chain.memory import MemoryChain
from simulator.chain.port import Head
from simulator.faults.chains import FaultyChain
from simulator.faults.switchboard import ActiveFault, Switchboard
from simulator.faults.wrappers import FaultyBlobs, FaultyBroker, FaultyStore
from simulator.store.port import Tx
from simulator.store.sqlite import COMMITS_SEEN, SqliteStore
from zjops.domain.clock import ManualClock, VirtualClock, run_virtual
from zjops.domain.errors import BrokerUnavailable, ChainUnavailable, StoreUnavailable
from zjops.domain.events import DurableSpec, StreamSpec

LOG = StreamSpec("LOG", ("log.>",), "limits", 3600, 60)
READER = DurableSpec("reader", "LOG", "log.>", 1.0, 100)
TAIL = DurableSpec("tail", "LOG", "log.>", followed=True)
CLOCK = ManualClock(0)


def _put(tx: Tx) -> None:
    tx.run("setting_put", name="a", value="x" * 20_000)


def _fill(tx: Tx) -> None:
    for number in range(20):
        tx.run("setting_put", name=f"n{number}", value="x" * 20_000)


class Stored:
    """A store on a file, and its faults."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(0)
        self.faults = Switchboard(self.clock, seed=1)
        self.inner = SqliteStore(folder / "store.db")
        self.disk = Disk()
        self.store = FaultyStore(self.inner, self.faults, self.clock, self.disk.pause)

    def hold(self, fault: str, **params: float) -> None:
        self.faults.replace([ActiveFault("a", fault, params, self.clock.now_ms() + 60_000)])


@pytest.fixture
async def stored(tmp_path: Path) -> AsyncIterator[Stored]:
    made = Stored(tmp_path)
    await made.store.start()
    yield made
    made.disk.may.set()
    await made.store.stop()


async def test_a_slow_store_is_as_slow_as_was_said_to_readers_and_writers(stored: Stored) -> None:
    stored.hold("store.delay", ms=300, jitter_ms=50)
    before = stored.clock.ms
    await stored.store.transact(_put)
    await stored.store.read(lambda tx: tx.one("setting_get", name="a"))
    assert 500 <= stored.clock.ms - before <= 700
    assert stored.clock.ms - before != 600


class Disk:
    """A disk that takes what it is given when the test says so: what waits for it waits in the thread that commits."""

    def __init__(self) -> None:
        self.asked, self.may = threading.Event(), threading.Event()
        self.pauses: list[tuple[float, bool]] = []

    def pause(self, seconds: float) -> None:
        """Note for how long, and whether the loop's thread is kept."""
        self.pauses.append((seconds, threading.current_thread() is threading.main_thread()))
        self.asked.set()
        assert self.may.wait(30)


async def test_while_a_slow_disk_commits_its_lock_is_held_and_another_process_waits(stored: Stored) -> None:
    other = SqliteStore(stored.inner._path)
    await other.start()
    stored.hold("store.slow_commit", ms=200)
    slow = asyncio.create_task(stored.store.transact(_put))
    await asyncio.to_thread(stored.disk.asked.wait, 30)
    waits = asyncio.create_task(other.transact(_fill))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waits), 0.05)
    assert not slow.done()
    assert await stored.store.read(lambda tx: tx.one("setting_get", name="a")) is None, "readers wait for nobody"
    stored.disk.may.set()
    await asyncio.gather(slow, waits)
    assert stored.disk.pauses == [(0.2, False)]
    await other.stop()


async def test_what_waits_for_a_slow_disk_together_shares_its_next_commit(stored: Stored) -> None:
    stored.hold("store.slow_commit", ms=200)
    first = asyncio.create_task(stored.store.transact(_put))
    await asyncio.to_thread(stored.disk.asked.wait, 30)
    rest = [asyncio.create_task(stored.store.transact(_put)) for _ in range(50)]
    await asyncio.sleep(0)
    stored.disk.may.set()
    await asyncio.gather(first, *rest)
    assert stored.disk.pauses == [(0.2, False)] * 2
    await stored.store.transact(lambda tx: tx.one("setting_get", name="a"))
    assert len(stored.disk.pauses) == 2, "what changed nothing asks nothing of the disk"


async def test_a_disk_is_as_quick_as_before_once_it_is_not_slow_any_more(stored: Stored) -> None:
    stored.disk.may.set()
    stored.hold("store.slow_commit", ms=200)
    await stored.store.transact(_put)
    stored.clock.advance(60)
    await stored.store.transact(_put)
    assert len(stored.disk.pauses) == 1
    assert stored.inner.before_commit is None
    stored.inner._took.extend([0.0001] * COMMITS_SEEN)
    stored.hold("store.slow_commit", ms=200)
    await stored.store.transact(_put)
    assert stored.disk.pauses == [(0.2, False)] * 2, "the loop never waits for a disk, however quick it was"


async def test_a_full_store_takes_nothing_and_is_read_still(stored: Stored) -> None:
    stored.hold("store.full")
    with pytest.raises(StoreUnavailable, match="disk is full; free some space"):
        await stored.store.transact(_put)
    assert await stored.store.read(lambda tx: tx.one("setting_get", name="a")) is None
    stored.faults.replace([])
    await stored.store.transact(_put)


async def test_a_store_that_may_not_grow_says_so_itself_and_grows_again_afterwards(stored: Stored) -> None:
    stored.hold("store.page_limit", pages=0)
    with pytest.raises(StoreUnavailable, match="database or disk is full"):
        await stored.store.transact(_fill)
    stored.faults.replace([])
    await stored.store.transact(_fill)
    assert await stored.store.read(lambda tx: tx.one("setting_get", name="n19"))


async def test_a_full_disk_takes_no_blob_either() -> None:
    faults = Switchboard(CLOCK)
    blobs = FaultyBlobs(MemoryBlobs(), faults)
    digest = await blobs.put(b"a")
    faults.replace([ActiveFault("a", "store.full", {}, 60_000)])
    with pytest.raises(StoreUnavailable, match="No space left"):
        await blobs.put(b"b")
    assert await blobs.get(digest) == b"a"


async def _brokers() -> tuple[MemoryBroker, FaultyBroker, Switchboard]:
    clock = VirtualClock(0)
    faults, inner = Switchboard(clock, seed=3), MemoryBroker(clock)
    broker = FaultyBroker(inner, faults)
    await broker.start()
    await broker.ensure([LOG], [READER, TAIL])
    return inner, broker, faults


def test_a_lost_acknowledgement_leaves_the_message_stored() -> None:
    async def run() -> None:
        _, broker, faults = await _brokers()
        faults.replace([ActiveFault("a", "broker.lose_acks", {"share": 1.0}, 60_000)])
        with pytest.raises(BrokerUnavailable, match="acknowledgement was lost"):
            await broker.publish("LOG", [Outgoing("log.a", b"1", "m1")])
        assert await broker.last("LOG") == (1, "m1")

    run_virtual(run())


def test_acknowledgements_are_lost_by_the_call_however_many_messages_go_in_it() -> None:
    async def run() -> None:
        _, broker, faults = await _brokers()
        faults.replace([ActiveFault("a", "broker.lose_acks", {"share": 0.1}, 10**9, "7")])
        lost = 0
        for call in range(200):
            try:
                await broker.publish("LOG", [Outgoing("log.a", b"1", f"m{call}-{n}") for n in range(50)])
            except BrokerUnavailable:
                lost += 1
        assert 8 < lost < 40
        assert await broker.last("LOG") == (10_000, "m199-49")

    run_virtual(run())


def test_a_duplicate_is_delivered_at_once() -> None:
    async def run() -> None:
        _, broker, faults = await _brokers()
        await broker.publish("LOG", [Outgoing("log.a", b"1", "m1")])
        faults.replace([ActiveFault("a", "broker.duplicate", {"share": 1.0}, 60_000)])
        found = await broker.fetch("reader", 10, 0.1)
        assert [message.sequence for message in found] == [1, 1]
        for message in found:
            await message.ack()
        assert await broker.pending("reader") == 0

    run_virtual(run())


def test_what_is_followed_is_told_once() -> None:
    async def run() -> None:
        _, broker, faults = await _brokers()
        await broker.publish("LOG", [Outgoing("log.a", b"%d" % n, f"m{n}") for n in range(3)])
        faults.replace(
            [ActiveFault(kind, kind, {"share": 1.0}, 60_000) for kind in ("broker.duplicate", "broker.late")]
        )
        assert [logged.sequence for logged in await broker.follow("tail", 0, 10, 0.1)] == [1, 2, 3]
        assert await broker.follow("tail", 3, 10, 0.1) == []

    run_virtual(run())


def test_a_message_whose_acknowledgement_is_lost_comes_again() -> None:
    async def run() -> None:
        _, broker, faults = await _brokers()
        await broker.publish("LOG", [Outgoing("log.a", b"1", "m1")])
        faults.replace([ActiveFault("a", "broker.late", {"share": 1.0}, 500)])
        (message,) = await broker.fetch("reader", 10, 0.1)
        await message.ack()
        (again,) = await broker.fetch("reader", 10, 5.0)
        assert (again.sequence, again.delivered, again.data) == (1, 2, b"1")
        await again.ack()
        assert await broker.pending("reader") == 0

    run_virtual(run())


def test_a_node_in_trouble_refuses_lags_and_is_dear() -> None:
    async def run() -> None:
        clock = VirtualClock(0)
        faults = Switchboard(clock, seed=1)
        chain = FaultyChain(MemoryChain(clock, chain_id=1, block_time_s=1.0), faults)
        await clock.sleep(20)
        true = await chain.block("latest")
        fees = await chain.outlook()
        assert true is not None

        faults.replace([ActiveFault("a", "chain.stale_head", {"blocks": 8}, 60_000)])
        seen = await chain.block("latest")
        assert seen is not None
        assert seen.number == true.number - 8
        assert await chain.block(true.number) is None

        faults.replace([ActiveFault("a", "chain.fee_spike", {"factor": 1000}, 60_000)])
        assert (await chain.outlook()).base_fee == fees.base_fee * 1000

        faults.replace([ActiveFault("a", "chain.rate_limited", {"share": 1.0}, 60_000)])
        with pytest.raises(ChainUnavailable, match="429"):
            await chain.receipt("0x00")

    run_virtual(run())


class _Finalising(MemoryChain):
    """A chain whose final block lies some way back."""

    async def block(self, at: int | str) -> Head | None:
        if at != "finalized":
            return await super().block(at)
        newest = await super().block("latest")
        return None if newest is None else await super().block(newest.number - 12)


def test_a_node_that_is_behind_names_no_block_final_that_is_not() -> None:
    async def run() -> None:
        clock = VirtualClock(0)
        faults = Switchboard(clock)
        chain = FaultyChain(_Finalising(clock, chain_id=1, block_time_s=1.0), faults)
        await clock.sleep(20)
        final, newest = await chain.block("finalized"), await chain.block("latest")
        assert final is not None
        assert newest is not None
        for behind, expected in ((8, final.number), (15, newest.number - 15)):
            faults.replace([ActiveFault(f"{behind}", "chain.stale_head", {"blocks": behind}, 60_000)])
            seen = await chain.block("finalized")
            assert seen is not None
            assert seen.number == expected

    run_virtual(run())
