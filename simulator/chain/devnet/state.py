"""The chain's state: eth-tester's EVM on a key-value store that is mirrored into SQLite, one commit a block.

Everything that a block writes, the index of its logs included, becomes durable in one transaction. A process that is
killed in between comes back at the block before, with the same hashes, receipts and state.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eth.abc import BlockAPI, BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI, VirtualMachineAPI
from eth.chains.base import MiningChain
from eth.constants import ZERO_ADDRESS
from eth.db.atomic import AtomicDB
from eth.db.backends.base import BaseDB
from eth.exceptions import CanonicalHeadNotFound
from eth.vm.forks import CancunVM
from eth_tester.backends.pyevm.main import PyEVMBackend, get_default_genesis_params

from zjops.domain.errors import ChainUnavailable
from zjops.domain.merkle import keccak256

CACHE_ENTRIES = 20_000
RICH_WEI = 10**24
GAS_LIMIT = 30_000_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS kv (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pool (hash BLOB PRIMARY KEY, raw BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS logs (
    block INTEGER NOT NULL, log_index INTEGER NOT NULL, address BLOB NOT NULL, topic0 BLOB, topic1 BLOB, topic2 BLOB,
    topic3 BLOB, data BLOB NOT NULL, tx_hash BLOB NOT NULL, tx_index INTEGER NOT NULL, PRIMARY KEY (block, log_index)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS logs_topics ON logs (address, topic0, topic1);
"""


class Mirror(BaseDB):  # type: ignore[misc]
    """A key-value store in SQLite; writes wait in memory until the block that they belong to is complete."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = (path.parent / "devnet.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise ChainUnavailable(f"another devnet runs in {path.parent}") from None
        self.connection = sqlite3.connect(path, isolation_level=None)
        try:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-2000"):
                self.connection.execute(f"PRAGMA {pragma}")
            self.connection.executescript(_SCHEMA)
        except sqlite3.Error as exc:
            self.close()
            raise ChainUnavailable(f"chain database {path}: {exc}; start in a new folder with --home") from exc
        self._dirty: dict[bytes, bytes | None] = {}
        self._cache: OrderedDict[bytes, bytes] = OrderedDict()

    def __getitem__(self, key: bytes) -> bytes:
        value = self._get(key)
        if value is None:
            raise KeyError(key)
        return value

    def _get(self, key: bytes) -> bytes | None:
        if key in self._dirty:
            return self._dirty[key]
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        row = self.connection.execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        self._remember(key, row[0])
        return bytes(row[0])

    def _remember(self, key: bytes, value: bytes) -> None:
        self._cache[key] = value
        if len(self._cache) > CACHE_ENTRIES:
            self._cache.popitem(last=False)

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._dirty[key] = value

    def __delitem__(self, key: bytes) -> None:
        self._dirty[key] = None
        self._cache.pop(key, None)

    def _exists(self, key: bytes) -> bool:
        return self._get(key) is not None

    def commit(self, rows: Sequence[tuple[Any, ...]] = (), mined: Sequence[bytes] = ()) -> None:
        """Make everything since the last commit durable, with the logs of the block and what left the pool."""
        kept = [(k, v) for k, v in self._dirty.items() if v is not None]
        gone = [(k,) for k, v in self._dirty.items() if v is None]
        run = self.connection
        try:
            run.execute("BEGIN IMMEDIATE")
            run.executemany("INSERT OR REPLACE INTO kv VALUES (?, ?)", kept)
            run.executemany("DELETE FROM kv WHERE key = ?", gone)
            run.executemany("INSERT OR REPLACE INTO logs VALUES (?,?,?,?,?,?,?,?,?,?)", rows)
            run.executemany("DELETE FROM pool WHERE hash = ?", [(h,) for h in mined])
            run.execute("COMMIT")
        except sqlite3.Error as exc:
            # What is in memory has run ahead of the file: the process ends and comes back at the file's last block.
            raise ChainUnavailable(f"chain database cannot be written: {exc}; free some space") from exc
        for key, value in kept:
            self._remember(key, value)
        self._dirty.clear()

    def discard(self) -> None:
        """Forget what was not committed."""
        self._dirty.clear()

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()
        self._lock.close()


class Backend(PyEVMBackend):  # type: ignore[misc]
    """eth-tester's backend on a chain of ours, in place of one in memory."""

    def __init__(self, chain: MiningChain) -> None:
        self.account_keys = ()
        self.chain = chain


def _chain_class(number: int) -> type[MiningChain]:
    class Devnet(MiningChain):  # type: ignore[misc]
        chain_id = number
        vm_configuration = ((0, CancunVM),)

        def create_header_from_parent(self, parent_header: BlockHeaderAPI, **params: Any) -> BlockHeaderAPI:
            return super().create_header_from_parent(parent_header, **(params | {"gas_limit": parent_header.gas_limit}))

        def get_transaction_builder(self) -> Any:
            return super().get_vm().get_transaction_builder()

    return Devnet


