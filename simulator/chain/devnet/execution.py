"""Calls that change nothing: `eth_call` and `eth_estimateGas`, executed by eth-tester's backend."""

from __future__ import annotations

from typing import Any

from eth.exceptions import Revert, VMError
from eth.vm.spoof import SpoofTransaction
from eth_utils import ValidationError

from simulator.chain.devnet.encoding import BadParams, read_bytes, read_int
from simulator.chain.devnet.state import Ledger

GAS_MOST = 2**24
"""A question may use as much gas as a transaction (EIP-7825): the node answers nobody else meanwhile."""
_ERROR_SELECTOR = bytes.fromhex("08c379a0")


class Reverted(Exception):
    """The code refused; `output` is what it said."""

    def __init__(self, output: bytes) -> None:
        super().__init__("execution reverted" + _reason(output))
        self.output = output


class Failed(Exception):
    """The code could not be executed to its end."""


def _reason(output: bytes) -> str:
    """The text of Solidity's `Error(string)`, when that is what it is."""
    if output[:4] != _ERROR_SELECTOR or len(output) < 68:
        return ""
    length = int.from_bytes(output[36:68], "big")
    return ": " + output[68 : 68 + length].decode(errors="replace")


def _spoof(ledger: Ledger, asked: dict[str, Any], gas_most: int, base_fee: int) -> tuple[Any, int]:
    """A transaction as if signed by `from`; fees are the block's own unless said, so that nobody needs a balance."""
    sender = read_bytes(asked.get("from") or "0x" + "00" * 20, "from", 20)
    gas = min(read_int(asked["gas"], "gas"), gas_most) if asked.get("gas") is not None else gas_most
    payload = asked.get("input") if asked.get("input") is not None else asked.get("data")
    fields: dict[str, Any] = {
        "nonce": ledger.vm(ledger.head.block_number).state.get_nonce(sender), "gas": gas,
        "to": read_bytes(asked["to"], "to", 20) if asked.get("to") else b"",
        "value": read_int(asked["value"], "value") if asked.get("value") is not None else 0,
        "data": read_bytes(payload, "data") if payload is not None else b"", "chain_id": ledger.chain_id,
        "max_fee_per_gas": base_fee, "max_priority_fee_per_gas": 0, "access_list": (),
    }  # fmt: skip
    unsigned = ledger.chain.get_transaction_builder().new_unsigned_dynamic_fee_transaction(**fields)
    return SpoofTransaction(unsigned, from_=sender), gas


def _run(ledger: Ledger, asked: dict[str, Any], number: int, gas: int | None = None) -> Any:
    vm = ledger.vm(number)
    header = vm.get_header()
    transaction, _ = _spoof(ledger, asked if gas is None else asked | {"gas": gas}, GAS_MOST, header.base_fee_per_gas)
    state = vm.state
    snapshot = state.snapshot()
    # The sender need not be able to pay for a question.
    state.set_balance(transaction.sender, 10**30)
    try:
        return state.apply_transaction(transaction)
    except ValidationError as exc:
        raise Failed(str(exc)) from exc
    finally:
        state.revert(snapshot)


def _checked(computation: Any) -> Any:
    if computation.is_error:
        error = computation.error
        if isinstance(error, Revert):
            raise Reverted(bytes(error.args[0]) if error.args and isinstance(error.args[0], bytes) else b"")
        raise Failed(str(error) or type(error).__name__)
    return computation


def call(ledger: Ledger, asked: dict[str, Any], number: int) -> bytes:
    """What a call answers in the state after a block. Raises `Reverted`, `Failed`, `BadParams`."""
    return bytes(_checked(_run(ledger, asked, number)).output)


def estimate(ledger: Ledger, asked: dict[str, Any], number: int) -> int:
    """The least gas by which a transaction succeeds. Raises `Reverted`, `Failed`, `BadParams`."""
    computation = _checked(_run(ledger, asked, number))
    most = GAS_MOST
    low, high = computation.get_gas_used(), most
    guess = min(most, low + low // 4 + 30_000)
    if _enough(ledger, asked, number, guess):
        high = guess
    while low + 1 < high:
        middle = (low + high) // 2
        if _enough(ledger, asked, number, middle):
            high = middle
        else:
            low = middle
    return int(high)


def _enough(ledger: Ledger, asked: dict[str, Any], number: int, gas: int) -> bool:
    try:
        return not _run(ledger, asked, number, gas).is_error
    except (Failed, VMError, BadParams):
        return False
