"""A registry on eth-tester with everyone who has a role in it, and every way of storing a job."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
from eth_account import Account
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import TransactionFailed
from web3 import EthereumTesterProvider, Web3

import contracts
from zjops.domain.merkle import Leaf, Tree, keccak256

DAY = 86_400
EIP_7825 = 2**24
ROOT = b"\xab" * 32
NOBODY = "0x" + "00" * 20
ZERO = b"\0" * 32
SUCCESS, FAILURE = 1, 2
TENANT = Account.from_key(keccak256(b"a tenant"))


def word(text: str) -> bytes:
    """32 bytes that only this text gives."""
    return keccak256(text.encode())


def as_tuple(leaf: Leaf) -> tuple[Any, ...]:
    """A leaf as the contract takes it."""
    return (leaf.sequence, leaf.job_key, leaf.result_digest, leaf.usage_digest, leaf.status)


def leaf_of(sequence: int, job_key: bytes, status: int = SUCCESS) -> Leaf:
    """A leaf for a job."""
    return Leaf(sequence, job_key, keccak256(b"result" + job_key), keccak256(b"usage" + job_key), status)


def typed_data(chain_id: int, contract: str, message: dict[str, Any], **domain: Any) -> dict[str, Any]:
    """What a wallet shows and signs, written from EIP-712 and not from the contract."""
    kinds = [("jobId", "bytes32"), ("tenant", "address"), ("resultHash", "bytes32"), ("status", "uint8"),
             ("completedAt", "uint64"), ("deadline", "uint256")]  # fmt: skip
    base = {"name": "ZamaJobRegistry", "version": "1", "chainId": chain_id, "verifyingContract": contract}
    head = [("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address")]
    fields = lambda pairs: [{"name": name, "type": kind} for name, kind in pairs]  # noqa: E731
    return {
        "types": {"EIP712Domain": fields(head), "JobResult": fields(kinds)},
        "primaryType": "JobResult", "domain": base | domain, "message": message,
    }  # fmt: skip


class World(NamedTuple):
    """A deployed registry and the accounts that have roles."""

    web3: Web3
    registry: Any
    admin: str
    operator: str
    pauser: str
    stranger: str

    @property
    def call(self) -> Any:
        """The registry's functions."""
        return self.registry.functions

    @property
    def tester(self) -> Any:
        """The chain itself."""
        return self.web3.provider.ethereum_tester  # type: ignore[attr-defined]

    @property
    def now(self) -> int:
        """The newest block's time."""
        return int(self.web3.eth.get_block("latest")["timestamp"])

    def send(self, call: Any, sender: str) -> Any:
        """Send with all the gas that one transaction may have, and return the receipt of its success."""
        # With an amount given nothing is estimated: that would run each call a dozen times.
        receipt = self.web3.eth.wait_for_transaction_receipt(call.transact({"from": sender, "gas": EIP_7825}))
        assert receipt["status"] == 1
        return receipt

    def operate(self, call: Any) -> Any:
        """Send as the operator."""
        return self.send(call, self.operator)

    def commit(self, first: int, count: int, root: bytes = ROOT) -> Any:
        """Commit as the operator."""
        return self.operate(self.call.commitRoot(first, count, root))

    def commit_leaves(self, *job_keys: bytes, status: int = SUCCESS) -> tuple[int, list[Leaf], Tree]:
        """Commit a batch with a leaf for each job; returns its first number too."""
        first = int(self.call.nextSequence().call())
        leaves = [leaf_of(first + n, key, status) for n, key in enumerate(job_keys)]
        tree = Tree([leaf.hash() for leaf in leaves])
        self.commit(first, len(leaves), tree.root)
        return first, leaves, tree

    def refused(self, call: Any, sender: str) -> str:
        """The custom error by which a call is refused, with its arguments."""
        return self.refused_when(lambda: call.call({"from": sender}))

    def refused_when(self, act: Callable[[], Any]) -> str:
        """The custom error by which anything is refused, with its arguments."""
        with pytest.raises(TransactionFailed) as caught:
            act()
        # eth-tester hands the revert's data on as the text of a bytes literal.
        raw = ast.literal_eval(str(caught.value.args[0]).removeprefix("execution reverted: "))
        for item in self.registry.abi:
            types = [i["type"] for i in item.get("inputs", [])]
            if item["type"] == "error" and keccak256(f"{item['name']}({','.join(types)})".encode())[:4] == raw[:4]:
                values = [v.hex() if isinstance(v, bytes) else str(v) for v in self.web3.codec.decode(types, raw[4:])]
                return f"{item['name']}({', '.join(values)})"
        raise AssertionError(f"unknown error {raw.hex()}")

    def refused_operator(self, call: Any) -> str:
        """The custom error by which the operator's call is refused."""
        return self.refused(call, self.operator)

    def signed(self, message: dict[str, Any], **domain: Any) -> bytes:
        """The tenant's signature over a message, in this contract's domain or one that differs from it."""
        data = typed_data(self.web3.eth.chain_id, self.registry.address, message, **domain)
        return bytes(TENANT.sign_typed_data(full_message=data).signature)

    def message(self, job_key: bytes, **changed: Any) -> dict[str, Any]:
        """What the tenant attests for a job."""
        return {
            "jobId": job_key, "tenant": TENANT.address, "resultHash": word("result"), "status": SUCCESS,
            "completedAt": self.now, "deadline": self.now + DAY,
        } | changed  # fmt: skip

    def attested(self, message: dict[str, Any], signature: bytes) -> Any:
        """The call that confirms a job with a signature."""
        return self.call.confirmJobAttested(*message.values(), signature)


def single(world: World, job_key: bytes) -> Any:
    """The call that confirms one job."""
    return world.call.confirmJob(job_key, word("result"), SUCCESS, world.now)


def attested(world: World, job_key: bytes) -> Any:
    """The call that confirms one job with the tenant's signature."""
    message = world.message(job_key)
    return world.attested(message, world.signed(message))


def record(world: World, job_key: bytes) -> Any:
    """The call that confirms a batch in which the job is the second of three."""
    beside = world.call.nextSequence().call()
    keys = (word(f"{beside} before"), job_key, word(f"{beside} after"))
    return world.call.confirmJobBatch([(key, word("result"), SUCCESS, world.now) for key in keys])


def materialised(world: World, job_key: bytes) -> Any:
    """Commit a root with the job in it; the call that then stores the job."""
    first, leaves, tree = world.commit_leaves(word("other"), job_key, word("another"))
    return world.call.materialise(first, as_tuple(leaves[1]), tree.proof(1))


WAYS: dict[str, Callable[[World, bytes], Any]] = {
    "single": single, "attested": attested, "record batch": record, "materialised leaf": materialised
}  # fmt: skip
"""Every way of storing a job."""


def deploy(web3: Web3, accounts: Sequence[str]) -> World:
    """A registry of its own with a registered tenant."""
    admin, operator, pauser, stranger = accounts[:4]
    artifact = contracts.load("JobRegistry")
    factory = web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
    sent = factory.constructor(DAY, admin, operator, pauser).transact({"from": admin})
    address = web3.eth.wait_for_transaction_receipt(sent)["contractAddress"]
    world = World(web3, web3.eth.contract(address=address, abi=artifact.abi), admin, operator, pauser, stranger)
    world.send(world.call.grantRole(keccak256(b"TENANT_ROLE"), TENANT.address), admin)
    return world


def chain() -> Web3:
    """An empty chain."""
    return Web3(EthereumTesterProvider(EthereumTester(PyEVMBackend())))
