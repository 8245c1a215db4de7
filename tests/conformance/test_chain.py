"""One suite for every adapter of the Chain port: in memory, and web3 against the real devnet and the real anvil."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from simulator.chain.memory import MemoryChain
from simulator.chain.port import Chain, Commit, Head, Receipt, Sent, Signed
from simulator.chain.registry import Web3Chain, deploy
from simulator.policy.fees import Fees, gas_limit, offer, replacement
from tests.support.anvil import AnvilProcess
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


@pytest.fixture(scope="module")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnvilProcess]:
    process = AnvilProcess(tmp_path_factory.mktemp("anvil"), BLOCK_S)
    try:
        process.start()
        yield process
    finally:
        process.stop()


@pytest.fixture(params=["memory", "devnet", "anvil"])
async def chain(request: pytest.FixtureRequest) -> AsyncIterator[Chain]:
    clock = SystemClock()
    if request.param == "memory":
        made: Chain = MemoryChain(clock, chain_id=CHAIN_ID, block_time_s=BLOCK_S)
    else:
        node: DevnetProcess | AnvilProcess = request.getfixturevalue(request.param)
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


CEILING = Fees(10**12, 10**11)


async def _sign(chain: Chain, commit: Commit, *, nonce: int | None = None, fees: Fees | None = None) -> Signed:
    outlook = await chain.outlook()
    chosen = fees or offer(outlook.base_fee, outlook.tip, CEILING)
    assert chosen is not None
    gas = gas_limit(await chain.estimate(commit))
    return chain.sign(commit, outlook.nonce if nonce is None else nonce, gas, chosen)


async def _send(chain: Chain, first: int, count: int, root: bytes) -> str:
    signed = await _sign(chain, Commit(first, count, root))
    assert await chain.send(signed.raw) is Sent.TAKEN
    return signed.tx_hash


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
    tx_hash = await _send(chain, 1, 5, _root("a"))
    receipt = await _mined(chain, tx_hash)
    assert receipt.tx_hash == tx_hash
    assert receipt.status == 1
    assert 40_000 < receipt.gas_used < 120_000
    assert receipt.effective_gas_price > 0
    assert await chain.root_of(1) == _root("a")
    assert await chain.next_sequence() == 6
    assert await chain.find_root(1) == receipt
    block = await chain.block(receipt.block_number)
    assert block is not None
    assert block.hash == receipt.block_hash
    assert await chain.root_of(1, receipt.block_number) == _root("a")
    assert await chain.root_of(1, receipt.block_number - 1) is None
    assert await chain.next_sequence(receipt.block_number) == 6
    assert await chain.next_sequence(receipt.block_number - 1) == 1


async def test_roots_follow_each_other(chain: Chain) -> None:
    first = await _mined(chain, await _send(chain, 1, 2, _root("a")))
    second = await _mined(chain, await _send(chain, 3, 1, _root("b")))
    assert second.block_number > first.block_number
    assert (await chain.root_of(1), await chain.root_of(3)) == (_root("a"), _root("b"))


async def test_a_wrong_number_is_refused_with_the_contracts_own_error(chain: Chain) -> None:
    await _mined(chain, await _send(chain, 1, 2, _root("a")))
    for wrong in (1, 2, 7):
        with pytest.raises(ChainRefused, match=rf"UnexpectedSequence\(3, {wrong}\)"):
            await chain.estimate(Commit(wrong, 1, _root("b")))
    assert await chain.next_sequence() == 3


@pytest.mark.parametrize(("count", "root"), [(0, _root("a")), (1, b"\0" * 32)])
async def test_an_empty_batch_and_a_zero_root_are_refused(chain: Chain, count: int, root: bytes) -> None:
    with pytest.raises(ChainRefused):
        await chain.estimate(Commit(1, count, root))


async def _head(chain: Chain) -> Head:
    head = await chain.block("latest")
    assert head is not None
    return head


async def test_blocks_come_by_themselves_keep_their_hash_and_stand_on_each_other(chain: Chain) -> None:
    first = await _head(chain)
    assert await chain.block(first.number) == first
    await eventually(lambda: _beyond(chain, first.number + 2))
    assert await chain.block(first.number) == first
    following = await chain.block(first.number + 1)
    assert following is not None
    assert following.parent == first.hash
    assert await chain.block(first.number + 10_000) is None
    assert (await _head(chain)).timestamp >= first.timestamp


@pytest.mark.parametrize("tag", ["safe", "finalized"])
async def test_the_chains_own_word_for_final_names_a_block(chain: Chain, tag: str) -> None:
    found = await chain.block(tag)
    assert found is not None
    assert found.number <= (await _head(chain)).number


async def _beyond(chain: Chain, number: int) -> bool:
    return (await _head(chain)).number >= number


async def test_the_account_pays_and_counts_its_transactions(chain: Chain) -> None:
    before = await chain.outlook()
    assert before.base_fee > 0
    assert before.tip > 0
    signed = await _sign(chain, Commit(1, 1, _root("a")))
    assert (await chain.outlook()).nonce == before.nonce
    await chain.send(signed.raw)
    receipt = await _mined(chain, signed.tx_hash)
    after = await chain.outlook()
    assert (after.nonce, after.pending) == (before.nonce + 1, before.nonce + 1)
    assert before.balance - after.balance == receipt.gas_used * receipt.effective_gas_price


async def test_the_same_transaction_sent_twice_is_sent_once(chain: Chain) -> None:
    signed = await _sign(chain, Commit(1, 1, _root("a")))
    assert await chain.send(signed.raw) is Sent.TAKEN
    assert await chain.send(signed.raw) in (Sent.KNOWN, Sent.NONCE_USED)
    await _mined(chain, signed.tx_hash)
    assert await chain.send(signed.raw) in (Sent.KNOWN, Sent.NONCE_USED)
    assert await chain.next_sequence() == 2


async def test_a_used_nonce_is_said_to_be(chain: Chain) -> None:
    nonce = (await chain.outlook()).nonce
    await _mined(chain, await _send(chain, 1, 1, _root("a")))
    late = await _sign(chain, Commit(2, 1, _root("b")), nonce=nonce)
    assert await chain.send(late.raw) is Sent.NONCE_USED


async def test_a_nonce_ahead_waits_for_the_one_before_it(chain: Chain) -> None:
    nonce = (await chain.outlook()).nonce
    ahead = chain.sign(Commit(2, 1, _root("b")), nonce + 1, 200_000, Fees(10**10, 10**9))
    assert await chain.send(ahead.raw) is Sent.TAKEN
    assert (await chain.outlook()).pending == nonce
    first = await _sign(chain, Commit(1, 1, _root("a")), nonce=nonce, fees=Fees(10**10, 10**9))
    assert await chain.send(first.raw) is Sent.TAKEN
    second = await _mined(chain, ahead.tx_hash)
    assert second.status == 1
    assert await chain.next_sequence() == 3


async def test_a_tenth_more_replaces_and_less_does_not(chain: Chain, request: pytest.FixtureRequest) -> None:
    # Behind a gap, so that no block takes the first one meanwhile.
    outlook, commit = await chain.outlook(), Commit(1, 1, _root("a"))
    nonce, modest = outlook.nonce + 1, Fees(10**10, 10**9)
    raised = replacement(modest, outlook.base_fee, outlook.tip, CEILING)
    assert raised is not None
    assert await chain.send(chain.sign(commit, nonce, 200_000, modest).raw) is Sent.TAKEN
    slightly = Fees(modest.max_fee * 105 // 100, modest.max_tip * 105 // 100)
    # Anvil takes whatever pays more at all; geth and everything that is like it want a tenth.
    answer = Sent.TAKEN if request.node.callspec.id == "anvil" else Sent.UNDERPRICED
    assert await chain.send(chain.sign(commit, nonce, 200_000, slightly).raw) is answer
    assert await chain.send(chain.sign(commit, nonce, 200_000, raised).raw) is Sent.TAKEN
    filler = chain.sign(Commit(7, 1, _root("z")), outlook.nonce, 200_000, modest)
    assert await chain.send(filler.raw) is Sent.TAKEN
    assert (await _mined(chain, filler.tx_hash)).status == 0
    assert (await _mined(chain, chain.sign(commit, nonce, 200_000, raised).tx_hash)).status == 1


async def test_who_cannot_pay_is_told(chain: Chain) -> None:
    outlook = await chain.outlook()
    dear = Fees(outlook.balance // 100_000, 10**9)
    assert await chain.send(chain.sign(Commit(1, 1, _root("a")), outlook.nonce, 200_000, dear).raw) is Sent.NO_FUNDS


async def test_an_offer_below_the_base_fee_is_held_or_called_too_low(chain: Chain) -> None:
    outlook = await chain.outlook()
    cheap = chain.sign(Commit(1, 1, _root("a")), outlook.nonce, 200_000, Fees(outlook.base_fee // 2, 1))
    assert await chain.send(cheap.raw) in (Sent.TAKEN, Sent.FEE_TOO_LOW)
    raised = replacement(Fees(outlook.base_fee // 2, 1), outlook.base_fee, outlook.tip, CEILING)
    assert raised is not None
    good = chain.sign(Commit(1, 1, _root("a")), outlook.nonce, 200_000, raised)
    assert await chain.send(good.raw) is Sent.TAKEN
    assert (await _mined(chain, good.tx_hash)).status == 1


async def test_another_chain_id_is_refused(devnet: DevnetProcess) -> None:
    keys = devnet.keys
    other = Web3Chain(devnet.url, contract="0x" + "11" * 20, operator_key=keys.operator, chain_id=1)
    with pytest.raises(ChainRefused, match="is chain 31338, not 1"):
        await other.identity()
    await other.stop()


async def test_an_address_without_code_is_refused(devnet: DevnetProcess) -> None:
    keys = devnet.keys
    other = Web3Chain(devnet.url, contract="0x" + "11" * 20, operator_key=keys.operator, chain_id=CHAIN_ID)
    with pytest.raises(ChainRefused, match="no contract"):
        await other.identity()
    await other.stop()


async def test_another_contract_at_the_address_is_refused(chain: Chain, request: pytest.FixtureRequest) -> None:
    known = await chain.identity()
    if isinstance(chain, MemoryChain):
        pytest.skip("memory carries one contract")
    node = request.getfixturevalue(request.node.callspec.id)
    other = Web3Chain(
        node.url, contract=known.contract, operator_key=node.keys.operator, chain_id=CHAIN_ID,
        code_hash="0x" + "11" * 32,
    )  # fmt: skip
    with pytest.raises(ChainRefused, match="another contract"):
        await other.identity()
    await other.stop()


async def test_a_chain_that_is_away_is_said_to_be() -> None:
    chain = Web3Chain(
        "http://127.0.0.1:9", contract="0x" + "11" * 20, operator_key="0x" + "01" * 32, chain_id=CHAIN_ID
    )  # fmt: skip
    with pytest.raises(ChainUnavailable, match="does not answer"):
        await chain.block("latest")
    await chain.stop()
