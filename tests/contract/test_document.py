"""The document: valid, equal to the committed file, compatible with what was promised, and usable by generators."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from simulator.gateway.headers import IDENTIFIED
from tests.contract.compatibility import breaking_changes
from tests.contract.stage import Stage
from zjops.domain.errors import PROBLEMS
from zjops.domain.plans import price_book
from zjops.domain.webhooks import WebhookType, faults, new_secret
from zjops.domain.wire_webhooks import WebhookBody

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "zjops" / "openapi.json"
BASELINE = Path(__file__).parent / "baseline" / "v1.json"
CLIENTS = ROOT / "tests" / "contract" / "clients"


@pytest.fixture
def document(stage: Stage) -> Any:
    return json.loads(stage.app.document())


def test_it_is_valid_openapi_3_1(document: Any) -> None:
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_the_committed_file_is_what_the_running_application_serves(document: Any) -> None:
    hint = "write it anew: python -m tests.contract.write_document"
    assert json.loads(COMMITTED.read_text()) == document, hint


def test_every_operation_says_scope_parameters_problems_and_an_example(document: Any) -> None:
    for path, methods in document["paths"].items():
        for one in methods.values():
            assert one["operationId"]
            assert one["summary"]
            assert (one["security"] == []) == (not path.startswith("/v1/"))
            assert {p["name"] for p in one["parameters"] if p["in"] == "path"} == {
                part[1:-1] for part in path.split("/") if part.startswith("{")
            }
            for status, answer in one["responses"].items():
                if "$ref" in answer:
                    answer = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
                problem = answer.get("content", {}).get("application/problem+json")
                if problem:
                    for code, example in problem["examples"].items():
                        assert example["value"]["status"] == int(status) == PROBLEMS[code].status


def test_examples_come_from_the_tier_table(document: Any) -> None:
    headers, plan = document["components"]["headers"], price_book().plan("starter")
    assert headers["X-RateLimit-Limit"]["example"] == str(plan.requests_per_second)
    assert headers["X-ComputeUnits-Limit"]["example"] == str(plan.compute_units)
    assert headers["X-ComputeUnits-Used"]["example"] == "100"


def test_overage_and_refusals_are_those_of_the_golden_invoice(document: Any) -> None:
    headers, shared = document["components"]["headers"], document["components"]["responses"]
    assert headers["X-ComputeUnits-Overage-Applied"]["example"] == "50000"
    assert headers["X-ComputeUnits-Overage-Cost"]["example"] == "0.250000"
    refused = shared["Problem402_quotaexceeded"]
    example = refused["content"]["application/problem+json"]["examples"]["quota-exceeded"]["value"]
    assert example["quota_details"] | {"upgrade_url": ""} == {
        "limit": 1_000_000, "used": 1_050_000, "overage_enabled": False, "upgrade_url": "",
    }  # fmt: skip
    assert set(IDENTIFIED) <= refused["headers"].keys()


def test_errors_say_which_limits_they_carry(document: Any) -> None:
    one = document["paths"]["/v1/jobs/{jobId}"]["get"]["responses"]
    shared = document["components"]["responses"]
    told = {status: shared[a["$ref"].rpartition("/")[2]].get("headers", {}) for status, a in one.items() if "$ref" in a}
    assert {"RateLimit-Policy", "WWW-Authenticate"} <= told["401"].keys()
    assert "X-ComputeUnits-Limit" not in told["401"]
    for status in ("403", "404", "429", "503"):
        assert set(IDENTIFIED) <= told[status].keys(), status
    assert "Retry-After" in told["429"]
    assert not told["408"]


def test_each_webhook_stands_with_headers_that_verify_and_a_body_of_its_model(document: Any) -> None:
    assert document["webhooks"].keys() == set(WebhookType)
    for kind, methods in document["webhooks"].items():
        one = methods["post"]
        example = one["requestBody"]["content"]["application/json"]["example"]
        body = msgspec.json.encode(example)
        told = msgspec.json.decode(body, type=WebhookBody)
        assert (told.type, told.blockchain_confirmation is not None) == (kind, kind == "job.confirmed")
        headers = {p["name"]: p["example"] for p in one["parameters"]}
        assert faults(new_secret(bytes(32)), headers, body, int(headers["webhook-timestamp"])) == []


def test_nothing_that_was_promised_is_taken_away(document: Any) -> None:
    assert breaking_changes(json.loads(BASELINE.read_text()), document) == []


@pytest.mark.parametrize(
    ("where", "change", "said"),
    [
        ("paths", lambda d: d["paths"].pop("/v1/jobs"), "is gone"),
        ("scope", lambda d: d["paths"]["/v1/jobs"]["get"].update(security=[{"oauth2": ["jobs:all"]}]), "scope"),
        ("parameter", lambda d: d["paths"]["/v1/jobs"]["get"]["parameters"].append(
            {"name": "x", "in": "query", "required": True, "schema": {}}), "requires"),
        ("parameter", lambda d: d["paths"]["/v1/jobs"]["get"]["parameters"].pop(0), "no longer takes"),
        ("field", lambda d: d["components"]["schemas"]["JobView"]["properties"].pop("status"), "is gone"),
        ("field", lambda d: d["components"]["schemas"]["TenantCreate"]["required"].append("name"), "requires"),
        ("enum", lambda d: d["components"]["schemas"]["JobState"]["enum"].append("lost"), "may now be"),
        ("type", lambda d: d["components"]["schemas"]["JobView"]["properties"]["priority"].update(type="string"),
         "was integer"),
        ("status", lambda d: d["paths"]["/v1/jobs"]["post"]["responses"].pop("202"), "202"),
    ],
)  # fmt: skip
def test_a_breaking_change_is_found(document: Any, where: str, change: Any, said: str) -> None:
    other = copy.deepcopy(document)
    change(other)
    found = breaking_changes(document, other)
    assert any(said in line for line in found), found


def _node(*argv: str, cwd: Path) -> None:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_openapi_typescript_makes_a_client_that_compiles(tmp_path: Path) -> None:
    """By `make clients`, where node is present."""
    modules = CLIENTS / "node_modules"
    if shutil.which("node") is None or not modules.exists():
        pytest.skip("node or its packages are not installed; install them with: make clients")
    bin = modules / ".bin"
    _node(str(bin / "openapi-typescript"), str(COMMITTED), "-o", str(tmp_path / "api.d.ts"), cwd=CLIENTS)
    use = """import type { paths } from "./api";
