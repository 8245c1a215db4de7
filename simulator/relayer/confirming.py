"""Confirming: a batch is final when a chain of blocks that stand on each other, by their hashes, says so.

One node may lag and two may disagree, and behind one address both may answer in turn. So a number alone proves nothing:
the batch's own block must have its hash, the blocks that finality counts must name their parents', and the root must be
there in the newest state. After any disagreement the count of blocks begins anew.
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

from simulator.broker.port import Broker
from simulator.job_events import job_event
from simulator.notifier.deliveries import enqueue_deliveries
from simulator.outbox import OutboxRow, event_row
from simulator.policy.strikes import Strikes
from simulator.relayer.desk import Desk
from simulator.relayer.view import View
from simulator.store.port import Row, Tx
from zjops.domain.anchoring import DISAGREE
from zjops.domain.chains import Finality
from zjops.domain.errors import ChainUnavailable
from zjops.domain.events import OUTBOX_WAKE, EventType
from zjops.domain.jobs import JobState
from zjops.domain.merkle import shares
from zjops.domain.webhooks import WebhookType

FINALS_PAGE = 200
_COMPLETED, _CONFIRMED = JobState.COMPLETED.value, JobState.CONFIRMED.value


class Standing(enum.Enum):
    """What the chain says of a mined batch."""

    FINAL = enum.auto()
    WAITS = enum.auto()
    MOVED = enum.auto()


class _Told(NamedTuple):
    """What is written when a batch is final: of jobs that were confirmed before and stand elsewhere, of those that are
    confirmed for the first and only time, their events, and their rows."""

    again: list[tuple[Any, ...]]
    confirmed: list[tuple[Any, ...]]
    events: list[OutboxRow]
    fresh: list[Row]


class Confirmer:
    """Judges finality, and makes it known: once."""

    def __init__(self, desk: Desk, broker: Broker, finality: Finality) -> None:
        self._desk, self._broker, self._finality = desk, broker, finality
        self._calm_from = 0
        self._strikes = Strikes()

    async def gone(self, view: View) -> list[int]:
        """Final batches whose blocks are no longer on the chain: worse than anything that finality promised."""
        newest = await self._finals(1)
        if not newest or await self._holds(view, newest[0]):
            self._strikes.clear()
            return []
        if not self._strikes.strike((await view.head()).number):
            raise ChainUnavailable(f"block {newest[0]['block_number']} was final and has another hash now", DISAGREE)
        self._strikes.clear()
        return [batch["id"] for batch in await self.all_gone(view)]

    async def all_gone(self, view: View) -> list[Row]:
        """Every final batch whose block is gone: those above the newest one that still stands."""
        found: list[Row] = []
        while page := await self._finals(FINALS_PAGE, len(found)):
            for batch in page:
                if await self._holds(view, batch):
                    return found
                found.append(batch)
        return found

    async def _finals(self, most: int, skip: int = 0) -> list[Row]:
        return await self._desk.store.read(lambda tx: tx.all("batches_newest_final", most=most, skip=skip))

    async def _holds(self, view: View, batch: Row) -> bool:
        return (await view.known(batch["block_number"])).hash == str(batch["block_hash"])

    async def standing(self, view: View, batch: Row) -> Standing:
        """Where a mined batch stands. Raises `ChainUnavailable` when the answers do not fit each other."""
        head, number = await view.head(), batch["block_number"]
        if not await self._holds(view, batch):
            self._calm_from = head.number + 1
            return Standing.MOVED
        tagged = await view.block(self._finality.tag) if self._finality.tag else head
        base = max(number, self._calm_from)
        if tagged is None or not self._finality.reached(base, head.number, tagged.number):
            return Standing.WAITS
        await self._check_links(view, base, base + self._finality.depth - 1)
        if self._finality.tag and (await view.known(tagged.number)).hash != tagged.hash:
            raise self._disagreement(head.number, "two nodes name different final blocks")
        if await self._desk.chain.root_of(batch["first_sequence"], head.number) != batch["root"]:
            raise self._disagreement(head.number, f"batch {batch['id']} is in block {number} and its root is not there")
        return Standing.FINAL

    async def _check_links(self, view: View, first: int, last: int) -> None:
        """Each block must stand on the one before, whichever node showed it."""
        below = await view.known(first)
        for number in range(first + 1, last + 1):
            block = await view.known(number)
            if block.parent != below.hash:
                head = await view.head()
                raise self._disagreement(head.number, f"block {number} does not stand on block {number - 1}")
            below = block

    def _disagreement(self, head: int, text: str) -> ChainUnavailable:
        self._calm_from = head + 1
        return ChainUnavailable(text, DISAGREE)

    async def finalise(self, batch: Row) -> bool:
        """Make a batch final, and every job of it with it; those that were confirmed before are not told again.

        False when it is not any more as it was judged.
        """
        now = self._desk.clock.now_ms()
        rows = await self._desk.store.read(lambda tx: tx.all("batch_outcomes", batch_id=batch["id"]))
        if len(rows) != batch["count"]:
            # Another relayer has moved it.
            return False
        # Made before the transaction: a thousand events take long, and submissions wait for the lock.
        told = self._told(batch, rows, now)
        fresh = await self._desk.transact(lambda tx: self._confirm_all(tx, batch, told, now))
        if fresh is None:
            return False
        telemetry = self._desk.telemetry
        telemetry.count("blockchain_confirmations_total", outcome="confirmed" if fresh else "reanchored")
        telemetry.count("blockchain_gas_used_total", batch["gas_used"])
        if not fresh:
            telemetry.log("info", "final again", batch=batch["id"], block=batch["block_number"])
            return True
        await self._broker.signal(OUTBOX_WAKE)
        seconds = (self._desk.clock.now_ms() - batch["closed_at"]) / 1000
        telemetry.observe("blockchain_confirmation_duration_seconds", seconds)
        return True

    def _told(self, batch: Row, rows: list[Row], now: int) -> _Told:
        """All that is to be written of a batch that is final."""
        fresh = [(row, gas) for row, gas in zip(rows, shares(batch["gas_used"], batch["count"]), strict=True)
                 if row["confirmed_at"] is None]  # fmt: skip
        return _Told(
            [(batch["tx_hash"], batch["block_number"], now, row["id"])
             for row in rows if row["confirmed_at"] is not None],
            [(_status(row), batch["tx_hash"], batch["block_number"], gas, now, now, row["id"]) for row, gas in fresh],
            [self._event(row, batch, gas, now) for row, gas in fresh],
            [row for row, _ in fresh],
        )  # fmt: skip

    def _confirm_all(self, tx: Tx, batch: Row, told: _Told, now: int) -> int | None:
        """Confirm every job of a batch: state, receipt, gas share and event, all or nothing; how many were not before.

        None when the batch is final already, or is not any more what was judged.
        """
        if tx.one("batch_get", id=batch["id"]) != batch or not tx.run("batch_final", id=batch["id"], now=now):
            return None
        tx.many("job_reanchored", told.again)
        tx.many("job_confirmed", told.confirmed)
        tx.many("outbox_put", told.events)
        self._enqueue_deliveries(tx, told.fresh, batch, now)
        return len(told.fresh)

    def _event(self, row: Row, batch: Row, gas: int, now: int) -> OutboxRow:
        event = job_event(
            row, status=_status(row), batch_id=batch["id"], chain_sequence=row["chain_sequence"],
            leaf_index=row["leaf_index"], tx_hash=batch["tx_hash"], block_number=batch["block_number"],
            block_hash=batch["block_hash"], gas_share=gas,
        )  # fmt: skip
        return event_row(self._desk.ids.name(), EventType.CONFIRMED, event, now, row["traceparent"])

    def _enqueue_deliveries(self, tx: Tx, rows: list[Row], batch: Row, now: int) -> None:
        """Write webhooks of the few jobs that somebody listens to."""
        told = {row["tenant"] for row in tx.all("tenants_told", batch_id=batch["id"])}
        for row in rows:
            if row["callback_url"] or row["tenant"] in told:
                whole = tx.one("job_get", id=row["id"])
                assert whole is not None
                enqueue_deliveries(tx, self._desk.ids, whole, WebhookType.CONFIRMED, now)


def _status(row: Row) -> str:
    """A failed job keeps its public status (C91)."""
    return _CONFIRMED if row["status"] == _COMPLETED else str(row["status"])
