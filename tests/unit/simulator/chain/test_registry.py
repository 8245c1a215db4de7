"""What nodes say, in their own words, and what it means for whoever sends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from simulator.chain.port import Outlook, Sent
from simulator.chain.registry import Web3Chain, what_it_said
from zjops.domain.errors import ChainUnavailable


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("already known", Sent.KNOWN), ("Known transaction", Sent.KNOWN), ("AlreadyKnown", Sent.KNOWN),
        ("transaction already imported", Sent.KNOWN), ("INTERNAL_ERROR: existing tx with same hash", Sent.KNOWN),
        ("nonce too low: next nonce 7, tx nonce 6", Sent.NONCE_USED), ("OldNonce, Current nonce: 7", Sent.NONCE_USED),
        ("Transaction nonce is too low.", Sent.NONCE_USED),
        ("replacement transaction underpriced", Sent.UNDERPRICED), ("ReplacementNotAllowed", Sent.UNDERPRICED),
        ("could not replace existing tx", Sent.UNDERPRICED), ("underpriced", Sent.UNDERPRICED),
        ("insufficient gas price to replace existing transaction", Sent.UNDERPRICED),
        ("transaction underpriced: gas tip cap 1, minimum needed 2", Sent.FEE_TOO_LOW),
        ("max fee per gas less than block base fee", Sent.FEE_TOO_LOW),
        ("max fee per gas less than block base fee: address 0x1, maxFeePerGas: 1, baseFee: 7", Sent.FEE_TOO_LOW),
        ("Gas price below current base fee", Sent.FEE_TOO_LOW), ("fee too low", Sent.FEE_TOO_LOW),
        ("Gas price below configured minimum gas price", Sent.FEE_TOO_LOW), ("FeeTooLowToCompete", Sent.FEE_TOO_LOW),
        ("insufficient funds for gas * price + value: balance 1, tx cost 2", Sent.NO_FUNDS),
        ("Insufficient funds for gas * price + value", Sent.NO_FUNDS), ("InsufficientFunds, Balance", Sent.NO_FUNDS),
        ("Upfront cost exceeds account balance", Sent.NO_FUNDS),
        ("exceeds block gas limit", None), ("", None),
    ],
)  # fmt: skip
def test_refusals_of_a_transaction_are_understood_by_their_words(words: str, meaning: Sent | None) -> None:
    assert what_it_said(words) is meaning


def _chain() -> Web3Chain:
    return Web3Chain("http://127.0.0.1:9", contract="0x" + "11" * 20, operator_key="0x" + "01" * 32, chain_id=1)


class Node:
    """Answers each method as it is told to, and counts how many are asked at once."""

    def __init__(self, chain: Web3Chain, monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
        self._answers, self._now, self.at_once = answers, 0, 0
        monkeypatch.setattr(chain._web3.provider, "make_request", self._answer)

    async def _answer(self, method: str, params: Any) -> dict[str, Any]:
        self._now += 1
        self.at_once = max(self.at_once, self._now)
        await asyncio.sleep(0)
        self._now -= 1
        return {"jsonrpc": "2.0", "id": 1, "result": self._answers[method]}


BLOCK = {"number": "0x5", "hash": "0x" + "11" * 32, "parentHash": "0x" + "22" * 32, "timestamp": "0x7",
         "baseFeePerGas": "0x9"}  # fmt: skip
ACCOUNT = {"eth_getTransactionCount": "0x3", "eth_getBalance": "0x4", "eth_maxPriorityFeePerGas": "0x2"}


async def test_what_belongs_together_is_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = _chain()
    node = Node(chain, monkeypatch, **ACCOUNT, eth_getBlockByNumber=BLOCK)
    assert await chain.outlook() == Outlook(3, 3, 4, 9, 2)
    assert node.at_once == 5
    await chain.stop()


@pytest.mark.parametrize("name", ["hash", "parentHash", "timestamp", "number"])
@pytest.mark.parametrize("value", [None, "gone"], ids=["null", "missing"])
async def test_a_block_that_lacks_something_is_a_strange_answer(
    monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    chain = _chain()
    block = {key: entry for key, entry in BLOCK.items() if key != name} | ({} if value else {name: None})
    Node(chain, monkeypatch, eth_getBlockByNumber=block)
    with pytest.raises(ChainUnavailable, match="answers strangely") as caught:
        await chain.block(5)
    assert caught.value.reason == "rpc_strange"
    await chain.stop()


async def test_a_chain_without_a_base_fee_is_a_strange_one(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = _chain()
    block = {key: entry for key, entry in BLOCK.items() if key != "baseFeePerGas"}
    Node(chain, monkeypatch, **ACCOUNT, eth_getBlockByNumber=block)
    with pytest.raises(ChainUnavailable, match="its answer names no 'baseFeePerGas'"):
        await chain.outlook()
    await chain.stop()


@pytest.mark.parametrize("lacks", ["status", "effectiveGasPrice", "blockHash"])
async def test_a_receipt_that_lacks_something_is_a_strange_answer(monkeypatch: pytest.MonkeyPatch, lacks: str) -> None:
    chain = _chain()
    receipt = {"transactionHash": "0x" + "33" * 32, "blockNumber": "0x5", "blockHash": "0x" + "11" * 32,
               "status": "0x1", "gasUsed": "0x6", "effectiveGasPrice": "0x7"}  # fmt: skip
    del receipt[lacks]
    Node(chain, monkeypatch, eth_getTransactionReceipt=receipt)
    with pytest.raises(ChainUnavailable, match=f"its answer names no '{lacks}'"):
        await chain.receipt("0x" + "33" * 32)
    await chain.stop()
