"""JobRegistry on eth-tester: roles, pause, every custom error, proofs, storage and gas."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import TransactionFailed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web3 import EthereumTesterProvider, Web3

import contracts
from zjops.domain.merkle import Leaf, Tree, keccak256

DAY = 86_400
EIP_7825 = 2**24
ROOT = b"\xab" * 32
NOBODY = "0x" + "00" * 20


class World(NamedTuple):
    """A deployed registry and the accounts that have roles."""

    web3: Web3
    registry: Any
    admin: str
    operator: str
    pauser: str
    stranger: str

    def send(self, call: Any, sender: str) -> Any:
        """Send and return the receipt."""
        return self.web3.eth.wait_for_transaction_receipt(call.transact({"from": sender}))

    def commit(self, first: int, count: int, root: bytes = ROOT) -> Any:
        """Commit as the operator."""
        return self.send(self.registry.functions.commitRoot(first, count, root), self.operator)

    def refused(self, call: Any, sender: str) -> str:
        """The custom error by which a call is refused, with its arguments."""
        with pytest.raises(TransactionFailed) as caught:
            call.call({"from": sender})
        # eth-tester hands the revert's data on as the text of a bytes literal.
        raw = ast.literal_eval(str(caught.value.args[0]).removeprefix("execution reverted: "))
        for item in self.registry.abi:
            types = [i["type"] for i in item.get("inputs", [])]
            if item["type"] == "error" and keccak256(f"{item['name']}({','.join(types)})".encode())[:4] == raw[:4]:
                return f"{item['name']}({', '.join(map(str, self.web3.codec.decode(types, raw[4:])))})"
        raise AssertionError(f"unknown error {raw.hex()}")


def _deploy() -> World:
    web3 = Web3(EthereumTesterProvider(EthereumTester(PyEVMBackend())))
    admin, operator, pauser, stranger = web3.eth.accounts[:4]
    artifact = contracts.load("JobRegistry")
    factory = web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
    sent = factory.constructor(DAY, admin, operator, pauser).transact({"from": admin})
    address = web3.eth.wait_for_transaction_receipt(sent)["contractAddress"]
    return World(web3, web3.eth.contract(address=address, abi=artifact.abi), admin, operator, pauser, stranger)


@pytest.fixture(scope="module")
def shared() -> World:
    return _deploy()


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The registry as it was deployed, whatever the test did to it before."""
    provider: Any = shared.web3.provider
    snapshot = provider.ethereum_tester.take_snapshot()
    yield shared
    provider.ethereum_tester.revert_to_snapshot(snapshot)


def test_a_commit_stores_one_root_and_moves_the_counter(world: World) -> None:
    functions = world.registry.functions
    assert functions.nextSequence().call() == 1
    receipt = world.commit(1, 7)
    assert functions.rootOf(1).call() == ROOT
    assert functions.nextSequence().call() == 8
    (event,) = world.registry.events.RootCommitted().process_receipt(receipt)
    block = world.web3.eth.get_block(receipt["blockNumber"])
    assert dict(event["args"]) == {"firstSequence": 1, "count": 7, "root": ROOT, "committedAt": block["timestamp"]}


def test_one_slot_holds_a_root(world: World) -> None:
    layout = {slot["label"]: int(slot["slot"]) for slot in contracts.load("JobRegistry").storage_layout["storage"]}
    world.commit(1, 3)
    slot = int.from_bytes(keccak256((1).to_bytes(32, "big") + layout["_roots"].to_bytes(32, "big")), "big")
    address = world.registry.address
    assert bytes(world.web3.eth.get_storage_at(address, slot)) == ROOT
    assert not any(world.web3.eth.get_storage_at(address, slot + 1))


def test_gas_in_steady_state(world: World) -> None:
    world.commit(1, 1)
    for first, count in ((2, 1_000), (1_002, 1_000)):
        gas = world.commit(first, count)["gasUsed"]
        # A batch of 1,000 costs about 57 gas a job (C51).
        assert 45_000 < gas < 60_000
        assert gas < EIP_7825


@pytest.mark.parametrize(
    ("first", "count", "root", "error"),
    [
        (2, 1, ROOT, "UnexpectedSequence(1, 2)"), (0, 1, ROOT, "UnexpectedSequence(1, 0)"),
        (1, 0, ROOT, "EmptyBatch()"), (1, 10_001, ROOT, "BatchTooLarge(10001, 10000)"),
        (1, 1, b"\0" * 32, "ZeroRoot()"),
    ],
)  # fmt: skip
def test_custom_errors_of_a_commit(world: World, first: int, count: int, root: bytes, error: str) -> None:
    assert world.refused(world.registry.functions.commitRoot(first, count, root), world.operator) == error


def test_a_number_is_committed_once_and_in_order(world: World) -> None:
    world.commit(1, 10)
    for wrong in (1, 5, 10, 12):
        call = world.registry.functions.commitRoot(wrong, 1, ROOT)
        assert world.refused(call, world.operator) == f"UnexpectedSequence(11, {wrong})"
    world.commit(11, 10_000)
    assert world.registry.functions.nextSequence().call() == 10_011


def test_only_the_operator_commits(world: World) -> None:
    call = world.registry.functions.commitRoot(1, 1, ROOT)
    for account in (world.admin, world.pauser, world.stranger):
        assert world.refused(call, account).startswith("AccessControlUnauthorizedAccount")


