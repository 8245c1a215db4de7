"""A proof is believed only as far as it can be derived again: every forgery is refused, by name."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

import contracts
from zjops.cli.main import main
from zjops.client.chain import Commit
from zjops.config import Context
from zjops.domain.bundle import BundledResult, bundle_of, read_bundle
from zjops.domain.errors import UsageError
from zjops.domain.jobs import JobState
from zjops.domain.merkle import Leaf, Tree, job_key_digest, keccak256, result_digest, usage_digest
from zjops.domain.wire import ProofBatch, ProofLeaf, ProofTransaction, ProofUsage, ProofView
from zjops.verify import Check, bundle_checks, verify_offline, verify_proof

RESULT, SALT = b'{"count":78498}', keccak256(b"salt")
CONTRACT, CODE = "0x" + "Ab" * 20, "0x" + "cd" * 32
USAGE = ProofUsage(payload_bytes=120, compute_units=100, accepted_at_unix_ms=1_793_000_000_000)
CONTEXT = Context(
    api_url="http://127.0.0.1:1", token_url="http://127.0.0.1:1/t", issuer="i", rpc_url="http://127.0.0.1:2",
    chain_id=31338, contract=CONTRACT, code_hash=CODE,
)  # fmt: skip


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _world(number: int = 12) -> tuple[ProofView, bytes]:
    """A proof of the third of five jobs, and its root; the job's number may be another than the batch gives it."""
    leaves = [
        Leaf(
            sequence, job_key_digest("acme", f"job_{n}", SALT), result_digest(SALT, RESULT),
            usage_digest(SALT, "acme", f"job_{n}", 120, 100, 1_793_000_000_000), 1,
        )
        for n, sequence in enumerate((10, 11, number, 13, 14))
    ]  # fmt: skip
    tree, leaf = Tree([leaf.hash() for leaf in leaves]), leaves[2]
    proof = ProofView(
        job_id="job_2", tenant_id="acme", status=JobState.CONFIRMED, salt=_hex(SALT), usage=USAGE,
        leaf=ProofLeaf(
            sequence=number, job_key=_hex(leaf.job_key), result_digest=_hex(leaf.result_digest),
            usage_digest=_hex(leaf.usage_digest), status=1,
        ),
        proof=[_hex(node) for node in tree.proof(2)],
        batch=ProofBatch(id=1, first_sequence=10, count=5, root=_hex(tree.root)),
        transaction=ProofTransaction(hash=_hex(b"\1" * 32), block_number=7, gas_used=57_000),
        chain_id=31338, contract=CONTRACT.lower(),
    )  # fmt: skip
    return proof, tree.root


ROOT = _world()[1]


