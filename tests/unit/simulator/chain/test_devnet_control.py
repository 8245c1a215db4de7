"""`devnet_*` from outside: reorganisations, drops, fees, a stale head, a pause, and kills in the middle of them."""

from __future__ import annotations

import asyncio
import contextlib
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


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DevnetProcess]:
    """A chain that stands still: blocks come by `devnet_mine` alone."""
    process = DevnetProcess(tmp_path, 3600.0)
    try:
        process.start()
        yield process
    finally:
        process.stop()


def number(node: DevnetProcess) -> int:
    return int(node.ask("eth_blockNumber"), 16)


def send(node: DevnetProcess, nonce: int, **fields: Any) -> str:
    return str(node.ask("eth_sendRawTransaction", signed(node, nonce, **fields)))


def nonces(node: DevnetProcess) -> tuple[int, int]:
    """The mined nonce and the pending one."""
    account = node.keys.admin_address
    latest, pending = (int(node.ask("eth_getTransactionCount", account, tag), 16) for tag in ("latest", "pending"))
    return latest, pending


def chain_of(node: DevnetProcess) -> list[dict[str, Any]]:
    return [node.ask("eth_getBlockByNumber", hex(n), True) for n in range(number(node) + 1)]


def assert_linked(blocks: list[dict[str, Any]]) -> None:
    for parent, child in itertools.pairwise(blocks):
        assert child["parentHash"] == parent["hash"]
        assert int(child["number"], 16) == int(parent["number"], 16) + 1
        assert int(child["timestamp"], 16) > int(parent["timestamp"], 16)


def test_a_reorg_replaces_blocks_and_its_transactions_are_mined_again(node: DevnetProcess) -> None:
    node.ask("devnet_mine", 2)
    first, second = send(node, 0), send(node, 1)
    node.ask("devnet_mine")
    node.ask("devnet_mine")
    before, receipt = chain_of(node), node.ask("eth_getTransactionReceipt", first)
    told = node.ask("devnet_reorg", 2, {"keepTransactions": True})
    after = chain_of(node)
    assert_linked(after)
    assert len(after) == len(before)
    assert after[:3] == before[:3]
    assert not {b["hash"] for b in after[3:]} & {b["hash"] for b in before[3:]}
    assert (told["hash"], told["number"]) == (after[-1]["hash"], after[-1]["number"])
    assert told["removed"] == [first, second]
    assert node.ask("eth_getTransactionReceipt", first) is None
    assert node.ask("eth_getTransactionByHash", first)["blockNumber"] is None
    assert node.ask("eth_getBlockByHash", receipt["blockHash"], False) is None
    assert int(node.ask("eth_getBalance", "0x" + "22" * 20, "latest"), 16) == 0
    assert nonces(node) == (0, 2)
    node.ask("devnet_mine")
    again = node.ask("eth_getTransactionReceipt", first)
    assert again["status"] == "0x1"
    assert again["blockHash"] != receipt["blockHash"]
    assert int(node.ask("eth_getBalance", "0x" + "22" * 20, "latest"), 16) == 14


def test_a_reorg_may_lose_its_transactions(node: DevnetProcess) -> None:
    kept, lost = send(node, 0), None
    node.ask("devnet_mine")
    lost = send(node, 1)
    node.ask("devnet_mine")
    node.ask("devnet_reorg", 1, {"keepTransactions": False})
    assert node.ask("eth_getTransactionByHash", lost) is None
    assert node.ask("eth_getTransactionReceipt", kept)["status"] == "0x1"
    node.ask("devnet_mine")
    assert nonces(node) == (1, 1)
    assert send(node, 1) == lost, "it may be sent again"


def test_the_same_reorg_twice_gives_other_blocks_each_time(node: DevnetProcess) -> None:
    node.ask("devnet_mine", 3)
    seen = {node.ask("eth_getBlockByNumber", "latest", False)["hash"]}
    for _ in range(3):
        seen.add(node.ask("devnet_reorg", 1)["hash"])
    assert len(seen) == 4
    assert node.ask("devnet_status")["reorgs"] == 3


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
    ("params", "said"),
    [
        ([0], "depth goes from 1 to 3: the chain has 3 blocks after its first"),
        ([4], "depth goes from 1 to 3"),
        (["deep"], "depth must be a hex quantity"),
        ([1, {"keep": True}], "options may be"),
        ([1, {"keepTransactions": "no"}], "options may be"),
        ([1, 7], "options must be an object"),
        ([], "wrong number or kind of parameters"),
    ],
    ids=["no depth", "deeper than the chain", "no number", "an unknown option", "no truth value", "no object", "none"],
)
def test_a_reorg_that_cannot_be_is_said_clearly(node: DevnetProcess, params: list[Any], said: str) -> None:
    node.ask("devnet_mine", 3)
    before = chain_of(node)
    error = node.error("devnet_reorg", *params)
    assert error["code"] == -32602
    assert said in error["message"]
    assert chain_of(node) == before


