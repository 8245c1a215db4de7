"""The lease: one holder at a time, renewed while its holder is busy and never taken back behind its holder's back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from simulator.lease import Lease
from simulator.store.port import Row, Store
from simulator.store.sqlite import MemorySqliteStore
from zjops.domain.clock import VirtualClock, run_virtual
from zjops.domain.errors import Fenced, StoreUnavailable

TTL_S = 6.0


class World:
    """A store, a clock, and leases on them."""

    def __init__(self, store: Store, clock: VirtualClock) -> None:
        self.store, self.clock = store, clock

    def lease(self, owner: str) -> Lease:
        """A holder's view of the one lease."""
        return Lease(self.store, self.clock, "role", owner, TTL_S)

    async def row(self) -> Row:
        """What the store has of it."""
        found = await self.store.read(lambda tx: tx.one("lease_get", name="role"))
        assert found is not None
        return found

    @contextlib.asynccontextmanager
    async def kept(self, lease: Lease) -> Any:
        """With the lease's keeper beside."""
        keeper = asyncio.create_task(lease.keep())
        try:
            yield
        finally:
            keeper.cancel()


def _play(story: Callable[[World], Awaitable[None]]) -> None:
    async def whole() -> None:
        world = World(MemorySqliteStore(), VirtualClock(1_790_000_000_000))
        await world.store.start()
        try:
            await story(world)
        finally:
            await world.store.stop()

    run_virtual(whole())


def test_whoever_is_busy_for_longer_than_the_lease_keeps_it() -> None:
    async def story(world: World) -> None:
        busy, other = world.lease("a"), world.lease("b")
        assert await busy.hold()
        async with world.kept(busy):
            with busy.busy():
                for _ in range(20):
                    await world.clock.sleep(TTL_S)
                    busy.check()
                    assert not await other.hold()
        assert (await world.row())["epoch"] == 1

    _play(story)


def test_whoever_holds_it_and_does_nothing_loses_it() -> None:
    """A loop that is stuck must not hold for ever what another could work with."""

    async def story(world: World) -> None:
        idle, other = world.lease("a"), world.lease("b")
        assert await idle.hold()
        async with world.kept(idle):
            await world.clock.sleep(TTL_S)
            assert await other.hold()
            with pytest.raises(Fenced):
                idle.check()

    _play(story)


def test_what_was_lost_is_not_taken_back_in_the_midst_of_work() -> None:
    """Another held it, worked and gave it back: whatever was read before is out of date."""

    async def story(world: World) -> None:
        stopped, other = world.lease("a"), world.lease("b")
        assert await stopped.hold()
        await world.clock.sleep(TTL_S + 1)  # as by SIGSTOP
        assert await other.hold()
        await other.release()
        async with world.kept(stopped):
            with stopped.busy():
                await world.clock.sleep(TTL_S)
                with pytest.raises(Fenced):
                    stopped.check()
                with pytest.raises(Fenced):
                    await world.store.transact(stopped.guard)
        assert await stopped.hold(), "it may begin anew"

    _play(story)


def test_a_store_that_is_away_for_a_moment_costs_nothing() -> None:
    async def story(world: World) -> None:
        busy, honest, fails = world.lease("a"), world.store.transact, [True]
        assert await busy.hold()

        async def flaky(work: Any) -> Any:
            if fails.pop() if fails else False:
                raise StoreUnavailable("locked")
            return await honest(work)

        world.store.transact = flaky  # type: ignore[method-assign]
        async with world.kept(busy):
            with busy.busy():
                await world.clock.sleep(2 * TTL_S)
                busy.check()

    _play(story)
