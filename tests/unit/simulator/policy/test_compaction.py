"""Which files of a log become one, by their numbers, rows and times."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.policy.compaction import (
    DAY_MS,
    FOLD_AFTER_MS,
    HOUR_MS,
    MOST_ROWS,
    SETTLED_AFTER_MS,
    Part,
    day_end_ms,
    folds,
    merges,
)

DAY = "2026-11-24"
START_MS = day_end_ms(DAY) - DAY_MS


def _parts(*hours: float, rows: int = 10) -> list[Part]:
    """One file of ten numbers for each hour named."""
    return [Part(n * 10 + 1, n * 10 + 10, rows, START_MS + round(hour * HOUR_MS)) for n, hour in enumerate(hours)]


def _spans(groups: list[list[Part]]) -> list[tuple[int, int]]:
    return [(group[0].first, group[-1].last) for group in groups]


def test_the_day_ends_at_midnight_utc() -> None:
    assert day_end_ms("1970-01-01") == DAY_MS


def test_files_of_an_hour_become_one_once_it_has_ended() -> None:
    parts = _parts(0.1, 0.5, 0.9, 1.1, 1.2)
    assert merges(DAY, parts, START_MS + HOUR_MS - 1) == []
    assert _spans(merges(DAY, parts, START_MS + HOUR_MS)) == [(1, 30)]
    assert _spans(merges(DAY, parts, START_MS + 2 * HOUR_MS)) == [(1, 30), (31, 50)]


def test_hours_become_one_once_the_day_has_ended_and_its_last_rows_are_written() -> None:
    parts = _parts(0.5, 1.5, 2.5)
    assert merges(DAY, parts, START_MS + DAY_MS + SETTLED_AFTER_MS - 1) == []
    assert _spans(merges(DAY, parts, START_MS + DAY_MS + SETTLED_AFTER_MS)) == [(1, 30)]


def test_one_file_alone_is_left_as_it_is() -> None:
    assert merges(DAY, _parts(0.5), START_MS + 3 * DAY_MS) == []


def test_a_file_across_a_gap_would_say_that_it_holds_it() -> None:
    parts = _parts(0.1, 0.2, 0.3, 0.4, 0.5)
    del parts[2]
    assert _spans(merges(DAY, parts, START_MS + 2 * DAY_MS)) == [(1, 20), (31, 50)]


def test_a_merged_file_holds_no_more_than_fits_into_memory() -> None:
    parts = _parts(*[0.1] * 7, rows=MOST_ROWS // 3)
    assert _spans(merges(DAY, parts, START_MS + HOUR_MS)) == [(1, 30), (31, 60)]


@pytest.mark.parametrize("folded", [(), (0,), (0, 1)], ids=["none is", "one is", "both are"])
def test_requests_are_folded_a_day_after_their_day_and_then_once(folded: tuple[int, ...]) -> None:
    parts = [part._replace(folded=n in folded) for n, part in enumerate(_parts(1, 2))]
    assert folds(DAY, parts, START_MS + DAY_MS + FOLD_AFTER_MS - 1) == []
    assert _spans(folds(DAY, parts, START_MS + DAY_MS + FOLD_AFTER_MS)) == [(1, 20)]
    whole = Part(1, 20, 5, parts[-1].newest_ms, folded=True)
    assert folds(DAY, [whole], START_MS + 9 * DAY_MS) == []
    assert folds(DAY, [whole._replace(folded=False)], START_MS + 9 * DAY_MS) == [[whole._replace(folded=False)]]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1), st.integers(0, 3 * HOUR_MS)), max_size=30))
def test_whatever_there_is_groups_are_neighbours_and_no_part_is_in_two(
    given_parts: list[tuple[int, int, int]],
) -> None:
    parts, at = [], 1
    for size, gap, newest in given_parts:
        parts.append(Part(at + gap, at + gap + size - 1, size, START_MS + newest))
        at += gap + size
    for now in (START_MS + HOUR_MS, START_MS + 2 * HOUR_MS, START_MS + 2 * DAY_MS):
        groups = merges(DAY, parts, now)
        used = [part for group in groups for part in group]
        assert len(used) == len(set(used))
        for group in groups:
            assert len(group) > 1
            assert all(a.last + 1 == b.first for a, b in itertools.pairwise(group))
