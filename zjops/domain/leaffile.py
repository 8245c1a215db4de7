"""The published file of a batch, `log/batches/K/N.json`: the leaves from which its root follows."""

from __future__ import annotations

from pathlib import Path

import msgspec

from zjops.domain.wire import Wire

FOLDER = "batches"
SCHEMA = "zjops.leaffile/1"
PER_FOLDER = 1_000
"""Batches come for ever, and a folder of millions of files is slow to read everywhere."""


class LeafFile(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A batch by its numbers, its root and the hashes of its leaves in order, as 0x-prefixed hex."""

    schema: str = SCHEMA
    batch: int
    first_sequence: int
    count: int
    root: str
    leaves: list[str]

    def content(self) -> bytes:
        """The bytes of the file: the same leaves give the same bytes."""
        return msgspec.json.encode(self)


def leaf_file_path(folder: Path, batch: int) -> Path:
    """Where the file of a batch is, in the folder of all of them."""
    return folder / str(batch // PER_FOLDER) / f"{batch}.json"
