"""Checks one job against the chain without trusting the API that handed out its proof.

Chain id, contract and code come from the context. Everything else is derived again: the result's digest from the
result's bytes, the digest of the usage, the job's key, the leaf, the root. The root is read from the contract.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from zjops.config import Context
from zjops.domain.errors import UsageError
from zjops.domain.jobs import CHAIN_STATUS, JobState
from zjops.domain.merkle import Leaf, job_key_digest, result_digest, root_from_proof, usage_digest
from zjops.domain.wire import ProofView


class Reader(Protocol):
    """What the check asks of a chain."""

    def chain_id(self) -> int: ...

    def code_hash(self) -> str: ...

    def head(self) -> int: ...

    def root_of(self, first: int) -> bytes | None: ...

    def committed_in(self, first: int) -> int | None: ...


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
    return Check(name, mine == theirs, f"{what} {theirs}" if mine == theirs else f"{what} is {theirs}, not {mine}")


def derived_leaf(proof: ProofView, result: bytes) -> Leaf:
    """The leaf as it must be, from the result's bytes and the usage that was billed. Raises `UsageError`."""
    salt, usage = _bytes(proof.salt, "salt"), proof.usage
    ended = JobState.FAILED if proof.status is JobState.FAILED else JobState.COMPLETED
    return Leaf(
        proof.leaf.sequence,
        job_key_digest(proof.tenant_id, proof.job_id, salt),
        result_digest(salt, result),
        usage_digest(
            salt, proof.tenant_id, proof.job_id, usage.payload_bytes, usage.compute_units, usage.accepted_at_unix_ms
        ),
        CHAIN_STATUS[ended],
    )


def _leaf_checks(proof: ProofView, leaf: Leaf) -> list[Check]:
    told, batch = proof.leaf, proof.batch
    inside = batch.first_sequence <= leaf.sequence < batch.first_sequence + batch.count
    return [
        _same("job", "0x" + leaf.job_key.hex(), told.job_key, "the key of job and tenant"),
        _same("result", "0x" + leaf.result_digest.hex(), told.result_digest, "the digest of the result"),
        _same("usage", "0x" + leaf.usage_digest.hex(), told.usage_digest, "the digest of the billed usage"),
        _same("status", leaf.status, told.status, "the status on chain"),
        Check(
            "sequence",
            inside,
            f"number {leaf.sequence} of {batch.first_sequence} to {batch.first_sequence + batch.count - 1}",
        ),
    ]


def verify_proof(proof: ProofView, result: bytes, context: Context, chain: Reader) -> list[Check]:
    """Every check, in the order in which one builds on another. Raises `UsageError`, `ChainUnavailable`."""
    if context.chain_id is None or context.contract is None or context.code_hash is None:
        raise UsageError(
            f"context {context.name} does not say chain_id, contract and code_hash; nothing to check against"
        )
    checks = [
        _same("chain", context.chain_id, chain.chain_id(), "the RPC address serves chain"),
        _same("code", context.code_hash, chain.code_hash(), "the contract's code has hash"),
        _same("proof's chain", context.chain_id, proof.chain_id, "the proof speaks of chain"),
        _same("proof's contract", context.contract.lower(), proof.contract.lower(), "the proof speaks of contract"),
    ]
    leaf = derived_leaf(proof, result)
    checks += _leaf_checks(proof, leaf)
    path = [_bytes(node, "path") for node in proof.proof]
    root = root_from_proof(leaf.hash(), path)
    stored = chain.root_of(proof.batch.first_sequence)
    shown = "none" if stored is None else "0x" + stored.hex()
    checks.append(_same("root", "0x" + root.hex(), shown, "the root on chain"))
    return [*checks, _finality(proof, context, chain)]


def _finality(proof: ProofView, context: Context, chain: Reader) -> Check:
    block = chain.committed_in(proof.batch.first_sequence)
    if block is None:
        return Check("final", False, "the contract's log holds no such batch")
    deep = chain.head() - block + 1
    return Check("final", deep >= context.depth(), f"block {block}, {deep} confirmations, {context.depth()} needed")
