"""How submissions wait for each other, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from simulator.intake.groups import CLOSE_S, CROWD, LINGER_LONGER_S, LINGER_S, SPARED, Groups
from simulator.intake.records import Submission
from simulator.store.port import T, Work
from simulator.store.sqlite import MemorySqliteStore
from zjops.domain.clock import VirtualClock, run_virtual

COMMIT_S = 0.001


class _Slow(MemorySqliteStore):
    """Takes a while for each commit, and says when it began and how many it had. It stores nothing."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self.begun: list[float] = []

    async def transact(self, work: Work[T]) -> T:
        self.begun.append(self._clock.monotonic())
        await self._clock.sleep(COMMIT_S)
        return cast(Any, ["accepted"] * len(work.keywords["group"]))  # type: ignore[attr-defined]


async def _crowds(clock: VirtualClock, store: _Slow, each: int) -> tuple[Groups, list[asyncio.Task[Any]]]:
    """Three crowds of so many, each while the one before is committed."""
    groups, new = Groups(store, clock, 60), cast(Submission, object())
    tasks: list[asyncio.Task[Any]] = []
    for number in range(3):
        tasks += [asyncio.create_task(groups.accept(new)) for _ in range(each)]
        await clock.sleep(COMMIT_S / 2 if number == 0 else COMMIT_S)
    return groups, tasks


def _pauses(each: int) -> tuple[list[float], bool, bool]:
    """How long after each commit the next one begins, and whether it was crowded then and at the end."""

    async def work() -> tuple[list[float], bool, bool]:
        clock = VirtualClock(0)
        store = _Slow(clock)
        groups, tasks = await _crowds(clock, store, each)
        then = groups.crowded
        assert await asyncio.gather(*tasks) == ["accepted"] * len(tasks)
        await clock.sleep(1.0)
        pauses = [later - one - COMMIT_S for one, later in zip(store.begun, store.begun[1:], strict=False)]
        return [round(pause, 6) for pause in pauses], then, groups.crowded

    return run_virtual(work())


def test_after_a_group_the_next_one_gathers_for_a_little_and_after_a_large_one_longer() -> None:
    assert _pauses(CROWD - 1) == ([LINGER_S], False, False)
    assert _pauses(CROWD) == ([LINGER_LONGER_S], True, False)


def test_single_submissions_that_come_close_together_share_a_transaction() -> None:
    assert _pauses(1)[0] == [CLOSE_S]


def _one_after_the_other(count: int, pause_s: float) -> list[float]:
    """How long each submission of a client waits that sends the next when it has the answer, so long after."""

    async def work() -> list[float]:
        clock = VirtualClock(0)
        store = _Slow(clock)
        groups, new, waits = Groups(store, clock, 60), cast(Submission, object()), list[float]()
        for _ in range(count):
            began = clock.monotonic()
            await groups.accept(new)
            waits.append(round(store.begun[-1] - began, 6))
            await clock.sleep(pause_s)
        return waits

    return run_virtual(work())


def test_a_client_that_sends_one_after_the_other_waits_but_once_in_a_while() -> None:
    assert _one_after_the_other(2 * SPARED + 4, 0.0005) == [0.0, *[CLOSE_S, *[0.0] * SPARED] * 2, CLOSE_S]


def _pairs(count: int, *, lingers: bool = True) -> list[float]:
    """How long each of several pairs waits for its transaction, one half a pair behind the other."""

    async def work() -> list[float]:
        clock = VirtualClock(0)
        store = _Slow(clock)
        groups, new, waits = Groups(store, clock, 60, lingers=lingers), cast(Submission, object()), list[float]()
        await groups.accept(new)
        for _ in range(count):
            began, first = clock.monotonic(), asyncio.create_task(groups.accept(new))
            await clock.sleep(0)
            await asyncio.gather(first, groups.accept(new))
            waits.append(round(store.begun[-1] - began, 6))
        return waits

    return run_virtual(work())


def test_where_somebody_came_meanwhile_the_next_one_waits_too() -> None:
    assert _pairs(3) == [CLOSE_S] * 3


def test_where_time_is_free_nobody_waits() -> None:
    assert CLOSE_S not in _pairs(3, lingers=False)


def test_who_comes_later_than_that_does_not_wait() -> None:
    assert _one_after_the_other(5, CLOSE_S) == [0.0] * 5
