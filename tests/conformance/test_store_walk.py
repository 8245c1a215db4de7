"""The store with hot tables walks beside plain SQLite: the same transactions, the same answers, the same tables."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from simulator.store import hot_jobs
from simulator.store.memory import MemoryStore
from simulator.store.port import Tx
from simulator.store.queries import queries, touching, writing
from simulator.store.sqlite import MemorySqliteStore
from tests.support.tables import look, tables

KEYS = [bytes([n]) * 16 for n in range(1, 25)]
TENANTS = ("acme", "beta")
STREAMS = ("EVENTS", "WORK", "OPS")
BATCHES = (1, 2, 3)
STATUSES = ("completed", "failed", "cancelled")
STEPS = 400

Answer = Any
Op = tuple[str, str, Any]
"""How it is asked (`all`, `one`, `run`, `many`), the statement, and its parameters or rows."""


class Walk:
    """Draws transactions; time and numbers go on, so that no order is left to chance."""

    def __init__(self, seed: int, *, anchors: bool) -> None:
        self.source = random.Random(seed)
        self.now, self.number, self.inserted = 1_000, 0, 0
        self.anchors = anchors
        self.draws: list[Callable[[], Op]] = [
            self.put, self.put, self.mark, self.purge, self.outbox_read, self.insert, self.insert, self.started,
            self.progress, self.settled, self.settled, self.retry, self.dispatched, self.cancel, self.look, self.many,
            self.cold_read, self.cold_write,
        ]  # fmt: skip
        if anchors:
            self.draws += [
                self.batched,
                self.batched,
                self.confirmed,
                self.confirmed,
                self.anchor_read,
                self.cold_chain,
            ]

    def transaction(self) -> tuple[list[Op], bool]:
        """What is asked, and whether it ends well."""
        self.now += self.source.randint(1, 5)
        ops = [self.source.choice(self.draws)() for _ in range(self.source.randint(1, 7))]
        return ops, self.source.random() < 0.7

    def key(self) -> bytes:
        return self.source.choice(KEYS)

    def next(self) -> int:
        self.number += 1
        return self.number

    def some(self, draw: Callable[[], tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return [draw() for _ in range(self.source.randint(1, 4))]

    def put(self) -> Op:
        rows = self.some(
            lambda: (self.source.choice(STREAMS), "s", f"m{self.source.randint(1, 40)}", b"{}", None, self.now)
        )
        return "many", "outbox_put", rows

    def mark(self) -> Op:
        return "run", "outbox_mark", {"upto": self.source.randint(0, 3 * self.now // 10), "now": self.now}

    def purge(self) -> Op:
        before = self.now - self.source.randint(-20, 40)
        if self.source.random() < 0.5:
            return "run", "outbox_marks_purge", {"before": before}
        return "run", "outbox_purge", {"before": before, "most": self.source.choice([1, 5, 1_000])}

    def outbox_read(self) -> Op:
        stream, after, most = self.source.choice(STREAMS), self.source.randint(0, 600), self.source.randint(1, 9)
        return self.source.choice([
            ("one", "outbox_last", {}), ("one", "outbox_unpublished", {}),
            ("all", "outbox_next", {"after": after, "most": most}),
            ("one", "outbox_following", {"stream": stream, "after": after}),
            ("one", "outbox_find", {"stream": stream, "msg_id": f"m{self.source.randint(1, 40)}"}),
            ("one", "outbox_marked", {}),
        ])  # fmt: skip

    def insert(self) -> Op:
        """A new job; after all have been, one twice, which is refused."""
        if self.inserted < len(KEYS):
            keys = [KEYS[self.inserted]]
            self.inserted += 1
        else:
            keys = [b"\xff" * 16] * 2
        return "many", "job_insert", [
            (key, None, self.source.choice(TENANTS), "starter", "compute_heavy", 5, 60, self.now, self.now, 10, 20,
             b"{}", None, None, None, b"salt", None) for key in keys
        ]  # fmt: skip

    def started(self) -> Op:
        return "many", "job_started", self.some(lambda: (self.now, self.source.randint(1, 3), self.now, self.key()))

    def progress(self) -> Op:
        return "many", "job_progress", self.some(
            lambda: (self.source.randint(0, 99), self.now, self.key(), self.source.randint(1, 3))
        )  # fmt: skip

    def settled(self) -> Op:
        def row() -> tuple[Any, ...]:
            status = self.source.choice(STATUSES)
            number = self.next() if status != "cancelled" else None
            dead = int(self.source.random() < 0.2)
            return (status, "charged", 1, self.now, self.now, self.now, 50, b"1", None, 1, b"k", 3, None, None, dead,
                    number, self.key())  # fmt: skip

        return "many", "job_settled", self.some(row)

    def retry(self) -> Op:
        attempt = self.source.randint(1, 3)
        return "many", "job_retry_later", self.some(
            lambda: (attempt, attempt, self.now + self.source.randint(-3, 9), "processing", self.now, self.now,
                     self.key())
        )  # fmt: skip

    def dispatched(self) -> Op:
        return "run", "job_dispatched", {"id": self.key(), "now": self.now}

    def cancel(self) -> Op:
        return "run", "job_cancel_requested", {"id": self.key(), "now": self.now}

    def look(self) -> Op:
        return self.source.choice([
            ("one", "job_get", {"id": self.key()}),
            ("all", "jobs_to_retry", {"now": self.now, "most": self.source.randint(1, 9)}),
            ("all", "jobs_to_cancel", {"most": self.source.randint(1, 9)}),
        ])  # fmt: skip

    def many(self) -> Op:
        keys: list[bytes | None] = [*self.source.sample(KEYS, 10), *[None] * 6]
        return "all", "jobs_to_settle", {f"k{n}": key for n, key in enumerate(keys)}

    def batched(self) -> Op:
        return "many", "job_batched", self.some(
            lambda: (self.source.choice(BATCHES), self.next(), self.next(), self.key())
        )  # fmt: skip

    def confirmed(self) -> Op:
        return "many", "job_confirmed", self.some(lambda: ("confirmed", "0x1", 7, 9, self.now, self.now, self.key()))

    def anchor_read(self) -> Op:
        batch, most = {"batch_id": self.source.choice(BATCHES)}, {"most": self.source.randint(1, 9)}
        return self.source.choice([
            ("one", "anchor_due", most), ("all", "anchor_next", most), ("all", "anchor_places", most),
            ("all", "batch_outcomes", batch), ("all", "batch_outcomes", batch), ("all", "tenants_told", batch),
        ])  # fmt: skip

    def cold_read(self) -> Op:
        return self.source.choice([
            ("all", "export_jobs", {"after": b"", "most": 100}), ("one", "platform_state", {}),
            ("all", "dead_letters", {"after": b"", "most": 100}), ("one", "live_row", {"id": self.key()}),
            ("all", "outbox_after", {"stream": "OPS", "after": 3, "most": 100}), ("one", "setting_get", {"name": "a"}),
            ("one", "export_counts", {}),
        ])  # fmt: skip

    def cold_write(self) -> Op:
        return self.source.choice([
            ("run", "dead_letter_resumed", {"id": self.key()}),
            ("run", "setting_put", {"name": "a", "value": str(self.now)}),
            ("run", "endpoint_put", {"id": f"e{self.next()}", "tenant": "acme", "url": "u", "events": "[]",
                                     "now": self.now, "description": None}),
            ("many", "job_dispatched", [{"id": self.key(), "now": self.now}]),
            ("many", "outbox_mark", [{"upto": self.now - 1_000, "now": self.now}]),
        ])  # fmt: skip

    def cold_chain(self) -> Op:
        return self.source.choice([
            ("many", "job_reanchored", [("0x2", 8, self.now, self.key())]),
            ("many", "job_renumbered", [(self.next(), self.key())]),
            ("all", "batch_leaves", {"batch_id": self.source.choice(BATCHES)}), ("one", "chain_waiting", {}),
        ])  # fmt: skip


class Undone(Exception):
    """The end of a transaction that shall not hold."""


def _ask(tx: Tx, op: Op) -> Answer:
    how, query, values = op
    answer = tx.many(query, values) if how == "many" else getattr(tx, how)(query, **values)
    # The one statement that promises no order.
    return sorted(answer, key=lambda row: row["id"]) if query == "jobs_to_settle" else answer


def _ask_all(ops: list[Op], tx: Tx) -> list[Answer]:
    return [_ask(tx, op) for op in ops]


async def _play(store: MemorySqliteStore, ops: list[Op], *, ends_well: bool) -> tuple[list[Answer], str]:
    """The answers of a transaction and how it ended."""
    answers: list[Answer] = []

    def work(tx: Tx) -> None:
        for op in ops:
            answers.append(_ask(tx, op))
        if not ends_well:
            raise Undone

    try:
        await store.transact(work)
    except (Undone, sqlite3.Error) as exc:
        return answers, type(exc).__name__
    return answers, "committed"


def _like(expected: Answer, found: Answer) -> Answer:
    """An answer without the columns that were not asked for: the hot tables hand out whole rows."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return {name: found.get(name, "missing") for name in expected}
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [_like(*pair) for pair in zip(expected, found, strict=True)]
    return found


