"""What changes between the relayer's reading and its writing: nothing is written that was not so any more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from simulator.platform import Platform
from simulator.relayer import Relayer
from simulator.relayer.desk import Desk
from simulator.store.port import T, Work
from tests.support.relaying import batches_of, becomes, jobs_of, relayer_of, run, submit
from tests.support.tables import tables
from tests.support.virtual import settled


class Between:
    """Does something once, after a reading and before the next transaction of the relayer's desk."""

    def __init__(self, relayer: Relayer, act: Callable[[], Awaitable[Any]]) -> None:
        self._desk, self._act = relayer._closer._desk, act
        self._honest = self._desk.transact
        self.done = False
        for part in (relayer._closer, relayer._confirmer):
            part._desk = _Watched(self._desk, self)  # type: ignore[assignment]

    async def transact(self, work: Work[T]) -> T:
        if not self.done:
            self.done = True
            await self._act()
        return await self._honest(work)


class _Watched:
    def __init__(self, desk: Desk, between: Between) -> None:
        self._desk, self.transact = desk, between.transact

    def __getattr__(self, name: str) -> Any:
        return getattr(self._desk, name)


async def _halted(platform: Platform) -> Relayer:
    """The platform's relayer, its loop stopped and its lease held."""
    relayer = relayer_of(platform)
    await relayer.stop()
    assert await relayer._lease.hold()
    return relayer


async def _settle(platform: Platform, count: int) -> None:
    """So many jobs more, settled and in no batch."""
    before = len(await jobs_of(platform))
    await submit(platform, count)
    while sum(job["status"] == "completed" for job in await jobs_of(platform)) < before + count:
        await platform.ports.clock.sleep(0.5)


def test_jobs_that_settle_between_the_reading_and_the_closing_go_into_the_next_batch(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        relayer = await _halted(platform)
        await _settle(platform, 3)
        await platform.ports.clock.sleep(60)
        between = Between(relayer, lambda: _settle(platform, 2))
        assert await relayer._closer.close_due() == 1
        assert between.done
        assert [batch["count"] for batch in await batches_of(platform)] == [3]
        await platform.ports.clock.sleep(60)
        assert await relayer._closer.close_due() == 1
        first, second = await batches_of(platform)
        assert [(first["first_sequence"], first["count"]), (second["first_sequence"], second["count"])] == [
            (1, 3), (4, 2),
        ]  # fmt: skip
        await relayer._lease.release()
        await relayer.start()
        await settled(platform)
        assert {job["status"] for job in await jobs_of(platform)} == {"confirmed"}

    run(tmp_path, story, batch_max_jobs=10, batch_max_age_s=30.0)


def test_jobs_that_another_has_closed_meanwhile_are_not_closed_again(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        relayer = await _halted(platform)
        await _settle(platform, 3)
        await platform.ports.clock.sleep(60)
        closer = relayer._closer
        other = type(closer)(closer._desk, closer._files, closer._rule, closer._offload)

        between = Between(relayer, other.close_due)
        other._watched_since = platform.ports.clock.monotonic() - 60
        assert await closer.close_due() == 0
        assert between.done
        assert [batch["count"] for batch in await batches_of(platform)] == [3]

    run(tmp_path, story, batch_max_jobs=10, batch_max_age_s=30.0)


def test_when_all_were_closed_before_they_were_read_nothing_is_closed(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        relayer = await _halted(platform)

        async def due() -> bool:
            return True

        relayer._closer._is_due = due  # type: ignore[method-assign]
        assert await relayer._closer.close_due() == 0
        assert await batches_of(platform) == []

    run(tmp_path, story)


def test_a_batch_that_changed_since_it_was_judged_is_not_confirmed_as_it_was(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        await submit(platform, 3)
        await becomes(platform, "mined")
        relayer = await _halted(platform)
        (judged,) = await platform.ports.store.read(lambda tx: tx.all("batches_open", most=10))
        moved = judged["block_number"] + 1
        tables(platform.ports.store).execute("UPDATE batches SET block_number = ?", [moved])
        assert not await relayer._confirmer.finalise(judged), "it stands elsewhere than it was judged"
        assert [batch["state"] for batch in await batches_of(platform)] == ["mined"]
        assert {job["status"] for job in await jobs_of(platform)} == {"completed"}
        (now,) = await platform.ports.store.read(lambda tx: tx.all("batches_open", most=10))

        async def moves() -> None:
            tables(platform.ports.store).execute("UPDATE batches SET block_number = ?", [moved + 1])

        between = Between(relayer, moves)
        assert not await relayer._confirmer.finalise(now)
        assert between.done
        assert {job["block_number"] for job in await jobs_of(platform)} == {None}
        (now,) = await platform.ports.store.read(lambda tx: tx.all("batches_open", most=10))
        assert await relayer._confirmer.finalise(now)
        assert not await relayer._confirmer.finalise(now), "once"
        assert {(job["status"], job["block_number"]) for job in await jobs_of(platform)} == {("confirmed", moved + 1)}

    run(tmp_path, story, batch_max_age_s=1.0)


def test_only_a_batch_that_was_made_final_has_its_costs_counted(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        await submit(platform, 2)
        await becomes(platform, "mined")
        relayer, counted = relayer_of(platform), list[int]()
        honest = relayer._watcher.count_costs

        async def count(batch: Any) -> None:
            counted.append(batch["id"])
            await honest(batch)

        async def moves() -> None:
            tables(platform.ports.store).execute("UPDATE batches SET gas_used = gas_used + 1")

        relayer._watcher.count_costs = count  # type: ignore[method-assign]
        between = Between(relayer, moves)
        await becomes(platform, "final")
        assert (between.done, counted) == (True, [1])

    run(tmp_path, story, batch_max_age_s=1.0)
