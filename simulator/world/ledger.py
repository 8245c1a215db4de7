"""The ledger of a world: one outbox, relayer, chain and meter for what all fronts have committed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, cast

from simulator.broker.port import Outgoing
from simulator.chain.memory import MemoryChain
from simulator.environment import time_skipping
from simulator.export import export_to
from simulator.platform import Platform
from simulator.service import settle_memory
from simulator.store.memory import MemoryStore
from simulator.store.port import Tx
from simulator.world.front import SETTINGS
from simulator.world.shipping import Answered, Committed, Ended, Failed, Item, Reached
from simulator.world.story import Span, incident_of
from zjops.domain.clock import run_virtual
from zjops.domain.errors import StoreUnavailable, ZjopsError
from zjops.domain.events import EVENTS, OPS, TELEMETRY

ROLES = ("outbox", "relayer", "meter")
LOOK_EVERY_S = 60.0
TIDY_S = 34 * 3600.0
"""After the last event the meter writes, and the last day becomes one file."""
SETTLED_NO = 15
"""The place of the number of settlement in `job_settled`."""
Feed = Iterator[Item]


class Kept(NamedTuple):
    """What a ledger has at its end: counts of all requests, tables of the fronts, and the last numbers of each kind."""

    told: Counter[str]
    tables: dict[str, list[dict[str, Any]]]
    numbers: dict[str, int]


class Lapsed(ZjopsError):
    """A front could not go on; the error is its own."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def keep(seed: int, span: Span, folder: Path, feeds: list[Feed], reached: Callable[[int, Counter[str]], None]) -> Kept:
    """Keep the books of a span until its last job is final, in `folder`. Raises `ZjopsError`."""

    async def kept() -> Kept:
        return await Ledger(seed, span, folder, reached).keep(feeds)

    return run_virtual(kept())


class Ledger:
    """The roles behind settlement, fed by fronts. Made and used in one virtual loop."""

    def __init__(self, seed: int, span: Span, folder: Path, reached: Callable[[int, Counter[str]], None]) -> None:
        self._span, self._folder, self._reached = span, folder, reached
        self._platform = self._make(1_000 * seed + 999)
        self._told: Counter[str] = Counter()
        self._tables: dict[str, list[dict[str, Any]]] = {}
        self._away = incident_of(span)[:2]

    def _make(self, seed: int) -> Platform:
        settings = SETTINGS | {"compact_every_s": 6 * 3600.0}
        return time_skipping(
            seed, self._span.start_ms, self._folder / "log", ROLES, keep_streams=False, **settings
        )  # fmt: skip

    async def keep(self, feeds: list[Feed]) -> Kept:
        """Commit what the fronts tell, in one order, and see it to its end."""
        await self._platform.start()
        settle_memory()
        outage = asyncio.create_task(self._outage())
        order = merge(*feeds, key=lambda item: item.at_ms)
        for at_ms, items in groupby(order, key=lambda item: item.at_ms):
            await self._until(at_ms)
            await self._moment(list(items))
        await outage
        await self._finish()
        kept = await self._save()
        await self._platform.stop()
        return kept

    async def _until(self, at_ms: int) -> None:
        wait_ms = at_ms - self._platform.ports.clock.now_ms()
        if wait_ms > 0:
            await self._platform.ports.clock.sleep(wait_ms / 1000)

    async def _outage(self) -> None:
        """The store is away from the ledger too."""
        begin_ms, back_ms = self._away
        store = self._store()
        await self._until(begin_ms + 1)
        store.fault = StoreUnavailable("the disk of the store is full")
        await self._until(back_ms)
        store.fault = None

    def _store(self) -> MemoryStore:
        return cast(MemoryStore, self._platform.ports.store)

    async def _moment(self, items: list[Item]) -> None:
        committed = [item for item in items if isinstance(item, Committed)]
        if committed:
            await self._store().transact(lambda tx: _commit(tx, committed))
            self._platform.relay.wake()
        for item in items:
            match item:
                case Answered():
                    messages = [Outgoing(*message) for message in item.messages]
                    await self._platform.ports.broker.publish(TELEMETRY, messages)
                case Reached():
                    self._told.update(item.told)
                    self._reached(item.at_ms, self._told)
                case Ended():
                    for table, rows in item.tables.items():
                        self._tables.setdefault(table, []).extend(rows)
                case Failed():
                    raise Lapsed(item.text, item.exit_code)

    async def _finish(self) -> None:
        """Until every outcome is final and everything is in its file."""

        def waiting(tx: Tx) -> int:
            row = tx.one("chain_waiting")
            assert row is not None
            return int(row["waiting_jobs"] + row["open_batches"])

        while await self._store().read(waiting):
            await self._platform.ports.clock.sleep(LOOK_EVERY_S)
        await self._platform.ports.clock.sleep(TIDY_S)

    async def _save(self) -> Kept:
        """Write the store's export and the chain's roots."""
        ports = self._platform.ports
        chain = cast(MemoryChain, ports.chain)
        with (self._folder / "export.jsonl").open("wb") as file:
            await export_to(ports.store, ports.clock, file)
        with (self._folder / "chain.jsonl").open("wb") as file:
            file.writelines(chain.lines())
        numbers = {stream: (await ports.broker.last(stream))[0] for stream in (EVENTS, OPS, TELEMETRY)}
        numbers |= await ports.store.read(_last_numbers)
        return Kept(self._told, self._tables, numbers)


def _commit(tx: Tx, committed: list[Committed]) -> None:
    """What fronts have committed, as it was; numbers of settlement go by the ledger's own outbox."""
    for transaction in committed:
        last = tx.one("outbox_last")
        assert last is not None
        for query, rows in transaction.writes:
            tx.many(query, _renumbered(rows, last["n"] - transaction.base) if query == "job_settled" else rows)


def _renumbered(rows: Sequence[Any], shift: int) -> list[tuple[Any, ...]]:
    return [
        (*row[:SETTLED_NO], None if row[SETTLED_NO] is None else row[SETTLED_NO] + shift, *row[SETTLED_NO + 1 :])
        for row in rows
    ]


def _last_numbers(tx: Tx) -> dict[str, int]:
    outbox, batch = tx.one("outbox_last"), tx.one("batch_last")
    assert outbox is not None
    assert batch is not None
    return {"outbox": outbox["n"], "batches": batch["id"] or 0}
