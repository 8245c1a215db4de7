"""The contract's rules in memory: blocks come with the injected clock, so virtual time mines them."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import msgspec

from simulator.chain.port import ChainIdentity, Commit, Head, Outlook, Receipt, Sent, Signed
from simulator.policy.fees import BUMP_PERCENT, Fees
from zjops.domain.clock import Clock
from zjops.domain.errors import ChainRefused, ChainUnavailable
from zjops.domain.merkle import keccak256

GAS_PER_ROOT = 57_000
"""About what a steady-state `commitRoot` costs on the EVM (C51)."""
GAS_REVERTED = 30_000
BASE_FEE_WEI = 500_000_000
TIP_WEI = 500_000_000
RICH_WEI = 10**24


@functools.lru_cache(maxsize=256)
def _block_hash(chain_id: int, number: int, fork: int) -> str:
    return "0x" + keccak256(f"{chain_id}/{number}/{fork}".encode()).hex()


@dataclass(frozen=True)
class _Transaction:
    """A signed call; `seen_at` is the head when the pool took it."""

    tx_hash: str
    commit: Commit
    nonce: int
    gas: int
    fees: Fees
    seen_at: int = 0

    @property
    def cost(self) -> int:
        return self.gas * self.fees.max_fee


class MemoryChain:
    """The Chain port without a chain: a pool by nonce, fees, and the faults of real nodes, set as attributes.

    `fault` is raised by every question; `swallow` accepts transactions and forgets them; `stale` blocks are hidden;
    after `stall` no block is made; blocks take nothing below `wanted_tip`; a `strict` pool takes nothing below the base
    fee.
    """

    def __init__(self, clock: Clock, *, chain_id: int, block_time_s: float) -> None:
        self._clock, self._chain_id, self._block_time_s = clock, chain_id, block_time_s
        self._genesis_ms = clock.now_ms()
        self._known: dict[bytes, _Transaction] = {}
        self._pool: dict[int, _Transaction] = {}
        self._mined: list[tuple[_Transaction, Receipt]] = []
        self._receipts: dict[str, Receipt] = {}
        self._committed: dict[int, tuple[_Transaction, Receipt]] = {}
        self._next = 1
        self._done = 0
        self._forks: list[int] = []
        self.base_fee, self.tip, self.balance = BASE_FEE_WEI, TIP_WEI, RICH_WEI
        self.paused, self.swallow, self.stale, self.strict, self.wanted_tip = False, False, 0, False, 0
        self._stalled_ms: int | None = None
        self._lost_ms = 0
        self.fault: ChainUnavailable | ChainRefused | None = None
        self.sent: list[str] = []

    @property
    def sender(self) -> str:
        return "0x" + "0e" * 20

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        return None

    async def identity(self) -> ChainIdentity:
        self._asked()
        return ChainIdentity(self._chain_id, "0x" + "00" * 20, "0x" + keccak256(b"memory").hex())

    def _asked(self) -> None:
        if self.fault is not None:
            raise self.fault
        self.mine()

    def stall(self) -> None:
        """Make no more blocks until `resume`."""
        self.mine()
        self._stalled_ms = self._clock.now_ms()

    def resume(self) -> None:
        """Go on making blocks, from where they stopped."""
        if self._stalled_ms is not None:
            self._lost_ms += self._clock.now_ms() - self._stalled_ms
        self._stalled_ms = None

    def _number(self) -> int:
        now_ms = self._clock.now_ms() if self._stalled_ms is None else self._stalled_ms
        return int((now_ms - self._lost_ms - self._genesis_ms) // (self._block_time_s * 1000))

    def _hash(self, number: int) -> str:
        fork = sum(1 for height in self._forks if number >= height)
        return _block_hash(self._chain_id, number, fork)

    def _block(self, number: int) -> Head:
        seconds = self._genesis_ms // 1000 + int(number * self._block_time_s)
        return Head(number, self._hash(number), seconds, self._hash(number - 1))

    def mine(self) -> None:
        """Make the blocks that are due; those into which nothing goes are passed over at once."""
        head = self._number()
        while self._done < head:
            ready = self._pool.get(self._nonce)
            if ready is None or not self._pays(ready.fees) or ready.seen_at >= head:
                self._done = head
                return
            self._done = max(self._done, ready.seen_at) + 1
            self._execute_block()

    def _pays(self, fees: Fees) -> bool:
        return fees.max_fee >= self.base_fee and fees.max_tip >= self.wanted_tip

    def _execute_block(self) -> None:
        while (ready := self._pool.get(self._nonce)) and ready.seen_at < self._done:
            if not self._pays(ready.fees):
                return
            del self._pool[ready.nonce]
            good = ready.commit.first == self._next and not self.paused
            price = min(ready.fees.max_fee, self.base_fee + ready.fees.max_tip)
            used = GAS_PER_ROOT if good else GAS_REVERTED
            self.balance -= used * price
            receipt = Receipt(ready.tx_hash, self._done, self._hash(self._done), int(good), used, price)
            self._mined.append((ready, receipt))
            self._receipts[ready.tx_hash] = receipt
            if good:
                self._committed[ready.commit.first] = ready, receipt
                self._next += ready.commit.count

    @property
    def _nonce(self) -> int:
        return len(self._mined)

    def _found(self, first: int, at: int) -> tuple[_Transaction, Receipt] | None:
        found = self._committed.get(first)
        return found if found is not None and found[1].block_number <= at else None

    async def block(self, at: int | str) -> Head | None:
        self._asked()
        head = self._number() - self.stale
        if isinstance(at, str):
            return self._block(head)
        return self._block(at) if 0 <= at <= head else None

    async def next_sequence(self, at: int | str = "latest") -> int:
        self._asked()
        if isinstance(at, str):
            return self._next
        if at > self._number() - self.stale:
            raise ChainUnavailable(f"no block {at} yet", "node_behind")
        done = (entry[0].commit for entry in self._committed.values() if entry[1].block_number <= at)
        return max((commit.first + commit.count for commit in done), default=1)

    async def root_of(self, first: int, at: int | str = "latest") -> bytes | None:
        self._asked()
        head = self._number() - self.stale
        if isinstance(at, int) and at > head:
            raise ChainUnavailable(f"no block {at} yet", "node_behind")
        found = self._found(first, at if isinstance(at, int) else head)
        return found[0].commit.root if found else None

    async def outlook(self) -> Outlook:
        self._asked()
        pending = self._nonce
        while pending in self._pool:
            pending += 1
        return Outlook(self._nonce, pending, self.balance, self.base_fee, self.tip)

    async def estimate(self, commit: Commit) -> int:
        self._asked()
        if self.paused:
            raise ChainRefused("EnforcedPause()", "contract_paused")
        if commit.root == b"\0" * 32 or commit.count < 1:
            raise ChainRefused("an empty batch or a zero root")
        if commit.first != self._next:
            raise ChainRefused(f"UnexpectedSequence({self._next}, {commit.first})")
        return GAS_PER_ROOT

    def sign(self, commit: Commit, nonce: int, gas: int, fees: Fees) -> Signed:
        said = f"{self._chain_id}/{nonce}/{commit.first}/{commit.count}/{commit.root.hex()}/{gas}/{fees}"
        raw = said.encode()
        tx_hash = "0x" + keccak256(raw).hex()
        self._known[raw] = _Transaction(tx_hash, commit, nonce, gas, fees)
        return Signed(tx_hash, raw)

    async def send(self, raw: bytes) -> Sent:
        self._asked()
        new = replace(self._known[raw], seen_at=self._number())
        self.sent.append(new.tx_hash)
        old = self._pool.get(new.nonce)
        if old is not None and old.tx_hash == new.tx_hash:
            return Sent.KNOWN
        if new.nonce < self._nonce:
            mined = self._mined[new.nonce][0].tx_hash == new.tx_hash
            return Sent.KNOWN if mined else Sent.NONCE_USED
        if new.cost > self.balance:
            return Sent.NO_FUNDS
        if self.strict and new.fees.max_fee < self.base_fee:
            return Sent.FEE_TOO_LOW
        if old is not None and not _outbids(new.fees, old.fees):
            return Sent.UNDERPRICED
        if not self.swallow:
            self._pool[new.nonce] = new
        return Sent.TAKEN

    async def receipt(self, tx_hash: str) -> Receipt | None:
        self._asked()
        head = self._number() - self.stale
        found = self._receipts.get(tx_hash)
        return found if found is not None and found.block_number <= head else None

    async def find_root(self, first: int) -> Receipt | None:
        self._asked()
        found = self._found(first, self._number() - self.stale)
        return found[1] if found else None

    def lines(self) -> list[bytes]:
        """Every root with its numbers and its block, as JSON lines in their order."""
        self.mine()
        return [
            msgspec.json.encode({
                "first": first, "count": done.commit.count, "root": "0x" + done.commit.root.hex(),
                "block": receipt.block_number, "blockHash": receipt.block_hash, "txHash": receipt.tx_hash,
                "gasUsed": receipt.gas_used,
            }) + b"\n"
            for first, (done, receipt) in sorted(self._committed.items())
        ]  # fmt: skip

    def reorg(self, depth: int, *, keep_transactions: bool = False) -> None:
        """Replace the last `depth` blocks; what they had executed is undone, and forgotten or back in the pool."""
        self.mine()
        height = self._number() - depth + 1
        self._forks.append(height)
        while self._mined and self._mined[-1][1].block_number >= height:
            undone, receipt = self._mined.pop()
            del self._receipts[undone.tx_hash]
            if receipt.status:
                del self._committed[undone.commit.first]
                self._next -= undone.commit.count
            self.balance += receipt.gas_used * receipt.effective_gas_price
            if keep_transactions:
                self._pool[undone.nonce] = replace(undone, seen_at=self._number())

    def drop(self) -> None:
        """Lose what waits in the pool."""
        self._pool.clear()


def _outbids(new: Fees, old: Fees) -> bool:
    """Both fees at least a tenth higher, as nodes want it."""
    return all(100 * fresh >= (100 + BUMP_PERCENT) * former for fresh, former in zip(new, old, strict=True))
