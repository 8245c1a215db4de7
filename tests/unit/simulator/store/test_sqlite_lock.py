"""The lock of the store's file while another process has it: asked for again and again, for so long and no longer."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from simulator.store import connecting, sqlite
from simulator.store.sharing import Sharing
from simulator.store.sqlite import SqliteStore
from zjops.domain.errors import StoreUnavailable


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "store.sqlite")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def other(store: SqliteStore) -> Iterator[sqlite3.Connection]:
    """Another process's connection."""
    connection = sqlite3.connect(store._path, isolation_level=None, check_same_thread=False)
    yield connection
    connection.close()


def _put(name: str) -> Any:
    return lambda tx: tx.run("setting_put", name=name, value="x")


async def _there(store: SqliteStore, name: str) -> bool:
    return await store.read(lambda tx: tx.one("setting_get", name=name)) is not None


def _timeout(store: SqliteStore) -> int:
    assert store._connection is not None
    (found,) = store._connection.execute("PRAGMA busy_timeout").fetchone()
    return int(found)


async def test_what_waits_for_the_lock_goes_on_when_it_is_free(
    store: SqliteStore, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries, tried = 0, asyncio.Event()
    loop, honest = asyncio.get_running_loop(), connecting.begun_at_once

    def counted(connection: sqlite3.Connection, *, last: bool = False) -> bool:
        nonlocal tries
        tries += 1
        if tries == 3:
            loop.call_soon_threadsafe(tried.set)
        return honest(connection, last=last)

    monkeypatch.setattr(connecting, "begun_at_once", counted)
    other.execute("BEGIN IMMEDIATE")
    waiting = [asyncio.create_task(store.transact(_put(f"n{number}"))) for number in range(3)]
    await asyncio.wait_for(tried.wait(), 30)
    assert not any(task.done() for task in waiting)
    assert not await _there(store, "n0"), "and readers wait for nobody"
    other.execute("COMMIT")
    await asyncio.wait_for(asyncio.gather(*waiting), 30)
    assert await _there(store, "n2")
    assert _timeout(store) == 0, "the loop never waits in the library"


async def test_a_lock_that_is_never_free_is_an_error_for_all_who_wait_and_for_nobody_after(
    store: SqliteStore, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "BUSY_TIMEOUT_MS", 20)
    other.execute("BEGIN IMMEDIATE")
    told = await asyncio.gather(*(store.transact(_put(f"n{number}")) for number in range(3)), return_exceptions=True)
    assert [type(error) for error in told] == [StoreUnavailable] * 3
    other.execute("COMMIT")
    await store.transact(_put("after"))
    assert await _there(store, "after")
    assert not await _there(store, "n0")
    assert _timeout(store) == 0


@asynccontextmanager
async def _locked(folder: Path, stands_s: float) -> AsyncIterator[tuple[SqliteStore, sqlite3.Connection]]:
    """A store that stands still for so long, and another process's connection that has the lock."""
    store = SqliteStore(folder / "store.sqlite", Sharing(stands_s=stands_s))
    await store.start()
    try:
        with closing(sqlite3.connect(store._path, isolation_level=None, check_same_thread=False)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield store, other
    finally:
        await store.stop()


async def test_who_stands_still_has_the_lock_as_soon_as_it_is_free_and_needs_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _locked(tmp_path, 30.0) as (store, other):
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                other.execute("COMMIT")

        monkeypatch.setattr(connecting.time, "sleep", pause)
        monkeypatch.setattr(sqlite, "begin_patiently", None)
        await store.transact(_put("soon"))
        assert await _there(store, "soon")
        assert pauses == [connecting.STAND_PAUSE_S] * 3


async def test_who_has_stood_still_long_enough_has_a_thread_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _locked(tmp_path, 0.002) as (store, other):
        loop, honest, patient = asyncio.get_running_loop(), connecting.begin_patiently, asyncio.Event()

        def patiently(connection: sqlite3.Connection) -> None:
            assert threading.current_thread() is not threading.main_thread()
            loop.call_soon_threadsafe(patient.set)
            honest(connection)

        monkeypatch.setattr(sqlite, "begin_patiently", patiently)
        waiting = asyncio.create_task(store.transact(_put("late")))
        await asyncio.wait_for(patient.wait(), 30)
        other.execute("COMMIT")
        await asyncio.wait_for(waiting, 30)
        assert await _there(store, "late")


async def test_an_error_that_is_no_lock_is_told_at_once(store: SqliteStore) -> None:
    assert store._connection is not None
    store._connection.execute("BEGIN")
    with pytest.raises(sqlite3.OperationalError, match="within a transaction"):
        connecting.begun_at_once(store._connection)
    store._connection.execute("ROLLBACK")
    assert _timeout(store) == 0, "the loop never waits in the library"


async def _commits_in(store: SqliteStore, count: int) -> set[bool]:
    """Whether commits happened in the loop's thread."""
    assert store._connection is not None
    seen: set[bool] = set()
    store._connection.set_trace_callback(
        lambda sql: seen.add(threading.current_thread() is threading.main_thread()) if sql == "COMMIT" else None
    )
    for number in range(count):
        await store.transact(_put(f"c{number}"))
    store._connection.set_trace_callback(None)
    return seen


async def test_commits_stay_in_the_loop_while_the_disk_is_quick_and_leave_it_when_it_is_not(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    took = [0.0002]

    class Disk:
        """What a commit takes, by a clock that the test sets."""

        now = 0.0

        def perf_counter(self) -> float:
            self.now += took[0]
            return self.now

    monkeypatch.setattr(sqlite, "time", Disk())
    assert await _commits_in(store, sqlite.COMMITS_SEEN) == {False}, "nothing is known of the disk yet"
    assert await _commits_in(store, 3) == {True}
    store._took.append(0.05)
    assert await _commits_in(store, 3) == {False}, "one that stalled is enough"
    took[0] = 0.005
    await _commits_in(store, sqlite.COMMITS_SEEN)
    assert await _commits_in(store, 3) == {False}
    took[0] = 0.0002
    await _commits_in(store, sqlite.COMMITS_SEEN)
    assert await _commits_in(store, 3) == {True}


class Hurry:
    """Notes whether it is entered, and how often it was."""

    def __init__(self) -> None:
        self.on, self.times = False, 0

    def __enter__(self) -> None:
        self.on, self.times = True, self.times + 1

    def __exit__(self, *exc: object) -> None:
        self.on = False


async def test_it_is_in_a_hurry_while_others_wait_for_it_whatever_becomes_of_the_work(tmp_path: Path) -> None:
    hurry, seen = Hurry(), list[bool]()
    store = SqliteStore(tmp_path / "store.sqlite", Sharing(hurry))
    await store.start()

    def good(tx: Any) -> None:
        seen.append(hurry.on)
        _put("good")(tx)

    def bad(tx: Any) -> None:
        good(tx)
        _put("bad")(tx)
        raise KeyError("bad")

    try:
        await store.transact(good)
        with pytest.raises(KeyError):
            await store.transact(bad)
        told = await asyncio.gather(*map(store.transact, (bad, good)), return_exceptions=True)
        assert (type(told[0]), told[1]) == (KeyError, None)
        assert seen == [True] * 4
        assert (hurry.on, hurry.times) == (False, 3)
        assert [await _there(store, name) for name in ("good", "bad")] == [True, False]
    finally:
        await store.stop()
