"""What the registry refuses: each custom error once at least, each role, and everything during a pause."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import contracts
from tests.contracts.world import (
    FAILURE,
    NOBODY,
    ROOT,
    SUCCESS,
    TENANT,
    WAYS,
    ZERO,
    World,
    as_tuple,
    leaf_of,
    materialised,
    single,
    word,
)  # fmt: skip
from zjops.domain.merkle import Tree, keccak256

KEY, DIGEST = word("job"), word("result")
SOURCE = (contracts.SOURCES / "JobRegistry.sol").read_text()
Case = tuple[str, Callable[[World], Any], Callable[[World], str]]


def _said(text: str) -> Callable[[World], str]:
    return lambda world: text


def _record(job_key: bytes = KEY, status: int = SUCCESS, completed_at: int = 1) -> tuple[Any, ...]:
    return (job_key, DIGEST, status, completed_at)


def _one(world: World, *record: Any) -> Any:
    return world.call.confirmJob(*record)


def _many(world: World, *records: Any) -> Any:
    return world.call.confirmJobBatch(list(records))


def _future(world: World) -> str:
    # A call is executed in the block to come, a second after the newest.
    return f"CompletedInFuture({world.now + 1_000}, "


def _expired(world: World) -> str:
    return f"AttestationExpired({world.now - 1}"


def _stored_twice(world: World) -> Any:
    world.operate(single(world, KEY))
    return single(world, KEY)


def _attested(world: World, sign: bool = True, **changed: Any) -> Any:
    message = world.message(KEY, **changed)
    return world.attested(message, world.signed(message) if sign else b"\0" * 65)


def _unregistered(world: World) -> Any:
    world.send(world.call.revokeRole(keccak256(b"TENANT_ROLE"), TENANT.address), world.admin)
    return _attested(world)


def _materialise(world: World, *, first: int = 1, sequence: int | None = None, spoil: bool = False) -> Any:
    _, leaves, tree = world.commit_leaves(KEY, word("other"))
    leaf = leaves[0] if sequence is None else leaf_of(sequence, KEY)
    return world.call.materialise(first, as_tuple(leaf), [ROOT] if spoil else tree.proof(0))


def _odd_leaf(job_key: bytes, status: int) -> Callable[[World], Any]:
    """A leaf that was anchored by a proper proof, and yet must not be stored."""

    def call(world: World) -> Any:
        first, leaves, tree = world.commit_leaves(job_key, status=status)
        return world.call.materialise(first, as_tuple(leaves[0]), tree.proof(0))

    return call


CASES: list[Case] = [
    ("a root that skips a number", lambda w: w.call.commitRoot(2, 1, ROOT), _said("UnexpectedSequence(1, 2)")),
    ("a root that goes back", lambda w: w.call.commitRoot(0, 1, ROOT), _said("UnexpectedSequence(1, 0)")),
    ("a root over nothing", lambda w: w.call.commitRoot(1, 0, ROOT), _said("EmptyBatch()")),
    ("no records", lambda w: _many(w), _said("EmptyBatch()")),
    ("a root over too much", lambda w: w.call.commitRoot(1, 10_001, ROOT), _said("BatchTooLarge(10001, 10000)")),
    ("51 records", lambda w: _many(w, *[_record(word(str(n))) for n in range(51)]), _said("BatchTooLarge(51, 50)")),
    ("a root of zero", lambda w: w.call.commitRoot(1, 1, ZERO), _said("ZeroRoot()")),
    ("a tenant who is nobody", lambda w: _attested(w, tenant=NOBODY), _said("ZeroAddress()")),
    ("a key of zero", lambda w: _one(w, *_record(ZERO)), _said("ZeroJobKey()")),
    ("a key of zero among records", lambda w: _many(w, _record(), _record(ZERO)), _said("ZeroJobKey()")),
    ("a key of zero with a signature", lambda w: WAYS["attested"](w, ZERO), _said("ZeroJobKey()")),
    ("a key of zero in a leaf", _odd_leaf(ZERO, SUCCESS), _said("ZeroJobKey()")),
    ("a pending job", lambda w: _one(w, *_record(status=0)), _said("InvalidStatus(0)")),
    ("a third status", lambda w: _one(w, *_record(status=3)), _said("InvalidStatus(3)")),
    ("a pending job among records", lambda w: _many(w, _record(status=0)), _said("InvalidStatus(0)")),
    ("a pending job with a signature", lambda w: _attested(w, status=0), _said("InvalidStatus(0)")),
    ("a pending job in a leaf", _odd_leaf(KEY, 0), _said("InvalidStatus(0)")),
    ("a third status in a leaf", _odd_leaf(KEY, 3), _said("InvalidStatus(3)")),
    ("a job not done yet", lambda w: _one(w, *_record(completed_at=w.now + 1_000)), _future),
    ("a record not done yet", lambda w: _many(w, _record(completed_at=w.now + 1_000)), _future),
    ("an attested job not done yet", lambda w: _attested(w, completedAt=w.now + 1_000), _future),
    ("a job stored before", _stored_twice, _said(f"JobAlreadyStored({KEY.hex()})")),
    ("a job twice among records", lambda w: _many(w, _record(), _record()), _said(f"JobAlreadyStored({KEY.hex()})")),
    ("a tenant taken off the register", _unregistered, _said(f"UnknownTenant({TENANT.address.lower()})")),
    ("an attestation too late", lambda w: _attested(w, deadline=w.now - 1), _expired),
    ("a signature of zeros", lambda w: _attested(w, False), _said(f"InvalidAttestation({TENANT.address.lower()})")),
    ("a batch that is not there", lambda w: _materialise(w, first=2), _said("UnknownBatch(2)")),
    ("a leaf before its batch", lambda w: _materialise(w, sequence=0), _said("SequenceOutsideBatch(1, 0)")),
    ("a leaf beyond all batches", lambda w: _materialise(w, sequence=3), _said("SequenceOutsideBatch(1, 3)")),
    ("a leaf with another's number", lambda w: _materialise(w, sequence=2), _said("InvalidProof(1, 2)")),
    ("a proof that leads elsewhere", lambda w: _materialise(w, spoil=True), _said("InvalidProof(1, 1)")),
]  # fmt: skip


@pytest.mark.parametrize(("make", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_refused(world: World, make: Callable[[World], Any], said: Callable[[World], str]) -> None:
    call = make(world)
    before = world.call.nextSequence().call()
    assert world.refused_operator(call).lower().startswith(said(world).lower())
    assert world.call.nextSequence().call() == before


def test_every_error_of_the_source_is_refused_with(shared: World) -> None:
    declared = set(re.findall(r"^ {4}error (\w+)\(", SOURCE, re.MULTILINE))
    shown = {word for case in CASES for word in re.findall(r"^\w+", case[2](shared))}
    assert declared
    assert shown == declared


def test_an_attestation_counts_up_to_its_deadline(world: World) -> None:
    """In the block of the deadline's own second it does, in the next it does not."""
    message = world.message(KEY, deadline=world.now + 100)
    call = world.attested(message, world.signed(message))
    world.tester.time_travel(message["deadline"])
    receipt = world.operate(call)
    assert world.web3.eth.get_block(receipt["blockNumber"])["timestamp"] == message["deadline"]


