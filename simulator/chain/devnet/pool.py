"""The mempool: what waits, by sender and nonce, and what goes into the next block. Words of errors are geth's."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MOST = 4_096
BUMP_PERCENT = 10


class Refused(Exception):
    """The pool does not take a transaction; the text is what a client of geth would read."""


@dataclass(frozen=True)
class Waiting:
    """A transaction in the pool; fees in wei a unit of gas."""

    hash: bytes
    sender: bytes
    nonce: int
    gas: int
    value: int
    max_fee: int
    max_tip: int
    body: Any

    def tip(self, base_fee: int) -> int:
        """What it leaves for whoever includes it, below zero when it cannot be included."""
        return min(self.max_tip, self.max_fee - base_fee)

    @property
    def cost(self) -> int:
        """The most that it may take from its sender."""
        return self.gas * self.max_fee + self.value


class Pool:
    """Transactions by sender and nonce; a gap makes the later ones wait."""

    def __init__(self) -> None:
        self._senders: dict[bytes, dict[int, Waiting]] = {}
        self._by_hash: dict[bytes, Waiting] = {}

    def __len__(self) -> int:
        return len(self._by_hash)

    def get(self, tx_hash: bytes) -> Waiting | None:
        """A waiting transaction by its hash."""
        return self._by_hash.get(tx_hash)

    def hashes(self) -> list[bytes]:
        """What waits, oldest first."""
        return list(self._by_hash)

    def add(self, new: Waiting, account_nonce: int, balance: int) -> Waiting | None:
        """Take a transaction; returns the one that it replaces. Raises `Refused`."""
        if new.hash in self._by_hash:
            raise Refused("already known")
        if new.nonce < account_nonce:
            raise Refused(f"nonce too low: next nonce {account_nonce}, tx nonce {new.nonce}")
        if new.cost > balance:
            raise Refused(f"insufficient funds for gas * price + value: balance {balance}, tx cost {new.cost}")
        old = self._senders.get(new.sender, {}).get(new.nonce)
        if old is not None and not _outbids(new, old):
            raise Refused("replacement transaction underpriced")
        if old is None and len(self._by_hash) >= MOST:
            raise Refused("txpool is full")
        if old is not None:
            self.remove(old.hash)
        self._put(new)
        return old

    def restore(self, former: Waiting) -> None:
        """Take back what a reorganisation has taken out of its block: even into a full pool, as it was mined before."""
        if self._senders.get(former.sender, {}).get(former.nonce) is None:
            self._put(former)

    def _put(self, new: Waiting) -> None:
        self._senders.setdefault(new.sender, {})[new.nonce] = self._by_hash[new.hash] = new

    def remove(self, tx_hash: bytes) -> None:
        """Forget a transaction."""
        found = self._by_hash.pop(tx_hash, None)
        if found is not None:
            queue = self._senders[found.sender]
            del queue[found.nonce]
            if not queue:
                del self._senders[found.sender]

    def next_nonce(self, sender: bytes, account_nonce: int) -> int:
        """The nonce behind what waits without a gap."""
        queue = self._senders.get(sender, {})
        while account_nonce in queue:
            account_nonce += 1
        return account_nonce

    def counts(self, nonce_of: Callable[[bytes], int]) -> tuple[int, int]:
        """How many could be mined one after another, and how many wait behind a gap."""
        ready = sum(self.next_nonce(sender, nonce_of(sender)) - nonce_of(sender) for sender in self._senders)
        return ready, len(self) - ready

    def executable(self, base_fee: int, nonce_of: Callable[[bytes], int]) -> Iterator[Waiting]:
        """What the next block takes, the best tip first, each sender's in the order of nonces."""
        heads: list[tuple[int, bytes, Waiting]] = []
        for sender, queue in self._senders.items():
            self._push(heads, queue.get(nonce_of(sender)), base_fee)
        while heads:
            _, _, best = heapq.heappop(heads)
            yield best
            self._push(heads, self._senders.get(best.sender, {}).get(best.nonce + 1), base_fee)

    def stale(self, nonce_of: Callable[[bytes], int]) -> list[bytes]:
        """What a block has overtaken: its nonce is used up."""
        return [w.hash for sender, queue in self._senders.items() for w in queue.values() if w.nonce < nonce_of(sender)]

    @staticmethod
    def _push(heads: list[tuple[int, bytes, Waiting]], found: Waiting | None, base_fee: int) -> None:
        if found is not None and found.tip(base_fee) >= 0:
            heapq.heappush(heads, (-found.tip(base_fee), found.hash, found))


def _outbids(new: Waiting, old: Waiting) -> bool:
    """Both fees at least a tenth higher, as geth wants it."""
    return all(
        100 * fresh >= (100 + BUMP_PERCENT) * former
        for fresh, former in ((new.max_fee, old.max_fee), (new.max_tip, old.max_tip))
    )
