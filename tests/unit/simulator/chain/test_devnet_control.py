"""`devnet_*` from outside: reorganisations, drops, fees, a stale head, a pause, and kills in the middle of them."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from web3 import Web3

from simulator.chain.registry import deploy
from tests.support.devnet import CHAIN_ID, DevnetProcess, signed
from zjops.domain.clock import SystemClock
from zjops.domain.merkle import keccak256

SOMEBODY = "0x" + "33" * 20
COMMIT = "0x" + keccak256(b"commitRoot(uint64,uint32,bytes32)")[:4].hex()


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevnetProcess]:
    """A chain that stands still: blocks come by `devnet_mine` alone."""
    process = DevnetProcess(tmp_path_factory.mktemp("devnet"), 3600.0)
    try:
        process.start()
        yield process
    finally:
        process.stop()


@pytest.fixture
def node(process: DevnetProcess) -> Iterator[DevnetProcess]:
    """The same with some blocks, an empty pool and nothing set."""
    process.ask("devnet_mine", 6)
    yield process
    process.ask("devnet_resume")
    process.ask("devnet_staleHead", None)
    process.ask("devnet_setBaseFee", None)
    process.ask("devnet_setBalance", process.keys.admin_address, hex(10**24))
    assert process.ask("devnet_status")["pool"] == {"pending": 0, "queued": 0}


def number(node: DevnetProcess) -> int:
    return int(node.ask("eth_blockNumber"), 16)


def send(node: DevnetProcess, nonce: int, **fields: Any) -> str:
    return str(node.ask("eth_sendRawTransaction", signed(node, nonce, **fields)))


def nonces(node: DevnetProcess) -> tuple[int, int]:
    """The mined nonce and the pending one."""
    account = node.keys.admin_address
    latest, pending = (int(node.ask("eth_getTransactionCount", account, tag), 16) for tag in ("latest", "pending"))
    return latest, pending


def chain_of(node: DevnetProcess, newest: int) -> list[dict[str, Any]]:
    """The newest blocks, oldest first."""
    head = number(node)
    return [node.ask("eth_getBlockByNumber", hex(n), True) for n in range(head - newest + 1, head + 1)]


def received(node: DevnetProcess) -> int:
    """What transfers have brought, in wei."""
    return int(node.ask("eth_getBalance", "0x" + "22" * 20, "latest"), 16)


def assert_linked(blocks: list[dict[str, Any]]) -> None:
    for parent, child in itertools.pairwise(blocks):
        assert child["parentHash"] == parent["hash"]
        assert int(child["number"], 16) == int(parent["number"], 16) + 1
        assert int(child["timestamp"], 16) > int(parent["timestamp"], 16)


def test_a_reorg_replaces_blocks_and_its_transactions_are_mined_again(node: DevnetProcess) -> None:
    (start, _), had = nonces(node), received(node)
    first, second = send(node, start), send(node, start + 1)
    node.ask("devnet_mine", 2)
    before, receipt = chain_of(node, 5), node.ask("eth_getTransactionReceipt", first)
    told = node.ask("devnet_reorg", 2, {"keepTransactions": True})
    after = chain_of(node, 5)
    assert_linked(after)
    assert after[-1]["number"] == before[-1]["number"]
    assert after[:3] == before[:3]
    assert not {b["hash"] for b in after[3:]} & {b["hash"] for b in before[3:]}
    assert (told["hash"], told["number"]) == (after[-1]["hash"], after[-1]["number"])
    assert told["removed"] == [first, second]
    assert node.ask("eth_getTransactionReceipt", first) is None
    assert node.ask("eth_getTransactionByHash", first)["blockNumber"] is None
    assert node.ask("eth_getBlockByHash", receipt["blockHash"], False) is None
    assert received(node) == had
    assert nonces(node) == (start, start + 2)
    node.ask("devnet_mine")
    again = node.ask("eth_getTransactionReceipt", first)
    assert again["status"] == "0x1"
    assert again["blockHash"] != receipt["blockHash"]
    assert received(node) == had + 14


def test_a_reorg_may_lose_its_transactions(node: DevnetProcess) -> None:
    start, _ = nonces(node)
    kept = send(node, start)
    node.ask("devnet_mine")
    lost = send(node, start + 1)
    node.ask("devnet_mine")
    node.ask("devnet_reorg", 1, {"keepTransactions": False})
    assert node.ask("eth_getTransactionByHash", lost) is None
    assert node.ask("eth_getTransactionReceipt", kept)["status"] == "0x1"
    node.ask("devnet_mine")
    assert nonces(node) == (start + 1, start + 1)
    assert send(node, start + 1) == lost, "it may be sent again"
    node.ask("devnet_mine")


def test_the_same_reorg_twice_gives_other_blocks_each_time(node: DevnetProcess) -> None:
    reorgs = node.ask("devnet_status")["reorgs"]
    seen = {node.ask("eth_getBlockByNumber", "latest", False)["hash"]}
    for _ in range(3):
        seen.add(node.ask("devnet_reorg", 1)["hash"])
    assert len(seen) == 4
    assert node.ask("devnet_status")["reorgs"] == reorgs + 3


async def deployed(node: DevnetProcess) -> str:
    """The contract; the timer stands still, so blocks are made while the deployment waits for its receipt."""
    work = asyncio.create_task(
        deploy(node.url, admin_key=node.keys.admin, operator=node.keys.admin_address, chain_id=CHAIN_ID,
               clock=SystemClock())
    )  # fmt: skip
    while not work.done():
        await asyncio.to_thread(node.ask, "devnet_mine")
    return (await work)[0]


async def test_filters_tell_of_removed_logs_and_then_of_new_ones(node: DevnetProcess) -> None:
    address = await deployed(node)
    told = node.ask("eth_newFilter", {"address": address})
    other = node.ask("eth_newFilter", {"address": SOMEBODY})
    blocks = node.ask("eth_newBlockFilter")
    root = COMMIT + f"{1:064x}{1:064x}" + "ab" * 32
    tx_hash = send(node, nonces(node)[0], to=address, data=root, value=0, gas=120_000)
    node.ask("devnet_mine")
    late = node.ask("eth_newFilter", {"address": address})
    (log,) = node.ask("eth_getFilterChanges", told)
    assert log["removed"] is False
    assert len(node.ask("eth_getFilterChanges", blocks)) == 1
    node.ask("devnet_reorg", 1)
    assert node.ask("eth_getLogs", {"address": address, "fromBlock": "earliest"})[-1:] != [log]
    assert node.ask("eth_getFilterChanges", told) == [log | {"removed": True}]
    head = node.ask("eth_getBlockByNumber", "latest", False)["hash"]
    assert node.ask("eth_getFilterChanges", blocks) == [head]
    node.ask("devnet_mine")
    (again,) = node.ask("eth_getFilterChanges", told)
    assert (again["transactionHash"], again["removed"]) == (tx_hash, False)
    assert again["blockHash"] != log["blockHash"]
    assert node.ask("eth_getFilterChanges", late) == [again], "what was never told is not taken back"
    assert node.ask("eth_getFilterChanges", other) == []


@pytest.mark.parametrize(
    ("method", "params", "said"),
    [
        ("devnet_reorg", [0], "depth goes from 1 to "),
        ("devnet_reorg", [10_000], "blocks after its first"),
        ("devnet_reorg", ["deep"], "depth must be a hex quantity"),
        ("devnet_reorg", [1, {"keep": True}], "options may be"),
        ("devnet_reorg", [1, {"keepTransactions": "no"}], "options may be"),
        ("devnet_reorg", [1, 7], "options must be an object"),
        ("devnet_reorg", [], "wrong number or kind of parameters"),
        ("devnet_mine", [0], "count goes from 1 to 1000"),
        ("devnet_setBaseFee", [hex(2**64)], "wei goes from 0 to "),
        ("devnet_staleHead", [10_000], "blocks goes from 0 to "),
        ("devnet_dropTransaction", ["0x12"], "must have 32 bytes"),
        ("devnet_setBalance", ["0x12", 1], "must have 20 bytes"),
    ],
    ids=["no depth", "deeper than the chain", "no number", "an unknown option", "no truth value", "no object",
         "no parameters", "no blocks", "a fee out of range", "staler than the chain", "half a hash", "half an address"],
)  # fmt: skip
def test_what_cannot_be_done_is_said_clearly(node: DevnetProcess, method: str, params: list[Any], said: str) -> None:
    before = chain_of(node, 4)
    error = node.error(method, *params)
    assert error["code"] == -32602
    assert said in error["message"]
    assert chain_of(node, 4) == before


def test_methods_of_other_nodes_are_refused_with_the_name_of_ours(node: DevnetProcess) -> None:
    error = node.error("anvil_reorg", 1, [])
    assert error["code"] == -32601
    assert error["message"].endswith("this is zjops-devnet, which has devnet_reorg")


def test_a_dropped_transaction_is_gone_and_what_follows_waits(node: DevnetProcess) -> None:
    start, _ = nonces(node)
    first, second = send(node, start), send(node, start + 1)
    assert node.ask("txpool_status") == {"pending": "0x2", "queued": "0x0"}
    assert node.ask("devnet_dropTransaction", first) is True
    assert node.ask("devnet_dropTransaction", first) is False
    assert node.ask("eth_getTransactionByHash", first) is None
    assert nonces(node) == (start, start)
    assert node.ask("devnet_status")["pool"] == {"pending": 0, "queued": 1}
    node.kill()
    node.start()
    node.ask("devnet_mine")
    assert node.ask("eth_getTransactionByHash", first) is None, "a kill brings it back to nobody"
    assert node.ask("eth_getTransactionReceipt", second) is None
    send(node, start)
    node.ask("devnet_mine")
    assert node.ask("eth_getTransactionReceipt", second)["status"] == "0x1"
    assert node.ask("devnet_dropTransaction", second) is False, "what is mined is not dropped"


def test_the_base_fee_moves_by_itself_and_can_be_pinned(node: DevnetProcess) -> None:
    fees = [int(node.ask("devnet_mine")["baseFeePerGas"], 16) for _ in range(2)]
    assert fees[1] == fees[0] - fees[0] // 8, "an empty block lowers it by an eighth (EIP-1559)"
    start, _ = nonces(node)
    node.ask("devnet_setBaseFee", hex(77 * 10**9))
    waits = send(node, start, maxFeePerGas=70 * 10**9)
    assert node.ask("devnet_mine")["baseFeePerGas"] == hex(77 * 10**9)
    assert node.ask("eth_getTransactionReceipt", waits) is None, "it does not pay that much"
    assert int(node.ask("eth_gasPrice"), 16) == 78 * 10**9
    assert node.ask("devnet_mine")["baseFeePerGas"] == hex(77 * 10**9), "pinned for every block"
    following = int(node.ask("devnet_setBaseFee", None), 16)
    assert following == 77 * 10**9 - 77 * 10**9 // 8
    node.ask("devnet_mine", 2)
    assert node.ask("eth_getTransactionReceipt", waits)["status"] == "0x1"
    history = [int(fee, 16) for fee in node.ask("eth_feeHistory", "0x2", "latest", [])["baseFeePerGas"]]
    assert history == sorted(history, reverse=True)


def test_full_blocks_raise_the_base_fee(node: DevnetProcess) -> None:
    node.ask("devnet_setBaseFee", hex(10**9))
    node.ask("devnet_setBaseFee", None)
    start, _ = nonces(node)
    for nonce in (start, start + 1):
        # An invalid instruction uses up all the gas that it is given.
        send(node, nonce, to=None, data="0xfe", value=0, gas=14_900_000, maxFeePerGas=10**12)
    made = int(node.ask("devnet_mine")["baseFeePerGas"], 16)
    assert int(node.ask("devnet_status")["nextBaseFee"], 16) > made * 110 // 100


def test_a_stale_head_is_older_in_every_answer(node: DevnetProcess) -> None:
    (start, _), had = nonces(node), received(node)
    old = node.ask("eth_getBlockByNumber", "latest", False)
    watched = node.ask("eth_newBlockFilter")
    tx_hash = send(node, start)
    newest = node.ask("devnet_mine", 2)
    receipt = node.ask("eth_getTransactionReceipt", tx_hash)
    node.ask("devnet_staleHead", 2)
    account = node.keys.admin_address
    assert node.ask("eth_getBlockByNumber", "latest", False) == old
    assert node.ask("eth_blockNumber") == old["number"]
    assert node.ask("eth_getBlockByNumber", newest["number"], False) is None
    assert node.ask("eth_getBlockByHash", newest["hash"], False) is None
    assert node.ask("eth_getBlockReceipts", receipt["blockNumber"]) is None
    assert node.ask("eth_getTransactionReceipt", tx_hash) is None
    assert node.ask("eth_getTransactionByHash", tx_hash)["blockNumber"] is None
    assert nonces(node) == (start, start + 1), "it seems to wait"
    assert received(node) == had
    assert "header not found" in node.error("eth_getBalance", account, newest["number"])["message"]
    assert "header not found" in node.error("eth_call", {"to": account}, {"blockHash": newest["hash"]})["message"]
    assert node.ask("eth_getFilterChanges", watched) == []
    after_old = node.ask("eth_feeHistory", "0x1", "latest", [])["baseFeePerGas"][-1]
    assert int(node.ask("eth_gasPrice"), 16) == int(after_old, 16) + 10**9
    node.ask("devnet_mine")
    assert int(node.ask("eth_blockNumber"), 16) == int(old["number"], 16) + 1, "it lags and moves along"
    assert int(node.ask("devnet_staleHead", None)["number"], 16) == number(node) == int(newest["number"], 16) + 1
    assert node.ask("eth_getTransactionReceipt", tx_hash) == receipt
    assert nonces(node) == (start + 1, start + 1)


def test_logs_of_hidden_blocks_are_hidden(node: DevnetProcess) -> None:
    address = asyncio.run(deployed(node))
    logs = {"address": address, "fromBlock": "earliest", "toBlock": hex(10**6)}
    found = node.ask("eth_getLogs", logs)
    assert found
    node.ask("devnet_staleHead", number(node))
    assert node.ask("eth_getLogs", logs) == []
    assert node.ask("eth_getCode", address, "latest") == "0x"
    node.ask("devnet_staleHead", None)
    assert node.ask("eth_getLogs", logs) == found


def test_tags_have_a_depth(node: DevnetProcess) -> None:
    head = number(node)
    tags = ("latest", "safe", "finalized")
    found = [int(node.ask("eth_getBlockByNumber", tag, False)["number"], 16) for tag in tags]
    assert found == [head, head - 1, head - 2]
    node.ask("devnet_staleHead", 1)
    found = [int(node.ask("eth_getBlockByNumber", tag, False)["number"], 16) for tag in tags]
    assert found == [head - 1, head - 2, head - 3]


async def test_a_paused_timer_makes_no_block_and_takes_transactions(tmp_path: Path) -> None:
    node = DevnetProcess(tmp_path, 0.05)
    try:
        node.start()
        assert node.ask("devnet_pause") is True
        height, tx_hash = number(node), send(node, nonces(node)[0])
        node.kill()
        node.start()
        began = time.monotonic()
        while time.monotonic() - began < 0.5:
            assert number(node) == height
        assert node.ask("eth_getTransactionByHash", tx_hash)["blockNumber"] is None
        node.ask("devnet_mine")
        assert node.ask("eth_getTransactionReceipt", tx_hash)["status"] == "0x1", "by hand it goes on"
        assert node.ask("devnet_resume") is True
        deadline = time.monotonic() + 10
        while number(node) < height + 3:
            assert time.monotonic() < deadline
    finally:
        node.stop()


def test_a_kill_heals_nothing_and_an_orderly_end_everything(node: DevnetProcess) -> None:
    node.ask("devnet_pause")
    node.ask("devnet_setBaseFee", 5)
    node.ask("devnet_staleHead", 1)
    set_so = node.ask("devnet_status")
    assert (set_so["paused"], set_so["staleBlocks"], set_so["pinnedBaseFee"]) == (True, 1, "0x5")
    node.kill()
    node.start()
    assert node.ask("devnet_status") == set_so
    node.terminate()
    node.start()
    status = node.ask("devnet_status")
    assert (status["paused"], status["staleBlocks"], status["pinnedBaseFee"]) == (False, 0, None)
    assert status["head"] == set_so["head"]
    assert status["shown"] == status["head"]["number"]


def test_a_balance_is_set_by_a_block_and_kept(node: DevnetProcess) -> None:
    told = node.ask("devnet_setBalance", SOMEBODY, hex(5 * 10**18))
    node.ask("devnet_setBalance", node.keys.admin_address, "0x0")
    assert int(node.ask("eth_getBalance", SOMEBODY, "latest"), 16) == 5 * 10**18
    assert int(node.ask("eth_getBalance", SOMEBODY, hex(int(told["number"], 16) - 1)), 16) == 0
    assert "insufficient funds" in node.error("eth_sendRawTransaction", signed(node, nonces(node)[0]))["message"]
    node.ask("devnet_reorg", 2)
    assert int(node.ask("eth_getBalance", SOMEBODY, "latest"), 16) == 0, "a block that is gone gave nothing"


def test_web3_sees_a_reorg_as_it_is(node: DevnetProcess) -> None:
    web3 = Web3(Web3.HTTPProvider(node.url))
    start, _ = nonces(node)
    tx_hash = send(node, start)
    node.ask("devnet_mine", 2)
    before = web3.eth.wait_for_transaction_receipt(tx_hash, timeout=5)
    web3.provider.make_request("devnet_reorg", [2])
    with pytest.raises(Exception, match="not found"):
        web3.eth.get_transaction_receipt(tx_hash)
    web3.provider.make_request("devnet_mine", [])
    after = web3.eth.wait_for_transaction_receipt(tx_hash, timeout=5)
    assert after["blockNumber"] > before["blockNumber"]
    assert web3.eth.get_transaction_count(node.keys.admin_address) == start + 1


def test_a_kill_in_a_reorg_leaves_the_old_chain_or_the_new(node: DevnetProcess) -> None:
    start, _ = nonces(node)
    hashes = []
    for nonce in range(start, start + 5):
        hashes.append(send(node, nonce))
        node.ask("devnet_mine", 10)
    took_s = None
    for part in (None, 0.0, 0.3, 0.6, 0.9):
        before = chain_of(node, 60)
        took_s = _reorganise_and_kill(node, took_s, part)
        node.start()
        after = chain_of(node, 60)
        assert_linked(after)
        pool = [h for h in hashes if node.ask("eth_getTransactionByHash", h)["blockNumber"] is None]
        if after == before:
            assert part is not None, "an answered one is durable"
            assert pool == []
        else:
            assert after[:10] == before[:10]
            assert not {b["hash"] for b in after[10:]} & {b["hash"] for b in before[10:]}
            assert pool == hashes
            assert nonces(node) == (start, start + 5)
        node.ask("devnet_mine")
        assert all(node.ask("eth_getTransactionReceipt", h)["status"] == "0x1" for h in hashes)


def _reorganise_and_kill(node: DevnetProcess, took_s: float | None, part: float | None) -> float:
    """Replace 50 blocks and kill the node at a part of the time that it takes, after its end for None."""

    def reorganise() -> None:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):  # the answer is cut off
            node.ask("devnet_reorg", 50)

    began = time.monotonic()
    asking = threading.Thread(target=reorganise)
    asking.start()
    asking.join(None if part is None or took_s is None else part * took_s)
    took_s = took_s or time.monotonic() - began
    node.kill()
    asking.join()
    return took_s
