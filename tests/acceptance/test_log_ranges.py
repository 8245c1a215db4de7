"""Whoever looks for a batch in the contract's log does it in ranges that public nodes answer: verifier and relayer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

import pytest

from simulator.chain.port import Commit, Receipt
from simulator.chain.registry import Web3Chain, deploy
from simulator.policy.fees import Fees
from tests.support.devnet import CHAIN_ID, DevnetProcess
from tests.support.rpc_front import RpcFront, TooLong, running_front
from zjops.client.chain import ChainReader
from zjops.client.chain import Commit as Committed
from zjops.client.rpc import RpcRefused
from zjops.config import Context
from zjops.domain.clock import SystemClock
from zjops.domain.errors import ChainRefused
from zjops.domain.merkle import keccak256

REFUSALS = {
    "an error of its own": lambda most: TooLong(most, {"code": -32600, "message": f"at most a {most} block range"}),
    "the code for too many questions": lambda most: TooLong(
        most, {"code": -32005, "message": "query exceeds max block range"}
    ),
    "an error by HTTP 400": lambda most: TooLong(most, {"code": -32602, "message": "range is too wide"}, 400),
}  # fmt: skip
COMMITS = {1: Commit(1, 5, keccak256(b"a")), 6: Commit(6, 1, keccak256(b"b"))}
HISTORY, MOST = 80, 15
"""Blocks before the contract, and behind its first batch; and those whose logs the node gives at once."""


class World(NamedTuple):
    """A contract with two batches on a chain that is longer than what its node answers for at once."""

    node: DevnetProcess
    front: RpcFront
    contract: str
    receipts: dict[int, Receipt]

    def reader(self) -> ChainReader:
        return ChainReader(Context(api_url="", token_url="", issuer="", rpc_url=self.front.url, contract=self.contract))

    def committed(self, first: int) -> Committed:
        """What the log tells of a batch."""
        receipt, commit = self.receipts[first], COMMITS[first]
        return Committed(receipt.block_number, receipt.tx_hash, commit.count, commit.root)

    def chain(self, url: str | None = None) -> Web3Chain:
        return Web3Chain(
            url or self.front.url, contract=self.contract, operator_key=self.node.keys.operator, chain_id=CHAIN_ID
        )


async def _mined(node: DevnetProcess, chain: Web3Chain, commit: Commit, nonce: int) -> Receipt:
    signed = chain.sign(commit, nonce, 200_000, Fees(10**10, 10**9))
    await chain.send(signed.raw)
    node.ask("devnet_mine")
    receipt = await chain.receipt(signed.tx_hash)
    assert receipt is not None
    return receipt


async def _history(node: DevnetProcess) -> tuple[str, dict[int, Receipt]]:
    node.ask("devnet_mine", HISTORY)
    deploying = asyncio.create_task(
        deploy(node.url, admin_key=node.keys.admin, operator=node.keys.operator_address, chain_id=CHAIN_ID,
               clock=SystemClock())
    )  # fmt: skip
    while not deploying.done():
        await asyncio.to_thread(node.ask, "devnet_mine")
    contract, _ = await deploying
    chain = Web3Chain(node.url, contract=contract, operator_key=node.keys.operator, chain_id=CHAIN_ID)
    first = await _mined(node, chain, COMMITS[1], 0)
    node.ask("devnet_mine", HISTORY)
    second = await _mined(node, chain, COMMITS[6], 1)
    node.ask("devnet_mine", 10)
    await chain.stop()
    return contract, {1: first, 6: second}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    node = DevnetProcess(tmp_path_factory.mktemp("ranges"), 3600.0)
    try:
        node.start()
        with running_front(node.home) as front:
            yield World(node, front, *asyncio.run(_history(node)))
    finally:
        node.stop()


@pytest.fixture(autouse=True)
def _healed(world: World) -> Iterator[None]:
    yield
    world.front.heal()
    world.front.ranges.clear()


@pytest.mark.parametrize("first", [1, 6])
def test_the_block_that_a_proof_names_is_the_only_one_that_is_asked_about(world: World, first: int) -> None:
    world.front.too_long = REFUSALS["an error of its own"](1)
    block = world.receipts[first].block_number
    reader = world.reader()
    with closing(reader.http):
        assert reader.commit_of(first, block) == world.committed(first)
    assert world.front.ranges == [(block, block)]


@pytest.mark.parametrize(
    ("told", "refusal"),
    [(0, "an error of its own"), (7, "an error by HTTP 400"), (10**9, "the code for too many questions"),
     (-1, "an error of its own")],
    ids=["the first", "another", "one to come", "none at all"],
)  # fmt: skip
def test_where_it_is_another_block_the_log_is_read_in_pieces_since_the_deployment(
    world: World, told: int, refusal: str
) -> None:
    world.front.too_long = REFUSALS[refusal](MOST)
    reader = world.reader()
    with closing(reader.http):
        assert reader.commit_of(1, told) == world.committed(1)
    answered = [(first, last) for first, last in world.front.ranges if last - first < MOST and last != told]
    assert len(answered) > HISTORY // MOST
    assert min(first for first, _ in answered) > HISTORY, "nothing is asked about blocks before the contract"
    refused = [last - first for first, last in world.front.ranges if last - first >= MOST]
    assert len(refused) < 10, "what a node refuses once is not asked again and again"


def test_a_batch_that_the_contract_does_not_know_is_not_looked_for(world: World) -> None:
    world.front.too_long = REFUSALS["an error of its own"](MOST)
    reader = world.reader()
    with closing(reader.http):
        assert reader.commit_of(4, 7) is None
    assert world.front.ranges == [(7, 7)]


def test_a_node_without_old_states_is_read_from_its_first_block_on(world: World) -> None:
    world.front.too_long, world.front.pruned_before = REFUSALS["an error of its own"](MOST), 2 * HISTORY
    reader = world.reader()
    with closing(reader.http):
        assert reader.commit_of(1, 0) == world.committed(1)


def test_a_node_that_gives_no_logs_at_all_is_said_to_refuse(world: World) -> None:
    world.front.too_long = REFUSALS["an error of its own"](0)
    reader = world.reader()
    with closing(reader.http), pytest.raises(RpcRefused, match="refuses eth_getLogs: at most a 0 block range"):
        reader.commit_of(1, 10**9)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_the_relayer_finds_a_root_of_which_its_store_knows_nothing(
    world: World, refusal: Callable[[int], TooLong]
) -> None:
    chain = world.chain()
    world.front.too_long = refusal(MOST)
    assert await chain.find_root(1) == world.receipts[1]
    assert await chain.find_root(6) == world.receipts[6]
    assert min(first for first, _ in world.front.ranges) > HISTORY
    world.front.ranges.clear()
    assert await chain.find_root(4) is None
    assert world.front.ranges == []
    world.front.pruned_before = 2 * HISTORY
    assert await chain.find_root(1) == world.receipts[1]
    world.front.too_long = refusal(0)
    with pytest.raises(ChainRefused):
        await chain.find_root(1)
    await chain.stop()