class Chain:
    """A chain that says what it is told to."""

    def __init__(self, root: bytes | None, **said: Any) -> None:
        commit = Commit(7, _hex(b"\1" * 32), 5, root or b"")
        self._said = {"chain_id": 31338, "code_hash": CODE, "head": 20, "commit": commit} | said
        self._root = root

    def chain_id(self) -> int:
        return int(self._said["chain_id"])

    def code_hash(self) -> str:
        return str(self._said["code_hash"])

    def head(self) -> int:
        return int(self._said["head"])

    def root_of(self, first: int) -> bytes | None:
        return self._root if first == 10 else None

    def code(self) -> bytes:
        return bytes(self._said["code"])

    def tagged(self, tag: str) -> int:
        return int(self._said[tag])

    def commit_of(self, first: int, told: int) -> Commit | None:
        return self._said["commit"] if first == 10 else None

    def gas_of(self, tx_hash: str) -> int | None:
        return 57_000 if tx_hash == _hex(b"\1" * 32) else None


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
        ("status", JobState.PENDING, {"status"}),
        ("status", JobState.COMPLETED, {"status"}),
        ("leaf.status", 2, {"status"}),
        ("leaf.sequence", 13, {"root"}),
        ("leaf.sequence", 99, {"sequence", "root"}),
        ("leaf.result_digest", "0x" + "22" * 32, {"result"}),
        ("batch.first_sequence", 11, {"root", "proof's root", "batch", "transaction", "gas", "final"}),
        ("batch.root", "0x" + "33" * 32, {"proof's root"}),
        ("batch.count", 4, {"batch"}),
        ("batch.count", 1_000_000, {"batch"}),
        ("transaction.block_number", 6, {"transaction"}),
        ("transaction.gas_used", 1, {"gas"}),
        ("transaction.hash", "0x" + "77" * 32, {"transaction"}),
        ("chain_id", 1, {"proof's chain"}),
        ("contract", "0x" + "99" * 20, {"proof's contract"}),
    ],
)
def test_a_bent_proof_is_refused(path: str, value: Any, names: set[str]) -> None:
    proof, root = _world()
    assert _wrong(verify_proof(_bend(proof, path, value), RESULT, CONTEXT, Chain(root))) == names


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({"chain_id": 1}, {"chain"}), ({"code_hash": "0x" + "ee" * 32}, {"code"}), ({"head": 8}, {"final"}),
        ({"commit": None}, {"batch", "transaction", "gas", "final"}),
        ({"commit": Commit(8, _hex(b"\1" * 32), 5, ROOT)}, {"transaction"}),
        ({"commit": Commit(7, _hex(b"\1" * 32), 2, ROOT)}, {"sequence", "batch"}),
        ({"commit": Commit(7, _hex(b"\1" * 32), 5, b"\2" * 32)}, {"batch"}),
    ],
)  # fmt: skip
def test_another_chain_contract_transaction_or_too_young_a_block_is_refused(
    said: dict[str, Any], names: set[str]
) -> None:
    proof, root = _world()
    assert _wrong(verify_proof(proof, RESULT, CONTEXT, Chain(root, **said))) == names


@pytest.mark.parametrize(("count", "names"), [(5, {"sequence"}), (1000, {"sequence", "batch"})])
def test_a_number_outside_of_what_the_contract_gave_the_batch_is_refused_whatever_the_proof_says(
    count: int, names: set[str]
) -> None:
    """The contract lets a leaf stand for any number that is taken; only its log says where the batch ends."""
    proof, root = _world(99)
    assert _wrong(verify_proof(_bend(proof, "batch.count", count), RESULT, CONTEXT, Chain(root))) == names


@pytest.mark.parametrize(("finalized", "names"), [(6, {"final"}), (7, set()), (20, set())])
def test_by_a_tag_a_block_is_final_once_the_chain_calls_it_so_however_deep_it_lies(
    finalized: int, names: set[str]
) -> None:
    proof, root = _world()
    tagged = msgspec.structs.replace(CONTEXT, finality="tag:finalized")
    assert _wrong(verify_proof(proof, RESULT, tagged, Chain(root, head=1000, finalized=finalized))) == names


@pytest.mark.parametrize(
    ("path", "value"),
    [("leaf.sequence", -1), ("leaf.sequence", 2**64), ("batch.first_sequence", -1), ("batch.count", -4),
     ("usage.compute_units", -5), ("usage.payload_bytes", 2**256), ("batch.id", -1), ("leaf.status", -1),
     ("transaction.block_number", 2**70), ("transaction.gas_used", -1)],
)  # fmt: skip
def test_numbers_that_no_contract_could_hold_are_wrong_usage(path: str, value: int) -> None:
    proof, root = _world()
    bent = _bend(proof, path, value)
    for check in (lambda: verify_proof(bent, RESULT, CONTEXT, Chain(root)),
                  lambda: verify_offline(bent, keccak256(RESULT), _hex(root))):  # fmt: skip
        with pytest.raises(UsageError, match="out of range"):
            check()


