"""Checks one job without trusting the API that handed out its proof: against the chain, or against a given root.

Chain id, contract and code come from the context. Everything else is derived again: the result's digest from the
result's bytes, the digest of the usage, the job's key, the leaf, the root. The root is read from the contract, and how
many numbers the batch took from the contract's log: the contract itself lets a leaf stand for any number that is taken
already. Where no hash of the code is known, the code must be that of the contract in this distribution.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

import contracts
from zjops.config import Context
from zjops.domain.bundle import Bundle
from zjops.domain.errors import UsageError
from zjops.domain.jobs import CHAIN_STATUS, JobState
from zjops.domain.merkle import (
    Leaf,
    job_key_digest,
    keccak256,
    result_digest_of,
    root_from_proof,
    usage_digest,
)
from zjops.domain.wire import ProofView

REGISTRY = "JobRegistry"
ENDED = {JobState.CONFIRMED: JobState.COMPLETED, JobState.FAILED: JobState.FAILED}
"""The states in which a job has a proof, and with which it is on chain."""


class Committed(Protocol):
    """Where and as what a batch was committed, as the contract's log tells it."""

    @property
    def block(self) -> int: ...

    @property
    def tx_hash(self) -> str: ...

    @property
    def jobs(self) -> int: ...

    @property
    def root(self) -> bytes: ...


class Reader(Protocol):
    """What the check asks of a chain."""

    def chain_id(self) -> int: ...

    def code(self) -> bytes: ...

    def code_hash(self) -> str: ...

    def head(self) -> int: ...

    def root_of(self, first: int) -> bytes | None: ...

    def tagged(self, tag: str) -> int: ...

    def commit_of(self, first: int, told: int) -> Committed | None: ...

    def gas_of(self, tx_hash: str) -> int | None: ...


class Check(msgspec.Struct, frozen=True):
    """One named check and what it found."""

    name: str
    ok: bool
    detail: str


def _bytes(text: str, name: str, length: int = 32) -> bytes:
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != length:
        raise UsageError(f"the proof's {name} is not {length} bytes of hex")
    return value


def _same(name: str, mine: object, theirs: object, what: str) -> Check:
    return Check(name, mine == theirs, f"{what} {theirs}" + ("" if mine == theirs else f", not {mine}"))


def _check_shape(proof: ProofView) -> None:
    """Refuse what no chain could hold, before anything is computed from it. Raises `UsageError`."""
    _bytes(proof.transaction.hash, "transaction hash")
    _bytes(proof.contract, "contract", 20)
    usage, batch, leaf = proof.usage, proof.batch, proof.leaf
    for number in (
        leaf.sequence, leaf.status, batch.id, batch.first_sequence, batch.count, usage.payload_bytes,
        usage.compute_units, usage.accepted_at_unix_ms, proof.transaction.block_number, proof.transaction.gas_used,
        proof.chain_id,
    ):  # fmt: skip
        if not 0 <= number < 2**64:
            raise UsageError(f"the proof holds a number that is out of range: {number!r:.30}")


def derived_leaf(proof: ProofView, served_keccak: bytes) -> Leaf:
    """The leaf as it must be, from the Keccak-256 of the result and the usage that was billed. Raises `UsageError`."""
    _check_shape(proof)
    salt, usage = _bytes(proof.salt, "salt"), proof.usage
    return Leaf(
        proof.leaf.sequence,
        job_key_digest(proof.tenant_id, proof.job_id, salt),
        result_digest_of(salt, served_keccak),
        usage_digest(
            salt, proof.tenant_id, proof.job_id, usage.payload_bytes, usage.compute_units, usage.accepted_at_unix_ms
        ),
        CHAIN_STATUS[ENDED.get(proof.status, JobState.COMPLETED)],
    )


def _leaf_checks(proof: ProofView, leaf: Leaf, count: int, source: str = "") -> list[Check]:
    """The parts of the leaf, and its number: inside a batch of so many jobs, which is known from `source`."""
    told, first = proof.leaf, proof.batch.first_sequence
    inside = first <= leaf.sequence < first + count
    return [
        _same("job", "0x" + leaf.job_key.hex(), told.job_key, "the proof's key of job and tenant is"),
        _same("result", "0x" + leaf.result_digest.hex(), told.result_digest, "the proof's digest of the result is"),
        _same("usage", "0x" + leaf.usage_digest.hex(), told.usage_digest, "the proof's digest of the billed usage is"),
        _status(proof, leaf),
        Check(
            "sequence", inside,
            f"number {leaf.sequence} is {'' if inside else 'not '}one of {first} to {first + count - 1}{source}",
        ),
    ]  # fmt: skip


def _status(proof: ProofView, leaf: Leaf) -> Check:
    if proof.status not in ENDED:
        return Check("status", False, f"the proof speaks of a {proof.status} job, and no such one is on a chain")
    words = {number: f"{number} ({state})" for state, number in CHAIN_STATUS.items()}
    told = words.get(proof.leaf.status, str(proof.leaf.status))
    return _same("status", words[leaf.status], told, "the leaf's status is")


def _derived_root(proof: ProofView, leaf: Leaf) -> str:
    return "0x" + root_from_proof(leaf.hash(), [_bytes(node, "path") for node in proof.proof]).hex()


def verify_proof(proof: ProofView, result: bytes, context: Context, chain: Reader) -> list[Check]:
    """Every check of a result's bytes against the chain; see `verify_digest`."""
    return verify_digest(proof, keccak256(result), context, chain)


