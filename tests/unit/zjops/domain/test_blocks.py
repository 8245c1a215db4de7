"""Ranges in pieces and the search for a first block, against nodes that refuse at a length of their own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zjops.domain.blocks import PIECE, Pieces, Since


def _asked(first: int, last: int, most: int, pieces: Pieces) -> list[tuple[int, int]]:
    """What a node is asked that refuses more than `most` blocks at once; only what it answered."""
    answered = []
    while (piece := pieces.piece) is not None:
        assert first <= piece[0] <= piece[1] <= last
        if piece[1] - piece[0] + 1 > most:
            assert pieces.refused()
            continue
        answered.append(piece)
        pieces.answered()
    return answered


@given(st.integers(0, 10**6), st.integers(0, 20_000), st.integers(1, 20_000))
def test_every_block_is_asked_about_once_and_the_newest_first(first: int, blocks: int, most: int) -> None:
    last = first + blocks - 1
    most = max(most, blocks // 2_000)
    answered = _asked(first, last, most, Pieces(first, last))
    expected = last
    for oldest, newest in answered:
        assert newest == expected
        assert newest - oldest < most
        expected = oldest - 1
    assert expected == first - 1
    assert len(answered) <= blocks // max(1, min(most, PIECE) // 2) + 1


def test_a_node_that_refuses_a_single_block_refuses_for_another_reason() -> None:
    pieces = Pieces(0, 99, 4)
    assert pieces.piece == (96, 99)
    assert pieces.refused()
    assert pieces.piece == (98, 99)
    assert pieces.refused()
    assert pieces.piece == (99, 99)
    assert not pieces.refused()


def test_nothing_is_asked_about_no_blocks() -> None:
    assert Pieces(5, 4).piece is None


@pytest.mark.parametrize("last", [0, 1, 2, 7, 1_000_000])
def test_the_first_block_is_found_in_few_questions(last: int) -> None:
    for first in {0, 1, last // 3, last - 1, last} & set(range(last + 1)):
        since, questions = Since(last), 0
        while (at := since.ask) is not None:
            since.told(at >= first)
            questions += 1
        assert since.found == first
        assert questions <= last.bit_length()
