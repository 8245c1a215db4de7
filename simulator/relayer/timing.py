"""How fast the node answers: a wrapper around the chain, so that nothing else need know."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from simulator.chain.port import Chain, ChainIdentity, Commit, Head, Outlook, Receipt, Sent, Signed
from simulator.policy.fees import Fees
from zjops.domain.clock import Clock

T = TypeVar("T")


class Timed:
    """A chain whose answers are timed."""

    def __init__(self, chain: Chain, clock: Clock) -> None:
        self._chain, self._clock = chain, clock
        self._asked, self._waited_s = 0, 0.0

    def mean_s(self) -> float:
        """The mean time of an answer since this was asked last, 0 where nothing was asked."""
        mean = self._waited_s / self._asked if self._asked else 0.0
        self._asked, self._waited_s = 0, 0.0
        return mean

    async def _time(self, question: Awaitable[T]) -> T:
        began = self._clock.monotonic()
        try:
            return await question
        finally:
            self._asked, self._waited_s = self._asked + 1, self._waited_s + self._clock.monotonic() - began

    @property
    def sender(self) -> str:
        return self._chain.sender

    async def start(self) -> None:
        await self._chain.start()

    async def stop(self) -> None:
        await self._chain.stop()

    async def identity(self) -> ChainIdentity:
        return await self._time(self._chain.identity())

    async def block(self, at: int | str) -> Head | None:
        return await self._time(self._chain.block(at))

    async def next_sequence(self, at: int | str = "latest") -> int:
        return await self._time(self._chain.next_sequence(at))

    async def root_of(self, first: int, at: int | str = "latest") -> bytes | None:
        return await self._time(self._chain.root_of(first, at))

    async def outlook(self) -> Outlook:
        return await self._time(self._chain.outlook())

    async def estimate(self, commit: Commit) -> int:
        return await self._time(self._chain.estimate(commit))

    def sign(self, commit: Commit, nonce: int, gas: int, fees: Fees) -> Signed:
        return self._chain.sign(commit, nonce, gas, fees)

    async def send(self, raw: bytes) -> Sent:
        return await self._time(self._chain.send(raw))

    async def receipt(self, tx_hash: str) -> Receipt | None:
        return await self._time(self._chain.receipt(tx_hash))

    async def find_root(self, first: int) -> Receipt | None:
        return await self._time(self._chain.find_root(first))
