"""Sending: a root becomes a signed transaction that is in the store before it leaves.

A kill at any moment leaves one of two things: no transaction, or one in the store that is sent again byte for byte.
"""

from __future__ import annotations

from simulator.chain.port import Commit, Outlook, Sent, Signed
from simulator.policy.fees import Fees, covers, gas_limit, offer, replacement
from simulator.relayer.desk import Desk
from simulator.store.port import Row, Tx
from zjops.domain.anchoring import TAKEN
from zjops.domain.errors import ChainRefused, ChainUnavailable

GWEI = 10**9


def over_ceiling(outlook: Outlook, most: Fees) -> ChainRefused:
    """Why nothing is sent: the chain is too dear, or the next offer would be."""
    fee, tip = most.max_fee / GWEI, most.max_tip / GWEI
    if offer(outlook.base_fee, outlook.tip, most) is not None:
        text = f"a tenth more than was offered is above the ceiling of {fee:g} gwei, or of {tip:g} for the tip"
    else:
        text = f"the chain asks {outlook.base_fee / GWEI:g} gwei a gas and a tip, the ceiling is {fee:g} gwei"
    return ChainRefused(text, "fee_over_ceiling")


def _out_of_order(batch: int, first: int, following: int) -> ChainRefused | ChainUnavailable:
    """Why the contract does not take a number: it was taken, or the node does not know yet what stands before it."""
    if following < first:
        text = f"the node's contract takes number {following} next, batch {batch} begins at {first}"
        return ChainUnavailable(text, "node_behind")
    text = (
        f"batch {batch} begins at number {first}, and something else has taken the contract's numbers up to "
        f"{following - 1}; nothing is sent until an operator gives it others: zjops chain reanchor"
    )
    return ChainRefused(text, TAKEN)


class Sender:
    """Signs, writes down, sends: in this order."""

    def __init__(self, desk: Desk, most: Fees) -> None:
        self._desk, self._most = desk, most
        self._gas = 0
        self.last_fees: Fees | None = None

    @property
    def can_follow(self) -> bool:
        """Whether the gas of a root is known, so that one may be sent before the one ahead of it is mined."""
        return self._gas > 0

    async def send(self, batch: Row, outlook: Outlook, *, leads: bool) -> str:
        """Send the root of a closed batch; returns the transaction's hash. Raises `ChainRefused`.

        The one that leads is tried on the chain's present state first. A follower cannot be: the number that it needs
        comes with the one ahead of it. It costs what that one costs.
        """
        commit = Commit(batch["first_sequence"], batch["count"], batch["root"])
        if leads:
            self._gas = gas_limit(await self._tried(batch, commit))
        behind, former = await self._desk.store.read(lambda tx: self._nonce(tx, batch["id"], outlook))
        fees = self._fees(former, outlook)
        self._check_funds(outlook, fees, behind - outlook.nonce + 1)
        signed = await self._record(batch, commit, behind, fees)
        await self._desk.send(signed.raw)
        self._desk.telemetry.count("relayer_transactions_total", outcome="sent")
        return signed.tx_hash

    async def _tried(self, batch: Row, commit: Commit) -> int:
        """The gas that a commit needs. Raises `ChainRefused`, which says so where its numbers are somebody else's."""
        try:
            return await self._desk.chain.estimate(commit)
        except ChainRefused as exc:
            following = await self._desk.chain.next_sequence()
            if following == commit.first:
                raise
            raise _out_of_order(batch["id"], commit.first, following) from exc

    def covers(self, standing: Row, outlook: Outlook) -> bool:
        """Whether the offer of a signed transaction is good for the next block."""
        return covers(Fees(standing["max_fee"], standing["max_tip"]), outlook.base_fee, outlook.tip, self._most)

    async def more_for(self, stuck: Row, outlook: Outlook) -> Fees:
        """What to offer in place of a stuck transaction. Raises `ChainRefused`."""
        sender, nonce = stuck["sender"], stuck["nonce"]
        return self._fees(await self._desk.store.read(lambda tx: _offered(tx, sender, nonce)), outlook)

    async def replace(self, batch: Row, stuck: Row, fees: Fees) -> tuple[str, Sent]:
        """Offer that for a stuck transaction, under the same nonce; returns the new hash and what the node said."""
        nonce = stuck["nonce"]
        commit = Commit(batch["first_sequence"], batch["count"], batch["root"])
        self._gas = stuck["gas"]
        signed = await self._record(batch, commit, nonce, fees)
        sent = await self._desk.send(signed.raw)
        self._desk.telemetry.count("relayer_transactions_total", outcome="replaced")
        self._desk.telemetry.log("warning", "stuck, replaced", batch=batch["id"], nonce=nonce, max_fee=fees.max_fee)
        return signed.tx_hash, sent

    def _nonce(self, tx: Tx, batch_id: int, outlook: Outlook) -> tuple[int, Fees | None]:
        """The next nonce, by the chain and by what is on its way; and what was offered under it before."""
        sender = self._desk.chain.sender
        behind = tx.one("nonce_behind", batch_id=batch_id, sender=sender)
        assert behind is not None
        nonce = max(outlook.nonce, behind["nonce"])
        return nonce, _offered(tx, sender, nonce)

    def _fees(self, former: Fees | None, outlook: Outlook) -> Fees:
        quote = outlook.base_fee, outlook.tip, self._most
        fees = offer(*quote) if former is None else replacement(former, *quote)
        if fees is None:
            raise over_ceiling(outlook, self._most)
        self.last_fees = fees
        return fees

    def _check_funds(self, outlook: Outlook, fees: Fees, waiting: int) -> None:
        """Refuse before a node does: it would take the first and strand the others."""
        needed = max(1, waiting) * self._gas * fees.max_fee
        if outlook.balance < needed:
            text = f"{self._desk.chain.sender} holds {outlook.balance} wei and needs {needed}; send it some"
            raise ChainRefused(text, "out_of_funds")

    async def _record(self, batch: Row, commit: Commit, nonce: int, fees: Fees) -> Signed:
        chain, now = self._desk.chain, self._desk.clock.now_ms()
        signed = chain.sign(commit, nonce, self._gas, fees)

        def record(tx: Tx) -> None:
            tx.run(
                "batch_transaction_put", tx_hash=signed.tx_hash, batch_id=batch["id"], sender=chain.sender, nonce=nonce,
                gas=self._gas, max_fee=fees.max_fee, max_tip=fees.max_tip, raw=signed.raw, now=now,
            )  # fmt: skip
            tx.run("batch_sent", id=batch["id"], tx_hash=signed.tx_hash, now=now)

        await self._desk.transact(record)
        return signed

    async def again(self, transaction: Row) -> Sent:
        """Send what was signed before, byte for byte: a node that knows it says so."""
        sent = await self._desk.send(transaction["raw"])
        if sent is Sent.TAKEN:
            self._desk.telemetry.count("relayer_transactions_total", outcome="again")
        return sent


def _offered(tx: Tx, sender: str, nonce: int) -> Fees | None:
    row = tx.one("nonce_fees", sender=sender, nonce=nonce)
    return None if row is None or row["max_fee"] is None else Fees(row["max_fee"], row["max_tip"])
