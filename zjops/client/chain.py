"""The chain as a verifier reads it: over the context's own RPC address, never through the API.

A handful of plain JSON-RPC questions, on purpose not through the library by which the platform writes: whoever checks
should not share the code of whoever is checked.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from zjops.client.http import Http
from zjops.client.rpc import Rpc, RpcRefused
from zjops.config import Context
from zjops.domain.blocks import Pieces, Since
from zjops.domain.errors import ChainUnavailable, UsageError
from zjops.domain.merkle import keccak256

ROOT_OF = keccak256(b"rootOf(uint64)")[:4]
PAUSED = keccak256(b"paused()")[:4]
NEXT_SEQUENCE = keccak256(b"nextSequence()")[:4]
ROOT_COMMITTED = keccak256(b"RootCommitted(uint64,uint32,bytes32,uint64)")
TOLD_BYTES = 3 * 32
"""What the event tells beside its indexed first number: count, root and time."""


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Commit(NamedTuple):
    """The block and the transaction that committed a batch, and what the contract told of it: jobs and root."""

    block: int
    tx_hash: str
    jobs: int
    root: bytes

    @classmethod
    def of(cls, log: dict[str, Any]) -> Commit:
        """From an entry of `eth_getLogs`. Raises `KeyError`, `TypeError` or `ValueError` for what is none."""
        data = bytes.fromhex(log["data"].removeprefix("0x"))
        if len(data) != TOLD_BYTES:
            raise ValueError(f"RootCommitted has {len(data)} bytes of data, not {TOLD_BYTES}")
        jobs, root = int.from_bytes(data[:32], "big"), data[32:64]
        return cls(int(log["blockNumber"], 16), str(log["transactionHash"]), jobs, root)


class Block(NamedTuple):
    """A block's hash and the hashes of its transactions, 0x-prefixed lower case."""

    hash: str
    transactions: frozenset[str]


class ChainReader:
    """Reads a registry contract. Raises `ChainUnavailable`, and `UsageError` for a context that cannot name one."""

    def __init__(self, context: Context, http: Http | None = None) -> None:
        if context.rpc_url is None or context.contract is None:
            raise UsageError(f"context {context.name} names no chain (rpc_url, chain_id, contract, code_hash)")
        if not re.fullmatch("0x[0-9a-fA-F]{40}", context.contract):
            raise UsageError(f"{context.contract!r:.80} is no contract's address: 0x and 40 digits of hex")
        self.rpc, self._contract = Rpc(context.rpc_url, http), context.contract
        self.http = self.rpc.http

    def _call(self, data: bytes, at: int | None = None) -> bytes:
        block = "latest" if at is None else hex(at)
        return self.rpc.data("eth_call", {"to": self._contract, "data": "0x" + data.hex()}, block)

    def chain_id(self) -> int:
        """Which chain this is."""
        return self.rpc.number("eth_chainId")

    def code_hash(self) -> str:
        """keccak-256 of the code at the contract's address."""
        return "0x" + keccak256(self.code()).hex()

    def head(self) -> int:
        """The newest block's number."""
        return self.rpc.number("eth_blockNumber")

    def block(self, number: int) -> Block | None:
        """The block of a number, None when the node has none."""
        found = self.rpc.ask("eth_getBlockByNumber", hex(number), False)
        try:
            if found is None:
                return None
            return Block(str(found["hash"]).lower(), frozenset(str(name).lower() for name in found["transactions"]))
        except (KeyError, TypeError) as exc:
            raise ChainUnavailable(f"{self.rpc.url} answers eth_getBlockByNumber strangely: {exc}") from exc

    def root_of(self, first: int, at: int | None = None) -> bytes | None:
        """The root of the batch that begins with a number, in the state after a block, the newest by default."""
        root = self._call(ROOT_OF + _word(first), at)
        return root if any(root) else None

    def next_sequence(self, at: int | None = None) -> int:
        """The number that the next batch will begin with, in the state after a block, the newest by default."""
        return int.from_bytes(self._call(NEXT_SEQUENCE, at), "big")

    def paused(self) -> bool:
        """Whether the contract takes no confirmations."""
        return any(self._call(PAUSED))

    def code(self) -> bytes:
        """The code at the contract's address."""
        return self.rpc.data("eth_getCode", self._contract, "latest")

    def tagged(self, tag: str) -> int:
        """The number of the block that the chain calls `safe` or `finalized`."""
        try:
            return int(self.rpc.block(tag)["number"], 16)
        except (KeyError, TypeError, ValueError) as exc:
            raise ChainUnavailable(f"{self.rpc.url} answers for block {tag} strangely: {exc}") from exc

    def commit_of(self, first: int, told: int | None = None) -> Commit | None:
        """Where a batch was committed, from the contract's own log.

        Asks about the block that somebody told, and only when it is not that one, or nobody did, about all since the
        deployment, in pieces: public nodes refuse long ranges.
        """
        head = self.head()
        found = self._committed(first, told, told) if told is not None and 0 <= told <= head else None
        if found is not None or self.root_of(first) is None:
            return found
        pieces = Pieces(self._deployed_at(head), head)
        while (piece := pieces.piece) is not None:
            try:
                found = self._committed(first, *piece)
            except RpcRefused:
                if not pieces.refused():
                    raise
                continue
            if found is not None:
                return found
            pieces.answered()
        return None

    def gas_of(self, tx_hash: str) -> int | None:
        """The gas that a mined transaction used."""
        receipt = self.rpc.ask("eth_getTransactionReceipt", tx_hash)
        try:
            return None if receipt is None else int(receipt["gasUsed"], 16)
        except (KeyError, TypeError, ValueError) as exc:
            raise ChainUnavailable(f"{self.rpc.url} answers eth_getTransactionReceipt strangely: {exc}") from exc

    def _deployed_at(self, head: int) -> int:
        """The first block in which the contract's code stands; the chain's first where old states are refused."""
        since = Since(head)
        while (at := since.ask) is not None:
            try:
                since.told(bool(self.rpc.data("eth_getCode", self._contract, hex(at))))
            except RpcRefused:
                return 0
        return since.found

    def _committed(self, first: int, oldest: int, newest: int) -> Commit | None:
        """The same from a range of blocks."""
        topics = ["0x" + ROOT_COMMITTED.hex(), "0x" + _word(first).hex()]
        wanted = {"fromBlock": hex(oldest), "toBlock": hex(newest), "address": self._contract, "topics": topics}
        logs = self.rpc.ask("eth_getLogs", wanted)
        try:
            return Commit.of(logs[-1]) if logs else None
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise ChainUnavailable(f"{self.rpc.url} answers eth_getLogs strangely: {exc}") from exc