@pytest.mark.parametrize(
    ("root", "names"), [(None, {"root", "proof's root", "batch"}), (b"\1" * 32, {"root", "proof's root"})]
)
def test_a_root_that_is_not_on_chain_is_refused(root: bytes | None, names: set[str]) -> None:
    proof, _ = _world()
    assert _wrong(verify_proof(proof, RESULT, CONTEXT, Chain(root))) == names


def _deployed() -> bytes:
    """The code as a constructor leaves it: its immutables written in."""
    artifact = contracts.load("JobRegistry")
    code = bytearray.fromhex(artifact.deployed_bytecode[2:])
    for places in artifact.immutable_references.values():
        for place in places:
            code[place["start"] : place["start"] + place["length"]] = b"\x5a" * place["length"]
    return bytes(code)


def test_without_a_hash_the_code_must_be_that_of_the_artifact_apart_from_its_immutables() -> None:
    proof, root = _world()
    unknown = msgspec.structs.replace(CONTEXT, code_hash=None, chain_id=None)
    code = _deployed()
    assert _wrong(verify_proof(proof, RESULT, unknown, Chain(root, code=code))) == set()
    for other in (b"", code + b"\0", bytes([code[0] ^ 1]) + code[1:]):
        assert _wrong(verify_proof(proof, RESULT, unknown, Chain(root, code=other))) == {"code"}


class TestOffline:
    """Against a root that somebody trusts, without a chain."""

    def test_a_true_proof_holds(self) -> None:
        proof, root = _world()
        assert _wrong(verify_offline(proof, keccak256(RESULT), _hex(root))) == set()

    def test_another_root_is_refused(self) -> None:
        proof, _ = _world()
        assert _wrong(verify_offline(proof, keccak256(RESULT), "0x" + "11" * 32)) == {"proof's root", "root"}

    @pytest.mark.parametrize(
        ("path", "value", "names"),
        [
            ("usage.compute_units", 10, {"usage", "root"}), ("proof", [], {"root"}),
            ("batch.root", "0x" + "22" * 32, {"proof's root"}), ("leaf.sequence", 99, {"sequence", "root"}),
        ],
    )  # fmt: skip
    def test_a_bent_proof_is_refused(self, path: str, value: Any, names: set[str]) -> None:
        proof, root = _world()
        assert _wrong(verify_offline(_bend(proof, path, value), keccak256(RESULT), _hex(root))) == names

    @pytest.mark.parametrize("root", ["", "0x12", "0xzz", "nonsense"])
    def test_a_root_that_is_none_is_wrong_usage(self, root: str) -> None:
        proof, _ = _world()
        with pytest.raises(UsageError, match="given root"):
            verify_offline(proof, keccak256(RESULT), root)


