"""Chains for playing: which they are, and what can be done to them that no other chain allows."""

from __future__ import annotations

from typing import Any

from zjops.client.rpc import Rpc
from zjops.domain.chains import Finality
from zjops.domain.errors import UsageError
from zjops.domain.loopback import on_loopback

CLIENTS = ("zjops-devnet", "anvil", "hardhat", "ethereumtester")


def client_version(rpc: Rpc) -> str:
    """The program that serves a chain, in its own words."""
    return str(rpc.ask("web3_clientVersion"))


def is_development(rpc: Rpc) -> bool:
    """Whether nothing is lost when something is spent or undone there; a tunnel to a real node is not that."""
    if not on_loopback(rpc.url):
        return False
    return client_version(rpc).lower().startswith(CLIENTS)


class Development:
    """A development chain, devnet or anvil. Raises `UsageError` for any other."""

    def __init__(self, rpc: Rpc) -> None:
        if not is_development(rpc):
            raise UsageError(f"{rpc.url} is not a development chain: only such a one is mined or reorganised by hand")
        self.rpc = rpc
        self._anvil = client_version(rpc).lower().startswith("anvil")

    def head(self) -> tuple[int, str]:
        """Number and hash of the newest block."""
        block = self.rpc.block()
        return int(block["number"], 16), str(block["hash"])

    def undoes_final(self, rule: Finality, depth: int) -> bool:
        """Whether one of the newest blocks, so many of them, is final already."""
        head, _ = self.head()
        tagged = head if rule.tag is None else int(self.rpc.block(rule.tag)["number"], 16)
        return rule.reached(head - depth + 1, head, tagged)

    def mine(self, count: int) -> None:
        """Make blocks now."""
        method, params = ("anvil_mine", (hex(count),)) if self._anvil else ("devnet_mine", (count,))
        self.rpc.ask(method, *params, repeat=False)

    def reorganise(self, depth: int, *, drop: bool) -> None:
        """Replace the newest blocks; with `drop` their transactions are gone, else they wait for a block again.

        Raises `UsageError` for more blocks than there are above the first one, which stays.
        """
        height, _ = self.head()
        if depth > height:
            raise UsageError(f"the chain has {height} blocks above its first, which stays; nothing was done")
        if not self._anvil:
            self.rpc.ask("devnet_reorg", depth, {"keepTransactions": not drop}, repeat=False)
            return
        kept: list[Any] = [] if drop else self._raw_of_newest(depth)
        self.rpc.ask("anvil_reorg", depth, [[raw, 0] for raw in kept], repeat=False)

    def _raw_of_newest(self, depth: int) -> list[str]:
        """Signed transactions of the newest blocks, oldest first: anvil drops what it is not given again."""
        head, _ = self.head()
        blocks = (
            self.rpc.ask("eth_getBlockByNumber", hex(n), False) for n in range(max(1, head - depth + 1), head + 1)
        )
        hashes = [tx_hash for block in blocks for tx_hash in block["transactions"]]
        return [str(self.rpc.ask("eth_getRawTransactionByHash", tx_hash)) for tx_hash in hashes]
