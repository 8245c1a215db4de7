"""What nodes say, in their own words, and what it means for whoever sends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from simulator.chain.port import Outlook, Sent
from simulator.chain.registry import Web3Chain, what_it_said


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


async def test_what_belongs_together_is_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    chain, on_the_way, most = _chain(), 0, 0

    async def ask(question: Any) -> Any:
        nonlocal on_the_way, most
        on_the_way += 1
        most = max(most, on_the_way)
        await asyncio.sleep(0)
        on_the_way -= 1
        name = question.__qualname__
        question.close()
        return {"baseFeePerGas": 7} if "get_block" in name else 3

    monkeypatch.setattr(chain, "_ask", ask)
    assert await chain.outlook() == Outlook(3, 3, 3, 7, 3)
    assert most == 5
