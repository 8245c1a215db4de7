"""What a preview finds out: which batches are gone, where they stand, and how far down it looks."""

from __future__ import annotations

import msgspec
import pytest

from zjops.client.anchoring import CALM, PAGE, repairs_of
from zjops.client.chain import Block, Commit
from zjops.domain.anchoring import Act
from zjops.domain.errors import ChainUnavailable
from zjops.domain.wire_chain import BatchPage, BatchView, RepairView

JOBS = 3


def _hash(*parts: object) -> str:
    return "0x" + "".join(f"{part!s:>08}" for part in parts).encode().hex().rjust(64, "0")


def _again(first: int) -> Commit:
    return Commit(777, _hash("again", first), 5, b"")


def _batch(number: int, first: int | None = None, state: str = "final") -> BatchView:
    """Batch N: three jobs, in block 10 N."""
    first = 1 + JOBS * (number - 1) if first is None else first
    return BatchView(
        batch_id=number, first_sequence=first, count=JOBS, root=_hash("root", number, first), state=state,  # type: ignore[arg-type]
        closed_at="2026-11-01T00:00:00Z", sent_at=None, final_at=None, tx_hash=_hash("tx", number),
        block_number=10 * number if state in ("mined", "final") else None,
        block_hash=_hash("block", number) if state in ("mined", "final") else None, gas_used=1, gas_price_wei="1",
    )  # fmt: skip


class Scene:
    """A store and a chain that agree, until they are told not to."""

    def __init__(self, count: int) -> None:
        self.stored = [_batch(number) for number in range(1, count + 1)]
        self.blocks = {10 * n: Block(_hash("block", n), frozenset()) for n in range(1, count + 1)}
        self.roots = {b.first_sequence: bytes.fromhex(b.root[2:]) for b in self.stored}
        self.following = 1 + JOBS * count
        self.looked = 0

    def batches(self, *, limit: int, before: int | None) -> BatchPage:
        found = [b for b in reversed(self.stored) if before is None or b.batch_id < before][:limit]
        return BatchPage(batches=found, next=found[-1].batch_id if len(found) == limit else None)

    def head(self) -> int:
        return 10_000

    def block(self, number: int) -> Block | None:
        self.looked += 1
        return self.blocks.get(number)

    def root_of(self, first: int, at: int | None = None) -> bytes | None:
        assert at == self.head(), "all is asked as of one block"
        return self.roots.get(first)

    def next_sequence(self, at: int | None = None) -> int:
        assert at == self.head()
        return self.following

    def commit_of(self, first: int) -> Commit | None:
        return _again(first) if first in self.roots else None

    def lose(self, number: int, *, root: bool) -> None:
        """Another block stands where a batch was, with its root elsewhere or nowhere."""
        self.blocks[10 * number] = Block(_hash("other", number), frozenset())
        if not root:
            first = self.stored[number - 1].first_sequence
            del self.roots[first]
            self.following = min(self.following, first)


def test_nothing_is_found_where_all_stand_and_not_every_block_is_looked_at() -> None:
    scene = Scene(PAGE)
    assert repairs_of(scene, scene) == []
    assert scene.looked == CALM


def test_what_stands_elsewhere_is_adopted_and_what_is_lost_is_sent() -> None:
    scene = Scene(40)
    scene.lose(39, root=True)
    scene.lose(40, root=False)
    adopted, sent = repairs_of(scene, scene)
    assert (adopted.repair.batch, adopted.repair.act, adopted.now) == (39, Act.ADOPT, _again(115))
    assert (sent.repair.batch, sent.repair.act, sent.now) == (40, Act.SEND, None)
    assert [one.repair.moves for one in (adopted, sent)] == [False, False]


def test_more_than_a_page_can_be_gone() -> None:
    scene = Scene(PAGE + 100)
    for number in range(51, PAGE + 101):
        scene.lose(number, root=False)
    assert [one.repair.batch for one in repairs_of(scene, scene)] == list(range(51, PAGE + 101))


def test_what_is_not_final_moves_with_what_is() -> None:
    scene = Scene(3)
    scene.lose(3, root=False)
    scene.following += 2
    scene.stored.append(_batch(4, state="closed"))
    assert [(one.repair.batch, one.repair.before, one.repair.after) for one in repairs_of(scene, scene)] == [
        (3, 7, 9), (4, 10, 12),
    ]  # fmt: skip


def test_a_batch_is_known_under_the_numbers_that_it_had_before() -> None:
    scene = Scene(1)
    former = RepairView(
        at="2026-11-01T00:00:00Z", actor="c", act=Act.SEND, first_sequence=1, root=scene.stored[0].root, tx_hash=None,
        block_number=None, block_hash=None, gas_used=None, final_at=None,
    )  # fmt: skip
    scene.stored = [msgspec.structs.replace(_batch(1, first=8), repairs=(former,))]
    scene.lose(1, root=True)
    (one,) = repairs_of(scene, scene)
    assert (one.repair.act, one.repair.before, one.repair.after) == (Act.ADOPT, 8, 1)


def test_a_node_that_is_behind_what_is_final_is_not_believed() -> None:
    scene = Scene(2)
    scene.following = 2
    with pytest.raises(ChainUnavailable, match="takes number 2 next"):
        repairs_of(scene, scene)