class TestBundle:
    """One file that holds everything."""

    def test_it_carries_the_results_bytes_or_their_digest(self) -> None:
        proof, _ = _world()
        whole = bundle_of(proof, RESULT, code_hash=CODE, finality="depth:3", with_result=True)
        short = bundle_of(proof, RESULT, code_hash=CODE, finality="depth:3", with_result=False)
        for made in (whole, short):
            read = read_bundle(msgspec.json.encode(made), "x")
            assert read == made
            assert read.result is not None
            assert read.result.digest() == keccak256(RESULT)
        assert whole.result is not None
        assert whole.result.content() == RESULT
        assert short.result is not None
        assert short.result.base64 is None

    def test_the_bytes_count_and_not_the_digest_beside_them(self) -> None:
        lying = BundledResult(keccak256=_hex(keccak256(RESULT)), base64="Zm9yZ2Vk")
        assert lying.digest() == keccak256(b"forged")

    def test_a_proof_alone_is_read_too(self) -> None:
        proof, _ = _world()
        assert read_bundle(msgspec.json.encode(proof), "x").result is None

    def test_nothing_that_it_says_beside_its_proof_may_be_untrue(self) -> None:
        proof, _ = _world()
        made = bundle_of(proof, RESULT, code_hash=CODE, finality="depth:3", with_result=True)
        assert _wrong(bundle_checks(made, CODE)) == _wrong(bundle_checks(made, None)) == set()
        lying = BundledResult(keccak256=_hex(keccak256(b"other")), base64=base64.b64encode(RESULT).decode())
        bent = msgspec.structs.replace(made, code_hash="0x" + "00" * 32, result=lying)
        assert _wrong(bundle_checks(bent, CODE)) == {"bundle's result", "bundle's code"}

    @pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"schema":"other/1"}', b"\xff"])
    def test_what_is_no_bundle_is_wrong_usage(self, content: bytes) -> None:
        with pytest.raises(UsageError, match="x is not a proof"):
            read_bundle(content, "x")

    @pytest.mark.parametrize(
        ("changed", "told"),
        [
            ({"schema": "zjops.job/1"}, "its schema is zjops.job/1"), ({"schema": "zjops.bundle/9"}, "its schema is"),
            ({"schema": None}, "its schema is None"), ({"finality": "junk"}, "x: finality is depth:N"),
        ],
    )  # fmt: skip
    def test_a_document_that_this_version_cannot_read_is_wrong_usage(self, changed: dict[str, Any], told: str) -> None:
        made = bundle_of(_world()[0], RESULT, code_hash=CODE, finality="depth:3", with_result=True)
        document = msgspec.to_builtins(made) | changed
        if changed.get("schema", "") is None:
            del document["schema"]
        with pytest.raises(UsageError, match=told):
            read_bundle(msgspec.json.encode(document), "x")

    @pytest.mark.parametrize("result", [{"keccak256": "0x12"}, {"keccak256": "0xzz"}, {"keccak256": "", "base64": "%"}])
    def test_a_result_that_cannot_be_read_is_wrong_usage(self, result: dict[str, str]) -> None:
        with pytest.raises(UsageError, match="the bundle's"):
            msgspec.convert(result, BundledResult).digest()


class TestFinalityOfANodeThatTheCommandLineNames:
    """Whoever names only a node gets the rule of its chain."""

    @pytest.mark.parametrize(
        ("chain_id", "more", "head", "code", "said"),
        [
            (31338, [], 9, 0, "final by depth:3"),
            (2632500, [], 9, 4, "final by depth:6"),
            (2632500, [], 12, 0, "final by depth:6"),
            (2632500, ["--chain-id", "2632500"], 9, 4, "final by depth:6"),
            (2632500, ["--finality", "depth:2"], 9, 0, "final by depth:2"),
            (2632500, ["--finality", "finalized"], 99, 4, "final by tag:finalized"),
            (5, [], 9, 0, "chain 5 is not known here, depth:3 is assumed"),
        ],
    )
    def test_it_is_the_chains_own_unless_another_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], chain_id: int,
        more: list[str], head: int, code: int, said: str,
    ) -> None:  # fmt: skip
        proof, root = _world()
        proof = msgspec.structs.replace(proof, chain_id=chain_id)
        (tmp_path / "x.json").write_bytes(
            msgspec.json.encode(bundle_of(proof, RESULT, code_hash=None, finality="depth:1", with_result=True))
        )
        node = Chain(root, chain_id=chain_id, head=head, finalized=6, code=_deployed())
        monkeypatch.setattr("zjops.client.chain.ChainReader", lambda context: node)
        asked = ["jobs", "verify", str(tmp_path / "x.json"), "--rpc", "http://node", "--contract", CONTRACT, *more]
        assert main(asked) == code
        out, err = capsys.readouterr()
        assert said in err
        assert code == 0 or "confirmations, 6 needed" in out or "finalized is block 6" in out

    def test_without_a_node_it_is_wrong_usage(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["jobs", "verify", "job_x", "--finality", "depth:2"]) == 2
        assert "--finality goes with --rpc" in capsys.readouterr().err