WRITES: dict[str, tuple[str, Callable[[World], Any]]] = {
    "confirmJob": ("operator", lambda w: single(w, KEY)),
    "confirmJobAttested": ("operator", lambda w: WAYS["attested"](w, KEY)),
    "confirmJobBatch": ("operator", lambda w: WAYS["record batch"](w, KEY)),
    "commitRoot": ("operator", lambda w: w.call.commitRoot(w.call.nextSequence().call(), 1, ROOT)),
    "materialise": ("anyone", lambda w: materialised(w, KEY)),
    "pause": ("pauser", lambda w: w.call.pause()),
    "unpause": ("pauser", lambda w: w.call.unpause()),
}
"""Every call that changes something, with who may make it."""


def test_every_call_that_changes_something_is_listed() -> None:
    abi = [item for item in contracts.load("JobRegistry").abi if item["type"] == "function"]
    changing = {item["name"] for item in abi if item["stateMutability"] not in ("view", "pure")}
    ours = set(re.findall(r"^ {4}function (\w+)\(", SOURCE, re.MULTILINE))
    assert set(WRITES) == changing & ours
    assert not [item for item in abi if item["stateMutability"] == "payable"], "it holds no money"


@pytest.mark.parametrize("name", WRITES)
def test_a_call_is_for_its_role_alone(world: World, name: str) -> None:
    role, make = WRITES[name]
    call = make(world)
    if name == "unpause":
        world.send(world.call.pause(), world.pauser)
    accounts = {"admin": world.admin, "operator": world.operator, "pauser": world.pauser, "stranger": world.stranger}
    allowed = set(accounts) if role == "anyone" else {role}
    for who in set(accounts) - allowed:
        assert world.refused(call, accounts[who]).startswith(
            f"AccessControlUnauthorizedAccount({accounts[who].lower()}"
        )
    for who in allowed:
        call.call({"from": accounts[who]})


def test_the_register_of_tenants_allows_no_call(world: World) -> None:
    world.send(world.call.grantRole(keccak256(b"TENANT_ROLE"), world.stranger), world.admin)
    assert world.refused(single(world, KEY), world.stranger).startswith("AccessControlUnauthorizedAccount")


@pytest.mark.parametrize("name", [name for name, (role, _) in WRITES.items() if role != "pauser"])
def test_a_pause_holds_every_confirmation_until_it_ends(world: World, name: str) -> None:
    call = WRITES[name][1](world)
    world.send(world.call.pause(), world.pauser)
    assert world.call.paused().call() is True
    assert world.refused_operator(call) == "EnforcedPause()"
    assert world.refused(world.call.pause(), world.pauser) == "EnforcedPause()"
    world.send(world.call.unpause(), world.pauser)
    assert world.refused(world.call.unpause(), world.pauser) == "ExpectedPause()"
    world.operate(call)


def test_a_failed_job_is_confirmed_as_failed(world: World) -> None:
    """The status is the job's, not the confirmation's (C91)."""
    receipt = world.operate(world.call.confirmJob(KEY, DIGEST, FAILURE, 1))
    (event,) = world.registry.events.JobConfirmed().process_receipt(receipt)
    assert event["args"]["status"] == FAILURE


def test_a_leaf_may_stand_alone_in_its_tree(world: World) -> None:
    first, leaves, tree = world.commit_leaves(KEY)
    assert tree.root == leaves[0].hash() == Tree([leaves[0].hash()]).root
    world.send(world.call.materialise(first, as_tuple(leaves[0]), []), world.stranger)
    assert world.call.isConfirmed(KEY).call() is True
