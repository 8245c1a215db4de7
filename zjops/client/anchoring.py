"""Which batches a reorganisation beyond finality took away, and what the relayer will do: seen from outside.

The store's side comes by the operators' door, the chain's side from the context's own node.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from zjops.client.chain import Block, Commit
from zjops.domain.anchoring import Act, Anchor, Place, Repair, firsts, plan_repairs
from zjops.domain.wire_chain import BatchPage, BatchView

PAGE = 500
CALM = 32
"""After so many final batches in their blocks, one after the other, no older one is looked at: blocks are undone from
the top, and only a batch that was moved behind others lies a little out of order."""


class Store(Protocol):
    """What is asked of the operators' door."""

    def batches(self, *, limit: int, before: int | None) -> BatchPage: ...


class Chain(Protocol):
    """What is asked of the node."""

    def head(self) -> int: ...

    def block(self, number: int) -> Block | None: ...

    def root_of(self, first: int, at: int | None = None) -> bytes | None: ...

    def next_sequence(self, at: int | None = None) -> int: ...

    def commit_of(self, first: int) -> Commit | None: ...


class Planned(NamedTuple):
    """A repair, the batch as the store has it, and where it was committed meanwhile."""

    repair: Repair
    batch: BatchView
    now: Commit | None


class _Seen(NamedTuple):
    candidates: list[BatchView]
    floor: int


def repairs_of(store: Store, chain: Chain) -> list[Planned]:
    """What is to be repaired, as of one block. Raises `ChainUnavailable`, also for a node that contradicts itself."""
    seen, head = _scan(store, chain), chain.head()
    anchors = [_anchor(batch) for batch in seen.candidates]
    roots = {first: _hex(chain.root_of(first, head)) for first in firsts(anchors)}
    repairs = plan_repairs(anchors, roots, chain.next_sequence(head), seen.floor)
    batches = {batch.batch_id: batch for batch in seen.candidates}
    return [
        Planned(one, batches[one.batch], chain.commit_of(one.after) if one.act is Act.ADOPT else None)
        for one in repairs
    ]


def _scan(store: Store, chain: Chain) -> _Seen:
    """The batches that are not final, and the final ones whose blocks are gone; the newest first."""
    found: list[BatchView] = []
    floor, calm, before = 1, 0, None
    while calm < CALM:
        page = store.batches(limit=PAGE, before=before)
        for batch in page.batches:
            if batch.state != "final" or not stands(batch, chain):
                found.append(batch)
                calm = 0
                continue
            floor, calm = max(floor, batch.first_sequence + batch.count), calm + 1
            if calm == CALM:
                break
        before = page.next
        if before is None:
            break
    return _Seen(found, floor)


def stands(batch: BatchView, chain: Chain) -> bool:
    """Whether the block of a mined batch is on the chain."""
    block = None if batch.block_number is None else chain.block(batch.block_number)
    return block is not None and block.hash == (batch.block_hash or "").lower()


def _anchor(batch: BatchView) -> Anchor:
    places = [Place(batch.first_sequence, batch.root)]
    places += [Place(one.first_sequence, one.root) for one in reversed(batch.repairs)]
    return Anchor(batch.batch_id, batch.count, batch.state == "final", tuple(dict.fromkeys(places)))


def _hex(root: bytes | None) -> str | None:
    return None if root is None else "0x" + root.hex()
