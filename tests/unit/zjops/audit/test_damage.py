"""What the audit reads besides the log, damaged: one line that names the file and where, and never a traceback."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.zjops.audit.world import World, hash_of
from zjops.audit.records import read_export
from zjops.audit.world import SavedChain
from zjops.domain.errors import UsageError
from zjops.domain.synthetic import MARK, synthetic_part

Change = Callable[[str], str]
ROOT = '{"first":1,"count":2,"root":"%s","block":7,"blockHash":"0x","txHash":"0x"}\n'


def _replace(old: str, new: str) -> Change:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: "", "line 1"), (lambda text: text[:-40], "line 5"), (lambda text: "[]", "line 1"),
        (_replace('"salt":"0x', '"salt":"0xzz'), r"line 2.*job\.salt"),
        (_replace('"payloadBytes":200', '"payloadBytes":-200'), r"line 2.*job\.payloadBytes"),
        (_replace('"payloadBytes":200', f'"payloadBytes":{2**70}'), r"line 2.*job\.payloadBytes"),
        (_replace('"count":3', '"count":0'), r"line 5.*batch\.count"),
        (_replace("zjops.export/1", "zjops.other/1"), r"line 1.*schema"),
        (lambda text: text + text.splitlines(keepends=True)[1], "more than once"),
        (lambda text: "".join(text.splitlines(keepends=True)[:2]), "cut off: 1 of 3 jobs"),
    ],
    ids=["empty", "cut off", "no record", "a salt that is no hash", "a negative size", "a size beyond all numbers",
         "a batch of nothing", "another schema", "a job twice", "too few jobs"],
)  # fmt: skip
def test_a_damaged_export_is_refused_by_its_line(change: Change, said: str, tmp_path: Path) -> None:
    World(["done", "fault", "done"]).audit(tmp_path)
    path = tmp_path / "export.jsonl"
    assert len(read_export(path).jobs) == 3
    path.write_text(change(path.read_text()))
    with pytest.raises(UsageError, match=f"export.jsonl.*{said}"):
        read_export(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ((ROOT % hash_of("a"))[:-20], "line 1"), ("null\n", "line 1"), (ROOT % "0xzz", "line 1.*root"),
        (ROOT % "0x12", "line 1.*root"), ((ROOT % hash_of("a")).replace(":2,", ":-2,"), "line 1.*count"),
        (2 * (ROOT % hash_of("a")), "line 2: a second root for number 1"),
    ],
    ids=["cut off", "no record", "a root that is no hash", "a short root", "a negative count", "a root twice"],
)  # fmt: skip
def test_a_damaged_chain_is_refused_by_its_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "chain.jsonl"
    path.write_text(ROOT % hash_of("a"))
    assert SavedChain(path).next_sequence() == 3
    path.write_text(text)
    with pytest.raises(UsageError, match=f"chain.jsonl, {said}"):
        SavedChain(path)


def test_a_chain_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        SavedChain(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"), [("100", "-1"), ("100", str(2**63)), ("zjops.synthetic/1", "other/1")],
    ids=["a negative number", "a number that no stream gets to", "another schema"],
)  # fmt: skip
def test_a_mark_that_cannot_be_is_refused(old: str, new: str, tmp_path: Path) -> None:
    world = World(["done"])
    world.last = {"EVENTS": 100}
    world.audit(tmp_path)
    path = tmp_path / "log" / MARK
    assert synthetic_part(path.parent) is not None
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UsageError, match=f"{MARK} cannot be read"):
        synthetic_part(path.parent)
