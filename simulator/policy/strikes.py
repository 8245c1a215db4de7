"""How often something grave must be seen before it is believed: one node may be wrong, and one moment may be."""

from __future__ import annotations

STRIKES = 3


class Strikes:
    """Looks that found the same grave thing, in a row and one a block.

    Looks at one and the same newest block are the word of one node at one moment, however many they are.
    """

    __slots__ = ("_block", "_seen")

    def __init__(self) -> None:
        self._seen, self._block = 0, -1

    def strike(self, block: int) -> bool:
        """Count a look at that newest block; whether it is to be believed now."""
        if block > self._block:
            self._seen, self._block = self._seen + 1, block
        return self._seen >= STRIKES

    def clear(self) -> None:
        """It was not so: begin anew."""
        self._seen, self._block = 0, -1
