"""The relayer: closes batches, anchors their roots, watches them to finality and follows reorganisations.

A job is `confirmed` only when its batch is final by the chain profile (C81); until then nothing about the job changes,
so a reorganisation within the depth repeats no event and no charge: the batch is simply sent again.
"""

from __future__ import annotations

import contextlib

from simulator.broker.port import Broker
from simulator.chain.port import Chain, Receipt
from simulator.job_events import job_event
from simulator.lease import Lease
from simulator.notifier.deliveries import enqueue_deliveries
from simulator.outbox import enqueue_event
from simulator.policy.batching import batch_due, confirmations
from simulator.service import Looped
from simulator.store.port import Row, Store, Tx
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock
from zjops.domain.errors import ChainRefused, Fenced, UnreachableError
from zjops.domain.events import OUTBOX_WAKE, EventType
from zjops.domain.ids import Ids, job_id
from zjops.domain.jobs import CHAIN_STATUS, JobState
from zjops.domain.merkle import Leaf, Tree, job_key_digest, result_digest_of, shares, usage_digest
from zjops.domain.webhooks import WebhookType

PAUSED = "relayer_paused"
RESEND_AFTER_S = 30.0
OPEN_MOST = 64
IDLE_SHARE = 10
"""With nothing on the way, ten looks in the life of a batch are enough."""


def leaf_of(row: Row, sequence: int) -> Leaf:
    """The leaf of a settled job under its sequence number (C72)."""
    name, salt, tenant = job_id(row["id"]), row["salt"], row["tenant"]
    return Leaf(
        sequence,
        job_key_digest(tenant, name, salt),
        result_digest_of(salt, row["result_keccak"]),
        usage_digest(salt, tenant, name, row["payload_bytes"], row["compute_units"], row["accepted_at"]),
        CHAIN_STATUS[JobState.FAILED if row["status"] == JobState.FAILED.value else JobState.COMPLETED],
    )


def tree_of(rows: list[Row], first: int) -> Tree:
    """The Merkle tree of a batch, its jobs in the order of settlement (C73)."""
    return Tree([leaf_of(row, first + index).hash() for index, row in enumerate(rows)])