def verify_digest(proof: ProofView, served_keccak: bytes, context: Context, chain: Reader) -> list[Check]:
    """Every check, in the order in which one builds on another. Raises `UsageError`, `ChainUnavailable`."""
    if context.contract is None:
        raise UsageError(f"context {context.name} does not say chain_id and contract; nothing to check against")
    served = chain.chain_id()
    wanted = served if context.chain_id is None else context.chain_id
    checks = [
        _same("chain", wanted, served, "the node serves chain"),
        _code(context, chain),
        _same("proof's chain", wanted, proof.chain_id, "the proof speaks of chain"),
        _same("proof's contract", context.contract.lower(), proof.contract.lower(), "the proof speaks of contract"),
    ]
    leaf, first = derived_leaf(proof, served_keccak), proof.batch.first_sequence
    stored, commit = chain.root_of(first), chain.commit_of(first, proof.transaction.block_number)
    checks += _leaf_checks(proof, leaf, proof.batch.count if commit is None else commit.jobs)
    if stored is None:
        nothing = f"the contract holds no root for number {first}"
        checks += [Check(name, False, nothing) for name in ("proof's root", "root")]
    else:
        checks.append(_same("proof's root", _hex(stored), proof.batch.root.lower(), "the proof speaks of root"))
        checks.append(_same("root", _derived_root(proof, leaf), _hex(stored), "the root on chain is"))
    return [*checks, *_commit_checks(proof, stored, commit, context, chain)]


def verify_offline(proof: ProofView, served_keccak: bytes, root: str) -> list[Check]:
    """Every check that needs no chain, against a root that the caller trusts. Raises `UsageError`."""
    trusted = "0x" + _bytes(root, "given root").hex()
    leaf = derived_leaf(proof, served_keccak)
    return [
        *_leaf_checks(proof, leaf, proof.batch.count, ", by the proof's own word"),
        _same("proof's root", trusted, proof.batch.root.lower(), "the proof speaks of root"),
        _same("root", trusted, _derived_root(proof, leaf), "the leaf leads to root"),
    ]


def bundle_checks(bundle: Bundle, code_hash: str | None) -> list[Check]:
    """What a bundle says beside its proof, as far as that can be known: nothing in it may be untrue.

    `code_hash` is that of the contract's code on chain, None offline. Raises `UsageError`.
    """
    checks, result = [], bundle.result
    if bundle.code_hash is not None:
        _bytes(bundle.code_hash, "code hash")
    if result is not None and result.base64 is not None:
        mine = "0x" + keccak256(result.content()).hex()
        checks.append(
            _same("bundle's result", mine, result.keccak256.lower(), "the bundle's Keccak-256 of the result is")
        )
    if code_hash is not None and bundle.code_hash is not None:
        checks.append(_same("bundle's code", code_hash, bundle.code_hash.lower(), "the bundle's hash of the code is"))
    return checks


def _code(context: Context, chain: Reader) -> Check:
    if context.code_hash is not None:
        return _same("code", context.code_hash, chain.code_hash(), "the hash of the contract's code is")
    ours = is_our_code(chain.code())
    return Check("code", ours, f"the contract's code is {'' if ours else 'not '}that of {REGISTRY} as compiled here")


def is_our_code(code: bytes) -> bool:
    """Whether deployed code is that of the artifact, apart from what the constructor writes into it."""
    artifact = contracts.load(REGISTRY)
    compiled, found = bytearray.fromhex(artifact.deployed_bytecode[2:]), bytearray(code)
    if len(compiled) != len(found):
        return False
    for places in artifact.immutable_references.values():
        for place in places:
            start, length = place["start"], place["length"]
            compiled[start : start + length] = found[start : start + length] = bytes(length)
    return compiled == found


def _hex(root: bytes | None) -> str:
    return "none" if root is None else "0x" + root.hex()


def _commit_checks(
    proof: ProofView, stored: bytes | None, commit: Committed | None, context: Context, chain: Reader
) -> list[Check]:
    """What the contract's log tells of the batch, the transaction that the proof names, and how deep its block lies."""
    told = proof.transaction
    if commit is None:
        nothing = "the contract's log holds no such batch"
        return [Check(name, False, nothing) for name in ("batch", "transaction", "gas", "final")]
    return [
        _same("batch", f"{proof.batch.count} jobs under root {_hex(stored)}",
              f"{commit.jobs} jobs under root {_hex(commit.root)}", "the contract's log tells of"),
        _same("transaction", f"{told.hash.lower()} in block {told.block_number}",
              f"{commit.tx_hash.lower()} in block {commit.block}", "the batch was committed by"),
        _same("gas", told.gas_used, chain.gas_of(commit.tx_hash), "the gas that this used is"),
        _final(commit.block, context, chain),
    ]  # fmt: skip


def _final(block: int, context: Context, chain: Reader) -> Check:
    """Whether a block is final by the context's rule: so many blocks deep, or below what the chain calls final."""
    rule, head = context.rule(), chain.head()
    if rule.tag is not None:
        tagged = chain.tagged(rule.tag)
        return Check("final", rule.reached(block, head, tagged), f"block {block}, {rule.tag} is block {tagged}")
    deep = head - block + 1
    return Check("final", rule.reached(block, head, head), f"block {block}, {deep} confirmations, {rule.depth} needed")
