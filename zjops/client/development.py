"""Which chains are for playing: on this machine, and served by a program that makes blocks for tests."""

from __future__ import annotations

from urllib.parse import urlsplit

from zjops.client.rpc import Rpc

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
CLIENTS = ("zjops-devnet", "anvil", "hardhat", "ethereumtester")


def client_version(rpc: Rpc) -> str:
    """The program that serves a chain, in its own words."""
    return str(rpc.ask("web3_clientVersion"))


def is_development(rpc: Rpc) -> bool:
    """Whether nothing is lost when something is spent or undone there; a tunnel to a real node is not that."""
    if urlsplit(rpc.url).hostname not in LOOPBACK:
        return False
    return client_version(rpc).lower().startswith(CLIENTS)
