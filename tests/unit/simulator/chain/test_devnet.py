"""The devnet process from outside: raw JSON-RPC as other tools send it, kills, and what must survive them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import contracts
from simulator.chain.registry import deploy
from tests.support.devnet import CHAIN_ID, DevnetProcess, signed
from tests.support.nats import eventually
from zjops.domain.clock import SystemClock
from zjops.domain.merkle import keccak256


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevnetProcess]:
    process = DevnetProcess(tmp_path_factory.mktemp("devnet"))
    try:
        process.start()
        yield process
    finally:
        process.stop()


def nonce_of(node: DevnetProcess, tag: str = "pending") -> int:
    return int(node.ask("eth_getTransactionCount", node.keys.admin_address, tag), 16)


async def mined(node: DevnetProcess, tx_hash: str) -> dict[str, Any]:
    await eventually(lambda: node.ask("eth_getTransactionReceipt", tx_hash) is not None)
    receipt: dict[str, Any] = node.ask("eth_getTransactionReceipt", tx_hash)
    return receipt


async def test_a_transfer_is_mined_and_told_of_alike_everywhere(node: DevnetProcess) -> None:
    before = int(node.ask("eth_getBalance", "0x" + "22" * 20, "latest"), 16)
    tx_hash = node.ask("eth_sendRawTransaction", signed(node, nonce_of(node)))
    receipt = await mined(node, tx_hash)
    assert receipt["status"] == "0x1"
    assert receipt["gasUsed"] == hex(21_000)
    block = node.ask("eth_getBlockByHash", receipt["blockHash"], True)
    transaction = node.ask("eth_getTransactionByHash", tx_hash)
    assert transaction in block["transactions"]
    assert block["number"] == receipt["blockNumber"] == transaction["blockNumber"]
    assert node.ask("eth_getBlockReceipts", block["number"]) == [receipt]
    assert node.ask("eth_getBlockTransactionCountByNumber", block["number"]) == "0x1"
    assert node.ask("eth_getTransactionByBlockHashAndIndex", block["hash"], "0x0") == transaction
    assert int(node.ask("eth_getBalance", "0x" + "22" * 20, "latest"), 16) == before + 7
    earlier = hex(int(block["number"], 16) - 1)
    assert int(node.ask("eth_getBalance", "0x" + "22" * 20, earlier), 16) == before


async def test_a_gap_waits_and_the_pending_nonce_counts_without_it(node: DevnetProcess) -> None:
    nonce = nonce_of(node)
    later = node.ask("eth_sendRawTransaction", signed(node, nonce + 1))
    assert nonce_of(node) == nonce
    assert node.ask("eth_getTransactionByHash", later)["blockNumber"] is None
    node.ask("devnet_mine")
    assert node.ask("eth_getTransactionReceipt", later) is None
    node.ask("eth_sendRawTransaction", signed(node, nonce))
    assert (await mined(node, later))["status"] == "0x1"


def test_refusals_are_geths(node: DevnetProcess) -> None:
    nonce = nonce_of(node, "latest")
    assert "nonce too low" in node.error("eth_sendRawTransaction", signed(node, nonce - 1, value=99))["message"]
    assert "chain id" in node.error("eth_sendRawTransaction", signed(node, nonce, chainId=1))["message"]
    assert "intrinsic gas" in node.error("eth_sendRawTransaction", signed(node, nonce, gas=20_999))["message"]
    assert "block gas limit" in node.error("eth_sendRawTransaction", signed(node, nonce, gas=10**9))["message"]
    assert "insufficient funds" in node.error("eth_sendRawTransaction", signed(node, nonce, value=10**27))["message"]
    assert "cannot be read" in node.error("eth_sendRawTransaction", "0x02c0ffee")["message"]


def test_json_rpc_as_it_must_be(node: DevnetProcess) -> None:
    assert node.raw(b"{nonsense")["error"]["code"] == -32700
    assert node.raw(b"[" * 5000)["error"]["code"] == -32700
    assert node.raw(b"[]")["error"]["code"] == -32600
    assert node.raw(b"7")["error"]["code"] == -32600
    assert node.raw(b'{"id":1,"jsonrpc":"2.0"}')["error"]["code"] == -32600
    assert node.error("debug_traceTransaction", "0x00")["code"] == -32601
    assert node.error("eth_getBalance")["code"] == -32602
    assert node.error("eth_getBalance", "0x12", "latest")["code"] == -32602
    assert node.error("eth_getBalance", 5, "latest")["code"] == -32602
    assert node.error("eth_getBlockByNumber", "zz", False)["code"] == -32602
    assert node.raw(b'{"jsonrpc":"2.0","method":"eth_chainId","params":[]}') is None
    batch = [{"jsonrpc": "2.0", "id": n, "method": m, "params": []} for n, m in enumerate(["eth_chainId", "nothing"])]
    first, second = node.raw(json.dumps(batch).encode())
    assert (first["id"], first["result"]) == (0, hex(CHAIN_ID))
    assert (second["id"], second["error"]["code"]) == (1, -32601)


def test_the_small_questions_of_every_client(node: DevnetProcess) -> None:
    assert node.ask("net_version") == str(CHAIN_ID)
    assert node.ask("eth_accounts") == []
    assert node.ask("eth_syncing") is False
    assert node.ask("web3_clientVersion").startswith("zjops-devnet")
    assert int(node.ask("eth_gasPrice"), 16) > 0
    history = node.ask("eth_feeHistory", "0x4", "latest", [50])
    assert len(history["baseFeePerGas"]) == len(history["gasUsedRatio"]) + 1 == len(history["reward"]) + 1
    assert node.ask("eth_getBlockByNumber", "0xffffff", False) is None
    assert node.ask("eth_getBlockByHash", "0x" + "ab" * 32, False) is None
    assert node.ask("eth_getBlockByNumber", "earliest", False)["number"] == "0x0"


async def test_calls_reverts_estimates_and_logs_of_the_contract(node: DevnetProcess) -> None:
    address, _ = await deploy(
        node.url, admin_key=node.keys.admin, operator=node.keys.admin_address, chain_id=CHAIN_ID, clock=SystemClock()
    )
    commit = "0x" + keccak256(b"commitRoot(uint64,uint32,bytes32)")[:4].hex()
    word = "{:064x}".format
    good, wrong = (commit + word(n) + word(1) + "ab" * 32 for n in (1, 9))
    ask = {"from": node.keys.admin_address, "to": address}
    assert node.ask("eth_call", ask | {"data": good}, "latest") == "0x"
    error = node.error("eth_call", ask | {"input": wrong}, "latest")
    assert error["code"] == 3
    assert error["data"] == "0x" + keccak256(b"UnexpectedSequence(uint64,uint64)")[:4].hex() + word(1) + word(9)
    assert node.error("eth_estimateGas", ask | {"data": wrong})["code"] == 3
    gas = int(node.ask("eth_estimateGas", ask | {"data": good}), 16)
    log_filter = node.ask("eth_newFilter", {"address": address})
    block_filter = node.ask("eth_newBlockFilter")
    pool_filter = node.ask("eth_newPendingTransactionFilter")
    raw = signed(node, nonce_of(node), to=address, data=good, value=0, gas=gas)
    tx_hash = node.ask("eth_sendRawTransaction", raw)
    receipt = await mined(node, tx_hash)
    assert receipt["status"] == "0x1", "the estimate must suffice"
    (log,) = receipt["logs"]
    assert node.ask("eth_getFilterChanges", log_filter) == [log]
    assert node.ask("eth_getFilterChanges", log_filter) == []
    assert node.ask("eth_getFilterLogs", log_filter)[-1] == log
    assert receipt["blockHash"] in node.ask("eth_getFilterChanges", block_filter)
    assert node.ask("eth_getFilterChanges", pool_filter) == [tx_hash]
    assert node.ask("eth_uninstallFilter", log_filter) is True
    assert "not found" in node.error("eth_getFilterChanges", log_filter)["message"]
    by_topic = {"address": address, "fromBlock": "earliest", "topics": [None, "0x" + word(1)]}
    assert node.ask("eth_getLogs", by_topic) == [log]
    assert node.ask("eth_getLogs", by_topic | {"topics": [None, "0x" + word(2)]}) == []
    assert node.ask("eth_getLogs", {"blockHash": receipt["blockHash"]}) == [log]
    too_little = signed(node, nonce_of(node), to=address, data=good, value=0, gas=gas - 3_000)
    assert (await mined(node, node.ask("eth_sendRawTransaction", too_little)))["status"] == "0x0"


async def test_the_chain_comes_back_the_same_after_a_kill(tmp_path: Path) -> None:
    node = DevnetProcess(tmp_path)
    try:
        node.start()
        address, _ = await deploy(
            node.url, admin_key=node.keys.admin, operator=node.keys.admin_address, chain_id=CHAIN_ID,
            clock=SystemClock(),
        )  # fmt: skip
        receipt = await mined(node, node.ask("eth_sendRawTransaction", signed(node, nonce_of(node))))
        waiting = node.ask("eth_sendRawTransaction", signed(node, nonce_of(node) + 1))
        height = node.ask("eth_blockNumber")

        def picture() -> list[Any]:
            blocks = [node.ask("eth_getBlockByNumber", hex(n), True) for n in range(int(height, 16) + 1)]
            logs = node.ask("eth_getLogs", {"fromBlock": "0x0", "toBlock": height})
            code, slot = node.ask("eth_getCode", address, height), node.ask("eth_getStorageAt", address, "0x0", height)
            return [blocks, logs, code, slot, node.ask("eth_getTransactionReceipt", receipt["transactionHash"])]

        before = picture()
        for _ in range(3):
            node.kill()
            node.start()
            assert picture() == before
        assert node.ask("eth_getTransactionByHash", waiting)["blockNumber"] is None, "what waited waits again"
        await eventually(lambda: int(node.ask("eth_blockNumber"), 16) > int(height, 16))
        assert contracts.load("JobRegistry").deployed_bytecode[:200] == before[2][:200]
    finally:
        node.stop()


def test_a_folder_belongs_to_one_devnet(node: DevnetProcess) -> None:
    argv = [sys.executable, "-m", "simulator", "role", "chain", "--roles", "chain", "--home", str(node.home),
            "--parent", str(os.getpid()), "--fd", str(node.listener.fileno())]  # fmt: skip
    second = subprocess.run(argv, pass_fds=[node.listener.fileno()], capture_output=True, check=False, timeout=60)
    assert second.returncode == 3
    assert second.stderr.decode().strip() == f"error: another devnet runs in {node.home}/chain"


async def test_a_damaged_database_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "chain").mkdir()
    (tmp_path / "chain/devnet.sqlite").write_bytes(b"not a database, but long enough to be read as one" * 40)
    node = DevnetProcess(tmp_path)
    argv = [sys.executable, "-m", "simulator", "role", "chain", "--roles", "chain", "--home", str(tmp_path),
            "--parent", str(os.getpid()), "--fd", str(node.listener.fileno())]  # fmt: skip
    done = await asyncio.to_thread(
        subprocess.run, argv, pass_fds=[node.listener.fileno()], capture_output=True, check=False, timeout=60
    )
    node.stop()
    assert done.returncode == 3
    assert done.stderr.decode().startswith("error: chain database")
    assert len(done.stderr.decode().strip().splitlines()) == 1
