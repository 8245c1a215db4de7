"""What becomes of batches whose blocks a reorganisation took away: the rule of the relayer, and of its preview.

The contract takes every number once and in order, and a leaf holds its number (C71, C72). So a lost batch can be sent
again as it was only while its first number is the contract's next one. Where something else has taken the numbers
meanwhile, it takes those that follow, and its leaves and its root change with them. A batch that stands on the chain is
left where it stands, under whichever of its numbers that is.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from zjops.domain.errors import ChainUnavailable

DISAGREE = "nodes_disagree"
REORGED = "reorg_beyond_finality"
"""The word by which the relayer says that it has stopped, because what was final is gone."""
TAKEN = "sequence_taken"
"""The word by which it says that something else has taken numbers of its batches, so that these cannot be sent."""


class Place(NamedTuple):
    """Where a batch begins, and the root (0x-prefixed hex) that its leaves give under these numbers."""

    first: int
    root: str


class Anchor(NamedTuple):
    """A batch that was final and is gone, or one that is not final yet. `places`: the present one, then former ones."""

    batch: int
    jobs: int
    was_final: bool
    places: tuple[Place, ...]


class Act(enum.StrEnum):
    """What is done with a batch."""

    ADOPT = "adopt"
    SEND = "send"


class Repair(NamedTuple):
    """One batch to repair: it had its numbers from `before` on and has them from `after` on."""

    batch: int
    jobs: int
    act: Act
    before: int
    after: int

    @property
    def moves(self) -> bool:
        """Whether its numbers change, and so its leaves, its root and every proof that was handed out."""
        return self.before != self.after


def firsts(anchors: Iterable[Anchor]) -> list[int]:
    """The first numbers for which the contract must be asked."""
    return sorted({place.first for anchor in anchors for place in anchor.places})


def plan_repairs(
    anchors: Sequence[Anchor], roots: Mapping[int, str | None], following: int, floor: int
) -> list[Repair]:  # fmt: skip
    """What to do, in the order in which the contract takes it; open batches that stay as they are are left out.

    `roots` holds what the contract has under each of `firsts`, `following` is the number that it takes next, `floor`
    the one behind every final batch that still stands; all of them as of one block. Raises `ChainUnavailable` when they
    contradict each other, as two nodes behind one address may.
    """
    ordered = sorted(anchors)
    stands = {anchor.batch: place for anchor in ordered if (place := _standing(anchor, roots)) is not None}
    ends = [stands[anchor.batch].first + anchor.jobs for anchor in ordered if anchor.batch in stands]
    if following < max(floor, *ends, 1):
        text = f"the contract takes number {following} next, and batches stand up to {max(floor, *ends, 1)}"
        raise ChainUnavailable(text, DISAGREE)
    found = []
    for anchor in ordered:
        before, place = anchor.places[0].first, stands.get(anchor.batch)
        if place is None:
            act, after = Act.SEND, following
            following += anchor.jobs
        else:
            act, after = Act.ADOPT, place.first
        if anchor.was_final or after != before:
            found.append(Repair(anchor.batch, anchor.jobs, act, before, after))
    return found


def _standing(anchor: Anchor, roots: Mapping[int, str | None]) -> Place | None:
    return next((place for place in anchor.places if roots.get(place.first) == place.root), None)
