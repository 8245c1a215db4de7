"""What the fronts of a world tell its ledger: the transactions that concern it, with the moment of each.

A front is a process with interface, intake, workers and settlement for a part of the tenants; the ledger is one process
with outbox, relayer and meter for all of them, as the roles of a live platform are spread over processes. There they
share a file and a broker. Here each has its own time, so a front sends what it has committed, and the ledger, which
never runs ahead of any front, commits it once more at the same moment, in one order for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from simulator.broker.port import Outgoing
from simulator.store.port import Row, Store, T, Tx, Work
from zjops.domain.clock import Clock
from zjops.domain.events import WORK

FULL_BYTES = 48_000
"""A crate goes when it holds so much."""
Writes = list[tuple[str, Sequence[Any]]]
PARAMETERS, METADATA = 11, 14
"""Places of `job_insert` that nobody behind the interface needs."""


class Committed(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """A transaction: its statements with their rows, and the outbox number that it began behind."""

    at_ms: int
    base: int
    writes: Writes


class Answered(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Messages of the request log."""

    at_ms: int
    messages: list[tuple[str, bytes, str | None]]


class Reached(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Everything before this moment has been sent; so many requests and jobs were asked for, and how they went."""

    at_ms: int
    told: dict[str, int]


class Ended(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Nothing more comes; rows of the tables that a live platform goes on from."""

    at_ms: int
    tables: dict[str, list[dict[str, Any]]]


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The front could not go on."""

    at_ms: int
    text: str
    exit_code: int


Item = Committed | Answered | Reached | Ended | Failed
encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(list[Item]).decode


class Send(Protocol):
    """Hands bytes to the ledger, and waits while it is behind."""

    def __call__(self, data: bytes, /) -> None: ...


class Crate:
    """Gathers items until there are enough of them."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, item: Item) -> None:
        """Put one item in."""
        part = encode(item)
        self._parts.append(part)
        self._size += len(part)
        if self._size >= FULL_BYTES:
            self.go()

    def go(self) -> None:
        """Send what is there."""
        if self._parts:
            self._send(_array_head(len(self._parts)) + b"".join(self._parts))
            self._parts, self._size = [], 0


def _array_head(count: int) -> bytes:
    """The beginning of an array of so many values in MessagePack."""
    return b"\xdd" + count.to_bytes(4, "big")


class _ShippingTx:
    """A transaction that notes what the ledger has to know. Events stay out of the front's own outbox."""

    __slots__ = ("_tx", "base", "writes")

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.base = 0
        self.writes: Writes = []

    def all(self, query: str, /, **params: Any) -> list[Row]:
        return self._tx.all(query, **params)

    def one(self, query: str, /, **params: Any) -> Row | None:
        row = self._tx.one(query, **params)
        if query == "outbox_last" and row is not None:
            self.base = row["n"]
        return row

    def run(self, query: str, /, **params: Any) -> int:
        return self._tx.run(query, **params)

    def many(self, query: str, /, rows: Sequence[Any]) -> int:
        if query == "outbox_put":
            told = [row for row in rows if row[0] != WORK]
            if told:
                self.writes.append((query, told))
            return self._tx.many(query, [row for row in rows if row[0] == WORK])
        if query == "job_insert":
            self.writes.append((query, [_bare(row) for row in rows]))
        elif query == "job_settled":
            self.writes.append((query, rows))
        return self._tx.many(query, rows)


def _bare(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*row[:PARAMETERS], None, *row[PARAMETERS + 1 : METADATA], None, *row[METADATA + 1 :])


class ShippingStore:
    """The Store port of a front: what is committed goes to the ledger too. `fault` is raised by whatever is asked."""

    def __init__(self, store: Store, clock: Clock, crate: Crate) -> None:
        self._store, self._clock, self._crate = store, clock, crate
        self.fault: Exception | None = None

    async def start(self) -> None:
        await self._store.start()

    async def stop(self) -> None:
        await self._store.stop()

    async def transact(self, work: Work[T]) -> T:
        self._check()
        noted: list[_ShippingTx] = []

        def noting(tx: Tx) -> T:
            noted[:] = [_ShippingTx(tx)]
            return work(noted[0])

        value = await self._store.transact(noting)
        if noted[0].writes:
            self._crate.add(Committed(self._clock.now_ms(), noted[0].base, noted[0].writes))
        return value

    async def read(self, work: Work[T]) -> T:
        self._check()
        return await self._store.read(work)

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault


class ShippingRequests:
    """As much of the Broker port as the request log's rollups need."""

    def __init__(self, clock: Clock, crate: Crate) -> None:
        self._clock, self._crate = clock, crate

    async def publish(self, stream: str, messages: Sequence[Outgoing], *, expected_last: int | None = None) -> int:
        """Hand messages of TELEMETRY to the ledger."""
        told = [(message.subject, message.data, message.msg_id) for message in messages]
        self._crate.add(Answered(self._clock.now_ms(), told))
        return 0
