"""A chain that answers wrongly on purpose, around a real one: refused calls, an old head, dear gas."""

from __future__ import annotations

import dataclasses

from simulator.chain.port import Chain, ChainIdentity, Commit, Head, Outlook, Receipt, Sent, Signed
from simulator.faults.switchboard import Switchboard
from simulator.policy.fees import Fees
from zjops.domain.errors import ChainUnavailable


class FaultyChain:
    """What the relayer sees of a node that is overloaded, behind, or dear."""

    def __init__(self, inner: Chain, faults: Switchboard) -> None:
        self._inner, self._faults = inner, faults

    @property
    def sender(self) -> str:
        return self._inner.sender

    async def start(self) -> None:
        await self._inner.start()

    async def stop(self) -> None:
        await self._inner.stop()

    def _ask(self) -> None:
        if self._faults.strikes("chain.rate_limited"):
            raise ChainUnavailable("the node answers 429 Too Many Requests", "rate_limited")

    async def _newest(self) -> int | None:
        """The number that passes for the newest block's, None for the real one."""
        params = None if self._faults.idle else self._faults.params("chain.stale_head")
        if params is None:
            return None
        head = await self._inner.block("latest")
        return None if head is None else max(0, head.number - int(params["blocks"]))

    async def _at(self, at: int | str) -> int | str:
        """A block as a node that is behind would name it."""
        newest = await self._newest()
        if newest is None:
            return at
        if isinstance(at, int):
            return min(at, newest)
        # What lies further back than the newest, such as the final block, is no newer for the node being behind.
        named = await self._inner.block(at)
        return at if named is None else min(named.number, newest)

    async def identity(self) -> ChainIdentity:
        self._ask()
        return await self._inner.identity()

    async def block(self, at: int | str) -> Head | None:
        self._ask()
        shown = await self._at(at)
        return None if isinstance(at, int) and shown != at else await self._inner.block(shown)

    async def next_sequence(self, at: int | str = "latest") -> int:
        self._ask()
        return await self._inner.next_sequence(await self._at(at))

    async def root_of(self, first: int, at: int | str = "latest") -> bytes | None:
        self._ask()
        return await self._inner.root_of(first, await self._at(at))

    async def outlook(self) -> Outlook:
        self._ask()
        found = await self._inner.outlook()
        params = None if self._faults.idle else self._faults.params("chain.fee_spike")
        return found if params is None else dataclasses.replace(found, base_fee=int(found.base_fee * params["factor"]))

    async def estimate(self, commit: Commit) -> int:
        self._ask()
        return await self._inner.estimate(commit)

    def sign(self, commit: Commit, nonce: int, gas: int, fees: Fees) -> Signed:
        return self._inner.sign(commit, nonce, gas, fees)

    async def send(self, raw: bytes) -> Sent:
        self._ask()
        return await self._inner.send(raw)

    async def receipt(self, tx_hash: str) -> Receipt | None:
        self._ask()
        found, newest = await self._inner.receipt(tx_hash), await self._newest()
        return None if found is not None and newest is not None and found.block_number > newest else found

    async def find_root(self, first: int) -> Receipt | None:
        self._ask()
        found, newest = await self._inner.find_root(first), await self._newest()
        return None if found is not None and newest is not None and found.block_number > newest else found
