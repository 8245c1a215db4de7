"""What became of the jobs of a run, read from a log as the meter writes it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from tests.unit.zjops.analytics.logs import START_MS, event, write
from zjops.client import rpc
from zjops.client.http import Http
from zjops.config import Context
from zjops.domain.clock import SystemClock
from zjops.domain.ids import job_id
from zjops.load import aftermath
from zjops.load.aftermath import Settled, look, settle
from zjops.load.histogram import Histogram
from zjops.load.records import Webhook

OURS = ["load-1", "load-2"]
CONTEXT = Context(api_url="http://127.0.0.1:9", token_url="http://127.0.0.1:9", issuer="x", log_dir="x")


def key(number: int) -> bytes:
    return uuid.UUID(int=10**6 + number).bytes


class Story:
    """Events of jobs, each at so many ms after a job was accepted."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def job(self, number: int, accepted: int, tenant: str = "load-1", block: int | None = None, **steps: int) -> None:
        """A job accepted at a moment; its steps by the names of their events."""
        for type, after in {"submitted": 0, **steps}.items():
            self.rows.append(event(
                len(self.rows) + 1, type, tenant=tenant, job_id=key(number), accepted_at=START_MS + accepted,
                time=START_MS + accepted + after, block_number=block if type == "confirmed" else None,
            ))  # fmt: skip

    def log(self, folder: Path) -> Path:
        write(folder / "log", "events", self.rows)
        return folder / "log"


@pytest.fixture
def story() -> Story:
    """Three jobs of the run, of which one is cancelled, and one of somebody else that never ends."""
    made = Story()
    made.job(1, 0, processing=5, completed=20, confirmed=4_000, block=7)
    made.job(2, 1_000, "load-2", completed=40, confirmed=8_000, block=9)
    made.job(3, 2_000, cancelled=300)
    made.job(4, 0, "somebody")
    return made


def test_how_far_the_jobs_of_a_run_have_got(story: Story, tmp_path: Path) -> None:
    found = look(story.log(tmp_path), OURS)
    assert found == Settled(3, 3, START_MS + 2_000, START_MS + 4_000, START_MS + 9_000, 1)
    assert found.whole(3)
    assert found.final_within_s(3) == 7.0
    assert found.jobs_per_s(3) == pytest.approx(1 / 5)


def test_a_job_that_was_accepted_and_is_not_in_the_log_is_not_settled(story: Story, tmp_path: Path) -> None:
    found = look(story.log(tmp_path), OURS)
    assert not found.whole(4)
    assert found.final_within_s(4) is found.jobs_per_s(4) is None


def test_jobs_on_their_way_are_not_settled(story: Story, tmp_path: Path) -> None:
    story.job(5, 0, completed=10)
    assert look(story.log(tmp_path), OURS)[:2] == (4, 3)


class Watch(SystemClock):
    """A clock that only waiting moves; each wait lets something happen."""

    def __init__(self, then: Callable[[], object]) -> None:
        self.at, self.then = 0.0, then

    def monotonic(self) -> float:
        return self.at

    def pause(self, seconds: float) -> None:
        self.at += seconds
        self.then()


def test_the_last_job_is_waited_for(tmp_path: Path) -> None:
    story = Story()
    story.job(1, 0, completed=20)
    log, said = story.log(tmp_path), list[str]()

    def confirm() -> None:
        last = event(3, "confirmed", tenant="load-1", job_id=key(1), time=START_MS + 5_000)
        write(tmp_path / "log", "events", [last])

    found = settle(log, OURS, 1, 60, Watch(confirm), said.append)
    assert found.final_within_s(1) == 5.0
    assert said == ["0 of 1 jobs are final"]


def test_it_is_not_waited_for_ever_and_not_at_all_where_nobody_wants_to(tmp_path: Path) -> None:
    story = Story()
    story.job(1, 0, completed=20)
    log, clock = story.log(tmp_path), Watch(lambda: None)
    assert not settle(log, OURS, 1, 60, clock, lambda text: None).whole(1)
    assert clock.at == pytest.approx(60 + aftermath.LOG_BEHIND_S, abs=aftermath.LOOK_EVERY_S)
    clock = Watch(lambda: None)
    settle(log, OURS, 1, 0, clock, lambda text: None)
    assert clock.at == 0


