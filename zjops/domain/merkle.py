"""The Merkle tree and the leaf: equal to OpenZeppelin's StandardMerkleTree, with the leaf of ruling C72.

A leaf is hashed twice (`keccak256(keccak256(abi.encode(...)))`) so that no inner node can pass for a leaf; pairs are
sorted before hashing, so a proof needs no directions. Leaf i, in order of hash, stands at index `2n - 2 - i`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import msgspec
import sha3

WORD = 32


_keccak = sha3.keccak_256


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it: 32 bytes."""
    digest: bytes = _keccak(data).digest()
    return digest


def _word(value: int) -> bytes:
    return value.to_bytes(WORD, "big")


class Leaf(msgspec.Struct, frozen=True):
    """What a batch commits for one job (C72); digests are 32 bytes."""

    sequence: int
    job_key: bytes
    result_digest: bytes
    usage_digest: bytes
    status: int

    def encode(self) -> bytes:
        """`abi.encode(uint64, bytes32, bytes32, bytes32, uint8)`: five words."""
        return _word(self.sequence) + self.job_key + self.result_digest + self.usage_digest + _word(self.status)

    def hash(self) -> bytes:
        """The doubly hashed leaf, 32 bytes."""
        return keccak256(keccak256(self.encode()))


@functools.lru_cache(maxsize=4096)
def _string(text: str) -> bytes:
    """The tail of one ABI-encoded string: its length, then its bytes to full words."""
    data = text.encode()
    return _word(len(data)) + data + b"\0" * (-len(data) % WORD)


@functools.lru_cache(maxsize=4096)
def _tenant_head(tenant_id: str, words: int) -> bytes:
    """Where the two strings of a digest stand behind a head of so many words: the tenant's first, then the job's."""
    first = words * WORD
    return _word(first) + _word(first + len(_string(tenant_id)))


def job_key_digest(tenant_id: str, job_id: str, salt: bytes) -> bytes:
    """`keccak256(abi.encode(string tenantId, string jobId, bytes32 salt))`: the job on chain (C50)."""
    return keccak256(_tenant_head(tenant_id, 3) + salt + _string(tenant_id) + _string(job_id))


def result_digest(salt: bytes, served: bytes) -> bytes:
    """`keccak256(abi.encode(bytes32 salt, keccak256(served bytes)))`: what the result endpoint serves (C72)."""
    return result_digest_of(salt, keccak256(served))


def result_digest_of(salt: bytes, served_keccak: bytes) -> bytes:
    """The same from the Keccak-256 of the served bytes, which is what a store keeps."""
    return keccak256(salt + served_keccak)


def usage_digest(
    salt: bytes, tenant_id: str, job_id: str, payload_bytes: int, compute_units: int, accepted_at_ms: int
) -> bytes:
    """`keccak256(abi.encode(salt, tenantId, jobId, payloadBytes, computeUnits, acceptedAtUnixMs))` (C72)."""
    numbers = _word(payload_bytes) + _word(compute_units) + _word(accepted_at_ms)
    strings = _string(tenant_id) + _string(job_id)
    return keccak256(salt + _tenant_head(tenant_id, 6) + numbers + strings)


def _pair(left: bytes, right: bytes) -> bytes:
    return keccak256(left + right if left < right else right + left)


class Tree:
    """A complete binary tree over doubly hashed leaves, given in any order.

    Raises `ValueError` for no leaves. `root` is 32 bytes; `proof(i)` belongs to the i-th leaf as given.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        if not leaves:
            raise ValueError("a tree needs at least one leaf")
        count = len(leaves)
        self._nodes = [b""] * (2 * count - 1)
        self._index = [0] * count
        for position, given in enumerate(sorted(range(count), key=leaves.__getitem__)):
            self._nodes[2 * count - 2 - position] = leaves[given]
            self._index[given] = 2 * count - 2 - position
        for node in range(count - 2, -1, -1):
            self._nodes[node] = _pair(self._nodes[2 * node + 1], self._nodes[2 * node + 2])

    @property
    def root(self) -> bytes:
        """The tree's root, 32 bytes."""
        return self._nodes[0]

    def proof(self, position: int) -> list[bytes]:
        """The sibling hashes from leaf `position` up to the root."""
        node, path = self._index[position], []
        while node > 0:
            path.append(self._nodes[node + 1 if node % 2 else node - 1])
            node = (node - 1) // 2
        return path


def root_from_proof(leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """The root that a leaf hash and a proof lead to."""
    for sibling in proof:
        leaf = _pair(leaf, sibling)
    return leaf


def verify(root: bytes, leaf: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof leads from the leaf hash to the root."""
    return root_from_proof(leaf, proof) == root


def shares(total: int, parts: int) -> list[int]:
    """Split an integer into equal integer shares that sum to it; the largest remainders come first."""
    base, rest = divmod(total, parts)
    return [base + 1] * rest + [base] * (parts - rest)
