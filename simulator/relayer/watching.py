"""Watching: what became of the transactions of a batch, and what to do when nothing becomes of them.

A batch may have been sent under several hashes; whichever is mined counts, and all of one nonce can be mined only once.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from simulator.chain.port import Outlook, Receipt, Sent
from simulator.relayer.desk import Desk
from simulator.relayer.sending import Sender
from simulator.store.port import Row
from zjops.domain.errors import ChainRefused

STRIKES = 3
"""How many looks must agree that a nonce is lost before a batch is signed under another."""
Ask = Callable[[], Awaitable[Outlook]]


class Fate(enum.Enum):
    """Where a batch stands after a look."""

    MINED = enum.auto()
    WAITS = enum.auto()
    REOPENED = enum.auto()


@dataclass
class _Patience:
    """What is remembered of a batch between looks, in monotonic seconds: a wrong wall clock changes nothing.

    `since` is when it came to lead: what waits behind another is not stuck.
    """

    since: float | None = None
    tried: dict[str, float] = field(default_factory=dict)
    strikes: int = 0


class Watcher:
    """Looks after the first batch that is not mined; those behind it cannot be mined before it."""

    def __init__(self, desk: Desk, sender: Sender, *, again_after_s: float, stuck_after_s: float) -> None:
        self._desk, self._sender = desk, sender
        self._again_after_s, self._stuck_after_s = again_after_s, stuck_after_s
        self._patience: dict[int, _Patience] = {}

    async def transactions(self, batch_id: int) -> list[Row]:
        """What was signed for a batch, the newest first."""
        return await self._desk.store.read(lambda tx: tx.all("batch_transactions", batch_id=batch_id))

    async def look(self, batch: Row, ask: Ask) -> Fate:
        """See what became of a sent batch; press on when nothing did."""
        signed = await self.transactions(batch["id"])
        receipt = await self.receipt(signed)
        if receipt is not None and receipt.status == 1:
            await self.mined(batch, receipt)
            return Fate.MINED
        if receipt is not None or not signed:
            self._desk.telemetry.count("blockchain_confirmations_total", outcome="failed")
            return await self._reopen(batch, "its transaction was mined and reverted")
        return await self._press(batch, signed[0], ask)

    def sent(self, batch: Row, tx_hash: str) -> None:
        """Remember that a transaction has just left, so that it is not sent again at once."""
        now = self._desk.clock.monotonic()
        self._patience[batch["id"]] = _Patience(tried={tx_hash: now})

    def forget(self) -> None:
        """Be patient anew with every batch: what was sent for them is another chain's."""
        self._patience.clear()

    async def receipt(self, signed: list[Row]) -> Receipt | None:
        """The receipt of whichever transaction was mined."""
        for transaction in signed:
            receipt = await self._desk.chain.receipt(transaction["tx_hash"])
            if receipt is not None:
                return receipt
        return None

    async def mined(self, batch: Row, receipt: Receipt) -> None:
        """Write down that a batch is in a block."""
        self._patience.pop(batch["id"], None)
        await self._desk.write(
            "batch_mined", id=batch["id"], tx_hash=receipt.tx_hash, block_number=receipt.block_number,
            block_hash=receipt.block_hash, gas_used=receipt.gas_used, gas_price=receipt.effective_gas_price,
        )  # fmt: skip

    async def adopt(self, batch: Row) -> bool:
        """Take a root that is on chain already for ours: a store restored from a copy does not know that it sent it."""
        chain = self._desk.chain
        if await chain.root_of(batch["first_sequence"]) != batch["root"]:
            return False
        receipt = await chain.find_root(batch["first_sequence"])
        if receipt is not None:
            await self.mined(batch, receipt)
        return receipt is not None

    async def _press(self, batch: Row, newest: Row, ask: Ask) -> Fate:
        now = self._desk.clock.monotonic()
        patience = self._patience.setdefault(batch["id"], _Patience())
        since = patience.since = now if patience.since is None else patience.since
        if now - patience.tried.get(newest["tx_hash"], float("-inf")) >= self._again_after_s:
            if await self._again(patience, newest, ask, now):
                return await self._start_over(batch)
            patience.tried[newest["tx_hash"]] = now
        if now - since >= self._stuck_after_s:
            fresh = await self._sender.replace(batch, newest, await ask())
            patience.since = patience.tried[fresh] = now
        return Fate.WAITS

    async def _again(self, patience: _Patience, newest: Row, ask: Ask, now: float) -> bool:
        """Send it once more, in case that it was lost; whether its nonce is lost instead."""
        sent = await self._sender.again(newest)
        if sent is Sent.NO_FUNDS:
            raise ChainRefused(f"{newest['sender']} cannot pay for what it sends; send it some", "out_of_funds")
        lost = sent is Sent.NONCE_USED or _in_a_gap(newest["nonce"], await ask())
        if sent is Sent.TAKEN and patience.tried:
            self._desk.telemetry.log("warning", "the pool had lost it, sent again", tx_hash=newest["tx_hash"])
        patience.strikes = patience.strikes + 1 if lost else 0
        if lost:
            # Looked at again at once: its receipt may have come between two questions.
            patience.tried.clear()
        return patience.strikes >= STRIKES

    async def _start_over(self, batch: Row) -> Fate:
        if await self.adopt(batch):
            return Fate.MINED
        return await self._reopen(batch, "its nonce was used by something else or left a gap")

    async def _reopen(self, batch: Row, why: str) -> Fate:
        """Sign anew what comes from this batch on; the contract's own order lets no root be committed twice."""
        self._patience.clear()
        self._desk.telemetry.log("warning", "signed anew", batch=batch["id"], reason=why)
        await self._desk.write("batches_reopened", id=batch["id"])
        return Fate.REOPENED


def _in_a_gap(nonce: int, outlook: Outlook) -> bool:
    """Whether a nonce waits for one before it that nobody holds."""
    return nonce > outlook.nonce and outlook.pending == outlook.nonce
