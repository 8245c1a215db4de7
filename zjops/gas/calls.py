"""The calls that are measured: every way of confirming, with arguments as a platform sends them.

Nothing here speaks to a chain. A salt a job makes every digest another, so that no call meets what one before it
stored, and each way is called twice: what the first call of a contract pays for once is not in the figures.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from zjops.domain.ids import Ids
from zjops.domain.merkle import Leaf, Tree, keccak256

SUCCESS = 1
REGISTRY, ORIGINAL = "JobRegistry", "OriginalConfirmations"
ROOT_SIZES = (1, 10, 50, 100, 1_000)
RECORD_SIZES = (1, 10, 50)
ORIGINAL_SIZES = (1, 10, 50, 100)
LEAF_SIZES = (1, 100, 1_000)
TENANT_ROLE = keccak256(b"TENANT_ROLE")
TRANSACTION_MOST = 2**24
"""The most gas of one transaction (EIP-7825)."""
DEADLINE_S = 86_400
GAS_TOLD = 192_500
"""What the original design has the caller say of its own gas."""
TYPES = {
    "JobResult": [
        {"name": "jobId", "type": "bytes32"}, {"name": "tenant", "type": "address"},
        {"name": "resultHash", "type": "bytes32"}, {"name": "status", "type": "uint8"},
        {"name": "completedAt", "type": "uint64"}, {"name": "deadline", "type": "uint256"},
    ]
}  # fmt: skip
"""What a tenant signs (EIP-712)."""


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Call(NamedTuple):
    """One transaction to come: the way, the size of its batch, on which contract; `gas` is the most that it may use.

    `jobs` is for how many jobs it stands, None for all of its batch.
    """

    path: str
    size: int
    contract: str
    function: str
    arguments: tuple[Any, ...]
    gas: int
    jobs: int | None = None


class Calls:
    """Makes calls in the order in which they are to be sent: sequence numbers and nonces follow each other."""

    def __init__(self, ids: Ids, *, chain_id: int, registry: str, now_s: int) -> None:
        from eth_account import Account

        self._ids, self._chain_id, self._registry, self._now_s = ids, chain_id, registry, now_s
        self._tenant = Account.from_key(ids.token(32))
        self._sequence, self._nonce = 1, 0

    def plan(self) -> list[Call]:
        """Every way once to warm the contracts up, then every way and size."""
        warm = [self.admit(), self.original_single(), self.original_batch(1), self.single(), self.attested(),
                self.record_batch(1), self.root_batch(1), *self.leaf(1)]  # fmt: skip
        return [call._replace(path="") for call in warm] + [
            self.original_single(), *map(self.original_batch, ORIGINAL_SIZES), self.single(), self.attested(),
            *map(self.record_batch, RECORD_SIZES), *map(self.root_batch, ROOT_SIZES),
            *(call for size in LEAF_SIZES for call in self.leaf(size)),
        ]  # fmt: skip

    def _digest(self) -> bytes:
        return keccak256(self._ids.token(32))

    def _numbers(self, count: int) -> int:
        first, self._sequence = self._sequence, self._sequence + count
        return first

    def admit(self) -> Call:
        """The tenant whose word counts in an attested confirmation."""
        return Call("", 1, REGISTRY, "grantRole", (TENANT_ROLE, self._tenant.address), 200_000)

    def original_single(self) -> Call:
        """One job as the first design has it: the tenant signs packed fields with a nonce."""
        from eth_account.messages import encode_defunct

        nonce, self._nonce = self._nonce, self._nonce + 1
        job, digest, tenant = self._digest(), self._digest(), self._tenant.address
        packed = job + bytes.fromhex(tenant[2:]) + digest + _word(GAS_TOLD) + bytes([SUCCESS]) + _word(nonce)
        signed = self._tenant.sign_message(encode_defunct(keccak256(packed + _word(self._chain_id))))
        arguments = (job, tenant, digest, GAS_TOLD, SUCCESS, nonce, bytes(signed.signature))
        return Call("original_single", 1, ORIGINAL, "confirmJob", arguments, 400_000)

    def original_batch(self, size: int) -> Call:
        """Jobs as the first design batches them: unsigned, six slots each."""
        jobs = [self._digest() for _ in range(size)]
        tenant = self._tenant.address
        records = [(job, tenant, self._digest(), self._now_s, GAS_TOLD, SUCCESS) for job in jobs]
        return Call("original_batch", size, ORIGINAL, "confirmJobBatch", (jobs, records), 100_000 + 175_000 * size)

    def single(self) -> Call:
        """One job by the operator's word."""
        self._numbers(1)
        arguments = (self._digest(), self._digest(), SUCCESS, self._now_s)
        return Call("single", 1, REGISTRY, "confirmJob", arguments, 300_000)

    def attested(self) -> Call:
        """One job with the tenant's signature over its outcome."""
        self._numbers(1)
        key, digest, deadline = self._digest(), self._digest(), self._now_s + DEADLINE_S
        domain = {"name": "ZamaJobRegistry", "version": "1", "chainId": self._chain_id,
                  "verifyingContract": self._registry}  # fmt: skip
        message = {"jobId": key, "tenant": self._tenant.address, "resultHash": digest, "status": SUCCESS,
                   "completedAt": self._now_s, "deadline": deadline}  # fmt: skip
        signed = self._tenant.sign_typed_data(domain, TYPES, message)
        arguments = (key, self._tenant.address, digest, SUCCESS, self._now_s, deadline, bytes(signed.signature))
        return Call("single_attested", 1, REGISTRY, "confirmJobAttested", arguments, 400_000)

    def record_batch(self, size: int) -> Call:
        """Jobs that are stored one by one, in one transaction."""
        self._numbers(size)
        records = [(self._digest(), self._digest(), SUCCESS, self._now_s) for _ in range(size)]
        return Call("record_batch", size, REGISTRY, "confirmJobBatch", (records,), 200_000 + 100_000 * size)

    def root_batch(self, size: int) -> Call:
        """Jobs of which only the root of their tree is stored."""
        arguments = (self._numbers(size), size, self._digest())
        return Call("root_batch", size, REGISTRY, "commitRoot", arguments, 200_000)

    def leaf(self, size: int) -> tuple[Call, Call]:
        """A batch of real leaves, whose root is not measured once more, and one of its jobs that is stored by proof."""
        first = self._numbers(size)
        leaves = [Leaf(first + i, self._digest(), self._digest(), self._digest(), SUCCESS) for i in range(size)]
        tree, one = Tree([leaf.hash() for leaf in leaves]), leaves[0]
        told = (one.sequence, one.job_key, one.result_digest, one.usage_digest, one.status)
        return (
            Call("", size, REGISTRY, "commitRoot", (first, size, tree.root), 200_000),
            Call("materialise", size, REGISTRY, "materialise", (first, told, tree.proof(0)), 300_000, jobs=1),
        )
