"""One suite for every adapter of the Chain port: in memory, and web3 against the real devnet process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from simulator.chain.memory import MemoryChain
from simulator.chain.port import Chain, Receipt
from simulator.chain.registry import Web3Chain, deploy
from tests.support.devnet import CHAIN_ID, DevnetProcess
from tests.support.nats import eventually
from zjops.domain.clock import SystemClock
from zjops.domain.errors import ChainRefused, ChainUnavailable
from zjops.domain.merkle import keccak256

BLOCK_S = 0.1


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevnetProcess]:
    process = DevnetProcess(tmp_path_factory.mktemp("devnet"), BLOCK_S)
    try:
        process.start()
        yield process
    finally:
        process.stop()


@pytest.fixture(params=["memory", "web3"])
async def chain(request: pytest.FixtureRequest) -> AsyncIterator[Chain]:
    clock = SystemClock()
    if request.param == "memory":
        made: Chain = MemoryChain(clock, chain_id=CHAIN_ID, block_time_s=BLOCK_S)
    else:
        node: DevnetProcess = request.getfixturevalue("devnet")
        keys = node.keys
        contract, _ = await deploy(
            node.url, admin_key=keys.admin, operator=keys.operator_address, chain_id=CHAIN_ID, clock=clock
        )
        made = Web3Chain(node.url, contract=contract, operator_key=keys.operator, chain_id=CHAIN_ID)
    await made.start()
    yield made
    await made.stop()


def _root(text: str) -> bytes:
    return keccak256(text.encode())


async def _mined(chain: Chain, tx_hash: str) -> Receipt:
    found: list[Receipt] = []

    async def there() -> bool:
        receipt = await chain.receipt(tx_hash)
        found.extend([receipt] if receipt is not None else [])
        return receipt is not None

    await eventually(there)
    return found[0]


async def test_it_says_who_it_is(chain: Chain) -> None:
    identity = await chain.identity()
    assert identity.chain_id == CHAIN_ID
    assert len(identity.contract) == 42
    assert len(identity.code_hash) == 66


async def test_nothing_is_committed_at_first(chain: Chain) -> None:
    assert await chain.next_sequence() == 1
    assert await chain.root_of(1) is None
    assert await chain.find_root(1) is None
    assert await chain.receipt("0x" + "00" * 32) is None


async def test_a_root_is_committed_and_found(chain: Chain) -> None:
    tx_hash = await chain.send_root(1, 5, _root("a"))
    receipt = await _mined(chain, tx_hash)
    assert receipt.tx_hash == tx_hash
    assert receipt.status == 1
    assert 40_000 < receipt.gas_used < 120_000
    assert receipt.effective_gas_price > 0
    assert await chain.root_of(1) == _root("a")
    assert await chain.next_sequence() == 6
    assert await chain.find_root(1) == receipt
    assert await chain.block_hash(receipt.block_number) == receipt.block_hash


async def test_roots_follow_each_other(chain: Chain) -> None:
    first = await _mined(chain, await chain.send_root(1, 2, _root("a")))
    second = await _mined(chain, await chain.send_root(3, 1, _root("b")))
    assert second.block_number > first.block_number
    assert (await chain.root_of(1), await chain.root_of(3)) == (_root("a"), _root("b"))


async def test_a_wrong_number_is_refused_with_the_contracts_own_error(chain: Chain) -> None:
    await _mined(chain, await chain.send_root(1, 2, _root("a")))
    for wrong in (1, 2, 7):
        with pytest.raises(ChainRefused, match=rf"UnexpectedSequence\(3, {wrong}\)"):
            await chain.send_root(wrong, 1, _root("b"))
    assert await chain.next_sequence() == 3


@pytest.mark.parametrize(("count", "root"), [(0, _root("a")), (1, b"\0" * 32)])
async def test_an_empty_batch_and_a_zero_root_are_refused(chain: Chain, count: int, root: bytes) -> None:
    with pytest.raises(ChainRefused):
        await chain.send_root(1, count, root)


async def test_blocks_come_by_themselves_and_keep_their_hash(chain: Chain) -> None:
    first = await chain.head()
    assert await chain.block_hash(first.number) == first.hash
    await eventually(lambda: _beyond(chain, first.number + 2))
    assert await chain.block_hash(first.number) == first.hash
    assert await chain.block_hash(first.number + 10_000) is None
    assert (await chain.head()).timestamp >= first.timestamp


async def _beyond(chain: Chain, number: int) -> bool:
    return (await chain.head()).number >= number


async def test_another_chain_id_is_refused(devnet: DevnetProcess) -> None:
    keys = devnet.keys
    other = Web3Chain(devnet.url, contract="0x" + "11" * 20, operator_key=keys.operator, chain_id=1)
    with pytest.raises(ChainRefused, match="is chain 31338, not 1"):
        await other.start()
    await other.stop()


async def test_an_address_without_code_is_refused(devnet: DevnetProcess) -> None:
    keys = devnet.keys
    other = Web3Chain(devnet.url, contract="0x" + "11" * 20, operator_key=keys.operator, chain_id=CHAIN_ID)
    with pytest.raises(ChainRefused, match="no contract"):
        await other.start()
    await other.stop()


async def test_a_chain_that_is_away_is_said_to_be() -> None:
    chain = Web3Chain(
        "http://127.0.0.1:9", contract="0x" + "11" * 20, operator_key="0x" + "01" * 32, chain_id=CHAIN_ID
    )  # fmt: skip
    with pytest.raises(ChainUnavailable, match="does not answer"):
        await chain.head()
    await chain.stop()
