"""When a transaction that is not mined is replaced by one that offers more: never on a chain that makes no blocks.

Time alone says nothing: a chain that stands still passes nobody over, and every raise that was made meanwhile is paid
when it goes on. So blocks are counted beside the seconds, and more is offered only where more can help.
"""

from __future__ import annotations

from typing import NamedTuple

STUCK_BLOCKS = 3
"""So many blocks must have been made without it."""


class Stood(NamedTuple):
    """How long an offer has stood: in seconds, and in blocks that were made meanwhile."""

    seconds: float
    blocks: int

    def long_enough(self, stuck_after_s: float) -> bool:
        """Whether it counts as stuck."""
        return self.seconds >= stuck_after_s and self.blocks >= STUCK_BLOCKS


def may_raise(*, covers: bool, passed_over: bool, too_low: bool) -> bool:
    """Whether to offer more for what is stuck.

    An offer that is good enough is raised only when the pool holds it and blocks pass it over all the same; where the
    pool has lost it, sending it again is what helps. A node that calls it too low knows better.
    """
    return passed_over or too_low or not covers