@pytest.mark.parametrize("anchors", [True, False], ids=["with a relayer", "without one"])
@pytest.mark.parametrize("seed", range(6))
async def test_the_same_transactions_give_the_same_answers_and_the_same_tables(
    seed: int, anchors: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot_jobs, "EVICT_ROWS", 2)
    plain, hot = MemorySqliteStore(), MemoryStore(anchors=anchors)
    walk, ends = Walk(seed, anchors=anchors), set()
    for store in (plain, hot):
        await store.start()
    for step in range(STEPS):
        ops, ends_well = walk.transaction()
        expected, end = await _play(plain, ops, ends_well=ends_well)
        found, end_found = await _play(hot, ops, ends_well=ends_well)
        assert (_like(expected, found), end_found) == (expected, end), f"step {step}: {ops}"
        ends.add(end)
        if step % 20 == 0:
            read = [walk.look(), walk.outbox_read(), walk.cold_read()]
            expected, found = [await store.read(partial(_ask_all, read)) for store in (plain, hot)]
            assert _like(expected, found) == expected, f"after step {step}: {read}"
    assert ends == {"committed", "Undone", "IntegrityError"}
    for table in ("jobs", "outbox", "outbox_marks"):
        query = f"SELECT * FROM {table} ORDER BY 1"
        assert look(plain, query), f"nothing was done to {table}"
        assert look(hot, query) == look(plain, query)
    for store in (plain, hot):
        await store.stop()


