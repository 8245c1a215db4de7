"""JobRegistry on eth-tester: roots, roles, the admin's handing on, the domain and proofs."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import contracts
from simulator.config import BATCH_MOST
from tests.contracts.world import DAY, EIP_7825, NOBODY, ROOT, World, as_tuple
from zjops.domain.merkle import Leaf, Tree, keccak256


def test_a_commit_stores_one_root_and_moves_the_counter(world: World) -> None:
    functions = world.call
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


def test_a_number_is_committed_once_and_in_order(world: World) -> None:
    world.commit(1, 10)
    for wrong in (1, 5, 10, 12):
        call = world.call.commitRoot(wrong, 1, ROOT)
        assert world.refused(call, world.operator) == f"UnexpectedSequence(11, {wrong})"
    world.commit(11, 10_000)
    assert world.call.nextSequence().call() == 10_011


def test_no_setting_makes_batches_that_the_contract_refuses(shared: World) -> None:
    assert shared.call.MAX_BATCH().call() == BATCH_MOST


def test_the_admin_gives_and_takes_roles(world: World) -> None:
    functions = world.call
    role = functions.OPERATOR_ROLE().call()
    assert role == keccak256(b"OPERATOR_ROLE")
    assert world.refused(functions.grantRole(role, world.stranger), world.operator).startswith("AccessControl")
    world.send(functions.grantRole(role, world.stranger), world.admin)
    world.send(functions.revokeRole(role, world.operator), world.admin)
    world.send(functions.commitRoot(1, 1, ROOT), world.stranger)
    assert world.refused(functions.commitRoot(2, 1, ROOT), world.operator).startswith("AccessControl")


def test_the_admin_role_is_handed_on_in_two_steps_after_the_delay(world: World) -> None:
    functions, tester = world.call, world.tester
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
    fields, name, version, chain_id, contract, _, extensions = world.call.eip712Domain().call()
    assert (fields, name, version, extensions) == (b"\x0f", "ZamaJobRegistry", "1", [])
    assert (chain_id, contract) == (world.web3.eth.chain_id, world.registry.address)


def _leaves(count: int, seed: int) -> list[Leaf]:
    word = lambda text: keccak256(f"{seed}/{text}".encode())  # noqa: E731
    return [
        Leaf(1 + n, word(f"job{n}"), word(f"result{n}"), word(f"usage{n}"), 1 + n % 2) for n in range(count)
    ]  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 1_000), st.integers(0, 10**6), st.data())
def test_proofs_are_those_of_our_tree(shared: World, count: int, seed: int, data: st.DataObject) -> None:
    tester = shared.tester
    snapshot = tester.take_snapshot()
    leaves, functions = _leaves(count, seed), shared.call
    tree = Tree([leaf.hash() for leaf in leaves])
    shared.commit(1, count, tree.root)
    index = data.draw(st.integers(0, count - 1))
    leaf, proof = leaves[index], tree.proof(index)
    assert functions.leafHash(as_tuple(leaf)).call() == leaf.hash()
    assert functions.verify(1, as_tuple(leaf), proof).call() is True
    position = data.draw(st.integers(0, 4))
    forged = list(as_tuple(leaf))
    forged[position] = forged[position] ^ 1 if isinstance(forged[position], int) else b"\7" * 32
    assert functions.verify(1, tuple(forged), proof).call() is False
    assert functions.verify(2, as_tuple(leaf), proof).call() is False, "no batch begins there"
    assert functions.verify(1, as_tuple(leaf), [*proof, b"\1" * 32]).call() is False
    beyond = (count + 1, *as_tuple(leaf)[1:])
    assert functions.verify(1, beyond, proof).call() is False
    tester.revert_to_snapshot(snapshot)


def test_an_inner_node_cannot_pass_for_a_leaf(world: World) -> None:
    """Leaves are hashed twice and are five words long, nodes two: no leaf encodes to a node."""
    leaves = _leaves(4, 1)
    tree = Tree([leaf.hash() for leaf in leaves])
    world.commit(1, 4, tree.root)
    path = tree.proof(0)
    assert world.call.verify(1, as_tuple(leaves[0]), path[1:]).call() is False
