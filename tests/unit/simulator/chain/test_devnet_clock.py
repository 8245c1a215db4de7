"""A devnet whose clock is not the machine's: ahead, behind, over kills, and never older than its own blocks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.devnet import DevnetProcess

DAY_S = 86_400


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevnetProcess]:
    """A chain that began a day behind, and that stands still: blocks come by `devnet_mine` alone."""
    process = DevnetProcess(tmp_path_factory.mktemp("devnet"), 3600.0, clock_offset_s=-DAY_S)
    try:
        process.start()
        yield process
    finally:
        process.stop()


def mined(node: DevnetProcess) -> int:
    return int(node.ask("devnet_mine")["timestamp"], 16)


def test_a_clock_that_is_set_at_the_start_holds_from_the_first_block_on(node: DevnetProcess) -> None:
    first, now_s = int(node.ask("eth_getBlockByNumber", "0x0", False)["timestamp"], 16), int(time.time())
    assert now_s - DAY_S - 60 < first <= now_s - DAY_S
    assert first < mined(node) <= int(time.time()) - DAY_S + 1
    assert node.ask("devnet_status")["clockOffset"] == -DAY_S


def test_a_clock_is_set_for_the_blocks_to_come_and_a_kill_sets_it_not_right(node: DevnetProcess) -> None:
    now_s = int(time.time())
    assert node.ask("devnet_setClockOffset", 5000) == 5000
    assert now_s + 5000 <= mined(node) <= int(time.time()) + 5000
    node.kill()
    node.start()
    assert node.ask("devnet_status")["clockOffset"] == 5000
    assert node.ask("devnet_setClockOffset", 9000) == 9000
    made = mined(node)
    assert made >= now_s + 9000
    assert node.ask("devnet_setClockOffset", None) == -DAY_S
    assert mined(node) == made + 1, "no block is older than its parent"
    node.ask("devnet_setClockOffset", 7)
    node.terminate()
    node.start()
    assert node.ask("devnet_status")["clockOffset"] == -DAY_S, "an orderly end heals"


@pytest.mark.parametrize("wrong", ["an hour", "0x10", True, 1.5, 10**12, -(10**12)])
def test_what_is_no_offset_is_refused(node: DevnetProcess, wrong: Any) -> None:
    error = node.error("devnet_setClockOffset", wrong)
    assert error["code"] == -32602
    assert "seconds is a whole number from" in error["message"]


def test_whoever_looks_for_another_nodes_clock_is_told_of_ours(node: DevnetProcess) -> None:
    assert node.error("evm_increaseTime", 60)["message"].endswith("which has devnet_setClockOffset")
