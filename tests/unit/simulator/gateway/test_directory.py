"""The directory asks the store once for everyone who comes meanwhile, and what is forgotten is read anew."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from simulator.gateway.directory import REMEMBER_S, Directory
from simulator.store.port import Store
from zjops.domain.clock import ManualClock
from zjops.domain.errors import StoreUnavailable


class SlowStore:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[Any]] = []

    async def read(self, work: Any) -> Any:
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]


def _row(status: str = "active", used: int = 0) -> dict[str, Any]:
    return {"tenant": "acme", "plan": "pro", "overrides": "{}", "status": status, "held": 0, "charged": used}


def _made() -> tuple[Directory, SlowStore, ManualClock]:
    store, clock = SlowStore(), ManualClock(1_790_000_000_000)
    return Directory(cast(Store, store), clock), store, clock


async def _turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_everyone_who_comes_while_it_is_read_waits_for_the_same_answer() -> None:
    directory, store, clock = _made()
    waiting = [asyncio.create_task(directory.get("acme")) for _ in range(50)]
    await _turn()
    (asked,) = store.asked
    asked.set_result(_row(used=7))
    assert {state.used for state in await asyncio.gather(*waiting) if state} == {7}
    assert await directory.get("acme") is directory.remembered("acme")
    clock.advance(REMEMBER_S)
    again = asyncio.create_task(directory.get("acme"))
    await _turn()
    assert len(store.asked) == 2
    store.asked[1].set_result(_row(used=8))
    state = await again
    assert state is not None
    assert state.used == 8


async def test_what_is_read_is_as_old_as_the_question() -> None:
    directory, store, clock = _made()
    waiting = asyncio.create_task(directory.get("acme"))
    await _turn()
    clock.advance(REMEMBER_S)
    store.asked[0].set_result(_row())
    assert await waiting is not None
    assert directory.remembered("acme") is None


async def test_what_was_being_read_when_it_was_forgotten_is_not_remembered() -> None:
    directory, store, _ = _made()
    early = asyncio.create_task(directory.get("acme"))
    await _turn()
    directory.forget("acme")
    late = asyncio.create_task(directory.get("acme"))
    await _turn()
    assert len(store.asked) == 2
    store.asked[1].set_result(_row("suspended"))
    state = await late
    assert state is not None
    store.asked[0].set_result(_row("active"))
    old = await early
    assert old is not None
    assert (old.tenant.status, state.tenant.status) == ("active", "suspended")
    assert directory.remembered("acme") is state, "the older answer came last and changes nothing"


async def test_who_comes_after_a_read_that_was_forgotten_ended_still_joins_the_newer_one() -> None:
    directory, store, _ = _made()
    early = asyncio.create_task(directory.get("acme"))
    await _turn()
    directory.forget("acme")
    late = asyncio.create_task(directory.get("acme"))
    await _turn()
    store.asked[0].set_result(_row("active"))
    await early
    joins = asyncio.create_task(directory.get("acme"))
    await _turn()
    assert len(store.asked) == 2
    store.asked[1].set_result(_row("suspended"))
    assert await joins is await late


async def test_an_error_is_told_to_everyone_who_waits_and_to_nobody_after() -> None:
    directory, store, _ = _made()
    waiting = [asyncio.create_task(directory.get("acme")) for _ in range(3)]
    await _turn()
    store.asked[0].set_exception(StoreUnavailable("gone"))
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in told] == [StoreUnavailable] * 3
    again = asyncio.create_task(directory.get("acme"))
    await _turn()
    store.asked[1].set_result(_row())
    assert await again is not None


async def test_one_who_goes_away_takes_the_answer_from_nobody() -> None:
    directory, store, _ = _made()
    first, second = (asyncio.create_task(directory.get("acme")) for _ in range(2))
    await _turn()
    first.cancel()
    await _turn()
    assert first.cancelled()
    store.asked[0].set_result(_row())
    assert await second is directory.remembered("acme") is not None


@pytest.mark.parametrize("fails", [False, True], ids=["answered", "failed"])
async def test_a_read_that_nobody_waits_for_any_more_ends_in_silence(fails: bool) -> None:
    directory, store, _ = _made()
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    only = asyncio.create_task(directory.get("acme"))
    await _turn()
    only.cancel()
    await _turn()
    if fails:
        store.asked[0].set_exception(StoreUnavailable("gone"))
    else:
        store.asked[0].set_result(_row())
    await _turn()
    assert (directory.remembered("acme") is None) == fails
    assert (directory._asked, told) == ({}, [])


async def test_a_tenant_that_there_is_not_is_asked_for_each_time() -> None:
    directory, store, _ = _made()
    for number in range(2):
        waiting = asyncio.create_task(directory.get("nobody"))
        await _turn()
        store.asked[number].set_result(None)
        assert await waiting is None
