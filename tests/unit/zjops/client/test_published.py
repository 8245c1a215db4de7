"""The published file of a batch against the store: it agrees, or it is said what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from simulator.relayer.leaves import LeafFiles
from zjops.client.published import published
from zjops.domain.anchoring import Act
from zjops.domain.merkle import Tree, keccak256
from zjops.domain.wire_chain import BatchDetail, LeafView, RepairView

HASHES = [keccak256(bytes([n])) for n in range(3)]
BATCH = BatchDetail(
    batch_id=7, first_sequence=11, count=3, root="0x" + Tree(HASHES).root.hex(), state="final",
    closed_at="2026-11-01T00:00:00Z", sent_at="2026-11-01T00:00:01Z", final_at="2026-11-01T00:00:05Z",
    tx_hash="0x" + "22" * 32, block_number=9, block_hash="0x" + "33" * 32, gas_used=54_500, gas_price_wei="1",
    leaves=[LeafView(sequence=11 + n, job_id=f"job_{n}", hash="0x" + leaf.hex()) for n, leaf in enumerate(HASHES)],
)  # fmt: skip

REPAIR = RepairView(
    at="2026-11-02T00:00:00Z", actor="somebody", act=Act.SEND, first_sequence=11, root=BATCH.root, tx_hash=None,
    block_number=9, block_hash=None, gas_used=None, final_at=None,
)  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """As the relayer writes it."""
    files = LeafFiles(tmp_path / "batches")
    files.write({"id": 7, "first_sequence": 11, "count": 3, "root": Tree(HASHES).root}, HASHES)
    return files.path(7)


@pytest.mark.parametrize(
    ("batch", "place"), [(1, "0/1.json"), (999, "0/999.json"), (1000, "1/1000.json"), (1_234_567, "1234/1234567.json")]
)
def test_a_folder_holds_a_thousand_files_at_most(tmp_path: Path, batch: int, place: str) -> None:
    files = LeafFiles(tmp_path)
    files.write({"id": batch, "first_sequence": 1, "count": 3, "root": Tree(HASHES).root}, HASHES)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json")] == [place]
    assert json.loads((tmp_path / place).read_bytes())["schema"] == "zjops.leaffile/1"


def test_what_the_relayer_writes_agrees(file: Path, tmp_path: Path) -> None:
    found = published(BATCH, str(tmp_path))
    assert (found.state, found.path, found.digest) == ("agrees", str(file), found.digest_of_store)


def _changed(**change: Any) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps(json.loads(content) | change, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda content: content[:-9], "it is no file of leaves", id="cut off"),
        pytest.param(lambda content: b"", "it is no file of leaves", id="empty"),
        pytest.param(lambda content: b"[]", "it is no file of leaves", id="something else"),
        pytest.param(_changed(count=4), "count is 4, not 3", id="another count"),
        pytest.param(_changed(batch=8), "batch is 8, not 7", id="the file of another batch"),
        pytest.param(_changed(leaves=["0x" + h.hex() for h in HASHES[:2]]), "2 leaves, not 3", id="a leaf less"),
        pytest.param(_changed(leaves=["0x" + h.hex() for h in (HASHES[0], HASHES[2], HASHES[2])]),
                     "the leaf of number 12 is another; its leaves do not give its root", id="another leaf"),
        pytest.param(_changed(leaves=["0x" + h.hex() for h in reversed(HASHES)]),
                     "the leaf of number 11 is another, and 1 more", id="another order"),
        pytest.param(_changed(leaves=["0x12", "zz", ""]), "its leaves do not give its root", id="no hashes"),
        pytest.param(_changed(leaves=[]), "0 leaves, not 3; its leaves do not give its root", id="no leaves"),
        pytest.param(lambda content: content + b"\n", "the same leaves in other bytes", id="a byte more"),
    ],
)  # fmt: skip
def test_what_was_altered_is_named(file: Path, tmp_path: Path, spoil: Callable[[bytes], bytes], said: str) -> None:
    file.write_bytes(spoil(file.read_bytes()))
    found = published(BATCH, str(tmp_path))
    assert found.state == "altered"
    assert found.detail.startswith(f"{file} was altered: ")
    assert said in found.detail
    assert found.digest != found.digest_of_store


@pytest.mark.parametrize(("state", "word"), [("closed", "pending"), ("sent", "missing"), ("final", "missing")])
def test_a_file_is_missing_once_its_root_was_sent(file: Path, tmp_path: Path, state: Any, word: str) -> None:
    file.unlink()
    found = published(msgspec.structs.replace(BATCH, state=state), str(tmp_path))
    assert found.state == word
    assert str(file) in found.detail
    assert found.digest is None


def test_a_batch_that_moved_has_its_former_file_until_it_is_sent_again(file: Path, tmp_path: Path) -> None:
    moved = msgspec.structs.replace(BATCH, first_sequence=16, root="0x" + "55" * 32, state="closed", repairs=(REPAIR,))
    assert published(moved, str(tmp_path)).state == "pending"
    assert published(msgspec.structs.replace(moved, state="sent"), str(tmp_path)).state == "altered"
    assert published(msgspec.structs.replace(moved, repairs=()), str(tmp_path)).state == "altered"


@pytest.mark.parametrize("folder", [None, "/no/such/folder"])
def test_a_folder_that_is_not_here_says_nothing_against_it(folder: str | None) -> None:
    assert published(BATCH, folder).state == "unknown"