def test_other_bad_parameters_are_said_clearly(node: DevnetProcess) -> None:
    assert "first block only" in node.error("devnet_reorg", 1)["message"]
    assert "count goes from 1 to 1000" in node.error("devnet_mine", 0)["message"]
    assert "wei goes from 0" in node.error("devnet_setBaseFee", hex(2**64))["message"]
    assert "blocks goes from 0 to 0" in node.error("devnet_staleHead", 1)["message"]
    assert "32 bytes" in node.error("devnet_dropTransaction", "0x12")["message"]
    assert "20 bytes" in node.error("devnet_setBalance", "0x12", 1)["message"]
    error = node.error("anvil_reorg", 1, [])
    assert (error["code"], "devnet_reorg" in error["message"]) == (-32601, True)


def test_a_dropped_transaction_is_gone_and_what_follows_waits(node: DevnetProcess) -> None:
    first, second = send(node, 0), send(node, 1)
    assert node.ask("txpool_status") == {"pending": "0x2", "queued": "0x0"}
    assert node.ask("devnet_dropTransaction", first) is True
    assert node.ask("devnet_dropTransaction", first) is False
    assert node.ask("eth_getTransactionByHash", first) is None
    assert nonces(node) == (0, 0)
    assert node.ask("devnet_status")["pool"] == {"pending": 0, "queued": 1}
    node.kill()
    node.start()
    node.ask("devnet_mine")
    assert node.ask("eth_getTransactionByHash", first) is None, "a kill brings it back to nobody"
    assert node.ask("eth_getTransactionReceipt", second) is None
    send(node, 0)
    node.ask("devnet_mine")
    assert node.ask("eth_getTransactionReceipt", second)["status"] == "0x1"
    assert node.ask("devnet_dropTransaction", second) is False, "what is mined is not dropped"


def test_the_base_fee_moves_by_itself_and_can_be_pinned(node: DevnetProcess) -> None:
    fees = [int(b["baseFeePerGas"], 16) for b in (node.ask("devnet_mine"), node.ask("devnet_mine"))]
    assert fees[1] == fees[0] - fees[0] // 8, "an empty block lowers it by an eighth (EIP-1559)"
    big = {"data": "0x" + "ff" * 100_000, "gas": 16_000_000, "value": 0, "maxFeePerGas": 10**12}
    for nonce in range(2):
        send(node, nonce, **big | {"to": None, "data": "0x" + "5b" * 20_000})
    node.ask("devnet_setBaseFee", hex(77 * 10**9))
    waits = send(node, 2, maxFeePerGas=70 * 10**9)
    told = node.ask("devnet_mine")
    assert told["baseFeePerGas"] == hex(77 * 10**9)
    assert node.ask("eth_getTransactionReceipt", waits) is None, "it does not pay that much"
    assert int(node.ask("eth_gasPrice"), 16) == 78 * 10**9
    assert node.ask("devnet_mine")["baseFeePerGas"] == hex(77 * 10**9), "pinned for every block"
    node.kill()
    node.start()
    assert node.ask("devnet_status")["pinnedBaseFee"] == hex(77 * 10**9), "a kill heals nothing"
    following = int(node.ask("devnet_setBaseFee", None), 16)
    assert following == 77 * 10**9 - 77 * 10**9 // 8
    node.ask("devnet_mine", 2)
    assert node.ask("eth_getTransactionReceipt", waits)["status"] == "0x1"
    history = [int(fee, 16) for fee in node.ask("eth_feeHistory", "0x2", "latest", [])["baseFeePerGas"]]
    assert history == sorted(history, reverse=True)


def test_a_full_block_raises_the_base_fee(node: DevnetProcess) -> None:
    start = int(node.ask("devnet_status")["nextBaseFee"], 16)
    # Code that jumps for ever: it uses all the gas that it is given.
    for nonce in range(2):
        send(node, nonce, to=None, data="0x5b600056", value=0, gas=14_900_000, maxFeePerGas=10**12)
    node.ask("devnet_mine")
    assert int(node.ask("devnet_status")["nextBaseFee"], 16) > start * 110 // 100


