"""The mempool against a model: whatever comes in whatever order, each sender's nonces go out whole and in order."""

from __future__ import annotations

from typing import Any

from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from simulator.chain.devnet.pool import Pool, Refused, Waiting

RICH = 10**30
SENDERS = (b"a" * 20, b"b" * 20, b"c" * 20)


class PoolMachine(RuleBasedStateMachine):
    """A model of slots by sender and nonce beside the pool."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool()
        self.slots: dict[tuple[bytes, int], Waiting] = {}
        self.mined = dict.fromkeys(SENDERS, 0)
        self.made = 0

    def _make(self, sender: bytes, nonce: int, fee: int, tip: int) -> Waiting:
        self.made += 1
        return Waiting(self.made.to_bytes(32, "big"), sender, nonce, 21_000, 0, fee, min(fee, tip), None)

    def _accepts(self, new: Waiting) -> bool:
        old = self.slots.get((new.sender, new.nonce))
        if new.nonce < self.mined[new.sender]:
            return False
        return old is None or (10 * new.max_fee >= 11 * old.max_fee and 10 * new.max_tip >= 11 * old.max_tip)

    @rule(
        sender=strategies.sampled_from(SENDERS), ahead=strategies.integers(-1, 5), fee=strategies.integers(1, 300),
        tip=strategies.integers(1, 300),
    )  # fmt: skip
    def send(self, sender: bytes, ahead: int, fee: int, tip: int) -> None:
        new = self._make(sender, max(0, self.mined[sender] + ahead), fee, tip)
        try:
            self.pool.add(new, self.mined[sender], RICH)
            taken = True
        except Refused:
            taken = False
        assert taken == self._accepts(new)
        if taken:
            self.slots[sender, new.nonce] = new

    @rule(which=strategies.integers(0, 50))
    def drop(self, which: int) -> None:
        if self.slots:
            slot = sorted(self.slots)[which % len(self.slots)]
            self.pool.remove(self.slots.pop(slot).hash)

    @rule(base_fee=strategies.integers(0, 300), most=strategies.integers(1, 6))
    def mine(self, base_fee: int, most: int) -> None:
        for _, found in zip(range(most), list(self.pool.executable(base_fee, self.mined.__getitem__)), strict=False):
            assert self.slots.pop((found.sender, found.nonce)) is found
            assert found.nonce == self.mined[found.sender], "each sender's nonces go out in order and without a gap"
            assert found.max_fee >= base_fee
            self.mined[found.sender] += 1
            self.pool.remove(found.hash)

    @rule(sender=strategies.sampled_from(SENDERS), depth=strategies.integers(1, 4))
    def reorganise(self, sender: bytes, depth: int) -> None:
        """The newest transactions of a sender come back; a slot that somebody has filled meanwhile stays filled."""
        former, self.mined[sender] = self.mined[sender], max(0, self.mined[sender] - depth)
        for nonce in range(self.mined[sender], former):
            back = self._make(sender, nonce, 100, 10)
            self.pool.restore(back)
            self.slots.setdefault((sender, nonce), back)

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert set(self.pool.hashes()) == {w.hash for w in self.slots.values()}
        ready = 0
        for sender in SENDERS:
            following = self.mined[sender]
            while (sender, following) in self.slots:
                following += 1
            assert self.pool.next_nonce(sender, self.mined[sender]) == following
            ready += following - self.mined[sender]
        assert self.pool.counts(self.mined.__getitem__) == (ready, len(self.slots) - ready)
        out: list[Any] = list(self.pool.executable(0, self.mined.__getitem__))
        assert len(out) == ready
        assert self.pool.stale(self.mined.__getitem__) == []


PoolMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestPool = PoolMachine.TestCase