def test_a_pause_holds_commits_and_only_the_pauser_decides(world: World) -> None:
    functions = world.registry.functions
    for account in (world.admin, world.operator, world.stranger):
        assert world.refused(functions.pause(), account).startswith("AccessControlUnauthorizedAccount")
    world.send(functions.pause(), world.pauser)
    assert world.refused(functions.commitRoot(1, 1, ROOT), world.operator) == "EnforcedPause()"
    assert world.refused(functions.unpause(), world.operator).startswith("AccessControlUnauthorizedAccount")
    world.send(functions.unpause(), world.pauser)
    world.commit(1, 1)


def test_the_admin_gives_and_takes_roles(world: World) -> None:
    functions = world.registry.functions
    role = functions.OPERATOR_ROLE().call()
    assert role == keccak256(b"OPERATOR_ROLE")
    assert world.refused(functions.grantRole(role, world.stranger), world.operator).startswith("AccessControl")
    world.send(functions.grantRole(role, world.stranger), world.admin)
    world.send(functions.revokeRole(role, world.operator), world.admin)
    world.send(functions.commitRoot(1, 1, ROOT), world.stranger)
    assert world.refused(functions.commitRoot(2, 1, ROOT), world.operator).startswith("AccessControl")


def test_the_admin_role_is_handed_on_in_two_steps_after_the_delay(world: World) -> None:
    functions, tester = world.registry.functions, world.web3.provider.ethereum_tester  # type: ignore[attr-defined]
    world.send(functions.beginDefaultAdminTransfer(world.stranger), world.admin)
    call = functions.acceptDefaultAdminTransfer()
    assert world.refused(call, world.stranger).startswith("AccessControlEnforcedDefaultAdminDelay")
    tester.time_travel(world.web3.eth.get_block("latest")["timestamp"] + DAY + 10)
    world.send(call, world.stranger)
    assert functions.defaultAdmin().call() == world.stranger


@pytest.mark.parametrize("which", ["operator", "pauser"])
def test_a_role_is_never_given_to_nobody(shared: World, which: str) -> None:
    artifact = contracts.load("JobRegistry")
    factory = shared.web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
    operator, pauser = (NOBODY, shared.pauser) if which == "operator" else (shared.operator, NOBODY)
    with pytest.raises(Exception, match=keccak256(b"ZeroAddress()")[:4].hex() + "|ZeroAddress|revert"):
        factory.constructor(DAY, shared.admin, operator, pauser).transact({"from": shared.admin})


def test_the_domain_is_told(world: World) -> None:
    fields, name, version, chain_id, contract, _, extensions = world.registry.functions.eip712Domain().call()
    assert (fields, name, version, extensions) == (b"\x0f", "ZamaJobRegistry", "1", [])
    assert (chain_id, contract) == (world.web3.eth.chain_id, world.registry.address)


def _leaves(count: int, seed: int) -> list[Leaf]:
    word = lambda text: keccak256(f"{seed}/{text}".encode())  # noqa: E731
    return [
        Leaf(1 + n, word(f"job{n}"), word(f"result{n}"), word(f"usage{n}"), 1 + n % 2) for n in range(count)
    ]  # fmt: skip


def _tuple(leaf: Leaf) -> tuple[Any, ...]:
    return (leaf.sequence, leaf.job_key, leaf.result_digest, leaf.usage_digest, leaf.status)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 200), st.integers(0, 10**6), st.data())
def test_proofs_are_those_of_our_tree(shared: World, count: int, seed: int, data: st.DataObject) -> None:
    tester: Any = shared.web3.provider.ethereum_tester  # type: ignore[attr-defined]
    snapshot = tester.take_snapshot()
    leaves, functions = _leaves(count, seed), shared.registry.functions
    tree = Tree([leaf.hash() for leaf in leaves])
    shared.commit(1, count, tree.root)
    index = data.draw(st.integers(0, count - 1))
    leaf, proof = leaves[index], tree.proof(index)
    assert functions.leafHash(_tuple(leaf)).call() == leaf.hash()
    assert functions.verify(1, _tuple(leaf), proof).call() is True
    position = data.draw(st.integers(0, 4))
    forged = list(_tuple(leaf))
    forged[position] = forged[position] ^ 1 if isinstance(forged[position], int) else b"\7" * 32
    assert functions.verify(1, tuple(forged), proof).call() is False
    assert functions.verify(2, _tuple(leaf), proof).call() is False, "no batch begins there"
    assert functions.verify(1, _tuple(leaf), [*proof, b"\1" * 32]).call() is False
    beyond = (count + 1, *_tuple(leaf)[1:])
    assert functions.verify(1, beyond, proof).call() is False
    tester.revert_to_snapshot(snapshot)


def test_an_inner_node_cannot_pass_for_a_leaf(world: World) -> None:
    """Leaves are hashed twice and are five words long, nodes two: no leaf encodes to a node."""
    leaves = _leaves(4, 1)
    tree = Tree([leaf.hash() for leaf in leaves])
    world.commit(1, 4, tree.root)
    path = tree.proof(0)
    assert world.registry.functions.verify(1, _tuple(leaves[0]), path[1:]).call() is False
