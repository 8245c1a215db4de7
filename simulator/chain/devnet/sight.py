"""What can be seen of the chain: all of it, or all but the newest blocks while the head is stale."""

from __future__ import annotations

from typing import Any

from eth.abc import BlockAPI

from simulator.chain.devnet.encoding import BadParams, read_bytes, read_int
from simulator.chain.devnet.node import Node

SAFE_DEPTH, FINAL_DEPTH = 2, 3
"""Blocks on top, the block itself included, from which a block counts as `safe` and as `finalized`.

eth-tester calls the newest block finalized. That would hide every reorganisation from a client that goes by tags, so
the devnet's tags stand where depth 2 and depth 3 (C81) stand.
"""
NEWEST = ("latest", "pending")
BEHIND = {"safe": SAFE_DEPTH, "finalized": FINAL_DEPTH}


class Sight:
    """The chain up to the head that clients are shown. Every answer about the chain is read through this."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @property
    def head(self) -> int:
        """The newest block that is shown."""
        ledger = self._node.ledger
        return max(0, int(ledger.head.block_number) - ledger.controls.stale_blocks)

    @property
    def next_base_fee(self) -> int:
        """What the block after the head charges a unit of gas, in wei."""
        return self.base_fee_after(self.head)

    def base_fee_after(self, number: int) -> int:
        """What the block after a block charges, made already or not."""
        following = self._node.ledger.block(number + 1)
        return self._node.ledger.next_base_fee if following is None else int(following.header.base_fee_per_gas)

    def tagged(self, tag: str) -> int:
        """The number that `safe` or `finalized` means now."""
        return max(0, self.head - BEHIND[tag] + 1)

    def number(self, tag: Any) -> int:
        """The number that a tag, a quantity or an EIP-1898 object means. Raises `BadParams`."""
        if isinstance(tag, dict):
            if "blockHash" in tag:
                block = self.block_of(tag["blockHash"])
                if block is None:
                    raise BadParams("header not found")
                return int(block.number)
            tag = tag.get("blockNumber")
        if tag is None or tag in NEWEST:
            return self.head
        if tag in BEHIND:
            return self.tagged(tag)
        return 0 if tag == "earliest" else read_int(tag, "block")

    def state_number(self, tag: Any) -> int:
        """The same for a block whose state is asked for, which must be there. Raises `BadParams`."""
        number = self.number(tag)
        if number > self.head:
            raise BadParams("header not found")
        return number

    def block(self, tag: Any) -> BlockAPI | None:
        """A block by tag or number."""
        number = self.number(tag)
        return self._node.ledger.block(number) if number <= self.head else None

    def block_of(self, block_hash: Any) -> BlockAPI | None:
        """A block by its hash, unless a reorganisation has removed it. Raises `BadParams`."""
        wanted = read_bytes(block_hash, "block hash", 32)
        try:
            number = self._node.ledger.chain.get_block_header_by_hash(wanted).block_number
        except Exception:  # py-evm has several names for "no such block"
            return None
        block = self.block(number)
        return block if block is not None and block.hash == wanted else None

    def locate(self, tx_hash: bytes) -> tuple[BlockAPI, int] | None:
        """The block and position of a mined transaction, if the block is shown."""
        found = self._node.ledger.locate(tx_hash)
        return found if found is not None and found[0].number <= self.head else None
