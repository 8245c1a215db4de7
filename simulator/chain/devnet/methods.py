"""The methods of the devnet, one function each, in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eth.abc import BlockAPI

from simulator.chain.devnet import execution
from simulator.chain.devnet.encoding import BadParams, data, quantity, read_bytes, read_dict, read_int
from simulator.chain.devnet.filters import Filters, LogQuery
from simulator.chain.devnet.node import Node
from simulator.chain.devnet.sight import NEWEST, Sight
from simulator.chain.devnet.views import block_view, log_view, receipt_view, transaction_view, waiting_view

TIP_WEI = 1_000_000_000
HISTORY_MOST = 1_024
Method = Callable[..., Any]


class Methods:
    """What the node can be asked. `table` names it."""

    def __init__(self, node: Node, sight: Sight) -> None:
        self._node, self._sight = node, sight
        self.filters = Filters(self._find_logs)
        self.table: dict[str, Method] = {
            "web3_clientVersion": lambda: "zjops-devnet/eth-tester", "net_version": lambda: str(self._ledger.chain_id),
            "net_listening": lambda: True, "net_peerCount": lambda: "0x0", "eth_syncing": lambda: False,
            "eth_accounts": list, "eth_chainId": lambda: quantity(self._ledger.chain_id),
            "eth_blockNumber": lambda: quantity(self._sight.head), "eth_gasPrice": self.gas_price,
            "eth_maxPriorityFeePerGas": lambda: quantity(TIP_WEI), "eth_feeHistory": self.fee_history,
            "eth_getBlockByNumber": self.block_by_number, "eth_getBlockByHash": self.block_by_hash,
            "eth_getBlockReceipts": self.block_receipts,
            "eth_getBlockTransactionCountByNumber": self.count_by_number,
            "eth_getBlockTransactionCountByHash": self.count_by_hash,
            "eth_getTransactionByHash": self.transaction, "eth_getTransactionReceipt": self.receipt,
            "eth_getTransactionByBlockNumberAndIndex": self.by_number_and_index,
            "eth_getTransactionByBlockHashAndIndex": self.by_hash_and_index,
            "eth_getTransactionCount": self.transaction_count, "eth_getBalance": self.balance,
            "eth_getCode": self.code, "eth_getStorageAt": self.storage, "eth_call": self.call,
            "eth_estimateGas": self.estimate, "eth_sendRawTransaction": self.send_raw, "eth_getLogs": self.logs,
            "eth_newFilter": self.new_filter, "eth_newBlockFilter": self.new_block_filter,
            "eth_newPendingTransactionFilter": self.new_pending_filter,
            "eth_getFilterChanges": self._filter_changes, "eth_getFilterLogs": self._filter_logs,
            "eth_uninstallFilter": lambda number: self.filters.remove(number),
            "txpool_status": self.pool_status,
        }  # fmt: skip

    @property
    def _ledger(self) -> Any:
        return self._node.ledger

    def gas_price(self) -> str:
        """The next base fee with the usual tip."""
        return quantity(self._sight.next_base_fee + TIP_WEI)

    def fee_history(self, count: Any, newest: Any = "latest", percentiles: Any = None) -> dict[str, Any]:
        """Base fees and fullness of the newest blocks; the next block's base fee comes last."""
        last = self._sight.state_number(newest)
        first = max(0, last - min(max(read_int(count, "blockCount"), 1), HISTORY_MOST) + 1)
        headers = [self._ledger.block(n).header for n in range(first, last + 1)]
        answer: dict[str, Any] = {
            "oldestBlock": quantity(first),
            "baseFeePerGas": [quantity(h.base_fee_per_gas) for h in headers]
            + [quantity(self._sight.base_fee_after(last))],
            "gasUsedRatio": [h.gas_used / h.gas_limit for h in headers],
        }
        if percentiles:
            answer["reward"] = [[quantity(TIP_WEI)] * len(percentiles) for _ in headers]
        return answer

    def block_by_number(self, tag: Any, full: Any = False) -> dict[str, Any] | None:
        """A block, null when there is none of that number."""
        block = self._sight.block(tag)
        return block_view(block, bool(full)) if block is not None else None

    def block_by_hash(self, block_hash: Any, full: Any = False) -> dict[str, Any] | None:
        """A block, null when there is none of that hash."""
        block = self._sight.block_of(block_hash)
        return block_view(block, bool(full)) if block is not None else None

    def block_receipts(self, tag: Any) -> list[dict[str, Any]] | None:
        """The receipts of a block; it may be named by its hash."""
        by_hash = isinstance(tag, str) and len(tag) == 66
        block = self._sight.block_of(tag) if by_hash else self._sight.block(tag)
        if block is None:
            return None
        return [receipt_view(self._ledger, block, i) for i in range(len(block.transactions))]

    def count_by_number(self, tag: Any) -> str | None:
        """How many transactions a block holds."""
        block = self._sight.block(tag)
        return quantity(len(block.transactions)) if block is not None else None

    def count_by_hash(self, block_hash: Any) -> str | None:
        """How many transactions a block holds."""
        block = self._sight.block_of(block_hash)
        return quantity(len(block.transactions)) if block is not None else None

    def transaction(self, tx_hash: Any) -> dict[str, Any] | None:
        """A transaction, mined or waiting."""
        wanted = read_bytes(tx_hash, "transaction hash", 32)
        found = self._sight.locate(wanted)
        if found is not None:
            block, index = found
            return transaction_view(block.transactions[index], block, index)
        hidden = self._ledger.locate(wanted)
        if hidden is not None:
            # Mined in a block that a stale head hides: it still seems to wait.
            return transaction_view(hidden[0].transactions[hidden[1]])
        waiting = self._node.pool.get(wanted)
        return waiting_view(waiting) if waiting is not None else None

    def receipt(self, tx_hash: Any) -> dict[str, Any] | None:
        """The receipt of a mined transaction."""
        found = self._sight.locate(read_bytes(tx_hash, "transaction hash", 32))
        return receipt_view(self._ledger, *found) if found is not None else None

    def by_number_and_index(self, tag: Any, index: Any) -> dict[str, Any] | None:
        """A transaction by its place."""
        return self._at(self._sight.block(tag), index)

    def by_hash_and_index(self, block_hash: Any, index: Any) -> dict[str, Any] | None:
        """A transaction by its place."""
        return self._at(self._sight.block_of(block_hash), index)

    def _at(self, block: BlockAPI | None, index: Any) -> dict[str, Any] | None:
        position = read_int(index, "index")
        if block is None or position >= len(block.transactions):
            return None
        return transaction_view(block.transactions[position], block, position)

    def transaction_count(self, address: Any, tag: Any = "latest") -> str:
        """The nonce of an account; `pending` counts what waits without a gap."""
        account = read_bytes(address, "address", 20)
        if tag == "pending":
            # What a stale head hides seems to wait, and counts.
            return quantity(self._node.pool.next_nonce(account, self._node.nonce_of(account)))
        return quantity(int(self._ledger.vm(self._sight.state_number(tag)).state.get_nonce(account)))

    def balance(self, address: Any, tag: Any = "latest") -> str:
        """Wei of an account."""
        state = self._ledger.vm(self._sight.state_number(tag)).state
        return quantity(state.get_balance(read_bytes(address, "address", 20)))

    def code(self, address: Any, tag: Any = "latest") -> str:
        """The code of a contract."""
        return data(self._ledger.vm(self._sight.state_number(tag)).state.get_code(read_bytes(address, "address", 20)))

    def storage(self, address: Any, slot: Any, tag: Any = "latest") -> str:
        """One slot of a contract, 32 bytes."""
        state = self._ledger.vm(self._sight.state_number(tag)).state
        value = state.get_storage(read_bytes(address, "address", 20), read_int(slot, "slot"))
        return data(int(value).to_bytes(32, "big"))

    def call(self, asked: Any, tag: Any = "latest") -> str:
        """Execute and change nothing."""
        return data(execution.call(self._ledger, read_dict(asked, "transaction"), self._sight.state_number(tag)))

    def estimate(self, asked: Any, tag: Any = "latest") -> str:
        """The least gas that suffices."""
        return quantity(
            execution.estimate(self._ledger, read_dict(asked, "transaction"), self._sight.state_number(tag))
        )

    def send_raw(self, raw: Any) -> str:
        """Take a signed transaction."""
        tx_hash = self._node.send(read_bytes(raw, "transaction"))
        self.filters.saw_transaction(tx_hash)
        return data(tx_hash)

    def _query(self, asked: Any) -> LogQuery:
        wanted = read_dict(asked, "filter")
        if wanted.get("blockHash") is not None:
            block = self._sight.block_of(wanted["blockHash"])
            if block is None:
                raise BadParams("unknown block")
            return LogQuery.of(wanted, block.number, block.number)
        last = wanted.get("toBlock")
        open_end = last is None or last in NEWEST
        return LogQuery.of(
            wanted, self._sight.number(wanted.get("fromBlock")), None if open_end else self._sight.number(last)
        )

    def _find_logs(self, query: LogQuery, first: int, last: int) -> list[dict[str, Any]]:
        rows = self._ledger.logs(first, last, query.addresses, query.topics)
        hashes = {row["block"]: self._ledger.block(row["block"]).hash for row in rows}
        return [log_view(row, hashes[row["block"]]) for row in rows]

    def logs(self, asked: Any) -> list[dict[str, Any]]:
        """Logs of a range of blocks, by contract and topics."""
        query = self._query(asked)
        head = self._sight.head
        return self._find_logs(query, query.first, head if query.last is None else min(head, query.last))

    def new_filter(self, asked: Any) -> str:
        """Watch logs."""
        return self.filters.watch_logs(self._query(asked), self._sight.head)

    def new_block_filter(self) -> str:
        """Watch blocks."""
        return self.filters.watch_blocks(self._sight.head)

    def new_pending_filter(self) -> str:
        """Watch what comes into the pool."""
        return self.filters.watch_pool()

    def _filter_changes(self, number: Any) -> list[Any]:
        return self.filters.changes(number, self._sight.head, lambda n: data(self._ledger.block(n).hash))

    def _filter_logs(self, number: Any) -> list[Any]:
        return self.filters.all_logs(number, self._sight.head)

    def pool_status(self) -> dict[str, str]:
        """How many transactions could be mined one after another, and how many wait behind a gap."""
        pending, queued = self._node.pool.counts(self._node.nonce_of)
        return {"pending": quantity(pending), "queued": quantity(queued)}
