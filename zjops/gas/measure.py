"""Measuring on a chain: deploy, send every call, read the receipts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import contracts
from zjops.client.wallet import Wallet
from zjops.domain.errors import ChainRefused
from zjops.domain.ids import Ids
from zjops.gas.calls import ORIGINAL, REGISTRY, TRANSACTION_MOST, Call, Calls
from zjops.gas.tables import Measured

ADMIN_DELAY_S = 86_400
DEPLOY_GAS = 6_000_000
AT_ONCE = 8
"""Transactions on their way at the same time: nodes keep only so many of one account."""
Say = Callable[[str], None]


def measure(wallet: Wallet, ids: Ids, say: Say = lambda text: None) -> list[Measured]:
    """Every way and size on fresh contracts of this account. Raises `ChainUnavailable`, `ChainRefused`."""
    me = wallet.address
    say("deploying the registry and the original design's contract")
    made = {
        REGISTRY: Deployed(wallet, REGISTRY, (ADMIN_DELAY_S, me, me, me)), ORIGINAL: Deployed(wallet, ORIGINAL, ())
    }  # fmt: skip
    registry = made[REGISTRY].address
    now_s = int(wallet.rpc.block()["timestamp"], 16)
    calls = Calls(ids, chain_id=wallet.rpc.number("eth_chainId"), registry=registry, now_s=now_s).plan()
    say(f"sending {len(calls)} transactions, the first of each way to warm up")
    return _send(wallet, made, calls)


def _send(wallet: Wallet, made: dict[str, Deployed], calls: Sequence[Call]) -> list[Measured]:
    found = []
    for start in range(0, len(calls), AT_ONCE):
        part = calls[start : start + AT_ONCE]
        sent = [made[call.contract].send(call) for call in part]
        for call, tx_hash in zip(part, sent, strict=True):
            try:
                receipt = wallet.mined(tx_hash)
            except ChainRefused as exc:
                raise ChainRefused(f"{call.function} of {call.contract} for {call.size} jobs: {exc}") from exc
            if call.path:
                found.append(Measured(call.path, call.size, int(receipt["gasUsed"], 16), call.jobs))
    return found


class Deployed:
    """A contract that was just made by a wallet."""

    def __init__(self, wallet: Wallet, name: str, arguments: tuple[Any, ...]) -> None:
        from web3 import Web3

        artifact, self._wallet = contracts.load(name), wallet
        factory = Web3().eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
        data = str(factory.constructor(*arguments).data_in_transaction)
        receipt = wallet.mined(wallet.send(None, data, DEPLOY_GAS))
        self.address = Web3.to_checksum_address(receipt["contractAddress"])
        self._contract = factory(self.address)

    def send(self, call: Call) -> str:
        """Send a call; returns the transaction's hash."""
        data = str(self._contract.encode_abi(call.function, args=list(call.arguments)))
        return self._wallet.send(self.address, data, min(call.gas, TRANSACTION_MOST))
