"""One suite for every adapter of the Store port."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from simulator.store.memory import MemoryStore
from simulator.store.port import Store, Tx
from simulator.store.queries import queries
from simulator.store.sqlite import MemorySqliteStore, SqliteStore
from tests.support.tables import tables
from zjops.domain.errors import StoreUnavailable


@pytest.fixture(params=["memory", "memory with hot tables", "file"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: dict[str, Callable[[], Store]] = {
        "memory": MemorySqliteStore, "memory with hot tables": MemoryStore,
        "file": lambda: SqliteStore(tmp_path / "store.db"),
    }  # fmt: skip
    adapter = made[request.param]()
    await adapter.start()
    yield adapter
    await adapter.stop()


def _put(tx: Tx, name: str, value: str = "x") -> str:
    tx.run("setting_put", name=name, value=value)
    return name


def _get(tx: Tx, name: str) -> str | None:
    row = tx.one("setting_get", name=name)
    return row["value"] if row else None


async def test_a_commit_is_seen_by_the_next_read(store: Store) -> None:
    assert await store.transact(lambda tx: _put(tx, "a", "1")) == "a"
    assert await store.read(lambda tx: _get(tx, "a")) == "1"


async def test_a_work_that_fails_undoes_only_itself(store: Store) -> None:
    def fails(tx: Tx) -> None:
        _put(tx, "bad")
        raise LookupError("no")

    works = [store.transact(lambda tx, n=n: _put(tx, f"k{n}")) for n in range(20)]
    works.insert(10, store.transact(fails))  # type: ignore[arg-type]
    results = await asyncio.gather(*works, return_exceptions=True)
    assert [type(r) for r in results].count(LookupError) == 1
    assert await store.read(lambda tx: _get(tx, "bad")) is None
    assert all([await store.read(lambda tx, n=n: _get(tx, f"k{n}")) for n in range(20)])


async def test_outbox_numbers_are_dense_also_after_a_rollback(store: Store) -> None:
    def put(tx: Tx, fail: bool) -> None:
        tx.many("outbox_put", [("EVENTS", "s", "m", b"", None, 1)])
        if fail:
            raise LookupError

    await asyncio.gather(
        *(store.transact(lambda tx, n=n: put(tx, n % 3 == 0)) for n in range(30)), return_exceptions=True
    )
    rows = await store.read(lambda tx: tx.all("outbox_next", after=0, most=100))
    assert [row["n"] for row in rows] == list(range(1, 21))


async def test_start_and_stop_are_safe_twice_and_a_stopped_store_says_so(store: Store) -> None:
    await store.start()
    await store.stop()
    await store.stop()
    with pytest.raises(StoreUnavailable):
        await store.transact(lambda tx: _put(tx, "a"))


@pytest.mark.parametrize("kind", [MemorySqliteStore, MemoryStore])
async def test_a_store_in_memory_begins_anew_with_nothing(kind: type[MemorySqliteStore]) -> None:
    store = kind()
    for _ in range(2):
        await store.start()
        assert await store.read(lambda tx: tx.one("outbox_last")) == {"n": 0}
        await store.transact(lambda tx: tx.many("outbox_put", [("EVENTS", "s", "m", b"", None, 1)]))
        assert await store.read(lambda tx: tx.one("outbox_last")) == {"n": 1}
        await store.stop()


async def test_two_adapters_on_one_file_lose_no_update(tmp_path: Path) -> None:
    stores = [SqliteStore(tmp_path / "store.db") for _ in range(2)]
    for one in stores:
        await one.start()

    def increment(tx: Tx) -> None:
        _put(tx, "n", str(int(_get(tx, "n") or 0) + 1))

    await asyncio.gather(*(stores[i % 2].transact(increment) for i in range(100)))
    assert await stores[0].read(lambda tx: _get(tx, "n")) == "100"
    for one in stores:
        await one.stop()


async def test_a_committed_file_is_there_after_reopening(tmp_path: Path) -> None:
    for expected in (None, "1"):
        store = SqliteStore(tmp_path / "store.db")
        await store.start()
        assert await store.read(lambda tx: _get(tx, "a")) == expected
        await store.transact(lambda tx: _put(tx, "a", "1"))
        await store.stop()


async def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"half a file" * 1000)
    with pytest.raises(StoreUnavailable, match="damaged"):
        await SqliteStore(tmp_path / "store.db").start()
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        await SqliteStore(tmp_path / "no" / "folder" / "store.db").start()


async def test_a_file_of_another_version_is_refused_and_many_may_open_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    stores = [SqliteStore(path) for _ in range(8)]
    await asyncio.gather(*(store.start() for store in stores))
    for store in stores:
        await store.stop()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=1")
    connection.close()
    with pytest.raises(StoreUnavailable, match="another version"):
        await SqliteStore(path).start()


async def test_readers_survive_callers_that_go_away(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    await store.start()
    for _ in range(20):
        task = asyncio.create_task(store.read(lambda tx: tx.one("outbox_last")))
        await asyncio.sleep(0)
        task.cancel()
    assert await store.read(lambda tx: tx.one("outbox_last")) == {"n": 0}
    gone = asyncio.create_task(store.transact(lambda tx: tx.run("setting_put", name="a", value="1")))
    await asyncio.sleep(0)
    gone.cancel()
    await store.transact(lambda tx: tx.run("setting_put", name="b", value="2"))
    assert await store.read(lambda tx: tx.one("setting_get", name="b")) == {"value": "2"}
    await store.stop()


async def test_the_nonce_of_a_batch_is_found_among_open_batches_and_not_among_all() -> None:
    store = MemorySqliteStore()
    await store.start()
    explained = f"EXPLAIN QUERY PLAN {queries()['nonce_behind']}"
    plan = [row[3] for row in tables(store).execute(explained, {"batch_id": 1, "sender": "0x"})]
    assert ["batches_open" in plan[0], "tx_hash=?" in plan[1]] == [True, True], plan
    await store.stop()
