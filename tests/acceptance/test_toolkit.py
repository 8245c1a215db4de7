"""The command line against a platform that runs, as people use it: every verb, every refusal, exit codes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from tests.support.cli import Cli
from tests.support.nats import eventually
from tests.support.platform import QUICK, running_platform
from zjops.config import local_context
from zjops.domain.errors import UnreachableError
from zjops.domain.processors import beside, mine

ROOT = Path(__file__).parents[2]
NOT_OURS = {
    "code", "bundle's code", "proof's contract", "proof's root", "root", "batch", "transaction", "gas", "final",
}  # fmt: skip
"""The checks that fail against an address with nothing of ours."""
SIEVE = '{"algorithm":"prime_sieve","limit":1000000}'


@pytest.fixture(scope="module")
def zjops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    folder = tmp_path_factory.mktemp("toolkit")
    with running_platform(folder) as stage:
        yield Cli(stage, folder / "config")


@pytest.fixture(scope="module")
def confirmed(zjops: Cli) -> str:
    """A job that is final on chain."""
    status, out, _ = zjops("jobs", "submit", "--type", "compute_heavy", "--parameters", SIEVE, "-q")
    assert status == 0
    job = out.strip()
    status, _, err = zjops("jobs", "watch", job, "--final", "--within", "60")
    assert status == 0, err
    return job


def test_a_job_is_followed_to_the_chain(zjops: Cli, confirmed: str) -> None:
    found = zjops.json("jobs", "get", confirmed)
    assert found["schema"] == "zjops.job/1"
    assert found["status"] == "confirmed"
    assert found["result"]["count"] == 78_498
    assert zjops("jobs", "result", confirmed)[1] == '{"count":78498,"largest":999983,"sum":37550402023}'
    assert confirmed in [row["jobId"] for row in zjops.json("jobs", "list", "--status", "confirmed")["rows"]]


def test_a_refused_job_names_its_fields(zjops: Cli) -> None:
    status, _, err = zjops(
        "jobs", "submit", "--type", "compute_heavy", "--parameters", '{"algorithm":"prime_sieve"}', "--priority", "99"
    )
    assert status == 2
    assert err.startswith("error: 422 validation-failed")
    assert "#/priority" in err


def test_a_failed_job_ends_with_one(zjops: Cli) -> None:
    body = '{"algorithm":"synthetic","failure":{"kind":"failed","probability":1}}'
    status, out, _ = zjops("jobs", "submit", "--type", "ml_inference", "--parameters", body, "--wait", "--json")
    assert status == 1
    assert json.loads(out)["status"] == "failed"


def test_a_cancelled_job(zjops: Cli) -> None:
    body = '{"algorithm":"synthetic","duration_ms":60000}'
    job = zjops("jobs", "submit", "--type", "ml_inference", "--parameters", body, "-q")[1].strip()
    assert zjops("jobs", "cancel", job)[0] == 0
    status, out, _ = zjops("jobs", "watch", job, "--json")
    assert status == 1
    assert json.loads(out)["status"] == "cancelled"
    status, _, err = zjops("jobs", "proof", job, "--wait")
    assert (status, "was cancelled" in err) == (2, True)
    status, _, err = zjops("jobs", "verify", job, "--tenant", "demo-pro")
    assert (status, "It was asked for as tenant demo-pro" in err) == (2, True)


class TestVerify:
    """Exit 0 for what is true, 4 for every forgery, 3 when the chain is away."""

    def test_a_true_proof(self, zjops: Cli, confirmed: str) -> None:
        found = zjops.json("jobs", "verify", confirmed)
        assert found["ok"] is True
        assert found["contract"] == zjops.stage.context.contract

    @pytest.fixture
    def files(self, zjops: Cli, confirmed: str, tmp_path: Path) -> tuple[Path, Path]:
        proof, result = tmp_path / "proof.json", tmp_path / "result.json"
        proof.write_text(zjops("jobs", "proof", confirmed)[1])
        result.write_text(zjops("jobs", "result", confirmed)[1])
        return proof, result

    def _refused(self, zjops: Cli, files: tuple[Path, Path], *more: str) -> set[str]:
        found = zjops.json("jobs", "verify", "--file", str(files[0]), "--result", str(files[1]), *more, code=4)
        assert found["ok"] is False
        return {check["name"] for check in found["checks"] if not check["ok"]}

    def test_a_tampered_result(self, zjops: Cli, files: tuple[Path, Path]) -> None:
        files[1].write_text(files[1].read_text().replace("78498", "78499"))
        assert self._refused(zjops, files) == {"result", "root"}

    def test_a_wrong_proof(self, zjops: Cli, files: tuple[Path, Path]) -> None:
        proof = json.loads(files[0].read_text())
        files[0].write_text(json.dumps(proof | {"proof": [*proof["proof"], "0x" + "11" * 32]}))
        assert self._refused(zjops, files) == {"root"}

    @pytest.mark.parametrize(
        ("change", "names"),
        [
            ({"chain_id": 1}, {"chain", "proof's chain"}),
            ({"code_hash": "0x" + "00" * 32}, {"code"}),
            ({"contract": "0x" + "11" * 20}, NOT_OURS),
        ],
    )
    def test_another_chain_or_contract(
        self, zjops: Cli, files: tuple[Path, Path], change: dict[str, Any], names: set[str], tmp_path: Path
    ) -> None:
        other = msgspec.to_builtins(msgspec.structs.replace(zjops.stage.context, **change))
        (tmp_path / "context.json").write_text(json.dumps(other))
        assert zjops("context", "add", "other", "--file", str(tmp_path / "context.json"))[0] == 0
        assert self._refused(zjops, files, "--context", "other") == names

    def test_a_bundle_is_enough_offline_against_a_root(
        self, zjops: Cli, confirmed: str, files: tuple[Path, Path], tmp_path: Path
    ) -> None:
        bundle = json.loads(files[0].read_text())
        root, alone = bundle["batch"]["root"], {"ZJOPS_HOME": str(tmp_path / "nowhere")}
        status, out, err = zjops("jobs", "verify", str(files[0]), "--root", root, "--json", local=False, **alone)
        assert status == 0, err
        assert json.loads(out)["job_id"] == confirmed
        assert zjops("jobs", "verify", str(files[0]), "--root", "0x" + "11" * 32, local=False, **alone)[0] == 4
        assert zjops("jobs", "verify", str(files[0]), "--root", "0x11", local=False, **alone)[0] == 2
        forged = bundle["result"] | {"base64": "Zm9yZ2Vk"}
        files[0].write_text(json.dumps(bundle | {"result": forged}))
        status, out, _ = zjops("jobs", "verify", str(files[0]), "--root", root, "--json", local=False, **alone)
        assert status == 4
        assert {c["name"] for c in json.loads(out)["checks"] if not c["ok"]} == {
            "result", "root", "bundle's result",
        }  # fmt: skip
        files[0].write_text(files[0].read_text()[:-9])
        status, _, err = zjops("jobs", "verify", str(files[0]), "--root", root, local=False, **alone)
        assert (status, err.splitlines()[0].startswith("error: ")) == (2, True)
        assert zjops("jobs", "verify", "no-such-file.json", "--root", root, local=False, **alone)[0] == 2

    def test_a_bundle_is_enough_online_against_any_node(
        self, zjops: Cli, files: tuple[Path, Path], tmp_path: Path
    ) -> None:
        context, alone = zjops.stage.context, {"ZJOPS_HOME": str(tmp_path / "nowhere")}
        node = ("jobs", "verify", str(files[0]), "--rpc", str(context.rpc_url), "--json")

        def wrong(*more: str, code: int) -> set[str]:
            status, out, err = zjops(*node, *more, local=False, **alone)
            assert status == code, err
            return {check["name"] for check in json.loads(out)["checks"] if not check["ok"]}

        ours = ("--contract", str(context.contract))
        assert wrong(*ours, code=0) == set()
        assert wrong(*ours, "--chain-id", str(context.chain_id), code=0) == set()
        assert wrong(*ours, "--chain-id", "2632500", code=4) == {"chain", "proof's chain"}
        assert wrong(*ours, "--finality", "depth:1000", code=4) == {"final"}
        assert wrong("--contract", "0x" + "11" * 20, code=4) == NOT_OURS
        assert zjops(*node, local=False, **alone)[0] == 2
        assert zjops(*node, *ours, "--root", "0x" + "11" * 32, local=False, **alone)[0] == 2
        away = ("jobs", "verify", str(files[0]), "--rpc", "http://127.0.0.1:9", *ours)
        assert zjops(*away, local=False, **alone)[0] == 3

    def test_a_bundle_without_the_result_holds_its_digest(self, zjops: Cli, confirmed: str, tmp_path: Path) -> None:
        status, out, _ = zjops("jobs", "proof", confirmed, "--no-result")
        assert status == 0
        bundle = json.loads(out)
        assert list(bundle["result"]) == ["keccak256"]
        assert bundle["codeHash"] == zjops.stage.context.code_hash
        short = tmp_path / "short.json"
        short.write_text(out)
        assert zjops("jobs", "verify", str(short), "--root", bundle["batch"]["root"], local=False)[0] == 0
        assert zjops("jobs", "verify", str(short))[0] == 0

    def test_the_readmes_five_lines_check_a_job_with_the_artifact_and_a_node_alone(
        self, zjops: Cli, files: tuple[Path, Path], tmp_path: Path
    ) -> None:
        (lines,) = re.findall(r"^python - << 'END'\n(.*?)END\n", (ROOT / "README.md").read_text(), re.DOTALL | re.M)
        assert len(lines.splitlines()) == 5
        artifact = Path("contracts/artifacts/JobRegistry.json")
        (tmp_path / artifact).parent.mkdir(parents=True)
        shutil.copy(ROOT / artifact, tmp_path / artifact)
        context, bundle = zjops.stage.context, json.loads(files[0].read_text())
        env = {"PATH": os.environ["PATH"], "ETH_RPC_URL": str(context.rpc_url), "ZJOPS_CONTRACT": str(context.contract)}

        def said(changed: dict[str, Any]) -> str:
            (tmp_path / "bundle.json").write_text(json.dumps(bundle | changed))
            argv = [sys.executable, "-I", "-c", lines]
            done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        assert said({}) == "True"
        assert said({"result": bundle["result"] | {"base64": "Zm9yZ2Vk"}}) == "False"
        assert said({"leaf": bundle["leaf"] | {"usageDigest": "0x" + "11" * 32}}) == "False"
        # What they do not check, as the README says.
        assert said({"jobId": "job_1", "usage": bundle["usage"] | {"computeUnits": 1}}) == "True"

    def test_a_chain_that_is_away(self, zjops: Cli, files: tuple[Path, Path], tmp_path: Path) -> None:
        away = msgspec.to_builtins(msgspec.structs.replace(zjops.stage.context, rpc_url="http://127.0.0.1:9"))
        (tmp_path / "context.json").write_text(json.dumps(away))
        assert zjops("context", "add", "away", "--file", str(tmp_path / "context.json"))[0] == 0
        command = ("jobs", "verify", "--file", str(files[0]), "--result", str(files[1]), "--context", "away")
        status, _, err = zjops(*command)
        assert status == 3
        assert "does not answer as a chain" in err


def test_tenants_are_made_changed_suspended_and_resumed(zjops: Cli) -> None:
    made = zjops.json("tenants", "add", "acme", "--plan", "pro")
    assert made["client secret"]
    assert zjops("tenants", "add", "acme")[0] == 2
    assert zjops("tenants", "set", "acme", "--plan", "nonsense")[0] == 2
    assert zjops("tenants", "set", "acme", "--plan", "enterprise", "--reason", "grew")[0] == 0
    assert zjops("tenants", "suspend", "acme")[0] == 0
    rows = {row["tenant"]: row for row in zjops.json("tenants", "list")["rows"]}
    assert (rows["acme"]["plan"], rows["acme"]["status"]) == ("enterprise", "suspended")
    assert zjops("tenants", "resume", "acme")[0] == 0


def test_the_environment_is_enough_for_other_programs(zjops: Cli) -> None:
    script = (
        f'eval "$({sys.executable} -m zjops env)"; '
        f"{sys.executable} - <<'E'\n"
        "import os, urllib.request as r, json\n"
        "ask = r.Request(os.environ['ZJOPS_API_URL'] + '/v1/jobs',\n"
        "                headers={'Authorization': 'Bearer ' + os.environ['ZJOPS_TOKEN']})\n"
        "print(json.load(r.urlopen(ask))['pagination']['limit'])\n"
        "body = json.dumps({'jsonrpc': '2.0', 'id': 1, 'method': 'eth_chainId', 'params': []}).encode()\n"
        "print(json.load(r.urlopen(r.Request(os.environ['ETH_RPC_URL'], body)))['result'])\n"
        "assert '@127.0.0.1' in os.environ['NATS_URL']\nE"
    )
    env = os.environ | {"ZJOPS_HOME": str(zjops.stage.home), "XDG_CONFIG_HOME": str(zjops.config)}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, env=env)
    assert done.stdout.split() == ["20", hex(31338)], done.stderr


def test_status_and_doctor_find_everything_in_order(zjops: Cli) -> None:
    found = zjops.json("status")
    assert (found["state"], found["confirmations"]) == ("ready", "go on")
    assert {p["name"] for p in found["processes"]} == {"broker", "chain", "api", "backend"}
    rows = zjops.json("doctor")["rows"]
    assert {row["state"] for row in rows} <= {"ok", "warn"}
    assert {"contract", "backend", "Python"} <= {row["check"] for row in rows}


@pytest.mark.skipif(len(mine()) < 2, reason="with one processor there is nothing to share out")
async def test_the_api_has_a_processor_that_the_others_stay_off(zjops: Cli) -> None:
    found = {p["name"]: p["pid"] for p in zjops.json("status")["processes"]}
    rest = beside(mine())
    for name in ("broker", "chain", "backend"):
        await eventually(lambda pid=found[name]: os.sched_getaffinity(pid) == rest, within_s=30)
    assert os.sched_getaffinity(found["api"]) == mine()


def test_the_checks_find_everything_in_order_and_name_what_is_paused(zjops: Cli, confirmed: str) -> None:
    for name in ("queue", "relayer", "webhooks", "chain"):
        found = zjops.json_of("check", name, "--format", "json")
        assert (found["check"], found["state"], found["findings"]) == (name, "ok", [])
    figures = {one["name"] for one in zjops.json_of("check", "chain", "--format", "json")["figures"]}
    assert figures >= {"height", "late", "confirmed 10m", "failed 10m"}, "the second look has the first to compare with"
    try:
        assert zjops("chain", "pause", "relayer", "--yes")[0] == 0
        status, out, _ = zjops("check", "relayer")
        assert status == 1
        assert out.startswith("RELAYER WARNING - the relayer is paused by an operator; zjops chain unpause relayer |")
    finally:
        assert zjops("chain", "unpause", "relayer", "--yes")[0] == 0


async def test_every_target_of_prometheus_answers_and_counts_the_indicators(zjops: Cli, confirmed: str) -> None:
    targets = json.loads((zjops.stage.home / "prometheus-sd.json").read_text())
    assert [one["labels"]["process"] for one in targets] == ["api", "backend", "supervisor"]

    def counted() -> bool:
        pages = [httpx2.get(f"http://{one['targets'][0]}/metrics", trust_env=False) for one in targets]
        assert [page.status_code for page in pages] == [200] * len(targets)
        found = "".join(page.text for page in pages)
        good = re.findall(r'^slo_events_total\{outcome="good",plan="free",sli="(.+)"\} [1-9]', found, re.MULTILINE)
        return {"availability", "start-30s", "confirmation-1m", "job-success", "latency-300ms"} <= set(good)

    await eventually(counted, 30)


async def test_invoice_and_audit(zjops: Cli, confirmed: str, tmp_path: Path) -> None:
    await eventually(lambda: zjops("invoice", "demo-free", "--json")[0] == 0, 20)
    invoice = zjops.json("invoice", "demo-free")
    assert (invoice["plan"], invoice["total_cents"], invoice["currency"]) == ("free", 0, "USD")
    assert zjops("invoice", "demo-free", "-o", "md")[1].startswith("# Invoice")
    assert zjops("invoice", "nobody")[0] == 3
    history = tmp_path / "history.jsonl"
    key = "8e03978e-40d5-43e8-bc93-6894a57f9324"
    command = ("jobs", "submit", "--type", "compute_heavy", "--parameters", SIEVE, "--key", key,
               "--history", str(history), "--tenant", "demo-pro", "--json")  # fmt: skip
    first, again = (json.loads(zjops(*command)[1]) for _ in range(2))
    assert (first["jobId"], first["replayed"], again["replayed"]) == (again["jobId"], False, True)
    report = zjops.json("audit", "--history", str(history), "--settled", "--wait", "30")
    assert list(report) == [
        "schema", "ok", "client_accepted", "unknown", "accepted", "settled", "completed", "failed", "cancelled",
        "confirmed", "charged", "released", "in_flight", "lost", "doubled", "double_billed", "double_confirmed",
        "findings", "repaired", "late", "counterexample", "tie_out",
    ]  # fmt: skip
    assert (report["ok"], report["client_accepted"]) == (True, 1)
    forged = tmp_path / "forged.jsonl"
    forged.write_text(history.read_text().replace(first["jobId"], "job_" + "2" * 21))
    status, out, err = zjops("audit", "--history", str(forged), "--json")
    assert status == 4
    found = json.loads(out)
    assert (found["ok"], found["lost"]) == (False, 1)
    assert "lost" in {one["kind"] for one in found["findings"]}
    assert "lost: job_222" in err
    status, out, err = zjops("audit", "--history", str(forged), "-q")
    assert (status, err, "lost: job_222" in out) == (4, "", True)


def test_exec_starts_runs_stops_and_ends_as_the_command_did(zjops: Cli, tmp_path: Path) -> None:
    home = tmp_path / "own"
    code = "import os, sys; sys.exit(7 if os.environ['ZJOPS_TOKEN'] else 1)"
    status, _, err = zjops("exec", "--home", str(home), "--set", "block_time_s=0.25", "--", sys.executable, "-c", code)
    assert status == 7, err
    with pytest.raises(UnreachableError, match="was stopped"):
        local_context(home)
    status, _, err = zjops("exec", "--", "/no/such/program")
    assert status == 2
    assert "cannot be run" in err


def test_a_detached_platform_is_audited_when_it_is_dead(zjops: Cli, tmp_path: Path) -> None:
    home = tmp_path / "own"
    options = [item for item in QUICK if item != "--set"]
    status, out, err = zjops("up", "-d", "--home", str(home), *(x for o in options for x in ("--set", o)))
    try:
        assert status == 0, err
        assert "ready in" in out
        assert (
            zjops("jobs", "submit", "--home", str(home), "--type", "compute_heavy", "--parameters", SIEVE, "--wait")[0]
            == 0
        )
    finally:
        status, _, err = zjops("down", "--home", str(home))
    assert status == 0, err
    assert zjops("down", "--home", str(home))[0] == 3
    export = tmp_path / "export.jsonl"
    argv = [sys.executable, "-m", "simulator", "export", "--home", str(home), "--output", str(export)]
    assert subprocess.run(argv, check=False).returncode == 0
    status, out, err = zjops("audit", "--home", str(home), "--export", str(export), "--no-chain", "--json")
    assert status == 0, err
    assert json.loads(out)["completed"] == 1


def test_a_credit_is_previewed_granted_once_and_listed(zjops: Cli) -> None:
    key = "8e03978e-40d5-43e8-bc93-6894a57f9324"
    asked = ["tenants", "credit", "crowd", "--usd", "5.00", "--reason", "outage", "--key", key]
    status, out, err = zjops(*asked)
    assert (status, out) == (2, "")
    assert err.startswith("credit crowd (enterprise) with $5.00: outage\n")
    assert "say --yes" in err
    assert zjops.json("tenants", "credits", "crowd")["rows"] == []
    made = zjops.json(*asked, "--yes")
    assert (made["schema"], made["credit id"], made["microusd"]) == ("zjops.credit/1", key, 5_000_000)
    assert zjops.json(*asked, "--yes") == made
    assert "granted for" in zjops(*asked)[2]
    assert [row["credit id"] for row in zjops.json("tenants", "credits", "crowd")["rows"]] == [key]
    for wrong in (["--usd", "no"], ["--month", "2000-01"], ["--job", "job_1"], ["--key", "no"]):
        status, _, err = zjops(*asked, "--key", "8e03978e-40d5-43e8-bc93-6894a57f9325", *wrong, "--yes")
        assert (status, err.count("error: ")) == (2, 1), err
    assert zjops("tenants", "credit", "nobody", "--usd", "1", "--reason", "x", "--yes")[0] == 2
