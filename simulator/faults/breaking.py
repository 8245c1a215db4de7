"""A platform that is broken on purpose, once, to prove that the audit sees it. Only tests set the switch.

`ZJOPS_BREAK` names what goes wrong; nothing of it can be had from a running platform. Each wrapper does to one job what
a bug would, and everything else as before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from simulator.broker.port import Broker, Outgoing
from simulator.faults.wrappers import FaultyBroker
from simulator.store.port import Row, Store, T, Tx, Work
from zjops.domain.errors import UsageError
from zjops.domain.events import EVENTS, EventType

SWITCH = "ZJOPS_BREAK"
SPARED = 2
"""So many jobs come out right before the one that does not."""
Rows = Sequence[Any]


class Once:
    """Strikes at one opportunity, after a few that it let pass."""

    def __init__(self) -> None:
        self._left = SPARED

    def strikes(self) -> bool:
        """Whether it is this one."""
        self._left -= 1
        return self._left == -1


class BreakingTx:
    """A transaction in which one statement does not do what it says."""

    def __init__(self, inner: Tx, breakage: Breakage) -> None:
        self._inner, self._breakage = inner, breakage

    def all(self, query: str, /, **params: Any) -> list[Row]:
        return self._breakage.read(query, self._inner.all(query, **params))

    def one(self, query: str, /, **params: Any) -> Row | None:
        return self._inner.one(query, **params)

    def run(self, query: str, /, **params: Any) -> int:
        return self._inner.run(query, **params)

    def many(self, query: str, /, rows: Rows) -> int:
        written = self._breakage.write(query, rows)
        return self._inner.many(query, written) if written else 0


class Breakage:
    """What goes wrong; by itself nothing."""

    def __init__(self) -> None:
        self.once = Once()

    def read(self, query: str, rows: list[Row]) -> list[Row]:
        """What a query is said to have found."""
        return rows

    def write(self, query: str, rows: Rows) -> Rows:
        """What a statement is given in place of its rows."""
        return rows


def _is(row: Any, kind: EventType) -> bool:
    return bool(row[0] == EVENTS and row[1] == kind.subject)


class LoseOutboxRow(Breakage):
    """The row that tells of a completion is not written."""

    def write(self, query: str, rows: Rows) -> Rows:
        if query != "outbox_put":
            return rows
        return [row for row in rows if not (_is(row, EventType.COMPLETED) and self.once.strikes())]


class BillTwice(Breakage):
    """A completion is told twice, by two events, each with its charge."""

    def write(self, query: str, rows: Rows) -> Rows:
        if query != "outbox_put":
            return rows
        more = [_again(row) for row in rows if _is(row, EventType.COMPLETED) and self.once.strikes()]
        return [*rows, *more]


def _again(row: Any) -> Any:
    stream, subject, event_id, payload, trace, now = row
    other = event_id[:-4] + ("0000" if event_id[-4:] != "0000" else "0001")
    return stream, subject, other, payload.replace(event_id.encode(), other.encode()), trace, now


class ConfirmTwice(Breakage):
    """A job that has a number on the chain gets another one in the next batch."""

    def __init__(self) -> None:
        super().__init__()
        self._first: Row | None = None
        self._added: tuple[int, Row] | None = None

    def read(self, query: str, rows: list[Row]) -> list[Row]:
        if query == "anchor_next" and rows:
            self._look(rows)
            return self._with_former(rows)
        # The places are asked for with the jobs, and once more in the transaction: all of them tell the same.
        return self._with_former(rows) if query == "anchor_places" else rows

    def _look(self, rows: list[Row]) -> None:
        if self._first is None or self._first["id"] != rows[0]["id"]:
            former, self._first = self._first, rows[0]
            self._added = (len(rows), former | {"settled_no": 0}) if former and self.once.strikes() else None

    def _with_former(self, rows: list[Row]) -> list[Row]:
        if self._added is None:
            return rows
        count, former = self._added
        return [*rows[:count], former]


class AcceptNothing(Breakage):
    """A submission is answered by 202, and neither the job nor what tells of it is stored."""

    def __init__(self) -> None:
        super().__init__()
        self._forget = False

    def write(self, query: str, rows: Rows) -> Rows:
        if query == "job_insert" and self.once.strikes():
            self._forget = True
            return rows[1:]
        if query == "outbox_put" and self._forget:
            self._forget = False
            return rows[2:]
        return rows


class BreakingStore:
    """A store whose transactions and readings are broken; the file is not."""

    def __init__(self, inner: Store, breakage: Breakage) -> None:
        self._inner, self._breakage = inner, breakage

    async def start(self) -> None:
        await self._inner.start()

    async def stop(self) -> None:
        await self._inner.stop()

    async def transact(self, work: Work[T]) -> T:
        return await self._inner.transact(lambda tx: work(cast(Tx, BreakingTx(tx, self._breakage))))

    async def read(self, work: Work[T]) -> T:
        return await self._inner.read(lambda tx: work(cast(Tx, BreakingTx(tx, self._breakage))))


class EventDropper(FaultyBroker):
    """A broker that says of one completion that it was stored, and has it not."""

    def __init__(self, inner: Broker, faults: Any) -> None:
        super().__init__(inner, faults)
        self._once = Once()

    async def publish(self, stream: str, messages: Sequence[Outgoing], *, expected_last: int | None = None) -> int:
        if stream == EVENTS:
            messages = [
                one for one in messages if not (one.subject == EventType.COMPLETED.subject and self._once.strikes())
            ]
        return await super().publish(stream, messages, expected_last=expected_last)


STORES: Mapping[str, Callable[[], Breakage]] = {
    "lose-outbox-row": LoseOutboxRow, "bill-twice": BillTwice, "confirm-twice": ConfirmTwice,
    "accept-nothing": AcceptNothing,
}  # fmt: skip
DROP_EVENT = "drop-event"


def broken(name: str, store: Store, broker: Broker, faults: Any) -> tuple[Store, Broker]:
    """The ports of a platform that is broken in the way that the switch names. Raises `UsageError`."""
    if name == DROP_EVENT:
        return store, EventDropper(broker, faults)
    if name not in STORES:
        raise UsageError(f"{SWITCH} is one of {', '.join([*STORES, DROP_EVENT])}")
    return BreakingStore(store, STORES[name]()), broker
