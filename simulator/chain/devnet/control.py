"""`devnet_*`: what an operator or a test does to the chain. Real nodes have no such methods, and say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eth.abc import BlockAPI

from simulator.chain.devnet.encoding import BadParams, data, quantity, read_bytes, read_dict, read_int
from simulator.chain.devnet.filters import Filters
from simulator.chain.devnet.node import Node
from simulator.chain.devnet.sight import Sight
from simulator.chain.devnet.views import log_view
from simulator.config import CLOCK_OFFSET_MOST_S

MINE_MOST = 1_000
REORG_MOST = 256
FEE_MOST = 2**64 - 1
EQUIVALENTS = {
    "anvil_reorg": "devnet_reorg", "anvil_dropTransaction": "devnet_dropTransaction", "anvil_mine": "devnet_mine",
    "anvil_setNextBlockBaseFeePerGas": "devnet_setBaseFee", "anvil_setBalance": "devnet_setBalance",
    "anvil_nodeInfo": "devnet_status", "evm_setAutomine": "devnet_pause", "evm_setIntervalMining": "devnet_pause",
    "evm_increaseTime": "devnet_setClockOffset", "anvil_increaseTime": "devnet_setClockOffset",
    "evm_setNextBlockTimestamp": "devnet_setClockOffset", "anvil_setTime": "devnet_setClockOffset",
}  # fmt: skip
"""What people who come from another development node look for."""


class ControlMethods:
    """The methods that change the chain or what is seen of it. `table` names them."""

    def __init__(self, node: Node, sight: Sight, filters: Filters) -> None:
        self._node, self._sight, self._filters = node, sight, filters
        self.table: dict[str, Callable[..., Any]] = {
            "devnet_mine": self.mine, "devnet_reorg": self.reorg, "devnet_dropTransaction": self.drop,
            "devnet_setBaseFee": self.set_base_fee, "devnet_staleHead": self.stale_head,
            "devnet_pause": self.pause, "devnet_resume": self.resume, "devnet_setBalance": self.set_balance,
            "devnet_setClockOffset": self.set_clock_offset, "devnet_status": self.status, "evm_mine": self.evm_mine,
        }  # fmt: skip

    @property
    def _ledger(self) -> Any:
        return self._node.ledger

    def _head(self) -> dict[str, Any]:
        """The true head, stale or not."""
        header = self._ledger.head
        return {
            "number": quantity(header.block_number), "hash": data(header.hash), "timestamp": quantity(header.timestamp),
            "baseFeePerGas": quantity(header.base_fee_per_gas),
        }  # fmt: skip

    def mine(self, count: Any = 1) -> dict[str, Any]:
        """Make blocks now; returns the new head."""
        for _ in range(_within(count, "count", 1, MINE_MOST)):
            self._node.mine()
        return self._head()

    def evm_mine(self, asked: Any = None) -> str:
        """The same as other development nodes call it."""
        self.mine(asked.get("blocks", 1) if isinstance(asked, dict) else 1)
        return "0x0"

    def reorg(self, depth: Any, options: Any = None) -> dict[str, Any]:
        """Replace the newest blocks by as many empty ones; returns the new head and what was removed.

        The transactions go back to the pool, for the block after, unless `keepTransactions` is false.
        """
        wanted = read_dict({} if options is None else options, "options")
        keep = wanted.get("keepTransactions", True)
        if wanted.keys() - {"keepTransactions"} or not isinstance(keep, bool):
            raise BadParams('options may be {"keepTransactions": true or false}')
        head = int(self._ledger.head.block_number)
        if head == 0:
            raise BadParams("the chain has its first block only, which cannot be removed")
        blocks = _within(depth, "depth", 1, min(head, REORG_MOST), f"the chain has {head} blocks after its first")
        logs = self._ledger.logs(head - blocks + 1, head, [], [])
        removed = self._node.reorganise(blocks, keep)
        self._tell_filters(removed, logs)
        gone = [data(t.hash) for block in removed for t in block.transactions]
        return self._head() | {"removed": gone}

    def _tell_filters(self, removed: list[BlockAPI], logs: list[dict[str, Any]]) -> None:
        hashes = {block.number: block.hash for block in removed}
        told = [(row, log_view(row, hashes[row["block"]], removed=True)) for row in logs]
        self._filters.reorganised(removed[0].number - 1, told)

    def drop(self, tx_hash: Any) -> bool:
        """Forget a waiting transaction; false when none of that hash waits."""
        return self._node.drop(read_bytes(tx_hash, "transaction hash", 32))

    def set_base_fee(self, wei: Any) -> str:
        """Pin the base fee of every block to come, or let it move again by null; returns the next block's."""
        self._ledger.control(base_fee=None if wei is None else _within(wei, "wei", 0, FEE_MOST))
        return quantity(self._ledger.next_base_fee)

    def stale_head(self, blocks: Any) -> dict[str, Any]:
        """Answer as if the newest blocks did not exist, or all again by null; returns the block that is now shown last.

        It lags behind the head by so many blocks and moves with it. Transactions are taken as before.
        """
        head = int(self._ledger.head.block_number)
        self._ledger.control(stale_blocks=0 if blocks is None else _within(blocks, "blocks", 0, head))
        shown = self._ledger.block(self._sight.head)
        return {"number": quantity(shown.number), "hash": data(shown.hash)}

    def pause(self) -> bool:
        """Stop the block timer; transactions are taken and wait."""
        self._ledger.control(paused=True)
        return True

    def resume(self) -> bool:
        """Let the block timer go on."""
        self._ledger.control(paused=False)
        return True

    def set_clock_offset(self, seconds: Any) -> int:
        """Have blocks tell a time ahead of the machine's (behind it if negative), or as set at the start by null.

        Returns what holds now. No block is older than its parent: one that should be is a second younger.
        """
        whole = seconds is None or (isinstance(seconds, int) and not isinstance(seconds, bool))
        most = CLOCK_OFFSET_MOST_S
        if not whole or abs(seconds or 0) > most:
            raise BadParams(f"seconds is a whole number from -{most} to {most}, or null")
        self._ledger.control(clock_offset_s=seconds)
        return self._node.clock_offset_s

    def set_balance(self, address: Any, wei: Any) -> dict[str, Any]:
        """Give an account another balance, by a block made now; returns the new head."""
        self._node.set_balance(read_bytes(address, "address", 20), read_int(wei, "wei"))
        return self._head()

    def status(self) -> dict[str, Any]:
        """The true head and what is shown of it, what is set, and what waits."""
        controls, fee = self._ledger.controls, self._ledger.controls.base_fee
        pending, queued = self._node.pool.counts(self._node.nonce_of)
        return {
            "schema": "zjops.devnet/1", "chainId": quantity(self._ledger.chain_id), "head": self._head(),
            "shown": quantity(self._sight.head), "safe": quantity(self._sight.tagged("safe")),
            "finalized": quantity(self._sight.tagged("finalized")), "paused": controls.paused,
            "staleBlocks": controls.stale_blocks, "pinnedBaseFee": None if fee is None else quantity(fee),
            "nextBaseFee": quantity(self._ledger.next_base_fee), "reorgs": controls.forks,
            "clockOffset": self._node.clock_offset_s,
            "pool": {"pending": pending, "queued": queued},
        }  # fmt: skip


def _within(value: Any, name: str, least: int, most: int, why: str = "") -> int:
    """A quantity between two bounds. Raises `BadParams`."""
    found = read_int(value, name)
    if not least <= found <= most:
        raise BadParams(f"{name} goes from {least} to {most}" + (f": {why}" if why else ""))
    return found
