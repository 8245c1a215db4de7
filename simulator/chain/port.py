"""The Chain port: what the relayer needs of the confirmation contract. Hashes are 0x-prefixed hex, roots 32 bytes."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

from simulator.policy.fees import Fees


@dataclass(frozen=True)
class Head:
    """A block: number, hash, Unix seconds, and the hash of the block that it stands on."""

    number: int
    hash: str
    timestamp: int
    parent: str


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


@dataclass(frozen=True)
class Outlook:
    """The operator's account and the fees of the moment.

    `nonce` is the next one of the newest block, `pending` the next one behind what the pool holds; the rest is in wei.
    """

    nonce: int
    pending: int
    balance: int
    base_fee: int
    tip: int


@dataclass(frozen=True)
class Commit:
    """One call of `commitRoot`: `count` jobs from number `first` on."""

    first: int
    count: int
    root: bytes


@dataclass(frozen=True)
class Signed:
    """A signed transaction and its hash: sending it twice is sending it once."""

    tx_hash: str
    raw: bytes


class Sent(enum.StrEnum):
    """What a node says of a transaction that is sent to it.

    `UNDERPRICED` means that it holds another one under this nonce which this one does not outbid; `FEE_TOO_LOW` that it
    holds none and does not want one of this price.
    """

    TAKEN = "taken"
    KNOWN = "known"
    NONCE_USED = "nonce_used"
    UNDERPRICED = "underpriced"
    FEE_TOO_LOW = "fee_too_low"
    NO_FUNDS = "no_funds"


class Chain(Protocol):
    """The contract as the relayer uses it.

    Every method raises `ChainUnavailable` when the chain does not answer, and `ChainRefused` when it answers no.
    """

    @property
    def sender(self) -> str:
        """The operator's account, by which transactions are signed."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def identity(self) -> ChainIdentity:
        """What is found at the endpoint. Raises `ChainRefused` when it is not what was asked for."""
        ...

    async def block(self, at: int | str) -> Head | None:
        """The block of a number or a tag (`latest`, `safe`, `finalized`), None when there is none."""
        ...

    async def next_sequence(self, at: int | str = "latest") -> int:
        """The first sequence number that the contract will accept next, in the state after a block."""
        ...

    async def root_of(self, first: int, at: int | str = "latest") -> bytes | None:
        """The root stored under a first sequence number, in the state after a block."""
        ...

    async def outlook(self) -> Outlook:
        """The operator's account and the fees of the moment."""
        ...

    async def estimate(self, commit: Commit) -> int:
        """The gas that a commit needs. Raises `ChainRefused` with the contract's own error."""
        ...

    def sign(self, commit: Commit, nonce: int, gas: int, fees: Fees) -> Signed:
        """Sign and send nothing: whoever writes the hash down before it leaves can never lose it."""
        ...

    async def send(self, raw: bytes) -> Sent:
        """Hand a signed transaction to the chain, without waiting for a block."""
        ...

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """The receipt of a mined transaction, None while it waits or when it is gone."""
        ...

    async def find_root(self, first: int) -> Receipt | None:
        """The transaction that committed a root, from the contract's log: for recovery after a crash."""
        ...
