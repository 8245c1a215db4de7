"""What is stored and told by each way of confirming, pairs of ways on one job, and random walks against a model."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from web3.logs import DISCARD

import contracts
from tests.contracts.world import (
    FAILURE,
    NOBODY,
    SUCCESS,
    TENANT,
    WAYS,
    ZERO,
    World,
    as_tuple,
    attested,
    chain,
    deploy,
    leaf_of,
    materialised,
    record,
    single,
    word,
)  # fmt: skip
from zjops.domain.merkle import Tree, keccak256

KEY = word("job")


def _confirmations(world: World, receipt: Any) -> list[tuple[Any, ...]]:
    """What the events tell, in the order in which the contract hashes it."""
    tenants = {e["args"]["jobKey"]: e["args"]["tenant"]
               for e in world.registry.events.JobAttested().process_receipt(receipt, DISCARD)}  # fmt: skip
    return [
        (e["args"]["sequence"], e["args"]["jobKey"], tenants.get(e["args"]["jobKey"], NOBODY),
         e["args"]["resultDigest"], e["args"]["status"], e["args"]["completedAt"], e["args"]["confirmedAt"])
        for e in world.registry.events.JobConfirmed().process_receipt(receipt, DISCARD)
    ]  # fmt: skip


def _hash(confirmation: tuple[Any, ...]) -> bytes:
    """keccak256 of the seven words, made without the contract."""
    raw = [bytes.fromhex(v[2:]) if isinstance(v, str) else v for v in confirmation]
    return keccak256(b"".join(v.to_bytes(32, "big") if isinstance(v, int) else v.rjust(32, b"\0") for v in raw))


@pytest.mark.parametrize(("make", "tenant"), [(single, NOBODY), (attested, TENANT.address), (record, NOBODY)])
def test_what_is_stored_is_the_hash_of_what_is_told(world: World, make: Any, tenant: str) -> None:
    receipt = world.operate(make(world, KEY))
    told = _confirmations(world, receipt)
    block = world.web3.eth.get_block(receipt["blockNumber"])
    (confirmation,) = [c for c in told if c[1] == KEY]
    assert confirmation[2] == tenant
    assert confirmation[3:5] == (word("result"), SUCCESS)
    assert confirmation[6] == block["timestamp"], "the block's time, not the caller's"
    assert [c[0] for c in told] == list(range(1, 1 + len(told)))
    assert world.call.nextSequence().call() == 1 + len(told)
    assert world.call.recordOf(KEY).call() == world.call.recordHash(confirmation).call() == _hash(confirmation)
    assert world.call.isConfirmed(KEY).call() is True
    assert world.call.verifyRecord(confirmation).call() is True


@pytest.mark.parametrize("position", range(7))
def test_no_other_confirmation_verifies(world: World, position: int) -> None:
    (confirmation,) = _confirmations(world, world.operate(single(world, KEY)))
    forged = list(confirmation)
    value = forged[position]
    forged[position] = value ^ 1 if isinstance(value, int) else world.stranger if value == NOBODY else word("forged")
    assert world.call.verifyRecord(tuple(forged)).call() is False


def test_nothing_is_stored_for_a_job_that_nobody_confirmed(world: World) -> None:
    assert world.call.recordOf(KEY).call() == ZERO
    assert world.call.isConfirmed(KEY).call() is False
    assert world.call.verifyRecord((1, KEY, NOBODY, ZERO, SUCCESS, 1, 1)).call() is False


def test_a_confirmation_returns_the_number_that_it_takes(world: World) -> None:
    world.commit(1, 6)
    for make in (single, attested, record):
        assert make(world, KEY).call({"from": world.operator}) == 7


def test_one_slot_holds_a_job(world: World) -> None:
    layout = {slot["label"]: int(slot["slot"]) for slot in contracts.load("JobRegistry").storage_layout["storage"]}
    world.operate(single(world, KEY))
    slot = int.from_bytes(keccak256(KEY + layout["_records"].to_bytes(32, "big")), "big")
    address = world.registry.address
    assert bytes(world.web3.eth.get_storage_at(address, slot)) == world.call.recordOf(KEY).call()
    assert not any(world.web3.eth.get_storage_at(address, slot + 1))


def test_the_counter_and_the_pause_share_a_slot() -> None:
    layout = contracts.load("JobRegistry").storage_layout["storage"]
    slots = {slot["label"]: slot["slot"] for slot in layout}
    assert slots["_paused"] == slots["nextSequence"]


def test_a_materialised_leaf_is_stored_as_it_was_anchored_and_takes_no_number(world: World) -> None:
    first, leaves, tree = world.commit_leaves(word("other"), KEY, status=FAILURE)
    before = world.call.nextSequence().call()
    assert world.call.isConfirmed(KEY).call() is False, "a root alone stores no job"
    receipt = world.send(world.call.materialise(first, as_tuple(leaves[1]), tree.proof(1)), world.stranger)
    (event,) = world.registry.events.JobMaterialised().process_receipt(receipt)
    leaf = leaves[1]
    assert dict(event["args"]) == {
        "jobKey": KEY, "sequence": leaf.sequence, "resultDigest": leaf.result_digest,
        "usageDigest": leaf.usage_digest, "status": FAILURE,
    }  # fmt: skip
    assert world.call.recordOf(KEY).call() == leaf.hash()
    assert world.call.nextSequence().call() == before


@pytest.mark.parametrize(("first", "second"), list(itertools.product(WAYS, WAYS)))
def test_a_job_is_stored_once_by_any_pair_of_ways(world: World, first: str, second: str) -> None:
    world.operate(WAYS[first](world, KEY))
    stored = world.call.recordOf(KEY).call()
    assert world.refused_operator(WAYS[second](world, KEY)) == f"JobAlreadyStored({KEY.hex()})"
    assert world.call.recordOf(KEY).call() == stored


@pytest.mark.parametrize("way", WAYS)
def test_a_job_under_a_root_may_be_stored_by_another_way_and_then_not_by_its_leaf(world: World, way: str) -> None:
    """What a contract that stores only roots cannot see (C71); the trust notes say so."""
    later = materialised(world, KEY)
    world.operate(WAYS[way](world, KEY))
    assert world.refused_operator(later) == f"JobAlreadyStored({KEY.hex()})"


def test_of_two_leaves_for_one_job_one_is_materialised(world: World) -> None:
    """In one batch or in two: a faulty operator can anchor the second, and nobody can store it."""
    first, leaves, tree = world.commit_leaves(KEY, KEY)
    for position in (0, 1):
        assert world.call.verify(first, as_tuple(leaves[position]), tree.proof(position)).call() is True
    world.operate(world.call.materialise(first, as_tuple(leaves[1]), tree.proof(1)))
    again = world.call.materialise(first, as_tuple(leaves[0]), tree.proof(0))
    assert world.refused_operator(again) == f"JobAlreadyStored({KEY.hex()})"
    assert world.refused_operator(materialised(world, KEY)) == f"JobAlreadyStored({KEY.hex()})"


def test_one_bad_record_stores_none_of_a_batch(world: World) -> None:
    good = [(word(str(n)), word("result"), SUCCESS, 1) for n in range(49)]
    call = world.call.confirmJobBatch([*good, (KEY, word("result"), 0, 1)])
    receipt = world.web3.eth.wait_for_transaction_receipt(
        call.transact({"from": world.operator, "gas": 3_000_000})
    )  # fmt: skip
    assert receipt["status"] == 0
    assert world.call.nextSequence().call() == 1
    assert not any(world.call.isConfirmed(key).call() for key in (good[0][0], good[-1][0], KEY))


def _expected(records: list[tuple[int, int]], stored: int) -> str | None:
    """By which error the model refuses a batch of (job number, status) where jobs below `stored` are stored."""
    if not records:
        return "EmptyBatch()"
    if len(records) > 50:
        return f"BatchTooLarge({len(records)}, 50)"
    seen = set(range(1, stored + 1))
    for job, status in records:
        if job == 0:
            return "ZeroJobKey()"
        if status not in (SUCCESS, FAILURE):
            return f"InvalidStatus({status})"
        if job in seen:
            return f"JobAlreadyStored({job.to_bytes(32, 'big').hex()})"
        seen.add(job)
    return None


_JOBS = st.integers(3, 2**256 - 1) | st.integers(0, 8)
_RECORDS = st.lists(st.tuples(_JOBS, st.sampled_from([1, 2] * 8 + [0, 3, 255])), max_size=55)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_RECORDS | st.lists(st.tuples(st.integers(3, 2**256 - 1), st.just(1)), min_size=1, max_size=50, unique=True))
def test_a_batch_of_records_is_stored_whole_or_refused_as_the_model_says(
    shared: World, records: list[tuple[int, int]]
) -> None:
    snapshot = shared.tester.take_snapshot()
    stored = [((job).to_bytes(32, "big"), word("result"), SUCCESS, 1) for job in (1, 2)]
    shared.operate(shared.call.confirmJobBatch(stored))
    call = shared.call.confirmJobBatch([(j.to_bytes(32, "big"), word(str(j)), s, 1) for j, s in records])
    error = _expected(records, 2)
    if error is None:
        told = _confirmations(shared, shared.operate(call))
        keys = [(n, job.to_bytes(32, "big")) for n, (job, _) in enumerate(records, 3)]
        assert [c[:2] for c in told] == keys
        assert all(shared.call.recordOf(c[1]).call() == _hash(c) for c in told[:: max(1, len(told) // 3)])
    else:
        assert shared.refused_operator(call) == error
    assert shared.call.nextSequence().call() == 3 + (len(records) if error is None else 0)
    shared.tester.revert_to_snapshot(snapshot)


class Walk(RuleBasedStateMachine):
    """Any ways in any order over a few jobs: the counter is dense, and a job is stored by the first way alone."""

    world: World

    @initialize()
    def begin(self) -> None:
        """A chain once, then as it was."""
        if not hasattr(Walk, "world"):
            web3 = chain()
            Walk.world = deploy(web3, web3.eth.accounts)
        self.snapshot = self.world.tester.take_snapshot()
        self.next, self.stored = 1, dict[bytes, bytes]()

    def teardown(self) -> None:
        """Leave the chain as it was found."""
        if hasattr(self, "snapshot"):
            self.world.tester.revert_to_snapshot(self.snapshot)

    def _take(self, call: Any, keys: list[bytes]) -> None:
        taken = [key for n, key in enumerate(keys) if key in self.stored or key in keys[:n]]
        if taken:
            assert self.world.refused_operator(call) == f"JobAlreadyStored({taken[0].hex()})"
            return
        told = _confirmations(self.world, self.world.operate(call))
        assert [(c[0], c[1]) for c in told] == list(enumerate(keys, self.next))
        self.next += len(keys)
        self.stored |= {c[1]: _hash(c) for c in told}

    @rule(job=st.integers(1, 6), way=st.sampled_from([single, attested]))
    def confirm_one(self, job: int, way: Any) -> None:
        """By the operator's word or with a signature."""
        key = word(str(job))
        self._take(way(self.world, key), [key])

    @rule(jobs=st.lists(st.integers(1, 6), min_size=1, max_size=4))
    def confirm_many(self, jobs: list[int]) -> None:
        """Records in one call."""
        keys = [word(str(job)) for job in jobs]
        records = [(key, word("result"), SUCCESS, 1) for key in keys]
        self._take(self.world.call.confirmJobBatch(records), keys)

    @rule(jobs=st.lists(st.integers(1, 6), min_size=1, max_size=7), data=st.data())
    def commit_and_materialise(self, jobs: list[int], data: st.DataObject) -> None:
        """A root, and then one of its leaves."""
        leaves = [leaf_of(self.next + n, word(str(job))) for n, job in enumerate(jobs)]
        tree = Tree([leaf.hash() for leaf in leaves])
        self.world.commit(self.next, len(leaves), tree.root)
        position = data.draw(st.integers(0, len(leaves) - 1))
        leaf, call = leaves[position], self.world.call.materialise
        stores = call(self.next, as_tuple(leaf), tree.proof(position))
        self.next += len(leaves)
        if leaf.job_key in self.stored:
            assert self.world.refused_operator(stores) == f"JobAlreadyStored({leaf.job_key.hex()})"
        else:
            self.world.send(stores, self.world.stranger)
            self.stored[leaf.job_key] = leaf.hash()

    @invariant()
    def the_contract_is_where_the_model_is(self) -> None:
        """Counter and every job's slot."""
        if hasattr(self, "snapshot"):
            assert self.world.call.nextSequence().call() == self.next
            for key in (word(str(job)) for job in range(1, 7)):
                assert self.world.call.recordOf(key).call() == self.stored.get(key, ZERO)


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=6, stateful_step_count=7, deadline=None)
