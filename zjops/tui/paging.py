"""A window on a list that is too long to hold: one screenful, moved by keys. Pure; what it shows is fetched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Key = tuple[int, int]
Item = TypeVar("Item")
Fetch = Callable[[Key | None, bool, int], Sequence[tuple[Key, Item]]]
"""So many rows after a key (or before it, `True`), in the order of the list; from the beginning or end without one."""


class Window(Generic[Item]):
    """Which screenful is shown and which row is chosen.

    At the head of the list it follows what is new; from the moment that another row is chosen it stands still, so that
    nothing moves under a finger. `ascending` says how keys grow along the list.
    """

    def __init__(self, height: int = 20, *, ascending: bool = False) -> None:
        self.height, self._ascending = max(1, height), ascending
        self.rows: Sequence[tuple[Key, Item]] = ()
        self.cursor = 0
        self.start: Key | None = None
        """The key of the first row that is shown; None for the head of the list."""

    @property
    def follows(self) -> bool:
        """Whether it shows the head of the list, whatever comes there."""
        return self.start is None

    @property
    def chosen(self) -> Item | None:
        """The row under the cursor."""
        return self.rows[self.cursor][1] if self.cursor < len(self.rows) else None

    def load(self, fetch: Fetch[Item]) -> None:
        """Fetch the screenful again; the chosen row stays chosen while it is shown."""
        key = self.rows[self.cursor][0] if self.cursor < len(self.rows) and not self._at_head() else None
        self.rows = fetch(None if self.start is None else self._just_before(self.start), False, self.height)
        keys = [row[0] for row in self.rows]
        self.cursor = keys.index(key) if key in keys else min(self.cursor, max(0, len(keys) - 1))

    def _at_head(self) -> bool:
        return self.follows and self.cursor == 0

    def _just_before(self, key: Key) -> Key:
        """A key behind which a row itself is the first."""
        return (key[0], key[1] + (-1 if self._ascending else 1))

    def _pin(self) -> None:
        if self.start is None and self.rows:
            self.start = self.rows[0][0]

    def hold(self, meant: Callable[[Item], bool]) -> None:
        """Stand still on the row that is meant, while it is here: at the head newer ones may have come above it."""
        place = next((index for index, (_, item) in enumerate(self.rows) if meant(item)), None)
        if place is not None:
            self._pin()
            self.cursor = place

    def move(self, by: int, fetch: Fetch[Item]) -> None:
        """Choose a row further down or up; beyond the screen the window moves with it."""
        self._pin()
        wanted = self.cursor + by
        if 0 <= wanted < len(self.rows):
            self.cursor = wanted
        elif wanted < 0:
            self._up(-wanted, fetch)
        elif self.rows:
            self._down(wanted - len(self.rows) + 1, fetch)

    def _up(self, by: int, fetch: Fetch[Item]) -> None:
        before = fetch(self.rows[0][0], True, by) if self.rows else ()
        if len(before) < by:
            self.first(fetch)
            return
        rows = [*before, *self.rows][: self.height]
        self.rows, self.start, self.cursor = rows, rows[0][0], 0

    def _down(self, by: int, fetch: Fetch[Item]) -> None:
        more = fetch(self.rows[-1][0], False, by)
        rows = [*self.rows, *more][-self.height :]
        self.rows, self.start, self.cursor = rows, rows[0][0], len(rows) - 1

    def first(self, fetch: Fetch[Item]) -> None:
        """The head of the list, which is followed."""
        self.start, self.cursor = None, 0
        self.load(fetch)

    def last(self, fetch: Fetch[Item]) -> None:
        """The end of the list."""
        rows = fetch(None, True, self.height)
        self.rows, self.cursor = rows, max(0, len(rows) - 1)
        self.start = rows[0][0] if rows else None