def _touched(connection: sqlite3.Connection, query: str) -> tuple[set[str], set[str]]:
    """The tables that SQLite itself says a statement reads, and those that it writes."""
    read, written = set[str](), set[str]()

    def note(action: int, table: str | None, *rest: str | None) -> int:
        if action == sqlite3.SQLITE_READ and table:
            read.add(table)
        elif action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE) and table:
            written.add(table)
        return sqlite3.SQLITE_OK

    connection.set_authorizer(note)
    try:
        connection.execute(f"EXPLAIN {queries()[query]}", _nothing(queries()[query]))
    finally:
        connection.set_authorizer(None)
    return read, written - {"sqlite_master"}


def _nothing(sql: str) -> Any:
    class Any_(dict[str, None]):
        def __missing__(self, name: str) -> None:
            return None

    marks = sql.count("?")
    return Any_() if not marks else [None] * (4 if "?1" in sql else marks)


async def test_statements_are_known_by_the_tables_that_they_touch() -> None:
    store = MemorySqliteStore()
    await store.start()
    connection = tables(store)
    for query in queries():
        read, written = _touched(connection, query)
        for table in ("jobs", "outbox"):
            assert (query in touching(table)) == (table in read | written), f"{query} and {table}"
        assert (query in writing()) == bool(written), query
    await store.stop()
