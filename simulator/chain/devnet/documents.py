"""Chain objects to JSON: eth-tester's serializers, renamed and written in hex by one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eth.abc import BlockAPI, ReceiptAPI, SignedTransactionAPI
from eth_tester.backends.pyevm.serializers import (  # type: ignore[import-untyped]
    serialize_block,
    serialize_log,
    serialize_transaction,
    serialize_transaction_receipt,
)

Document = dict[str, Any]

RENAMED = {"coinbase": "miner"}


def quantity(number: int) -> str:
    """A number as the protocol writes it: `0x0`, `0x1f`."""
    return hex(number)


def data(value: bytes) -> str:
    """Bytes as the protocol writes them."""
    return "0x" + value.hex()


def bloom(value: int) -> str:
    """A logs bloom, 256 bytes."""
    return data(value.to_bytes(256, "big"))


def _access_list(entries: Any) -> list[Document]:
    return [
        {"address": data(address), "storageKeys": [data(slot.to_bytes(32, "big")) for slot in slots]}
        for address, slots in entries
    ]


_SPECIAL: dict[str, Callable[[Any], Any]] = {
    "access_list": _access_list,
    "logs_bloom": bloom,
    "to": lambda value: data(value) if value else None,
}


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return data(value)
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return quantity(value)
    if isinstance(value, dict):
        return _document(value)
    return [_value(item) for item in value]


def _name(name: str) -> str:
    first, *rest = RENAMED.get(name, name).split("_")
    return first + "".join(part.capitalize() for part in rest)


def _document(fields: dict[str, Any]) -> Document:
    return {_name(name): _SPECIAL.get(name, _value)(value) for name, value in fields.items()}


def transaction(block: BlockAPI | None, tx: SignedTransactionAPI, index: int) -> Document:
    """A transaction in a block, or waiting when there is no block."""
    fields = dict(serialize_transaction(block, tx, index, block is None))
    fields["input"] = fields.pop("data")
    if tx.chain_id is not None:
        fields["chain_id"] = tx.chain_id
    return _document(fields)


def block(mined: BlockAPI, full: bool, pending: bool = False) -> Document:
    """A block with its transactions, whole or as hashes; a pending one has no hash, nonce or miner yet."""
    fields = dict(serialize_block(mined, False, pending))
    fields["extra_data"] = mined.header.extra_data
    body = _document(fields)
    if full:
        body["transactions"] = [
            transaction(None if pending else mined, tx, index) for index, tx in enumerate(mined.transactions)
        ]
    return body | dict.fromkeys(("hash", "nonce", "miner")) if pending else body


def logs(mined: BlockAPI, receipts: tuple[ReceiptAPI, ...]) -> list[Document]:
    """Every log of a block in order, numbered through the whole block."""
    found: list[Document] = []
    for index, (tx, receipt) in enumerate(zip(mined.transactions, receipts, strict=True)):
        for log in receipt.logs:
            fields = dict(serialize_log(mined, tx, index, log, len(found), False))
            del fields["type"]
            found.append(_document(fields) | {"removed": False})
    return found


def receipt(mined: BlockAPI, receipts: tuple[ReceiptAPI, ...], index: int) -> Document:
    """The receipt of a mined transaction."""
    tx = mined.transactions[index]
    fields = dict(serialize_transaction_receipt(mined, receipts, tx, index, False, None))
    del fields["state_root"]
    own = [log for log in logs(mined, receipts) if log["transactionHash"] == data(tx.hash)]
    return _document(fields) | {"logs": own, "logsBloom": bloom(receipts[index].bloom)}