class Relayer(Looped):
    """One active relayer at a time, held by a lease."""

    def __init__(
        self, store: Store, chain: Chain, broker: Broker, clock: Clock, ids: Ids, telemetry: Telemetry, lease: Lease,
        *, max_jobs: int, max_age_s: float, depth: int, poll_s: float,
    ) -> None:  # fmt: skip
        super().__init__("relayer")
        self._store, self._chain, self._broker = store, chain, broker
        self._clock, self._ids, self._telemetry, self._lease = clock, ids, telemetry, lease
        self._max_jobs, self._max_age_s, self._depth, self._poll_s = max_jobs, max_age_s, depth, poll_s

    async def stop(self) -> None:
        if self._task is not None:
            await super().stop()
            with contextlib.suppress(UnreachableError):
                await self._lease.release()

    async def _run(self) -> None:
        while True:
            delay_s = self._poll_s
            try:
                if await self._lease.hold() and not await self.step():
                    delay_s = max(self._poll_s, self._max_age_s / IDLE_SHARE)
            except Fenced:
                self._telemetry.log("info", "another relayer is active")
            except (UnreachableError, ChainRefused) as exc:
                self._telemetry.log("warning", "relayer waits", reason=str(exc))
            await self._clock.sleep(delay_s)

    async def step(self) -> int:
        """Close what is due, then move every open batch one step on; returns how many are open."""
        paused = await self._store.read(lambda tx: tx.one("setting_get", name=PAUSED))
        if paused is not None and paused["value"] == "1":
            return 0
        await self.close_due()
        batches = await self._store.read(lambda tx: tx.all("batches_open", most=OPEN_MOST))
        self._telemetry.gauge("relayer_open_batches", len(batches))
        for batch in batches:
            # A later batch is refused by the contract until the one before it is mined.
            if not await self._advance(batch):
                break
        return len(batches)

    async def close_due(self) -> bool:
        """Close one batch when enough jobs wait, or one has waited long enough (C81)."""
        due = await self._store.read(lambda tx: tx.one("anchor_due", most=self._max_jobs))
        assert due is not None
        if not batch_due(due["count"], due["oldest"], self._clock.now_ms(), self._max_jobs, self._max_age_s):
            return False
        await self._store.transact(self._close)
        return True

    def _close(self, tx: Tx) -> None:
        self._lease.guard(tx)
        rows = tx.all("anchor_next", most=self._max_jobs)
        following = tx.one("batch_next_sequence")
        assert following is not None
        first = following["first"]
        root = tree_of(rows, first).root
        tx.run("batch_insert", first=first, count=len(rows), root=root, now=self._clock.now_ms())
        batch = tx.one("batch_last")
        assert batch is not None
        tx.many(
            "job_batched",
            [
                {"id": row["id"], "batch_id": batch["id"], "chain_sequence": first + index, "leaf_index": index}
                for index, row in enumerate(rows)
            ],
        )

    async def _advance(self, batch: Row) -> bool:
        """Move one batch on; whether the next may be looked at."""
        if batch["state"] == "closed":
            await self._send(batch)
            return False
        if batch["state"] == "sent":
            return await self._look_for_receipt(batch)
        return await self._look_for_finality(batch)

    async def _send(self, batch: Row) -> None:
        """Send a root, unless it is there already: a crash between send and record must not send it twice."""
        if await self._adopt(batch):
            return
        tx_hash = await self._chain.send_root(batch["first_sequence"], batch["count"], batch["root"])
        now = self._clock.now_ms()
        await self._write("batch_sent", id=batch["id"], tx_hash=tx_hash, now=now)

    async def _adopt(self, batch: Row) -> bool:
        if await self._chain.root_of(batch["first_sequence"]) != batch["root"]:
            return False
        receipt = await self._chain.find_root(batch["first_sequence"])
        if receipt is not None:
            await self._mined(batch, receipt)
        return receipt is not None

    async def _look_for_receipt(self, batch: Row) -> bool:
        receipt = await self._chain.receipt(batch["tx_hash"])
        if receipt is not None and receipt.status == 1:
            await self._mined(batch, receipt)
            return True
        waited_s = (self._clock.now_ms() - batch["sent_at"]) / 1000
        if receipt is not None or waited_s > RESEND_AFTER_S:
            self._telemetry.count("blockchain_confirmations_total", outcome="failed" if receipt else "lost")
            await self._write("batch_reopened", id=batch["id"])
        return False

    async def _mined(self, batch: Row, receipt: Receipt) -> None:
        await self._write(
            "batch_mined", id=batch["id"], tx_hash=receipt.tx_hash, block_number=receipt.block_number,
            block_hash=receipt.block_hash, gas_used=receipt.gas_used, gas_price=receipt.effective_gas_price,
        )  # fmt: skip

    async def _look_for_finality(self, batch: Row) -> bool:
        if await self._chain.block_hash(batch["block_number"]) != batch["block_hash"]:
            self._telemetry.log("warning", "reorganised, sending again", batch=batch["id"])
            self._telemetry.count("blockchain_confirmations_total", outcome="reorged")
            await self._write("batch_reopened", id=batch["id"])
            return False
        head = await self._chain.head()
        if confirmations(head.number, batch["block_number"]) >= self._depth:
            await self._store.transact(lambda tx: self._finalise(tx, batch["id"]))
            await self._broker.signal(OUTBOX_WAKE)
            self._telemetry.count("blockchain_confirmations_total", outcome="confirmed")
            self._telemetry.count("blockchain_gas_used_total", batch["gas_used"])
            seconds = (self._clock.now_ms() - batch["closed_at"]) / 1000
            self._telemetry.observe("blockchain_confirmation_duration_seconds", seconds)
        return True

    def _finalise(self, tx: Tx, batch_id: int) -> None:
        """Confirm every job of a batch: state, receipt, gas share and event, all or nothing."""
        self._lease.guard(tx)
        now = self._clock.now_ms()
        if not tx.run("batch_final", id=batch_id, now=now):
            return
        batch = tx.one("batch_get", id=batch_id)
        assert batch is not None
        split = shares(batch["gas_used"], batch["count"])
        for row, gas in zip(tx.all("batch_jobs", batch_id=batch_id), split, strict=True):
            self._confirm(tx, row, batch, gas, now)

    def _confirm(self, tx: Tx, row: Row, batch: Row, gas: int, now: int) -> None:
        completed = row["status"] == JobState.COMPLETED.value
        # A failed job keeps its public status (C91).
        status = JobState.CONFIRMED.value if completed else row["status"]
        tx.run(
            "job_confirmed", id=row["id"], status=status, tx_hash=batch["tx_hash"],
            block_number=batch["block_number"], gas_share=gas, now=now,
        )  # fmt: skip
        event = job_event(
            row, status=status, batch_id=batch["id"], chain_sequence=row["chain_sequence"],
            leaf_index=row["leaf_index"], tx_hash=batch["tx_hash"], block_number=batch["block_number"], gas_share=gas,
        )  # fmt: skip
        enqueue_event(tx, self._ids, EventType.CONFIRMED, event, now, row["traceparent"])
        shown = row | {"status": status, "tx_hash": batch["tx_hash"], "block_number": batch["block_number"]}
        enqueue_deliveries(tx, self._ids, shown, WebhookType.CONFIRMED, now)

    async def _write(self, query: str, **params: object) -> None:
        def work(tx: Tx) -> None:
            self._lease.guard(tx)
            tx.run(query, **params)

        await self._store.transact(work)
