"""The original design's contract costs what the rulings say (C51), and each of our ways what they promise beside it."""

from __future__ import annotations

from typing import Any

import pytest
from eth_tester.exceptions import TransactionFailed

import contracts
from tests.contracts.world import (
    EIP_7825,
    ROOT,
    SUCCESS,
    TENANT,
    World,
    as_tuple,
    attested,
    leaf_of,
    single,
    word,
)  # fmt: skip
from zjops.domain.merkle import Tree, keccak256

SINGLE_GAS, BATCH_GAS = 192_600, 161_300
GAS_TOLD = 123_456


class Original:
    """The original contract, its deployer the operator."""

    def __init__(self, world: World) -> None:
        self.world, artifact = world, contracts.load("OriginalConfirmations")
        factory = world.web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
        sent = factory.constructor().transact({"from": world.operator})
        address = world.web3.eth.wait_for_transaction_receipt(sent)["contractAddress"]
        self.call: Any = world.web3.eth.contract(address=address, abi=artifact.abi).functions
        self.nonce = 0

    def single(self, name: str, shift_v: int = 0, **changed: Any) -> Any:
        """The call that confirms one job, signed as the first design has it."""
        fields = {"job": word(name), "tenant": TENANT.address, "result": word("r"), "gas": GAS_TOLD, "status": 1,
                  "nonce": self.nonce} | changed  # fmt: skip
        kinds = ["bytes32", "address", "bytes32", "uint256", "uint8", "uint256", "uint256"]
        packed = self.world.web3.solidity_keccak(kinds, [*fields.values(), self.world.web3.eth.chain_id])
        digest = keccak256(b"\x19Ethereum Signed Message:\n32" + bytes(packed))
        signed = bytes(TENANT.unsafe_sign_hash(digest).signature)
        return self.call.confirmJob(*fields.values(), signed[:64] + bytes([signed[64] - shift_v]))

    def confirm(self, name: str, shift_v: int = 0) -> int:
        """Confirm one job; the gas that it took."""
        gas = int(self.world.operate(self.single(name, shift_v))["gasUsed"])
        self.nonce += 1
        return gas

    def batch(self, names: list[str]) -> Any:
        """The call that confirms several jobs."""
        ids = [word(name) for name in names]
        jobs = [(job, TENANT.address, word("r" + job.hex()), self.world.now, GAS_TOLD, 1) for job in ids]
        return self.call.confirmJobBatch(ids, jobs)


@pytest.fixture
def original(world: World) -> Original:
    return Original(world)


def test_the_original_costs_what_was_measured_of_it(original: Original) -> None:
    original.confirm("the tenant's first")
    assert original.confirm("one") == pytest.approx(SINGLE_GAS, rel=0.01)
    receipt = original.world.operate(original.batch([f"batch {n}" for n in range(100)]))
    assert receipt["gasUsed"] / 100 == pytest.approx(BATCH_GAS, rel=0.01)


def test_the_original_keeps_six_slots_in_the_designs_order() -> None:
    layout = contracts.load("OriginalConfirmations").storage_layout
    (record,) = [kind for name, kind in layout["types"].items() if name.startswith("t_struct")]
    slots = {member["label"]: int(member["slot"]) for member in record["members"]}
    names = ["jobId", "tenant", "resultHash", "timestamp", "gasUsed", "status"]
    assert slots == {name: slot for slot, name in enumerate(names)}
    assert [slot["label"] for slot in layout["storage"]] == ["confirmations", "processedJobs", "nonces"]


def test_the_original_does_what_the_design_says(original: Original) -> None:
    world = original.world
    original.confirm("one", shift_v=27)
    assert original.call.isJobProcessed(word("one")).call() is True
    assert original.call.nonces(TENANT.address).call() == 1
    assert original.call.getConfirmation(word("one")).call()[0] == word("one")
    world.operate(original.batch(["one", "two"]))  # passes over the first
    assert len(world.operate(original.batch(["two", "three"]))["logs"]) == 1
    refused = {
        "Unauthorized()": (original.single("four"), world.stranger),
        "JobAlreadyProcessed(bytes32)": (original.single("one"), world.operator),
        "InvalidNonce(uint256,uint256)": (original.single("four", nonce=7), world.operator),
        "InvalidSignature()": (original.single("four", tenant=world.stranger, nonce=0), world.operator),
        "LengthMismatch()": (original.call.confirmJobBatch([word("four")], []), world.operator),
        "BatchTooLarge()": (original.batch([str(n) for n in range(101)]), world.operator),
    }
    for error, (call, sender) in refused.items():
        with pytest.raises(TransactionFailed) as caught:
            call.call({"from": sender})
        assert repr(keccak256(error.encode())[:4])[2:-1] in str(caught.value), error


def test_each_way_costs_what_it_promises_beside_the_original(world: World, original: Original) -> None:
    """In steady state: what a contract pays for once, its first call of each way has paid."""
    original.confirm("the tenant's first")
    base = original.confirm("one")
    world.operate(single(world, word("first")))
    gas = {"single": world.operate(single(world, word("single")))["gasUsed"],
           "attested": world.operate(attested(world, word("attested")))["gasUsed"]}  # fmt: skip
    for count in (1, 10, 50):
        records = [(word(f"{count}/{n}"), word(f"r{n}"), SUCCESS, world.now) for n in range(count)]
        gas[f"records {count}"] = world.operate(world.call.confirmJobBatch(records))["gasUsed"] / count
    for count in (1, 100, 1_000):
        first = world.call.nextSequence().call()
        gas[f"root {count}"] = world.commit(first, count, word(str(count)))["gasUsed"] / count
    assert 1 - gas["records 50"] / base > 0.84
    assert 1 - gas["root 100"] / base > 0.996
    assert gas["root 100"] < 600
    assert gas["root 1000"] < 70
    marginal = (50 * gas["records 50"] - 10 * gas["records 10"]) / 40
    assert marginal == pytest.approx(27_400, rel=0.01), "one slot a job (C51)"
    assert gas["records 1"] / base < 0.31
    assert gas["single"] / base < 0.30
    assert gas["attested"] / base < 0.37
    assert gas["root 1"] / base < 0.29


def test_the_dearest_call_of_each_way_is_under_the_cap_of_a_transaction(world: World, original: Original) -> None:
    records = [(word(f"cold {n}"), b"\xff" * 32, 2, world.now) for n in range(50)]
    leaves = [leaf_of(51 + n, word(f"leaf {n}")) for n in range(10_000)]
    tree = Tree([leaf.hash() for leaf in leaves])
    dearest = {
        "original batch": world.operate(original.batch([f"{n}" for n in range(100)])),
        "records": world.operate(world.call.confirmJobBatch(records)),
        "root": world.commit(51, 10_000, tree.root),
        "leaf": world.operate(world.call.materialise(51, as_tuple(leaves[0]), tree.proof(0))),
        "single": world.operate(single(world, ROOT)),
        "attested": world.operate(attested(world, word("attested"))),
    }
    used = {name: receipt["gasUsed"] for name, receipt in dearest.items()}
    assert all(gas < EIP_7825 for gas in used.values())
    assert used["records"] < EIP_7825 / 10
    assert used["leaf"] < 80_000
