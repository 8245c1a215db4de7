"""The Chain port: what the relayer needs of the confirmation contract. Hashes are 0x-prefixed hex, roots 32 bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Head:
    """The newest block: number, hash, Unix seconds."""

    number: int
    hash: str
    timestamp: int


@dataclass(frozen=True)
class Receipt:
    """What became of a mined transaction; `status` 1 is success, gas in units, price in wei."""

    tx_hash: str
    block_number: int
    block_hash: str
    status: int
    gas_used: int
    effective_gas_price: int


@dataclass(frozen=True)
class ChainIdentity:
    """Which chain and contract this is; `code_hash` is keccak-256 of the deployed code."""

    chain_id: int
    contract: str
    code_hash: str


class Chain(Protocol):
    """The contract as the relayer uses it. Every method raises `ChainUnavailable` when the chain does not answer."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def identity(self) -> ChainIdentity: ...

    async def head(self) -> Head: ...

    async def block_hash(self, number: int) -> str | None:
        """The hash of a block, or None when there is none of that number: how a reorg is seen."""
        ...

    async def next_sequence(self) -> int:
        """The first sequence number that the contract will accept next."""
        ...

    async def root_of(self, first: int) -> bytes | None:
        """The root stored under a first sequence number."""
        ...

    async def send_root(self, first: int, count: int, root: bytes) -> str:
        """Sign and send; returns the transaction's hash without waiting. Raises `ChainRefused`."""
        ...

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """The receipt of a mined transaction, None while it waits or when it is gone."""
        ...

    async def find_root(self, first: int) -> Receipt | None:
        """The transaction that committed a root, from the contract's log: for recovery after a crash."""
        ...
