"""Blocks, transactions, receipts and logs as JSON-RPC shows them (Ethereum execution API)."""

from __future__ import annotations

from typing import Any

from eth.abc import BlockAPI, SignedTransactionAPI
from eth.vm.forks.berlin.transactions import TypedTransaction
from eth_tester.utils.address import generate_contract_address

from simulator.chain.devnet.encoding import data, quantity
from simulator.chain.devnet.pool import Waiting
from simulator.chain.devnet.state import Ledger

LEGACY, DYNAMIC_FEE = 0, 2


def _kind(transaction: SignedTransactionAPI) -> int:
    return int(transaction.type_id) if isinstance(transaction, TypedTransaction) else LEGACY


def _price(transaction: SignedTransactionAPI, base_fee: int) -> int:
    return int(min(transaction.max_fee_per_gas, transaction.max_priority_fee_per_gas + base_fee))


def transaction_view(
    transaction: SignedTransactionAPI, block: BlockAPI | None = None, index: int | None = None
) -> dict[str, Any]:
    """A transaction, mined or waiting."""
    kind = _kind(transaction)
    view: dict[str, Any] = {
        "hash": data(transaction.hash), "type": quantity(kind), "nonce": quantity(transaction.nonce),
        "from": data(transaction.sender), "to": data(transaction.to) if transaction.to else None,
        "value": quantity(transaction.value), "gas": quantity(transaction.gas), "input": data(transaction.data),
        "blockHash": data(block.hash) if block else None, "blockNumber": quantity(block.number) if block else None,
        "transactionIndex": None if index is None else quantity(index),
        "r": quantity(transaction.r), "s": quantity(transaction.s),
    }  # fmt: skip
    base_fee = block.header.base_fee_per_gas if block else 0
    view["gasPrice"] = quantity(_price(transaction, base_fee) if block else transaction.max_fee_per_gas)
    if kind == LEGACY:
        view["v"] = quantity(transaction.v)
        if transaction.chain_id is not None:
            view["chainId"] = quantity(transaction.chain_id)
        return view
    view |= {"chainId": quantity(transaction.chain_id), "v": quantity(transaction.y_parity),
             "yParity": quantity(transaction.y_parity), "accessList": [
                 {"address": data(address), "storageKeys": [data(k.to_bytes(32, "big")) for k in keys]}
                 for address, keys in transaction.access_list]}  # fmt: skip
    if kind >= DYNAMIC_FEE:
        view |= {
            "maxFeePerGas": quantity(transaction.max_fee_per_gas),
            "maxPriorityFeePerGas": quantity(transaction.max_priority_fee_per_gas),
        }
    return view


def waiting_view(waiting: Waiting) -> dict[str, Any]:
    """A transaction of the pool."""
    return transaction_view(waiting.body)


def block_view(block: BlockAPI, full: bool) -> dict[str, Any]:
    """A block, its transactions whole or as hashes."""
    header = block.header
    transactions: list[Any] = (
        [transaction_view(t, block, i) for i, t in enumerate(block.transactions)]
        if full
        else [data(t.hash) for t in block.transactions]
    )
    return {
        "number": quantity(header.block_number), "hash": data(header.hash), "parentHash": data(header.parent_hash),
        "nonce": data(header.nonce), "sha3Uncles": data(header.uncles_hash),
        "logsBloom": data(header.bloom.to_bytes(256, "big")), "transactionsRoot": data(header.transaction_root),
        "stateRoot": data(header.state_root), "receiptsRoot": data(header.receipt_root),
        "miner": data(header.coinbase), "difficulty": quantity(header.difficulty), "totalDifficulty": "0x0",
        "mixHash": data(header.mix_hash), "extraData": data(header.extra_data), "size": quantity(_size(block)),
        "gasLimit": quantity(header.gas_limit), "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp), "baseFeePerGas": quantity(header.base_fee_per_gas),
        "transactions": transactions, "uncles": [], "withdrawals": [],
        "withdrawalsRoot": data(header.withdrawals_root), "blobGasUsed": quantity(header.blob_gas_used),
        "excessBlobGas": quantity(header.excess_blob_gas),
        "parentBeaconBlockRoot": data(header.parent_beacon_block_root),
    }  # fmt: skip


def _size(block: BlockAPI) -> int:
    import rlp

    return len(rlp.encode(block))


def log_view(row: dict[str, Any], block_hash: bytes, removed: bool = False) -> dict[str, Any]:
    """A log from its row in the index; `removed` when a reorganisation has taken it back."""
    topics = [row[f"topic{n}"] for n in range(4) if row[f"topic{n}"] is not None]
    return {
        "address": data(row["address"]), "topics": [data(t) for t in topics], "data": data(row["data"]),
        "blockNumber": quantity(row["block"]), "blockHash": data(block_hash), "transactionHash": data(row["tx_hash"]),
        "transactionIndex": quantity(row["tx_index"]), "logIndex": quantity(row["log_index"]), "removed": removed,
    }  # fmt: skip


def receipt_view(ledger: Ledger, block: BlockAPI, index: int) -> dict[str, Any]:
    """The receipt of a mined transaction."""
    transaction, receipts = block.transactions[index], ledger.receipts(block)
    before = receipts[index - 1].gas_used if index else 0
    rows = [row for row in ledger.logs(block.number, block.number, [], []) if row["tx_index"] == index]
    receipt = receipts[index]
    created = None if transaction.to else generate_contract_address(transaction.sender, transaction.nonce)
    return {
        "transactionHash": data(transaction.hash), "transactionIndex": quantity(index),
        "blockHash": data(block.hash), "blockNumber": quantity(block.number), "from": data(transaction.sender),
        "to": data(transaction.to) if transaction.to else None,
        "contractAddress": None if created is None else data(created), "cumulativeGasUsed": quantity(receipt.gas_used),
        "gasUsed": quantity(receipt.gas_used - before), "type": quantity(_kind(transaction)),
        "effectiveGasPrice": quantity(_price(transaction, block.header.base_fee_per_gas)),
        "logs": [log_view(row, block.hash) for row in rows],
        "logsBloom": data(receipt.bloom.to_bytes(256, "big")),
        "status": "0x1" if receipt.state_root == b"\x01" else "0x0",
    }  # fmt: skip