type Accepted = paths["/v1/jobs"]["post"]["responses"]["202"]["content"]["application/json"];
export const id = (accepted: Accepted): string => accepted.jobId;
"""
    (tmp_path / "use.ts").write_text(use)
    _node(str(bin / "tsc"), "--strict", "--noEmit", "--skipLibCheck", "false", "use.ts", cwd=tmp_path)
    (tmp_path / "wrong.ts").write_text(use.replace("accepted.jobId", "accepted.jobID"))
    assert subprocess.run([bin / "tsc", "--strict", "--noEmit", "wrong.ts"], cwd=tmp_path).returncode != 0


@pytest.mark.timeout(300)
def test_openapi_python_client_makes_a_client_that_imports(tmp_path: Path) -> None:
    """By `make clients`: the generator needs another Typer than ours and lives in an environment of its own."""
    python = CLIENTS / ".venv" / "bin"
    if not (python / "openapi-python-client").exists():
        pytest.skip("the generator is not installed; install it with: make clients")
    target = tmp_path / "made"
    done = subprocess.run(
        [python / "openapi-python-client", "generate", "--path", COMMITTED, "--meta", "none", "--output-path", target,
         "--overwrite"], capture_output=True, text=True, env={"PATH": str(python)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Unable to process schema" not in done.stdout, done.stdout
    code = "import compileall, sys; sys.exit(not compileall.compile_dir('made', quiet=1))"
    _node(str(python / "python"), "-c", code, cwd=tmp_path)
    _node(str(python / "python"), "-c", "from made.api.jobs import submit_job; from made.models import JobAccepted; "
          "JobAccepted.from_dict", cwd=tmp_path)  # fmt: skip
