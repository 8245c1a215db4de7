"""What becomes of batches after a reorganisation: the plan leads to a chain that takes every one of them, once."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zjops.domain.anchoring import Act, Anchor, Place, Repair, firsts, plan_repairs
from zjops.domain.errors import ChainUnavailable


def _root(batch: int, first: int) -> str:
    """The root that a batch has under its numbers: other numbers, another root."""
    return f"0x{batch:032x}{first:032x}"


def _anchor(batch: int, first: int, jobs: int = 3, *former: int, final: bool = True) -> Anchor:
    places = tuple(Place(number, _root(batch, number)) for number in (first, *former))
    return Anchor(batch, jobs, final, places)


GONE = [_anchor(2, 4), _anchor(3, 7)]
OPEN = _anchor(4, 10, final=False)


@pytest.mark.parametrize(
    ("anchors", "roots", "following", "planned"),
    [
        pytest.param(GONE, {4: _root(2, 4), 7: _root(3, 7)}, 10,
                     [Repair(2, 3, Act.ADOPT, 4, 4), Repair(3, 3, Act.ADOPT, 7, 7)], id="all stand again"),
        pytest.param(GONE, {}, 4, [Repair(2, 3, Act.SEND, 4, 4), Repair(3, 3, Act.SEND, 7, 7)], id="all are lost"),
        pytest.param(GONE, {4: _root(2, 4)}, 7, [Repair(2, 3, Act.ADOPT, 4, 4), Repair(3, 3, Act.SEND, 7, 7)],
                     id="the first stands, the second is lost"),
        pytest.param(GONE, {4: "0xforeign"}, 6, [Repair(2, 3, Act.SEND, 4, 6), Repair(3, 3, Act.SEND, 7, 9)],
                     id="others took two numbers"),
        pytest.param([*GONE, OPEN], {4: "0xforeign"}, 5,
                     [Repair(2, 3, Act.SEND, 4, 5), Repair(3, 3, Act.SEND, 7, 8), Repair(4, 3, Act.SEND, 10, 11)],
                     id="what is not final yet moves with them"),
        pytest.param([*GONE, OPEN], {}, 4, [Repair(2, 3, Act.SEND, 4, 4), Repair(3, 3, Act.SEND, 7, 7)],
                     id="what is not final yet stays where nothing moves"),
        pytest.param(GONE, {4: "0xforeign", 7: _root(3, 7)}, 10,
                     [Repair(2, 3, Act.SEND, 4, 10), Repair(3, 3, Act.ADOPT, 7, 7)],
                     id="others took the place of the first, and the second was mined behind them"),
        pytest.param([_anchor(2, 9, 3, 4)], {4: _root(2, 4)}, 7, [Repair(2, 3, Act.ADOPT, 9, 4)],
                     id="it stands under the numbers that it had before"),
        pytest.param([_anchor(4, 10, 3, 7, final=False)], {7: _root(4, 7)}, 10, [Repair(4, 3, Act.ADOPT, 10, 7)],
                     id="one that is not final yet stands under the numbers that it had before"),
        pytest.param([_anchor(2, 9, 3, 4)], {}, 4, [Repair(2, 3, Act.SEND, 9, 4)],
                     id="what had taken its numbers is gone as well"),
        pytest.param([OPEN], {10: _root(4, 10)}, 13, [], id="one that is on its way is mined"),
        pytest.param([], {}, 4, [], id="nothing is gone"),
    ],
)  # fmt: skip
def test_each_batch_has_its_repair(
    anchors: list[Anchor], roots: dict[int, str | None], following: int, planned: list[Repair]
) -> None:
    assert plan_repairs(anchors, roots, following, 1) == planned
    assert set(firsts(anchors)) >= {one.before for one in planned}


@pytest.mark.parametrize(
    ("roots", "following", "floor"),
    [({7: _root(3, 7)}, 4, 1), ({}, 3, 4)],
    ids=["a root stands beyond the counter", "the counter is behind what is final"],
)
def test_a_chain_that_contradicts_itself_is_not_acted_on(
    roots: dict[int, str | None], following: int, floor: int
) -> None:
    with pytest.raises(ChainUnavailable, match="takes number") as refused:
        plan_repairs(GONE, roots, following, floor)
    assert refused.value.reason == "nodes_disagree"


class _Story(NamedTuple):
    """Sizes of batches, how many of them are final, how many of them hold, and what the chain then takes, in order.

    Of what it takes, a batch is named by its place among those that are gone; None is three numbers of something else.
    """

    sizes: list[int]
    final: int
    held: int
    taken: list[int | None]


@st.composite
def _stories(draw: st.DrawFn) -> _Story:
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=8))
    final = draw(st.integers(0, len(sizes)))
    held = draw(st.integers(0, final))
    taken = draw(st.lists(st.none() | st.integers(0, 7), max_size=8))
    return _Story(sizes, final, held, taken)


@given(_stories())
def test_the_contract_takes_all_that_is_planned_in_order_and_each_once(story: _Story) -> None:
    starts = [1 + sum(story.sizes[:index]) for index in range(len(story.sizes))]
    anchors = [
        _anchor(index, starts[index], story.sizes[index], final=index < story.final)
        for index in range(story.held, len(story.sizes))
    ]
    floor = following = starts[story.held] if anchors else 1 + sum(story.sizes)
    roots: dict[int, str | None] = {}
    for one in story.taken:
        if one is None:
            roots[following], following = "0xforeign", following + 3
        elif one < len(anchors) and anchors[one].places[0].first == following:
            roots[following], following = anchors[one].places[0].root, following + anchors[one].jobs
    repairs = {one.batch: one for one in plan_repairs(anchors, roots, following, floor)}
    for anchor in anchors:
        here = anchor.places[0].first
        after = repairs[anchor.batch].after if anchor.batch in repairs else here
        if roots.get(after) == _root(anchor.batch, after):
            continue
        assert after == following, "the contract refuses any other number"
        roots[after], following = _root(anchor.batch, after), following + anchor.jobs
    held = [root for root in roots.values() if root != "0xforeign"]
    assert len(held) == len(set(held)) == len(anchors)
    assert all(anchor.batch in repairs for anchor in anchors if anchor.was_final)
