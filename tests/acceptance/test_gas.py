"""`zjops gas` as a process, on a chain of its own: the figures that the design is held against (C51)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

EIP_7825 = 2**24


def _zjops(folder: Path, *arguments: str) -> tuple[int, str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("ZJOPS_")}
    env |= {"XDG_CONFIG_HOME": str(folder / "config"), "ZJOPS_HOME": str(folder / "home")}
    argv = [sys.executable, "-m", "zjops", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env, timeout=110)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What one run says, where no platform runs."""
    folder = tmp_path_factory.mktemp("gas")
    status, out, err = _zjops(folder, "gas", "--json", "--gas-price", "2", "--coin-price", "1000")
    assert status == 0, err
    assert "on a development chain of its own" in err
    assert not (folder / "home").exists()
    return json.loads(out)


@pytest.fixture(scope="module")
def rows(told: Any) -> dict[tuple[str, int], Any]:
    return {(row["path"], row["batch_size"]): row for row in told["rows"]}


def test_every_way_and_size_is_measured_below_the_limit_of_a_transaction(told: Any, rows: Any) -> None:
    assert told["schema"] == "zjops.gas/1"
    sizes = {"original_single": (1,), "original_batch": (1, 10, 50, 100), "single": (1,), "single_attested": (1,),
             "record_batch": (1, 10, 50), "root_batch": (1, 10, 50, 100, 1_000),
             "materialise": (1, 100, 1_000)}  # fmt: skip
    assert set(rows) == {(path, size) for path, several in sizes.items() for size in several}
    for row in rows.values():
        assert 21_000 < row["gas"] < EIP_7825
        jobs = 1 if row["path"] == "materialise" else row["batch_size"]
        assert row["gas_per_job"] == pytest.approx(row["gas"] / jobs, abs=0.01)
        assert row["cost_per_job_usd"] == pytest.approx(row["gas_per_job"] * 2e-9 * 1000, abs=1e-7)


def test_the_original_costs_what_the_ruling_says_within_one_percent(rows: Any) -> None:
    assert rows["original_batch", 100]["gas_per_job"] == pytest.approx(161_300, rel=0.01)
    assert rows["original_batch", 100]["saving_vs_original_single"] == pytest.approx(0.162, abs=0.01)


def test_what_is_built_keeps_its_bars_in_steady_state(rows: Any) -> None:
    assert rows["root_batch", 100]["gas_per_job"] < 600
    assert rows["root_batch", 100]["saving_vs_original_single"] > 0.996
    assert rows["root_batch", 1_000]["gas_per_job"] < 70
    assert rows["record_batch", 50]["saving_vs_original_single"] > 0.84
    assert 50_000 < rows["materialise", 1]["gas"] < rows["materialise", 100]["gas"] < rows["materialise", 1_000]["gas"]


def test_the_saving_is_shown_by_rate_and_window_and_beside_the_promise(told: Any, rows: Any) -> None:
    rate = {(row["jobs_per_month"], row["window_s"]): row for row in told["by_rate"]}
    assert rate[1_000, 5]["gas_per_job"] == pytest.approx(rows["root_batch", 1]["gas_per_job"], rel=0.01)
    assert rate[100_000_000, 60]["gas_per_job"] == pytest.approx(rows["root_batch", 1_000]["gas_per_job"], rel=0.01)
    promise = {row["way"]: row for row in told["promise"]}
    assert promise["original_batch of 100"]["holds"] is False
    assert promise["root_batch of 1,000"]["holds"] is True


class _RealNode(BaseHTTPRequestHandler):
    """Answers as a node of a chain that costs money."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = {"web3_clientVersion": "Geth/v1.16", "eth_chainId": hex(2_632_500)}
        body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": said[asked["method"]]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def real_node() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _RealNode) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_nothing_is_spent_nor_undone_on_a_chain_that_is_not_for_tests(real_node: str, tmp_path: Path) -> None:
    context = {"api_url": "http://127.0.0.1:9", "token_url": "http://127.0.0.1:9/t", "issuer": "i",
               "rpc_url": real_node, "chain_id": 2_632_500}  # fmt: skip
    (tmp_path / "real.json").write_text(json.dumps(context))
    assert _zjops(tmp_path, "context", "add", "real", "--file", str(tmp_path / "real.json"))[0] == 0
    status, out, err = _zjops(tmp_path, "gas", "--context", "real")
    assert (status, out) == (2, "")
    assert err == "error: context real has no account on this machine; name a key with --key-file\n"
    (tmp_path / "some.key").write_text("0x" + "11" * 32)
    status, out, err = _zjops(tmp_path, "gas", "--context", "real", "--key-file", str(tmp_path / "some.key"))
    assert (status, out) == (2, "")
    assert "is not a development chain: measuring spends about 40 million gas there; say --yes" in err
    for command in (["mine"], ["reorg", "--depth", "1"]):
        status, _, err = _zjops(tmp_path, "chain", *command, "--context", "real")
        assert (status, "is not a development chain" in err) == (2, True)
