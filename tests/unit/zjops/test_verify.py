"""A proof is believed only as far as it can be derived again: every forgery is refused, by name."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from zjops.config import Context
from zjops.domain.errors import UsageError
from zjops.domain.jobs import JobState
from zjops.domain.merkle import Leaf, Tree, job_key_digest, keccak256, result_digest, usage_digest
from zjops.domain.wire import ProofBatch, ProofLeaf, ProofTransaction, ProofUsage, ProofView
from zjops.verify import Check, verify_proof

RESULT, SALT = b'{"count":78498}', keccak256(b"salt")
CONTRACT, CODE = "0x" + "Ab" * 20, "0x" + "cd" * 32
USAGE = ProofUsage(payload_bytes=120, compute_units=100, accepted_at_unix_ms=1_793_000_000_000)
CONTEXT = Context(
    api_url="http://127.0.0.1:1", token_url="http://127.0.0.1:1/t", issuer="i", rpc_url="http://127.0.0.1:2",
    chain_id=31338, contract=CONTRACT, code_hash=CODE,
)  # fmt: skip


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _world() -> tuple[ProofView, bytes]:
    """A proof of the third of five jobs, and its root."""
    leaves = [
        Leaf(
            10 + n, job_key_digest("acme", f"job_{n}", SALT), result_digest(SALT, RESULT),
            usage_digest(SALT, "acme", f"job_{n}", 120, 100, 1_793_000_000_000), 1,
        )
        for n in range(5)
    ]  # fmt: skip
    tree, leaf = Tree([leaf.hash() for leaf in leaves]), leaves[2]
    proof = ProofView(
        job_id="job_2", tenant_id="acme", status=JobState.CONFIRMED, salt=_hex(SALT), usage=USAGE,
        leaf=ProofLeaf(
            sequence=12, job_key=_hex(leaf.job_key), result_digest=_hex(leaf.result_digest),
            usage_digest=_hex(leaf.usage_digest), status=1,
        ),
        proof=[_hex(node) for node in tree.proof(2)],
        batch=ProofBatch(id=1, first_sequence=10, count=5, root=_hex(tree.root)),
        transaction=ProofTransaction(hash=_hex(b"\1" * 32), block_number=7, gas_used=57_000),
        chain_id=31338, contract=CONTRACT.lower(),
    )  # fmt: skip
    return proof, tree.root


class Chain:
    """A chain that says what it is told to."""

    def __init__(self, root: bytes | None, **said: Any) -> None:
        self._said = {"chain_id": 31338, "code_hash": CODE, "head": 20, "committed_in": 7} | said
        self._root = root

    def chain_id(self) -> int:
        return int(self._said["chain_id"])

    def code_hash(self) -> str:
        return str(self._said["code_hash"])

    def head(self) -> int:
        return int(self._said["head"])

    def root_of(self, first: int) -> bytes | None:
        return self._root if first == 10 else None

    def committed_in(self, first: int) -> int | None:
        return self._said["committed_in"] if first == 10 else None


def _wrong(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if not check.ok}


def test_a_true_proof_holds() -> None:
    proof, root = _world()
    checks = verify_proof(proof, RESULT, CONTEXT, Chain(root))
    assert _wrong(checks) == set()
    assert {c.name for c in checks} >= {"chain", "code", "result", "usage", "root", "final"}


def test_a_tampered_result_is_refused() -> None:
    proof, root = _world()
    assert _wrong(verify_proof(proof, RESULT + b" ", CONTEXT, Chain(root))) == {"result", "root"}


def _bend(proof: ProofView, path: str, value: Any) -> ProofView:
    outer, _, inner = path.partition(".")
    if not inner:
        return msgspec.structs.replace(proof, **{outer: value})
    return msgspec.structs.replace(proof, **{outer: msgspec.structs.replace(getattr(proof, outer), **{inner: value})})


@pytest.mark.parametrize(
    ("path", "value", "names"),
    [
        ("proof", [], {"root"}),
        ("proof", ["0x" + "11" * 32], {"root"}),
        ("usage.compute_units", 10, {"usage", "root"}),
        ("usage.payload_bytes", 1, {"usage", "root"}),
        ("tenant_id", "evil", {"job", "usage", "root"}),
        ("job_id", "job_9", {"job", "usage", "root"}),
        ("status", JobState.FAILED, {"status", "root"}),
        ("leaf.sequence", 13, {"root"}),
        ("leaf.sequence", 99, {"sequence", "root"}),
        ("leaf.result_digest", "0x" + "22" * 32, {"result"}),
        ("batch.first_sequence", 11, {"root", "final"}),
        ("chain_id", 1, {"proof's chain"}),
        ("contract", "0x" + "99" * 20, {"proof's contract"}),
    ],
)
def test_a_bent_proof_is_refused(path: str, value: Any, names: set[str]) -> None:
    proof, root = _world()
    assert _wrong(verify_proof(_bend(proof, path, value), RESULT, CONTEXT, Chain(root))) == names


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"chain_id": 1}, "chain"), ({"code_hash": "0x" + "ee" * 32}, "code"), ({"head": 8}, "final"),
        ({"committed_in": None}, "final"),
    ],
)  # fmt: skip
def test_another_chain_contract_or_too_young_a_block_is_refused(said: dict[str, Any], name: str) -> None:
    proof, root = _world()
    assert _wrong(verify_proof(proof, RESULT, CONTEXT, Chain(root, **said))) == {name}


@pytest.mark.parametrize("root", [None, b"\1" * 32])
def test_a_root_that_is_not_on_chain_is_refused(root: bytes | None) -> None:
    proof, _ = _world()
    assert _wrong(verify_proof(proof, RESULT, CONTEXT, Chain(root))) == {"root"}


def test_a_context_that_names_no_contract_cannot_verify() -> None:
    proof, root = _world()
    vague = msgspec.structs.replace(CONTEXT, code_hash=None)
    with pytest.raises(UsageError, match="nothing to check against"):
        verify_proof(proof, RESULT, vague, Chain(root))


def test_a_proof_with_garbage_for_hex_is_wrong_usage() -> None:
    proof, root = _world()
    with pytest.raises(UsageError, match="salt"):
        verify_proof(_bend(proof, "salt", "0xzz"), RESULT, CONTEXT, Chain(root))
