"""A finished world as the audit sees it: the chain that was saved beside its log."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import msgspec

from zjops.client.chain import Block, Commit
from zjops.domain.errors import UnreachableError, UsageError
from zjops.domain.synthetic import MARK
from zjops.domain.wire import Hash32, Numbered, Whole

EXPORT, CHAIN, LOG = "export.jsonl", "chain.jsonl", "log"


class _Line(msgspec.Struct, frozen=True, rename="camel"):
    """A root with its numbers, and the block and the transaction that brought it."""

    first: Numbered
    count: Numbered
    root: Hash32
    block: Whole
    block_hash: str
    tx_hash: str


class SavedChain:
    """The chain of a world: every root that its contract took, with the block of each.

    Raises `UsageError` that names the line which is not one.
    """

    def __init__(self, path: Path) -> None:
        self._by_first: dict[int, _Line] = {}
        hashes: dict[int, str] = {}
        transactions: dict[int, set[str]] = defaultdict(set)
        for number, line in enumerate(_lines(path), 1):
            try:
                found = msgspec.json.decode(line, type=_Line)
            except msgspec.MsgspecError as exc:
                raise UsageError(f"{path}, line {number}: {exc}") from exc
            if found.first in self._by_first:
                raise UsageError(f"{path}, line {number}: a second root for number {found.first}")
            self._by_first[found.first] = found
            hashes[found.block] = found.block_hash
            transactions[found.block].add(found.tx_hash)
        self._blocks = {number: Block(name, frozenset(transactions[number])) for number, name in hashes.items()}
        self._next = max((line.first + line.count for line in self._by_first.values()), default=1)

    def root_of(self, first: int) -> bytes | None:
        """The root whose first number this is."""
        line = self._by_first.get(first)
        return None if line is None else bytes.fromhex(line.root.removeprefix("0x"))

    def next_sequence(self) -> int:
        """The number that the contract would give next."""
        return self._next

    def block(self, number: int) -> Block | None:
        """A block that holds a root."""
        return self._blocks.get(number)

    def commit_of(self, first: int) -> Commit | None:
        """What brought the root whose first number this is."""
        line = self._by_first.get(first)
        if line is None:
            return None
        return Commit(line.block, line.tx_hash, line.count, bytes.fromhex(line.root.removeprefix("0x")))


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from exc


def log_of(folder: Path) -> Path:
    """The log of a world: with it, or beside it in the folder of a platform that went on from it."""
    return folder / LOG if (folder / LOG).exists() else folder.parent / LOG


def require_world(folder: Path) -> None:
    """Raises `UnreachableError` for what is no finished world of `zjops simulate` or `zjops up --world`."""
    missing = [name for name in (EXPORT, CHAIN) if not (folder / name).exists()]
    missing += [] if (log_of(folder) / MARK).exists() else [LOG]
    if (folder / "PARTIAL").exists():
        raise UnreachableError(f"the world in {folder} was not finished; make it again with: zjops simulate")
    if missing:
        raise UnreachableError(
            f"there is no world in {folder} ({', '.join(missing)} missing); make one with: zjops simulate --out DIR"
        )
