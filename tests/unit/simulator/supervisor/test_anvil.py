"""Anvil as the platform's node: found or missed in one line, its state over kills."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from simulator.config import load_settings
from simulator.supervisor.anvil import anvil_binary, check_home, keep_good_state
from tests.support.anvil import AnvilProcess
from tests.support.nats import eventually
from zjops.domain.errors import UsageError


def test_a_missing_anvil_is_said_with_the_command_that_mends_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no anvil at .*/nowhere; install it with: make anvil"):
        anvil_binary(str(tmp_path / "nowhere"))


def test_the_chain_id_follows_the_chain_unless_it_is_said(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {}).chain_id == 31338
    assert load_settings(tmp_path, {}, chain="anvil").chain_id == 31337
    assert load_settings(tmp_path, {}, chain="anvil", chain_id="7").chain_id == 7


def test_a_clock_out_of_range_is_wrong_usage(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {}, chain_clock_offset_s="-3600").chain_clock_offset_s == -3600
    with pytest.raises(UsageError, match="chain_clock_offset_s"):
        load_settings(tmp_path, {}, chain_clock_offset_s=str(10**12))


def test_a_home_keeps_its_chain(tmp_path: Path) -> None:
    (tmp_path / "chain").mkdir()
    check_home(tmp_path, "anvil")
    (tmp_path / "chain/devnet.sqlite").touch()
    check_home(tmp_path, "devnet")
    with pytest.raises(UsageError, match="began with --chain devnet"):
        check_home(tmp_path, "anvil")


def test_a_spoilt_state_gives_way_to_the_last_whole_one(tmp_path: Path) -> None:
    state = tmp_path / "anvil.json"
    keep_good_state(state)
    state.write_text('{"blocks": 3}')
    keep_good_state(state)
    state.write_text('{"blocks": ')
    keep_good_state(state)
    assert json.loads(state.read_text()) == {"blocks": 3}
    state.with_suffix(".good").unlink()
    state.write_text("{")
    keep_good_state(state)
    assert not state.exists(), "anvil would not start on it"


async def test_the_real_anvil_comes_back_after_a_kill(tmp_path: Path) -> None:

    node = AnvilProcess(tmp_path)
    try:
        await asyncio.to_thread(node.start)
        state = tmp_path / "chain/anvil.json"
        await eventually(lambda: state.exists() and _blocks(state) > 3)
        kept = _blocks(state)
        block = _ask(node, "eth_getBlockByNumber", "0x3", False)
        node.kill()
        await asyncio.to_thread(node.start)
        assert int(_ask(node, "eth_blockNumber"), 16) >= kept
        assert _ask(node, "eth_getBlockByNumber", "0x3", False)["hash"] == block["hash"]
        assert int(_ask(node, "eth_getBalance", node.keys.admin_address, "latest"), 16) == 10**24
    finally:
        node.stop()


def _blocks(state: Path) -> int:
    """The height in a state file, zero while it is being written."""
    try:
        return int(json.loads(state.read_text())["block"]["number"], 16)
    except ValueError:
        return 0


def _ask(node: AnvilProcess, method: str, *params: Any) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(node.url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())["result"]
