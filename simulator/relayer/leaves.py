"""The leaves of a batch: from settled jobs to hashes, a tree, and a published file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from simulator.store.port import Row
from zjops.domain.ids import job_id
from zjops.domain.jobs import CHAIN_STATUS, JobState
from zjops.domain.leaffile import LeafFile, leaf_file_path
from zjops.domain.merkle import Leaf, Tree, job_key_digest, result_digest_of, usage_digest

_FAILED = JobState.FAILED.value
_STATUS_FAILED, _STATUS_COMPLETED = CHAIN_STATUS[JobState.FAILED], CHAIN_STATUS[JobState.COMPLETED]


def leaf_of(row: Row, sequence: int) -> Leaf:
    """The leaf of a settled job under its sequence number (C72)."""
    name, salt, tenant = job_id(row["id"]), row["salt"], row["tenant"]
    return Leaf(
        sequence,
        job_key_digest(tenant, name, salt),
        result_digest_of(salt, row["result_keccak"]),
        usage_digest(salt, tenant, name, row["payload_bytes"], row["compute_units"], row["accepted_at"]),
        _STATUS_FAILED if row["status"] == _FAILED else _STATUS_COMPLETED,
    )


def hashes_of(rows: Sequence[Row], first: int) -> list[bytes]:
    """The leaf hashes of a batch, its jobs in the order of settlement (C73)."""
    return [leaf_of(row, first + index).hash() for index, row in enumerate(rows)]


def tree_of(rows: Sequence[Row], first: int) -> Tree:
    """The Merkle tree of a batch."""
    return Tree(hashes_of(rows, first))


class LeafFiles:
    """One file a batch, in which anyone finds the leaves from which its root follows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, batch: int) -> Path:
        """Where the leaves of a batch are."""
        return leaf_file_path(self._folder, batch)

    def hold(self, batch: Row) -> bool:
        """Whether the file is there and holds the leaves of this root: a batch that was moved has another."""
        try:
            said = msgspec.json.decode(self.path(batch["id"]).read_bytes(), type=LeafFile)
        except (OSError, msgspec.MsgspecError):
            return False
        return said.root == _hex(batch["root"])

    def write(self, batch: Row, hashes: Sequence[bytes]) -> None:
        """Write the file beside, make it durable, then rename it: readers never see half of it. Raises `OSError`."""
        target = self.path(batch["id"])
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        said = LeafFile(
            batch=batch["id"], first_sequence=batch["first_sequence"], count=batch["count"],
            root=_hex(batch["root"]), leaves=[_hex(leaf) for leaf in hashes],
        )  # fmt: skip
        try:
            with beside.open("wb") as file:
                file.write(said.content())
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)
        except OSError as exc:
            # Half a file would take what little room there is.
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise OSError(exc.errno, exc.strerror, str(target)) from exc


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
