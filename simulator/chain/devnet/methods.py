"""The methods of the devnet, one function each, in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eth.abc import BlockAPI

from simulator.chain.devnet import execution
from simulator.chain.devnet.encoding import BadParams, data, quantity, read_bytes, read_dict, read_int
from simulator.chain.devnet.filters import Filters, LogQuery
from simulator.chain.devnet.node import Node
from simulator.chain.devnet.views import block_view, log_view, receipt_view, transaction_view, waiting_view

TIP_WEI = 1_000_000_000
HISTORY_MOST = 1_024
BLOCKS_AT_ONCE = 1_000
TAGS = ("latest", "pending", "safe", "finalized")
Method = Callable[..., Any]


class Methods:
    """What the node can be asked. `table` names it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._filters = Filters(self._find_logs)
        self.table: dict[str, Method] = {
            "web3_clientVersion": lambda: "zjops-devnet/eth-tester", "net_version": lambda: str(self._ledger.chain_id),
            "net_listening": lambda: True, "net_peerCount": lambda: "0x0", "eth_syncing": lambda: False,
            "eth_accounts": list, "eth_chainId": lambda: quantity(self._ledger.chain_id),
            "eth_blockNumber": lambda: quantity(self._head), "eth_gasPrice": self.gas_price,
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
            "eth_uninstallFilter": lambda number: self._filters.remove(number),
            "evm_mine": self.mine, "devnet_mine": self.mine,
        }  # fmt: skip

    @property
    def _ledger(self) -> Any:
        return self._node.ledger

    @property
    def _head(self) -> int:
        return int(self._ledger.head.block_number)

    def _number(self, tag: Any) -> int:
        """The number that a tag, a quantity or an EIP-1898 object means. Raises `BadParams`."""
        if isinstance(tag, dict):
            if "blockHash" in tag:
                block = self._block_of(tag["blockHash"])
                if block is None:
                    raise BadParams("header not found")
                return int(block.number)
            tag = tag.get("blockNumber")
        if tag is None or tag in TAGS:
            return self._head
        return 0 if tag == "earliest" else read_int(tag, "block")

    def _state_number(self, tag: Any) -> int:
        number = self._number(tag)
        if number > self._head:
            raise BadParams("header not found")
        return number

    def _block(self, tag: Any) -> BlockAPI | None:
        block: BlockAPI | None = self._ledger.block(self._number(tag))
        return block

    def _block_of(self, block_hash: Any) -> BlockAPI | None:
        wanted = read_bytes(block_hash, "block hash", 32)
        try:
            number = self._ledger.chain.get_block_header_by_hash(wanted).block_number
        except Exception:  # py-evm has several names for "no such block"
            return None
        block: BlockAPI | None = self._ledger.block(number)
        return block if block is not None and block.hash == wanted else None

    def gas_price(self) -> str:
        """The next base fee with the usual tip."""
        return quantity(self._ledger.next_base_fee + TIP_WEI)

    def fee_history(self, count: Any, newest: Any = "latest", percentiles: Any = None) -> dict[str, Any]:
        """Base fees and fullness of the newest blocks; the next block's base fee comes last."""
        last = self._state_number(newest)
        first = max(0, last - min(max(read_int(count, "blockCount"), 1), HISTORY_MOST) + 1)
        headers = [self._ledger.block(n).header for n in range(first, last + 1)]
        following = (
            self._ledger.next_base_fee if last == self._head else self._ledger.block(last + 1).header.base_fee_per_gas
        )
        answer: dict[str, Any] = {
            "oldestBlock": quantity(first),
            "baseFeePerGas": [quantity(h.base_fee_per_gas) for h in headers] + [quantity(following)],
            "gasUsedRatio": [h.gas_used / h.gas_limit for h in headers],
        }
        if percentiles:
            answer["reward"] = [[quantity(TIP_WEI)] * len(percentiles) for _ in headers]
        return answer

    def block_by_number(self, tag: Any, full: Any = False) -> dict[str, Any] | None:
        """A block, null when there is none of that number."""
        block = self._block(tag)
        return block_view(block, bool(full)) if block is not None else None

    def block_by_hash(self, block_hash: Any, full: Any = False) -> dict[str, Any] | None:
        """A block, null when there is none of that hash."""
        block = self._block_of(block_hash)
        return block_view(block, bool(full)) if block is not None else None

    def block_receipts(self, tag: Any) -> list[dict[str, Any]] | None:
        """The receipts of a block; it may be named by its hash."""
        by_hash = isinstance(tag, str) and len(tag) == 66
        block = self._block_of(tag) if by_hash else self._block(tag)
        if block is None:
            return None
        return [receipt_view(self._ledger, block, i) for i in range(len(block.transactions))]

    def count_by_number(self, tag: Any) -> str | None:
        """How many transactions a block holds."""
        block = self._block(tag)
        return quantity(len(block.transactions)) if block is not None else None

    def count_by_hash(self, block_hash: Any) -> str | None:
        """How many transactions a block holds."""
        block = self._block_of(block_hash)
        return quantity(len(block.transactions)) if block is not None else None

    def transaction(self, tx_hash: Any) -> dict[str, Any] | None:
        """A transaction, mined or waiting."""
        wanted = read_bytes(tx_hash, "transaction hash", 32)
        found = self._ledger.locate(wanted)
        if found is not None:
            block, index = found
            return transaction_view(block.transactions[index], block, index)
        waiting = self._node.pool.get(wanted)
        return waiting_view(waiting) if waiting is not None else None

    def receipt(self, tx_hash: Any) -> dict[str, Any] | None:
        """The receipt of a mined transaction."""
        found = self._ledger.locate(read_bytes(tx_hash, "transaction hash", 32))
        return receipt_view(self._ledger, *found) if found is not None else None

    def by_number_and_index(self, tag: Any, index: Any) -> dict[str, Any] | None:
        """A transaction by its place."""
        return self._at(self._block(tag), index)

    def by_hash_and_index(self, block_hash: Any, index: Any) -> dict[str, Any] | None:
        """A transaction by its place."""
        return self._at(self._block_of(block_hash), index)

    def _at(self, block: BlockAPI | None, index: Any) -> dict[str, Any] | None:
        position = read_int(index, "index")
        if block is None or position >= len(block.transactions):
            return None
        return transaction_view(block.transactions[position], block, position)

    def transaction_count(self, address: Any, tag: Any = "latest") -> str:
        """The nonce of an account; `pending` counts what waits without a gap."""
        account = read_bytes(address, "address", 20)
        nonce = int(self._ledger.vm(self._state_number(tag)).state.get_nonce(account))
        return quantity(self._node.pool.next_nonce(account, nonce) if tag == "pending" else nonce)

    def balance(self, address: Any, tag: Any = "latest") -> str:
        """Wei of an account."""
        state = self._ledger.vm(self._state_number(tag)).state
        return quantity(state.get_balance(read_bytes(address, "address", 20)))

    def code(self, address: Any, tag: Any = "latest") -> str:
        """The code of a contract."""
        return data(self._ledger.vm(self._state_number(tag)).state.get_code(read_bytes(address, "address", 20)))

    def storage(self, address: Any, slot: Any, tag: Any = "latest") -> str:
        """One slot of a contract, 32 bytes."""
        state = self._ledger.vm(self._state_number(tag)).state
        value = state.get_storage(read_bytes(address, "address", 20), read_int(slot, "slot"))
        return data(int(value).to_bytes(32, "big"))

    def call(self, asked: Any, tag: Any = "latest") -> str:
        """Execute and change nothing."""
        return data(execution.call(self._ledger, read_dict(asked, "transaction"), self._state_number(tag)))

    def estimate(self, asked: Any, tag: Any = "latest") -> str:
        """The least gas that suffices."""
        return quantity(execution.estimate(self._ledger, read_dict(asked, "transaction"), self._state_number(tag)))

    def send_raw(self, raw: Any) -> str:
        """Take a signed transaction."""
        tx_hash = self._node.send(read_bytes(raw, "transaction"))
        self._filters.saw_transaction(tx_hash)
        return data(tx_hash)

    def _query(self, asked: Any) -> LogQuery:
        wanted = read_dict(asked, "filter")
        if wanted.get("blockHash") is not None:
            block = self._block_of(wanted["blockHash"])
            if block is None:
                raise BadParams("unknown block")
            return LogQuery.of(wanted, block.number, block.number)
        last = wanted.get("toBlock")
        open_end = last is None or last in TAGS
        return LogQuery.of(wanted, self._number(wanted.get("fromBlock")), None if open_end else self._number(last))

    def _find_logs(self, query: LogQuery, first: int, last: int) -> list[dict[str, Any]]:
        rows = self._ledger.logs(first, last, query.addresses, query.topics)
        hashes = {row["block"]: self._ledger.block(row["block"]).hash for row in rows}
        return [log_view(row, hashes[row["block"]]) for row in rows]

    def logs(self, asked: Any) -> list[dict[str, Any]]:
        """Logs of a range of blocks, by contract and topics."""
        query = self._query(asked)
        return self._find_logs(query, query.first, self._head if query.last is None else query.last)

    def new_filter(self, asked: Any) -> str:
        """Watch logs."""
        return self._filters.watch_logs(self._query(asked), self._head)

    def new_block_filter(self) -> str:
        """Watch blocks."""
        return self._filters.watch_blocks(self._head)

    def new_pending_filter(self) -> str:
        """Watch what comes into the pool."""
        return self._filters.watch_pool()

    def _filter_changes(self, number: Any) -> list[Any]:
        return self._filters.changes(number, self._head, lambda n: data(self._ledger.block(n).hash))

    def _filter_logs(self, number: Any) -> list[Any]:
        return self._filters.all_logs(number, self._head)

    def mine(self, asked: Any = None) -> str:
        """Make a block, or some, now."""
        count = asked.get("blocks", 1) if isinstance(asked, dict) else 1 if asked is None else asked
        for _ in range(min(read_int(count, "blocks"), BLOCKS_AT_ONCE)):
            self._node.mine()
        return "0x0"
