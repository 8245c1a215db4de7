"""The node: takes transactions, makes a block at every tick, survives being killed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from eth.abc import BlockAPI, SignedTransactionAPI
from eth.exceptions import VMError
from eth_keys.exceptions import BadSignature
from eth_utils import ValidationError
from rlp.exceptions import RLPException
from starlette.types import ASGIApp

from simulator.chain.devnet.pool import Pool, Refused, Waiting
from simulator.chain.devnet.state import Ledger
from simulator.service import Looped
from zjops.domain.clock import Clock

DATABASE = "devnet.sqlite"
_UNREADABLE = (ValidationError, RLPException, BadSignature, VMError, ValueError, IndexError, TypeError, KeyError)


class Node(Looped):
    """A chain of one. Executing is so short that it happens on the event loop itself, so nothing needs a lock."""

    def __init__(
        self, home: Path, *, chain_id: int, block_time_s: float, funded: Sequence[str], clock: Clock,
        clock_offset_s: int = 0,
    ) -> None:  # fmt: skip
        super().__init__("block timer")
        self._clock_offset_s = clock_offset_s
        self._path, self._chain_id, self._funded = home / "chain" / DATABASE, chain_id, funded
        self._block_time_s, self._clock = block_time_s, clock
        self.pool = Pool()
        self._ledger: Ledger | None = None

    @property
    def app(self) -> ASGIApp:
        """The JSON-RPC front of this node."""
        from simulator.chain.devnet.front import Front

        return Front(self)

    @property
    def ledger(self) -> Ledger:
        """The chain; there once the node was started."""
        assert self._ledger is not None
        return self._ledger

    @property
    def ready(self) -> bool:
        """Whether blocks are made."""
        return self._task is not None and not self._task.done()

    async def start(self) -> None:
        if self._ledger is None:
            began_at = self._clock.now_ms() // 1000 + self._clock_offset_s
            self._ledger = Ledger(self._path, self._chain_id, self._funded, began_at)
            self._load_pool()
            await super().start()

    async def stop(self) -> None:
        """Stop in order, which heals what somebody set; after a kill it holds on."""
        await super().stop()
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            ledger.control(paused=False, stale_blocks=0, base_fee=None, clock_offset_s=None)
            ledger.close()

    def _load_pool(self) -> None:
        """What waited when the process ended waits again."""
        for (raw,) in self.ledger.mirror.connection.execute("SELECT raw FROM pool ORDER BY rowid").fetchall():
            with contextlib.suppress(Refused):
                self._admit(bytes(raw))

    async def _run(self) -> None:
        """A block every so often, by the clock and not by the time that the last one took."""
        due = self._clock.monotonic()
        while True:
            due = max(due + self._block_time_s, self._clock.monotonic())
            await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
            if not self.ledger.controls.paused:
                self.mine()

    @property
    def clock_offset_s(self) -> int:
        """How far the blocks' time is ahead of the machine's, in seconds, as far as a block may go back."""
        chosen = self.ledger.controls.clock_offset_s
        return self._clock_offset_s if chosen is None else chosen

    def mine(self) -> BlockAPI:
        """Make one block now."""
        ledger = self.ledger
        chosen = (w.body for w in self.pool.executable(ledger.next_base_fee, self.nonce_of))
        block, refused = ledger.mine(chosen, self._clock.now_ms() // 1000 + self.clock_offset_s)
        gone = [t.hash for t in block.transactions] + refused
        for tx_hash in gone:
            self.pool.remove(tx_hash)
        self._forget(self.pool.stale(self.nonce_of))
        return block

    def _forget(self, hashes: Sequence[bytes]) -> None:
        """Take transactions out of the pool and of the file."""
        for tx_hash in hashes:
            self.pool.remove(tx_hash)
        if hashes:
            self.ledger.mirror.stage("DELETE FROM pool WHERE hash = ?", [(h,) for h in hashes])
            self.ledger.mirror.commit()

    def drop(self, tx_hash: bytes) -> bool:
        """Forget a waiting transaction; whether there was one."""
        known = self.pool.get(tx_hash) is not None
        self._forget([tx_hash] if known else [])
        return known

    def reorganise(self, depth: int, keep: bool) -> list[BlockAPI]:
        """Replace the newest blocks by as many empty ones; with `keep` what they held waits again. Returns them."""
        removed = self.ledger.reorganise(depth, keep)
        for transaction in (t for block in removed if keep for t in block.transactions):
            self.pool.restore(_waiting(transaction, transaction.sender))
        return removed

    def set_balance(self, address: bytes, wei: int) -> BlockAPI:
        """Give an account another balance, by a block of its own."""
        self.ledger.set_balance(address, wei)
        return self.mine()

    def nonce_of(self, sender: bytes) -> int:
        """The next nonce of an account on the chain."""
        return int(self.ledger.vm(self.ledger.head.block_number).state.get_nonce(sender))

    def send(self, raw: bytes) -> bytes:
        """Take a signed transaction into the pool, durably; returns its hash. Raises `Refused`."""
        waiting, replaced = self._admit(raw)
        mirror = self.ledger.mirror
        if replaced is not None:
            mirror.stage("DELETE FROM pool WHERE hash = ?", [(replaced.hash,)])
        mirror.stage("INSERT OR REPLACE INTO pool VALUES (?, ?)", [(waiting.hash, raw)])
        mirror.commit()
        return waiting.hash

    def _admit(self, raw: bytes) -> tuple[Waiting, Waiting | None]:
        try:
            transaction = self.ledger.decode(raw)
            sender = transaction.sender
            transaction.validate()
        except _UNREADABLE as exc:
            raise Refused(f"transaction cannot be read: {exc}") from exc
        self._check(transaction)
        waiting = _waiting(transaction, sender)
        state = self.ledger.vm(self.ledger.head.block_number).state
        replaced = self.pool.add(waiting, state.get_nonce(sender), state.get_balance(sender))
        return waiting, replaced

    def _check(self, transaction: SignedTransactionAPI) -> None:
        chain_id = transaction.chain_id
        if chain_id is not None and chain_id != self._chain_id:
            raise Refused(f"invalid chain id for signer: have {chain_id} want {self._chain_id}")
        if transaction.gas > self.ledger.head.gas_limit:
            raise Refused("exceeds block gas limit")
        if transaction.gas < transaction.intrinsic_gas:
            raise Refused(f"intrinsic gas too low: gas {transaction.gas}, minimum needed {transaction.intrinsic_gas}")
        if self.ledger.locate(transaction.hash) is not None:
            raise Refused("already known")


def _waiting(transaction: SignedTransactionAPI, sender: bytes) -> Waiting:
    return Waiting(
        hash=transaction.hash, sender=sender, nonce=transaction.nonce, gas=transaction.gas, value=transaction.value,
        max_fee=transaction.max_fee_per_gas, max_tip=transaction.max_priority_fee_per_gas, body=transaction,
    )  # fmt: skip
