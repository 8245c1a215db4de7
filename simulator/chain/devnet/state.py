"""The chain's state: eth-tester's EVM on a key-value store that is mirrored into SQLite, one commit a block.

Everything that a block writes, the index of its logs included, becomes durable in one transaction, and so does a whole
reorganisation. A process that is killed in between comes back at what was before, with the same hashes, receipts and
state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from eth.abc import BlockAPI, BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI, VirtualMachineAPI
from eth.chains.base import MiningChain
from eth.constants import ZERO_ADDRESS
from eth.db.atomic import AtomicDB
from eth.db.schema import SchemaV1
from eth.exceptions import CanonicalHeadNotFound
from eth.vm.forks import CancunVM
from eth_tester.backends.pyevm.main import PyEVMBackend, get_default_genesis_params

from simulator.chain.devnet.mirror import Mirror
from zjops.domain.merkle import keccak256

RICH_WEI = 10**24
GAS_LIMIT = 30_000_000


class Controls(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody set on the node by `devnet_*`; kept over kills, so that a crash heals no fault by itself."""

    # The block timer rests.
    paused: bool = False
    # How many of the newest blocks are hidden from every question.
    stale_blocks: int = 0
    # What every next block charges a unit of gas, in wei; None lets EIP-1559 decide.
    base_fee: int | None = None
    # How far the blocks' time is ahead of the machine's, in seconds; None leaves it to the settings.
    clock_offset_s: int | None = None
    # Reorganisations so far; part of what makes a block's hash, so that a block made again is another one.
    forks: int = 0


class DevnetVM(CancunVM):  # type: ignore[misc]
    """Cancun, with a base fee that may be pinned."""

    @classmethod
    def validate_gas(cls, header: BlockHeaderAPI, parent_header: BlockHeaderAPI) -> None:
        """The node makes its blocks itself; a pinned base fee is the one rule that they may break."""


class Backend(PyEVMBackend):  # type: ignore[misc]
    """eth-tester's backend on a chain of ours, in place of one in memory."""

    def __init__(self, chain: MiningChain) -> None:
        self.account_keys = ()
        self.chain = chain


def _chain_class(number: int) -> type[MiningChain]:
    class Devnet(MiningChain):  # type: ignore[misc]
        chain_id = number
        vm_configuration = ((0, DevnetVM),)

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
        row = self.mirror.connection.execute("SELECT value FROM controls").fetchone()
        self.controls = msgspec.json.decode(row[0], type=Controls) if row else Controls()
        self._begin(self.head)

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

    def control(self, **changes: Any) -> None:
        """Change what `Controls` holds, durably; the next block follows it."""
        self._stage_controls(changes)
        self.mirror.commit()
        self._begin(self.head)

    def _stage_controls(self, changes: dict[str, Any]) -> None:
        self.controls = msgspec.structs.replace(self.controls, **changes)
        row = (msgspec.json.encode(self.controls).decode(),)
        self.mirror.stage("INSERT OR REPLACE INTO controls VALUES (1, ?)", [row])

    def _begin(self, parent: BlockHeaderAPI) -> None:
        """Begin the next block, with the base fee that it is to have."""
        header = self.chain.create_header_from_parent(parent)
        fee = self.controls.base_fee
        self.chain.header = header if fee is None else header.copy(base_fee_per_gas=fee)

    def mine(self, transactions: Iterator[SignedTransactionAPI], timestamp: int) -> tuple[BlockAPI, list[bytes]]:
        """Make one block of what can be executed; returns it and the hashes of what was refused."""
        block, refused = self._seal(transactions, timestamp)
        self.mirror.commit()
        return block, refused

    def _seal(self, transactions: Iterable[SignedTransactionAPI], timestamp: int) -> tuple[BlockAPI, list[bytes]]:
        """Make a block without making it durable."""
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
        block = self.chain.mine_block(coinbase=ZERO_ADDRESS, mix_hash=self._mix())
        self._begin(block.header)
        self.mirror.stage("INSERT OR REPLACE INTO logs VALUES (?,?,?,?,?,?,?,?,?,?)", self._log_rows(block))
        self.mirror.stage("DELETE FROM pool WHERE hash = ?", [(h,) for h in taken + refused])
        return block, refused

    def _mix(self) -> bytes:
        """Stands for the beacon chain's randomness; derived, so that the same chain comes of the same transactions."""
        forks = self.controls.forks
        return keccak256(self.head.hash + (forks.to_bytes(8, "big") if forks else b""))

    def set_balance(self, address: bytes, wei: int) -> None:
        """Give an account another balance, from the next block on."""
        vm = self.chain.get_vm(self.chain.header)
        vm.state.set_balance(address, wei)
        vm.state.persist()
        self.chain.header = self.chain.header.copy(state_root=vm.state.state_root)

    def reorganise(self, depth: int, keep: bool) -> list[BlockAPI]:
        """Take the newest blocks back and make as many others, empty; returns what is gone, oldest first.

        With `keep` the transactions wait in the pool again. All of it is one commit: a kill leaves the old chain or
        the new one.
        """
        head = self.head
        removed = [self.chain.get_canonical_block_by_number(head.block_number - n) for n in reversed(range(depth))]
        before = self.controls
        try:
            self._rewind(removed)
            self._stage_controls({"forks": before.forks + 1})
            for block in removed:
                self._seal((), block.header.timestamp)
            if keep:
                rows = [(t.hash, t.encode()) for block in removed for t in block.transactions]
                self.mirror.stage("INSERT OR REPLACE INTO pool VALUES (?, ?)", rows)
            self.mirror.commit()
        except BaseException:
            self.mirror.discard()
            self.controls = before
            self._begin(self.head)
            raise
        return removed

    def _rewind(self, removed: Sequence[BlockAPI]) -> None:
        """Make the parent of these blocks the head; what was indexed of them is forgotten.

        Their numbers still name them until the blocks that follow take the numbers over, as py-evm's bookkeeping wants.
        """
        parent = self.chain.get_block_header_by_hash(removed[0].header.parent_hash)
        for transaction in (t for block in removed for t in block.transactions):
            del self.mirror[SchemaV1.make_transaction_hash_to_block_lookup_key(transaction.hash)]
        self.mirror[SchemaV1.make_canonical_head_hash_lookup_key()] = parent.hash
        self.mirror.stage("DELETE FROM logs WHERE block > ?", [(parent.block_number,)])
        self._begin(parent)

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