def test_how_long_each_step_took(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mined = {7: START_MS + 3_000, 9: START_MS + 6_000}
    monkeypatch.setattr(aftermath, "_mined", lambda context, numbers: {number: mined[number] for number in numbers})
    hooks = [
        Webhook(job_id=job_id(key(2)), at_ms=START_MS + 1_500),
        Webhook(job_id=job_id(key(2)), at_ms=START_MS + 9_000),
    ]
    found = aftermath.hops(CONTEXT, story.log(tmp_path), OURS, START_MS, hooks)
    assert {name: (hop.total, hop.ms(100)) for name, hop in found.items()} == {
        "started": (3, pytest.approx(300, rel=0.001)), "completed": (3, pytest.approx(300, rel=0.001)),
        "mined": (2, pytest.approx(5_000, rel=0.001)), "final": (2, pytest.approx(8_000, rel=0.001)),
        "webhook": (1, pytest.approx(500, rel=0.001)),
    }  # fmt: skip
    assert found["started"].ms(1) == pytest.approx(5, rel=0.001)


class Node:
    """A node that says how it was asked; block n was made n seconds after the start."""

    def __init__(self, *, batches: bool = True, without: int | None = None) -> None:
        self.batches, self.without, self.asked = batches, without, list[int]()

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        asked = json.loads(request.content)
        if not isinstance(asked, list):
            self.asked.append(1)
            return httpx2.Response(200, json=self._one(asked))
        self.asked.append(len(asked))
        no = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no batches"}}
        # A batch may be answered in any order.
        return httpx2.Response(200, json=[self._one(one) for one in reversed(asked)] if self.batches else no)

    def _one(self, asked: dict[str, Any]) -> dict[str, Any]:
        number = int(asked["params"][0], 16)
        head = None if number == self.without else {"timestamp": hex(START_MS // 1000 + number)}
        return {"jsonrpc": "2.0", "id": asked["id"], "result": head}


def _mined_by(node: Node, blocks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Histogram | None:
    """How long it took until jobs were mined, each in a block of its own."""
    story = Story()
    for number in range(1, blocks + 1):
        story.job(number, 0, confirmed=9_000, block=number)
    story.job(blocks + 1, -60_000, confirmed=9_000, block=blocks + 1)
    transport = httpx2.MockTransport(node.answer)
    monkeypatch.setattr(rpc, "Http", lambda base, **_: Http(base, transport=transport))
    context = msgspec.structs.replace(CONTEXT, rpc_url="http://node")
    return aftermath.hops(context, story.log(tmp_path), OURS, START_MS, []).get("mined")


def test_every_block_of_a_long_run_is_asked_for_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node, blocks = Node(), 5_250
    mined = _mined_by(node, blocks, tmp_path, monkeypatch)
    assert mined is not None
    assert (mined.total, mined.ms(0)) == (blocks, pytest.approx(1_000, rel=0.001)), "the oldest too"
    assert node.asked == [rpc.BATCH] * (blocks // rpc.BATCH) + [blocks % rpc.BATCH], "and none of the warm-up"


def test_a_node_that_takes_no_batch_is_asked_for_one_block_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(batches=False)
    mined = _mined_by(node, 3, tmp_path, monkeypatch)
    assert mined is not None
    assert (mined.total, node.asked) == (3, [3, 1, 1, 1])


def test_a_step_of_which_not_all_blocks_are_known_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _mined_by(Node(without=2), 3, tmp_path, monkeypatch) is None


def test_jobs_of_the_warm_up_are_left_out_of_the_steps(story: Story, tmp_path: Path) -> None:
    found = aftermath.hops(CONTEXT, story.log(tmp_path), OURS, START_MS + 500, [])
    assert found["completed"].total == 2
    assert "mined" not in found
