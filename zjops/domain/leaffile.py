"""The published file of a batch: the leaves from which its root follows, as `log/batches/N.json`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from zjops.domain.wire import Wire

FOLDER = "batches"


class LeafFile(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A batch by its numbers, its root and the hashes of its leaves in order, as 0x-prefixed hex."""

    schema: str = "zjops.batch/1"
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
    return folder / f"{batch}.json"