class Ledger:
    """The chain, read and extended block by block."""

    def __init__(self, path: Path, chain_id: int, funded: Sequence[str], genesis_at: int) -> None:
        self.chain_id = chain_id
        self.mirror = Mirror(path)
        kind, base = _chain_class(chain_id), AtomicDB(self.mirror)
        try:
            self.chain = kind(base)
        except CanonicalHeadNotFound:
            account = {"balance": RICH_WEI, "nonce": 0, "code": b"", "storage": {}}
            state = {bytes.fromhex(a[2:]): account for a in funded}
            params = get_default_genesis_params({"timestamp": genesis_at, "gas_limit": GAS_LIMIT})
            self.chain = kind.from_genesis(base, params, state)
            self.mirror.commit()
        self.backend = Backend(self.chain)

    @property
    def head(self) -> BlockHeaderAPI:
        """The newest block's header."""
        return self.chain.get_canonical_head()

    @property
    def next_base_fee(self) -> int:
        """What the next block will charge a unit of gas, in wei."""
        return int(self.chain.header.base_fee_per_gas)

    def decode(self, raw: bytes) -> SignedTransactionAPI:
        """A signed transaction from its bytes. Raises what py-evm raises for a malformed one."""
        return self.chain.get_transaction_builder().decode(raw)

    def block(self, number: int) -> BlockAPI | None:
        """A block by its number."""
        return self.chain.get_canonical_block_by_number(number) if 0 <= number <= self.head.block_number else None

    def vm(self, number: int) -> VirtualMachineAPI:
        """The machine in the state after a block."""
        return self.chain.get_vm(self.chain.get_canonical_block_header_by_number(number))

    def receipts(self, block: BlockAPI) -> Sequence[ReceiptAPI]:
        """The receipts of a block, in order."""
        receipts: Sequence[ReceiptAPI] = block.get_receipts(self.chain.chaindb)
        return receipts

    def mine(self, transactions: Iterator[SignedTransactionAPI], timestamp: int) -> tuple[BlockAPI, list[bytes]]:
        """Make one block of what can be executed; returns it and the hashes of what was refused."""
        self.chain.set_header_timestamp(max(timestamp, self.head.timestamp + 1))
        refused: list[bytes] = []
        taken: list[bytes] = []
        for transaction in transactions:
            if self.chain.header.gas_used + transaction.gas > self.chain.header.gas_limit:
                break
            try:
                self.chain.apply_transaction(transaction)
                taken.append(transaction.hash)
            except Exception:  # py-evm raises many kinds; each means that the transaction cannot stand here
                refused.append(transaction.hash)
        # Stands for the beacon chain's randomness; derived, so that the same chain comes of the same transactions.
        mix = keccak256(self.head.hash)
        block = self.chain.mine_block(coinbase=ZERO_ADDRESS, mix_hash=mix)
        self.mirror.commit(self._log_rows(block), taken + refused)
        return block, refused

    def _log_rows(self, block: BlockAPI) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for index, (transaction, receipt) in enumerate(zip(block.transactions, self.receipts(block), strict=True)):
            for log in receipt.logs:
                topics = [topic.to_bytes(32, "big") for topic in log.topics] + [None] * 4
                rows.append(
                    (block.number, len(rows), log.address, *topics[:4], log.data, transaction.hash, index)
                )  # fmt: skip
        return rows

    def logs(self, first: int, last: int, addresses: list[bytes], topics: list[list[bytes]]) -> list[dict[str, Any]]:
        """Logs of a range of blocks; an empty list of a position matches anything."""
        where, values = ["block BETWEEN ? AND ?"], [first, last, *addresses]
        if addresses:
            where.append(f"address IN ({','.join('?' * len(addresses))})")
        for position, wanted in enumerate(topics[:4]):
            if wanted:
                where.append(f"topic{position} IN ({','.join('?' * len(wanted))})")
                values.extend(wanted)
        sql = f"SELECT * FROM logs WHERE {' AND '.join(where)} ORDER BY block, log_index"  # noqa: S608 - only marks
        cursor = self.mirror.connection.execute(sql, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def locate(self, tx_hash: bytes) -> tuple[BlockAPI, int] | None:
        """The block and position of a mined transaction."""
        try:
            number, index = self.chain.chaindb.get_transaction_index(tx_hash)
        except Exception:  # not found has several names in py-evm
            return None
        block = self.block(number)
        return (block, index) if block is not None else None

    def close(self) -> None:
        """Let go of the files."""
        self.mirror.close()
