"""Our tree is that of OpenZeppelin's own JavaScript library: the same root and the same proofs, for C72's leaf."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from contracts.build import BUILD
from tests.contracts.world import FAILURE, SUCCESS, leaf_of, word
from zjops.domain.merkle import Tree

SIZES = (1, 2, 3, 4, 5, 7, 8, 50, 99, 100, 257, 1_000)
SCRIPT = """
const { StandardMerkleTree } = require("@openzeppelin/merkle-tree");
const asked = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(asked.map((rows) => {
  const tree = StandardMerkleTree.of(rows, ["uint64", "bytes32", "bytes32", "bytes32", "uint8"]);
  return { root: tree.root, proofs: rows.map((_, i) => tree.getProof(i)) };
})));
"""


def _ask(batches: list[Any]) -> Any:
    node = shutil.which("node")
    if node is None or not (BUILD / "node_modules/@openzeppelin/merkle-tree/package.json").exists():
        pytest.skip("node or @openzeppelin/merkle-tree is missing; install it with: make contracts")
    done = subprocess.run(
        [node, "-e", SCRIPT], cwd=BUILD, input=json.dumps(batches), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_roots_and_proofs_are_openzeppelins() -> None:
    batches = [
        [leaf_of(1 + n, word(f"{size}/{n}"), (SUCCESS, FAILURE)[n % 2]) for n in range(size)] for size in SIZES
    ]  # fmt: skip
    rows = [
        [[str(leaf.sequence), *("0x" + d.hex() for d in (leaf.job_key, leaf.result_digest, leaf.usage_digest)),
          str(leaf.status)] for leaf in batch]
        for batch in batches
    ]  # fmt: skip
    told = _ask(rows)
    for batch, theirs in zip(batches, told, strict=True):
        tree = Tree([leaf.hash() for leaf in batch])
        assert "0x" + tree.root.hex() == theirs["root"]
        ours = [["0x" + node.hex() for node in tree.proof(n)] for n in range(len(batch))]
        assert ours == theirs["proofs"]
