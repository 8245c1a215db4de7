import pytest
from hypothesis import given
from hypothesis import strategies as st

from zjops.domain.merkle import Leaf, Tree, keccak256, result_digest, shares, usage_digest, verify

VECTORS = {
    1: "a1e403d0146df5a9ac7baa9d1cdfc6330db87bcfb255d1c65337454ecfc99ec5",
    3: "2499558495076c511b86f30f069f4af53ea13d02c1ab21d509a9ea713ba37e57",
    5: "0b3d7ade3d8c16f44764ec82939610443d7f5138cc8e833b8db3882373684815",
}


def _row(i: int) -> bytes:
    address = (i + 1).to_bytes(32, "big")
    return keccak256(
        keccak256(keccak256(f"job-{i}".encode()) + address + keccak256(f"res-{i}".encode()) + (1).to_bytes(32, "big"))
    )


@pytest.mark.parametrize(("count", "root"), VECTORS.items(), ids=lambda v: str(v)[:6])
def test_the_root_equals_openzeppelins_standard_merkle_tree(count: int, root: str) -> None:
    assert Tree([_row(i) for i in range(count)]).root.hex() == root


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40))
def test_every_leaf_has_a_proof_that_leads_to_the_root(leaves: list[bytes]) -> None:
    tree = Tree(leaves)
    assert all(verify(tree.root, leaf, tree.proof(i)) for i, leaf in enumerate(leaves))


def test_a_proof_of_one_leaf_does_not_prove_another() -> None:
    leaves = [_row(i) for i in range(7)]
    tree = Tree(leaves)
    assert not verify(tree.root, leaves[1], tree.proof(0))
    assert not verify(tree.root, keccak256(b"forged"), tree.proof(0))


def test_a_tree_without_leaves_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Tree([])


def test_a_leaf_is_five_abi_words() -> None:
    leaf = Leaf(7, b"\1" * 32, b"\2" * 32, b"\3" * 32, 1)
    assert leaf.encode() == b"\0" * 31 + b"\7" + b"\1" * 32 + b"\2" * 32 + b"\3" * 32 + b"\0" * 31 + b"\1"
    assert leaf.hash() == keccak256(keccak256(leaf.encode()))


def test_digests_equal_an_independent_abi_encoder() -> None:
    eth_abi = pytest.importorskip("eth_abi")
    salt = bytes(range(32))
    encoded = eth_abi.encode(
        ["bytes32", "string", "string", "uint64", "uint64", "uint64"], [salt, "acme", "job_" + "x" * 40, 250, 100, 17]
    )
    assert usage_digest(salt, "acme", "job_" + "x" * 40, 250, 100, 17) == keccak256(encoded)
    assert result_digest(salt, b"{}") == keccak256(eth_abi.encode(["bytes32", "bytes32"], [salt, keccak256(b"{}")]))


@given(st.integers(0, 10**9), st.integers(1, 1000))
def test_shares_sum_to_the_total_and_differ_by_one_at_most(total: int, parts: int) -> None:
    split = shares(total, parts)
    assert sum(split) == total
    assert max(split) - min(split) <= 1
