"""The window on a long list, against the list itself."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import example, given, settings
from hypothesis import strategies as st

from zjops.tui.paging import Key, Window


class Listed:
    """A list in order, newest first or oldest first, that can grow at its head."""

    def __init__(self, numbers: Sequence[int], ascending: bool) -> None:
        self.ascending = ascending
        self.keys = sorted(((n % 5, n) for n in set(numbers)), reverse=not ascending)

    def add(self, number: int) -> None:
        self.keys = sorted({*self.keys, (9, number)}, reverse=not self.ascending)

    def fetch(self, key: Key | None, backwards: bool, limit: int) -> list[tuple[Key, int]]:
        keys = self.keys[::-1] if backwards else self.keys
        up = self.ascending != backwards
        found = [k for k in keys if key is None or (k > key if up else k < key)][:limit]
        rows = [(k, k[1]) for k in found]
        return rows[::-1] if backwards else rows


MOVES = st.lists(st.one_of(st.integers(-30, 30), st.sampled_from(["first", "last", "load"])), max_size=20)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.integers(0, 200), max_size=60), st.integers(1, 12), st.booleans(), MOVES)
@example(list(range(9)), 3, False, ["last", -4])
def test_whatever_is_pressed_the_right_row_is_chosen(
    numbers: list[int], height: int, ascending: bool, moves: list[int | str]
) -> None:
    listed = Listed(numbers, ascending)
    window: Window[int] = Window(height, ascending=ascending)
    window.load(listed.fetch)
    place, last = 0, len(listed.keys) - 1
    for move in moves:
        if move == "first":
            window.first(listed.fetch)
            place = 0
        elif move == "last":
            window.last(listed.fetch)
            place = max(0, last)
        elif move == "load":
            window.load(listed.fetch)
        else:
            window.move(int(move), listed.fetch)
            place = max(0, min(last, place + int(move)))
        keys = [key for key, _ in window.rows]
        start = listed.keys.index(keys[0]) if keys else 0
        assert keys == listed.keys[start : start + height]
        assert window.chosen == (listed.keys[place][1] if listed.keys else None)


@given(st.lists(st.integers(0, 200), min_size=3, max_size=60), st.integers(2, 12), st.integers(1, 9))
def test_it_follows_the_head_until_another_row_is_chosen(numbers: list[int], height: int, more: int) -> None:
    listed = Listed([*numbers, 1, 2, 3], ascending=False)
    window: Window[int] = Window(height)
    window.load(listed.fetch)
    listed.add(1_000)
    window.load(listed.fetch)
    assert window.chosen == 1_000
    window.move(1, listed.fetch)
    chosen, shown = window.chosen, [key for key, _ in window.rows]
    for number in range(more):
        listed.add(2_000 + number)
        window.load(listed.fetch)
    assert (window.chosen, [key for key, _ in window.rows]) == (chosen, shown)
    window.first(listed.fetch)
    assert window.chosen == 2_000 + more - 1


def test_a_row_is_held_though_newer_ones_came_above_it() -> None:
    """What somebody saw at the head is what the next move begins at."""
    listed = Listed([1, 2, 3, 4], ascending=False)
    window: Window[int] = Window(5)
    window.load(listed.fetch)
    seen = window.chosen
    listed.add(1_000)
    window.load(listed.fetch)
    window.hold(lambda item: item == seen)
    assert window.chosen == seen
    window.move(1, listed.fetch)
    assert window.chosen == 3
    window.hold(lambda item: item == 77)
    assert window.chosen == 3