def test_a_context_that_names_no_contract_cannot_verify() -> None:
    proof, root = _world()
    vague = msgspec.structs.replace(CONTEXT, contract=None)
    with pytest.raises(UsageError, match="nothing to check against"):
        verify_proof(proof, RESULT, vague, Chain(root))


@pytest.mark.parametrize(
    ("path", "name"), [("salt", "salt"), ("transaction.hash", "transaction hash"), ("contract", "contract")]
)
def test_a_proof_with_garbage_for_hex_is_wrong_usage(path: str, name: str) -> None:
    proof, root = _world()
    with pytest.raises(UsageError, match=name):
        verify_proof(_bend(proof, path, "0xzz"), RESULT, CONTEXT, Chain(root))


def _file(path: Path, *, with_result: bool = True, **changed: Any) -> str:
    made = bundle_of(_world()[0], RESULT, code_hash=None, finality="depth:3", with_result=with_result)
    path.write_bytes(msgspec.json.encode(msgspec.to_builtins(made) | changed))
    return str(path)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain of the world, whoever asks."""
    chain = Chain(ROOT, code=_deployed())
    monkeypatch.setattr("zjops.client.chain.ChainReader", lambda context: chain)


NODE = ["--rpc", "http://node", "--contract", CONTRACT]


@pytest.mark.usefixtures("node")
class TestWhatIsPrinted:
    """The verdict and what it makes certain are data: no talk, and nothing to lose with -q."""

    def test_the_facts_and_the_verdict_stand_on_the_output(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["jobs", "verify", _file(tmp_path / "x.json"), *NODE, "-q"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        for fact in ('{"count":78498}', "100 compute units for 120 bytes", "2026-10-26T", "number 12, in block 7"):
            assert fact in out
        assert out.endswith("job_2: verified\n")
        assert max(map(len, out.splitlines())) < 120

    def test_json_says_what_it_was_held_against(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["jobs", "verify", _file(tmp_path / "x.json"), *NODE, "--json"]) == 0
        said = msgspec.json.decode(capsys.readouterr().out)
        assert (said["chain_id"], said["code_hash"], said["finality"]) == (31338, CODE, "depth:3")
        assert (said["claim"]["compute_units"], said["claim"]["result_bytes"]) == (100, len(RESULT))

    def test_what_is_wrong_is_named_and_nothing_is_certain(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        bent = _file(tmp_path / "x.json", jobId="job_\x1b[31m\nx: verified")
        assert main(["jobs", "verify", bent, *NODE]) == 4
        out, _ = capsys.readouterr()
        assert out.endswith("x: verified: REFUSED, wrong: job, usage, root\n")
        assert "\x1b" not in out
        assert "compute units" not in out

    def test_a_bundle_comes_from_the_standard_input_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        content = Path(_file(tmp_path / "x.json")).read_bytes()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert main(["jobs", "verify", "-", *NODE]) == 0
        assert "verified" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--root", _hex(ROOT)], "holds no result; give its bytes with --result FILE"),
        (NODE, "holds no result; give its bytes with --result FILE"),
        (["--rpc", "ftp://node", "--contract", CONTRACT, "--result", "x.json"], "is no http:// or https:// address"),
        (["--rpc", "http://node", "--contract", "nope", "--result", "x.json"], "is no contract's address"),
        (["--root", _hex(ROOT), "--wait"], "--wait goes with a job"),
    ],
)
def test_what_needs_no_platform_asks_none(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zjops.cli.proofs.resolve", lambda *given: pytest.fail("asked for a platform"))
    bare = _file(tmp_path / "x.json", result=None)
    assert main(["jobs", "verify", bare, *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_job_is_not_checked_offline_but_its_bundle_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "verify", "job_x", "--root", _hex(ROOT)]) == 2
    assert "zjops jobs proof job_x > bundle.json" in capsys.readouterr().err
