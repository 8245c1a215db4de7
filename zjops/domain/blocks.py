"""Which blocks to ask a node about, where one question for all of them is too much for it.

Public nodes refuse logs of long ranges, each from a length of its own, and say so in words of their own. Here are the
rules alone; whoever asks brings the questions.
"""

from __future__ import annotations

PIECE = 10_000
"""Blocks a question at first: what many nodes take at most."""


class Pieces:
    """A range of blocks in pieces, the newest first; a piece that is refused comes again at half the length."""

    def __init__(self, first: int, last: int, most: int = PIECE) -> None:
        self._first, self._last, self._most = first, last, max(1, most)

    @property
    def piece(self) -> tuple[int, int] | None:
        """The first and the last block to ask about now, None when all were asked about."""
        if self._last < self._first:
            return None
        return max(self._first, self._last - self._most + 1), self._last

    def answered(self) -> None:
        """Go on below this piece."""
        if self.piece is not None:
            self._last = self.piece[0] - 1

    def refused(self) -> bool:
        """Make the pieces shorter; false where a single block was refused, so that no length is at fault."""
        first, last = self.piece or (0, 0)
        self._most = (last - first + 1) // 2
        return self._most > 0


class Since:
    """Finds the first block from which on something is so, by halving; at the last one it must be so."""

    def __init__(self, last: int) -> None:
        self._low, self._high = 0, last

    @property
    def ask(self) -> int | None:
        """The block to look at now, None when the first one is found."""
        return (self._low + self._high) // 2 if self._low < self._high else None

    def told(self, so: bool) -> None:
        """What it is like at the block that was asked about."""
        middle = (self._low + self._high) // 2
        self._low, self._high = (self._low, middle) if so else (middle + 1, self._high)

    @property
    def found(self) -> int:
        """The first block, once there is nothing to ask any more."""
        return self._high