def test_a_stale_head_is_older_in_every_answer(node: DevnetProcess) -> None:
    node.ask("devnet_mine", 4)
    old = node.ask("eth_getBlockByNumber", "latest", False)
    watched = node.ask("eth_newBlockFilter")
    tx_hash = send(node, 0)
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
    assert nonces(node) == (0, 1), "it seems to wait"
    assert int(node.ask("eth_getBalance", "0x" + "22" * 20, "latest"), 16) == 0
    assert "header not found" in node.error("eth_getBalance", account, newest["number"])["message"]
    assert "header not found" in node.error("eth_call", {"to": account}, {"blockHash": newest["hash"]})["message"]
    assert node.ask("eth_getFilterChanges", watched) == []
    after_old = node.ask("eth_feeHistory", "0x1", "latest", [])["baseFeePerGas"][-1]
    assert int(node.ask("eth_gasPrice"), 16) == int(after_old, 16) + 10**9
    node.ask("devnet_mine")
    assert int(node.ask("eth_blockNumber"), 16) == int(old["number"], 16) + 1, "it lags and moves along"
    node.kill()
    node.start()
    assert node.ask("devnet_status")["staleBlocks"] == 2
    assert int(node.ask("devnet_staleHead", None)["number"], 16) == number(node) == int(newest["number"], 16) + 1
    assert node.ask("eth_getTransactionReceipt", tx_hash) == receipt
    assert nonces(node) == (1, 1)


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
    assert node.ask("eth_getBlockByNumber", "finalized", False)["number"] == "0x0"
    node.ask("devnet_mine", 6)
    numbers = {t: node.ask("eth_getBlockByNumber", t, False)["number"] for t in ("latest", "safe", "finalized")}
    assert numbers == {"latest": "0x6", "safe": "0x5", "finalized": "0x4"}
    node.ask("devnet_staleHead", 1)
    assert node.ask("eth_getBlockByNumber", "finalized", False)["number"] == "0x3"


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


def test_an_orderly_end_heals_what_was_set(node: DevnetProcess) -> None:
    node.ask("devnet_mine", 3)
    node.ask("devnet_pause")
    node.ask("devnet_setBaseFee", 5)
    node.ask("devnet_staleHead", 1)
    node.terminate()
    node.start()
    status = node.ask("devnet_status")
    assert (status["paused"], status["staleBlocks"], status["pinnedBaseFee"]) == (False, 0, None)
    assert status["head"]["number"] == status["shown"] == "0x3"


def test_a_balance_is_set_by_a_block_and_kept(node: DevnetProcess) -> None:
    told = node.ask("devnet_setBalance", SOMEBODY, hex(5 * 10**18))
    node.ask("devnet_setBalance", node.keys.admin_address, "0x0")
    node.kill()
    node.start()
    assert int(node.ask("eth_getBalance", SOMEBODY, "latest"), 16) == 5 * 10**18
    assert int(node.ask("eth_getBalance", SOMEBODY, hex(int(told["number"], 16) - 1)), 16) == 0
    assert "insufficient funds" in node.error("eth_sendRawTransaction", signed(node, 0))["message"]
    node.ask("devnet_reorg", 2)
    assert int(node.ask("eth_getBalance", SOMEBODY, "latest"), 16) == 0, "a block that is gone gave nothing"


def test_web3_sees_a_reorg_as_it_is(node: DevnetProcess) -> None:
    web3 = Web3(Web3.HTTPProvider(node.url))
    tx_hash = send(node, 0)
    node.ask("devnet_mine", 2)
    before = web3.eth.wait_for_transaction_receipt(tx_hash, timeout=5)
    web3.provider.make_request("devnet_reorg", [2])
    with pytest.raises(Exception, match="not found"):
        web3.eth.get_transaction_receipt(tx_hash)
    web3.provider.make_request("devnet_mine", [])
    after = web3.eth.wait_for_transaction_receipt(tx_hash, timeout=5)
    assert after["blockNumber"] > before["blockNumber"]
    assert web3.eth.get_transaction_count(node.keys.admin_address) == 1


@pytest.mark.parametrize("after_ms", [0, 2, 5, 20, 60, 150])
def test_a_kill_in_a_reorg_leaves_the_old_chain_or_the_new(node: DevnetProcess, after_ms: int) -> None:
    hashes = []
    for nonce in range(40):
        hashes.append(send(node, nonce))
        node.ask("devnet_mine")
    before = chain_of(node)

    def reorganise() -> None:
        with contextlib.suppress(Exception):  # the answer may be cut off
            node.ask("devnet_reorg", 40)

    asking = threading.Thread(target=reorganise)
    asking.start()
    time.sleep(after_ms / 1000)
    node.kill()
    asking.join()
    node.start()
    after = chain_of(node)
    assert_linked(after)
    assert len(after) == 41
    pool = [h for h in hashes if node.ask("eth_getTransactionByHash", h)["blockNumber"] is None]
    if after == before:
        assert pool == []
    else:
        assert not {b["hash"] for b in after[1:]} & {b["hash"] for b in before[1:]}
        assert pool == hashes
        assert nonces(node) == (0, 40)
        node.ask("devnet_mine")
    assert all(node.ask("eth_getTransactionReceipt", h)["status"] == "0x1" for h in hashes)
