"""How the chain stands: runway, lag and progress as arithmetic, and which chains are for playing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from zjops.client.development import Development, is_development
from zjops.client.rpc import Rpc
from zjops.client.standing import (
    RUNWAY_MOST_DAYS,
    Evidence,
    clock_skew_s,
    depth_of,
    evidence_of,
    held_back,
    lag,
    owner_state,
    progress,
    runway_days,
    runway_text,
    seconds_to_final,
    skew_text,
    standstill,
    way_on,
)
from zjops.domain.chains import parse_finality
from zjops.domain.clock import parse_rfc3339
from zjops.domain.errors import UsageError
from zjops.domain.wire_chain import BatchView, RelayerView

MINED = BatchView(
    batch_id=1, first_sequence=1, count=10, root="0x" + "11" * 32, state="mined", closed_at="2026-11-01T00:00:00Z",
    sent_at="2026-11-01T00:00:01Z", final_at=None, tx_hash="0x" + "22" * 32, block_number=7,
    block_hash="0x" + "33" * 32, gas_used=54_500, gas_price_wei="1000000000",
)  # fmt: skip
QUIET = RelayerView(
    owner="me", epoch=1, paused=False, state="unknown", reason=None, since=None, address=None, balance_wei=None,
    nonce=None, fee_wei=None, waiting_jobs=0, open_batches=0, open_jobs=0, oldest_waiting_ms=None, finality="depth:3",
    block_time_seconds=1.0, spent_wei="0", spent_seconds=0.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("spent_wei", "spent_s", "days"),
    [
        pytest.param(0, 0.0, None, id="nothing was spent, so nothing can be said"),
        pytest.param(10, 86_400.0, 100.0, id="a day's spending, a hundred times over"),
        pytest.param(10, 43_200.0, 50.0, id="half a day's spending counts twice"),
        pytest.param(10, 0.5, 100 * 60 / 86_400, id="less than a minute is taken for one"),
        pytest.param(1, 86_400.0 * 1e6, RUNWAY_MOST_DAYS, id="ten years are as good as for ever"),
    ],
)
def test_runway_in_days(spent_wei: int, spent_s: float, days: float | None) -> None:
    found = runway_days(1_000, spent_wei, spent_s)
    assert found == (None if days is None else pytest.approx(days))


@pytest.mark.parametrize(
    ("days", "text"),
    [(None, "nothing was spent"), (2.04, "lasts 2.0 days"), (3649.9, "lasts 3,649.9 days"),
     (3650.0, "lasts > 10 years")],
)  # fmt: skip
def test_a_runway_for_people(days: float | None, text: str) -> None:
    assert runway_text(days).startswith(text)


@pytest.mark.parametrize(
    ("change", "why", "way"),
    [
        ({}, None, "status"), ({"owner": None}, "no relayer is active", "status"),
        ({"state": "waiting", "reason": "rpc_slow: no answer"}, "the relayer waits: rpc_slow: no answer", "status"),
        ({"paused": True, "reason": "operator: paused by one"}, "the relayer is paused by an operator", "unpause"),
        ({"paused": True, "reason": "rpc_slow: from before"}, "the relayer is paused by an operator", "unpause"),
        ({"paused": True, "reason": "reorg_beyond_finality: batch 1 is gone"},
         "the relayer has stopped: reorg_beyond_finality: batch 1 is gone", "reanchor"),
    ],
)  # fmt: skip
def test_why_nothing_is_confirmed_and_the_way_on(change: dict[str, Any], why: str | None, way: str) -> None:
    view = msgspec.structs.replace(QUIET, **change)
    assert standstill(view) == why
    assert f"zjops chain {way}" in way_on(view)


@pytest.mark.parametrize(
    ("batches", "jobs", "waiting", "text"),
    [(0, 0, 0, "0 batches of 0 jobs, and 0 jobs in none yet"), (1, 1, 1, "1 batch of 1 job, and 1 job in none yet"),
     (2, 1_204, 4, "2 batches of 1,204 jobs, and 4 jobs in none yet")],
)  # fmt: skip
def test_what_a_pause_holds_back(batches: int, jobs: int, waiting: int, text: str) -> None:
    assert held_back(msgspec.structs.replace(QUIET, open_batches=batches, open_jobs=jobs, waiting_jobs=waiting)) == text


@pytest.mark.parametrize(
    ("now_s", "blocks", "seconds"),
    [(100.0, 0, 0.0), (101.9, 0, 0.0), (103.0, 0, 1.0), (112.0, 5, 10.0), (90.0, 0, 0.0)],
)
def test_a_head_lags_by_what_it_is_older_than_one_block(now_s: float, blocks: int, seconds: float) -> None:
    assert lag(100, now_s, 2.0) == (blocks, seconds)


@pytest.mark.parametrize(
    ("head_s", "evidence", "skew_s"),
    [
        pytest.param(999, None, 0.0, id="a head of this second"),
        pytest.param(400, None, 0.0, id="an old head may be that of a node that is behind"),
        pytest.param(400, Evidence(390, 389.5, 393.2), 0.0, id="blocks that fit what was sent and seen"),
        pytest.param(1002, None, 0.0, id="a head of the next seconds: clocks differ a little"),
        pytest.param(4600, None, 3600.0, id="a head from the future"),
        pytest.param(4540, Evidence(4500, 899.0, 903.0), 3597.0, id="one that stands still since a minute"),
        pytest.param(950, Evidence(4500, 899.0, 903.0), 3597.0, id="one that has stood still for an hour"),
        pytest.param(-2601, Evidence(-2650, 949.0, 953.0), -3599.0, id="a block older than what it holds"),
        pytest.param(-2601, Evidence(-2650, 949.0, None), -3599.0, id="the same before it is final"),
        pytest.param(990, Evidence(950, None, None), 0.0, id="a root that was found on chain and never sent"),
    ],
)
def test_only_what_no_right_clock_could_show_is_a_skew(head_s: int, evidence: Evidence | None, skew_s: float) -> None:
    assert clock_skew_s(head_s, 1000.0, evidence) == skew_s


def test_a_batch_tells_when_it_was_sent_and_final_by_the_platforms_clock() -> None:
    sent_s = parse_rfc3339("2026-11-01T00:00:01Z") / 1000
    assert evidence_of(MINED, 77) == Evidence(77, sent_s, None)
    final = msgspec.structs.replace(MINED, final_at="2026-11-01T00:00:04.5Z")
    assert evidence_of(final, 77) == Evidence(77, sent_s, sent_s + 3.5)


def test_a_skew_is_said_by_its_side() -> None:
    assert "3,600 s ahead of" in skew_text(3600.2)
    assert "12 s behind" in skew_text(-12.0)


@pytest.mark.parametrize(
    ("head", "text"), [(7, "mined 1/3"), (8, "mined 2/3"), (20, "mined 3/3"), (6, "mined 0/3"), (None, "mined")]
)
def test_a_mined_batch_says_how_far_it_is(head: int | None, text: str) -> None:
    assert progress(MINED, head, 3) == text


def test_other_batches_say_their_state_and_a_final_one_its_time() -> None:
    final = msgspec.structs.replace(MINED, state="final", final_at="2026-11-01T00:00:04.500Z")
    assert progress(final, 9, 3) == "final"
    assert seconds_to_final(final) == 4.5
    assert seconds_to_final(MINED) is None
    assert progress(MINED, 9, depth_of("finalized")) == "mined"
    assert depth_of("depth:3") == 3


@pytest.mark.parametrize(
    ("change", "word"),
    [({}, "active"), ({"state": "waiting"}, "waiting"), ({"paused": True, "state": "waiting"}, "paused"),
     ({"owner": None, "state": "active"}, "absent")],
)  # fmt: skip
def test_the_relayers_state_in_a_word(change: dict[str, Any], word: str) -> None:
    assert owner_state(msgspec.structs.replace(QUIET, **change)) == word


class Node(Rpc):
    """A node that remembers what it was asked."""

    def __init__(self, url: str, version: str) -> None:
        super().__init__(url)
        self.version, self.asked = version, list[tuple[Any, ...]]()

    def ask(self, method: str, *params: Any, repeat: bool = True) -> Any:
        if method == "web3_clientVersion":
            return self.version
        if method == "eth_getBlockByNumber":
            number = {"latest": 9, "finalized": 5}.get(params[0]) or int(params[0], 16)
            return {"number": hex(number), "hash": f"0x{number}", "transactions": [f"0xt{number}"]}
        if method == "eth_getRawTransactionByHash":
            return params[0].replace("t", "raw")
        self.asked.append((method, *params))
        return None


@pytest.mark.parametrize(
    ("url", "version", "playing"),
    [
        ("http://127.0.0.1:8545", "zjops-devnet/eth-tester", True), ("http://localhost:8545", "anvil/v1.5.0", True),
        ("http://127.0.0.1:8545", "Geth/v1.16", False), ("https://rpc.example", "anvil/v1.5.0", False),
    ],
)  # fmt: skip
def test_a_tunnel_to_a_real_node_is_not_for_playing(url: str, version: str, playing: bool) -> None:
    node = Node(url, version)
    assert is_development(node) is playing
    if not playing:
        with pytest.raises(UsageError, match="is not a development chain"):
            Development(node)


@pytest.mark.parametrize(
    ("finality", "deepest"), [("depth:3", 2), ("depth:1", 0), ("finalized", 4)],
    ids=["three deep", "at once", "what the chain calls final"],
)  # fmt: skip
def test_a_reorganisation_undoes_what_is_final_from_a_depth_on(finality: str, deepest: int) -> None:
    development, rule = Development(Node("http://127.0.0.1:1", "zjops-devnet/eth-tester")), parse_finality(finality)
    undone = [depth for depth in range(1, 10) if development.undoes_final(rule, depth)]
    assert undone == list(range(deepest + 1, 10))


def test_more_blocks_than_there_are_are_not_replaced() -> None:
    node = Node("http://127.0.0.1:1", "zjops-devnet/eth-tester")
    with pytest.raises(UsageError, match="the chain has 9 blocks above its first"):
        Development(node).reorganise(10, drop=False)
    assert node.asked == []


def test_each_kind_of_development_chain_is_asked_in_its_own_words() -> None:
    devnet, anvil = Node("http://127.0.0.1:1", "zjops-devnet/eth-tester"), Node("http://127.0.0.1:1", "anvil/v1.5.0")
    for node in (devnet, anvil):
        Development(node).mine(3)
        Development(node).reorganise(2, drop=True)
        Development(node).reorganise(2, drop=False)
    assert devnet.asked == [
        ("devnet_mine", 3), ("devnet_reorg", 2, {"keepTransactions": False}),
        ("devnet_reorg", 2, {"keepTransactions": True}),
    ]  # fmt: skip
    assert anvil.asked == [
        ("anvil_mine", "0x3"), ("anvil_reorg", 2, []), ("anvil_reorg", 2, [["0xraw8", 0], ["0xraw9", 0]]),
    ]  # fmt: skip
