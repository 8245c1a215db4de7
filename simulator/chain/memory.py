"""The contract's rules in memory: blocks come with the injected clock, so virtual time mines them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from simulator.chain.port import ChainIdentity, Head, Receipt
from zjops.domain.clock import Clock
from zjops.domain.errors import ChainRefused
from zjops.domain.merkle import keccak256

GAS_PER_ROOT = 57_000
"""About what a steady-state `commitRoot` costs on the EVM (C51)."""
GAS_PRICE_WEI = 1_000_000_000


@dataclass
class _Pending:
    tx_hash: str
    first: int
    count: int
    root: bytes
    sent_block: int


class MemoryChain:
    """The Chain port without a chain. A reorg can be forced; transactions of the dropped blocks are forgotten."""

    def __init__(self, clock: Clock, *, chain_id: int, block_time_s: float) -> None:
        self._clock, self._chain_id, self._block_time_s = clock, chain_id, block_time_s
        self._genesis_ms = clock.now_ms()
        self._pool: list[_Pending] = []
        self._roots: dict[int, bytes] = {}
        self._receipts: dict[str, Receipt] = {}
        self._committed: dict[int, str] = {}
        self._next = 1
        self._nonce = 0
        self._forks: list[int] = []

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        return None

    async def identity(self) -> ChainIdentity:
        return ChainIdentity(self._chain_id, "0x" + "00" * 20, "0x" + keccak256(b"memory").hex())

    def _number(self) -> int:
        return int((self._clock.now_ms() - self._genesis_ms) // (self._block_time_s * 1000))

    def _hash(self, number: int) -> str:
        fork = sum(1 for height in self._forks if number >= height)
        return "0x" + keccak256(f"{self._chain_id}/{number}/{fork}".encode()).hex()

    def _mine(self) -> None:
        """Execute what was sent before the newest block, in the order of sending."""
        head = self._number()
        while self._pool and self._pool[0].sent_block < head:
            sent = self._pool.pop(0)
            good = sent.first == self._next
            number = sent.sent_block + 1
            if good:
                self._roots[sent.first], self._committed[sent.first] = sent.root, sent.tx_hash
                self._next += sent.count
            self._receipts[sent.tx_hash] = Receipt(
                sent.tx_hash, number, self._hash(number), int(good), GAS_PER_ROOT if good else 30_000, GAS_PRICE_WEI
            )

    async def head(self) -> Head:
        self._mine()
        number = self._number()
        seconds = self._genesis_ms // 1000 + int(number * self._block_time_s)
        return Head(number, self._hash(number), seconds)

    async def block_hash(self, number: int) -> str | None:
        return self._hash(number) if 0 <= number <= self._number() else None

    async def next_sequence(self) -> int:
        self._mine()
        return self._next

    async def root_of(self, first: int) -> bytes | None:
        self._mine()
        return self._roots.get(first)

    async def send_root(self, first: int, count: int, root: bytes) -> str:
        self._mine()
        if root == b"\0" * 32 or count < 1:
            raise ChainRefused("an empty batch or a zero root")
        if first != self._next + sum(p.count for p in self._pool):
            raise ChainRefused(f"UnexpectedSequence({self._next}, {first})")
        self._nonce += 1
        tx_hash = "0x" + keccak256(f"{self._chain_id}/{self._nonce}/{first}/{count}/{root.hex()}".encode()).hex()
        self._pool.append(_Pending(tx_hash, first, count, root, self._number()))
        return tx_hash

    async def receipt(self, tx_hash: str) -> Receipt | None:
        self._mine()
        return self._receipts.get(tx_hash)

    async def find_root(self, first: int) -> Receipt | None:
        self._mine()
        tx_hash = self._committed.get(first)
        return self._receipts[tx_hash] if tx_hash else None

    def reorg(self, depth: int) -> None:
        """Replace the last `depth` blocks; what they had executed is undone and forgotten."""
        self._mine()
        height = self._number() - depth + 1
        self._forks.append(height)
        dropped = {h for h, r in self._receipts.items() if r.block_number >= height}
        for first in [f for f, h in self._committed.items() if h in dropped]:
            self._next = min(self._next, first)
            del self._roots[first], self._committed[first]
        for tx_hash in dropped:
            del self._receipts[tx_hash]

    def drop(self) -> None:
        """Lose what waits in the pool."""
        self._pool = [replace(p) for p in self._pool[:0]]
