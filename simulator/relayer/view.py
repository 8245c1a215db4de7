"""One look at the chain: each block is asked for once, so that a look costs little and agrees with itself."""

from __future__ import annotations

from simulator.chain.port import Chain, Head
from zjops.domain.errors import ChainUnavailable


class View:
    """What the chain says at this moment. Raises `ChainUnavailable` for what a node does not know."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._blocks: dict[int | str, Head | None] = {}

    async def block(self, at: int | str) -> Head | None:
        """A block by number or tag."""
        if at not in self._blocks:
            self._blocks[at] = await self._chain.block(at)
        return self._blocks[at]

    async def head(self) -> Head:
        """The newest block."""
        found = await self.block("latest")
        if found is None:
            raise ChainUnavailable("the node knows no newest block", "node_behind")
        return found

    async def known(self, number: int) -> Head:
        """A block that must be there, because it was seen before."""
        found = await self.block(number)
        if found is None:
            head = await self.head()
            raise ChainUnavailable(f"the node is at block {head.number}, block {number} was seen", "node_behind")
        return found
