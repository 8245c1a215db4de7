"""Watching: what became of the transactions of a batch, and what to do when nothing becomes of them.

A batch may have been sent under several hashes; whichever is mined counts, and all of one nonce can be mined only once.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from simulator.chain.port import Outlook, Receipt, Sent
from simulator.policy.sticking import Stood, may_raise
from simulator.policy.strikes import Strikes
from simulator.relayer.desk import Desk
from simulator.relayer.sending import Sender
from simulator.store.port import Row
from zjops.domain.anchoring import DISAGREE
from zjops.domain.errors import ChainRefused, ChainUnavailable

Ask = Callable[[], Awaitable[Outlook]]


class Fate(enum.Enum):
    """Where a batch stands after a look."""

    MINED = enum.auto()
    WAITS = enum.auto()
    REOPENED = enum.auto()


class _Mark(NamedTuple):
    """A moment: monotonic seconds, so that a wrong wall clock changes nothing, and the newest block."""

    at: float
    block: int

    def until(self, now: _Mark) -> Stood:
        """What has passed since."""
        return Stood(now.at - self.at, now.block - self.block)


@dataclass
class _Patience:
    """What is remembered of a batch between looks.

    `since` is when it came to lead or last offered more: what waits behind another is not stuck. `held` is since when
    the pool has held the present offer. `said` is what the node last said of it, `refusal` why it did not want it;
    `strikes` counts who found its nonce lost, before the batch is signed under another.
    """

    since: _Mark | None = None
    held: _Mark | None = None
    tried: dict[str, float] = field(default_factory=dict)
    said: Sent | None = None
    refusal: tuple[str, str] | None = None
    strikes: Strikes = field(default_factory=Strikes)

    def begin(self, now: _Mark) -> _Mark:
        """Count from here on."""
        self.since = self.held = now
        self.said = self.refusal = None
        return now


class Watcher:
    """Looks after the first batch that is not mined; those behind it cannot be mined before it."""

    def __init__(self, desk: Desk, sender: Sender, *, again_after_s: float, stuck_after_s: float) -> None:
        self._desk, self._sender = desk, sender
        self._again_after_s, self._stuck_after_s = again_after_s, stuck_after_s
        self._patience: dict[int, _Patience] = {}

    async def transactions(self, batch_id: int) -> list[Row]:
        """What was signed for a batch, the newest first."""
        return await self._desk.store.read(lambda tx: tx.all("batch_transactions", batch_id=batch_id))

    async def look(self, batch: Row, head: int, ask: Ask) -> Fate:
        """See what became of a sent batch by the newest block; press on when nothing did."""
        signed = await self.transactions(batch["id"])
        receipt = await self.receipt(signed)
        if receipt is not None and receipt.status == 1:
            await self.mined(batch, receipt)
            return Fate.MINED
        if receipt is not None or not signed:
            self._desk.telemetry.count("blockchain_confirmations_total", outcome="failed")
            return await self._reopen(batch, "its transaction was mined and reverted")
        return await self._press(batch, signed[0], head, ask)

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
        receipt = await self.receipt(await self.transactions(batch["id"]))
        if receipt is None or receipt.status != 1:
            receipt = await chain.find_root(batch["first_sequence"])
        if receipt is None:
            raise ChainUnavailable(f"the root of batch {batch['id']} is on chain, the node's log has it not", DISAGREE)
        await self.mined(batch, receipt)
        return True

    async def _press(self, batch: Row, newest: Row, head: int, ask: Ask) -> Fate:
        now = _Mark(self._desk.clock.monotonic(), head)
        patience = self._patience.setdefault(batch["id"], _Patience())
        since = patience.since or patience.begin(now)
        due = now.at - patience.tried.get(newest["tx_hash"], float("-inf")) >= self._again_after_s
        if due and await self._again(patience, newest, now, await ask()):
            return await self._start_over(batch)
        if since.until(now).long_enough(self._stuck_after_s) and patience.said is not Sent.NO_FUNDS:
            await self._offer_more(batch, newest, patience, now, await ask())
        elif patience.refusal is not None:
            raise ChainRefused(*patience.refusal)
        return Fate.WAITS

    async def _again(self, patience: _Patience, newest: Row, now: _Mark, outlook: Outlook) -> bool:
        """Send it once more, in case that it was lost; whether its nonce is lost instead."""
        tried_before, patience.said, patience.refusal = bool(patience.tried), None, None
        patience.tried[newest["tx_hash"]] = now.at
        try:
            patience.said = sent = await self._sender.again(newest)
        except ChainRefused as exc:
            # Kept and not raised at once: what a node does not want at this price it may want at another.
            patience.refusal = str(exc), exc.reason
            return False
        if sent is Sent.NO_FUNDS:
            patience.refusal = f"{newest['sender']} cannot pay for what it sends; send it some", "out_of_funds"
            return False
        if sent is Sent.TAKEN and outlook.pending <= newest["nonce"]:
            patience.held = now
            if tried_before:
                self._desk.telemetry.log("warning", "the pool had lost it, sent again", tx_hash=newest["tx_hash"])
        if sent is not Sent.NONCE_USED and not _in_a_gap(newest["nonce"], outlook):
            patience.strikes.clear()
            return False
        # Looked at again at once: its receipt may have come between two questions.
        patience.tried.clear()
        return patience.strikes.strike(now.block)

    async def _offer_more(self, batch: Row, newest: Row, patience: _Patience, now: _Mark, outlook: Outlook) -> None:
        """Replace what is stuck, if more can help. Raises `ChainRefused` with the reason why it waits instead."""
        held = patience.said in (Sent.KNOWN, Sent.UNDERPRICED) or outlook.pending > newest["nonce"]
        passed_over = held and patience.held is not None and patience.held.until(now).long_enough(self._stuck_after_s)
        too_low, covers = patience.said is Sent.FEE_TOO_LOW, self._sender.covers(newest, outlook)
        if not may_raise(covers=covers, passed_over=passed_over, too_low=too_low):
            if patience.refusal is not None or not held:
                raise ChainRefused(*(patience.refusal or _dropped(batch, newest)))
            return
        fees = await self._sender.more_for(newest, outlook)
        # Before it leaves: where its answer is lost, the next look must not offer still more at once.
        patience.begin(now)
        fresh, patience.said = await self._sender.replace(batch, newest, fees)
        patience.tried[fresh] = now.at

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


def _dropped(batch: Row, newest: Row) -> tuple[str, str]:
    text = f"the node takes transaction {newest['tx_hash']} of batch {batch['id']} again and again and does not keep it"
    return text, "transaction_dropped"


def _in_a_gap(nonce: int, outlook: Outlook) -> bool:
    """Whether a nonce waits for one before it that nobody holds."""
    return nonce > outlook.nonce and outlook.pending == outlook.nonce
