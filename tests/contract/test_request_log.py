"""What was asked of the interface stands in the request log: every answer once, by route, status and plan."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl

from tests.contract.stage import SIEVE, Stage
from tests.support.nats import eventually
from zjops.domain.errors import StoreUnavailable
from zjops.domain.logfiles import log_files, those_that_count
from zjops.domain.requests import PROBER, PROBER_TENANT, REQUEST_LOG, UNKNOWN


def _log(folder: Path) -> pl.DataFrame:
    files = those_that_count(log_files(folder / REQUEST_LOG))
    return pl.concat([pl.read_parquet(file.path) for file in files]) if files else pl.DataFrame({"count": [0]})


async def test_every_answer_is_a_count_of_its_route_status_and_plan(stage: Stage, tmp_path: Path) -> None:
    pro, prober = await stage.client("acme", "pro"), await stage.client(PROBER_TENANT, "enterprise")
    job = await stage.job(pro, SIEVE)
    for _ in range(3):
        await stage.ask("GET", f"/v1/jobs/{job}", pro)
    await stage.ask("GET", "/v1/jobs", prober)
    await stage.ask("GET", "/v1/jobs")
    await stage.ask("GET", "/v1/jobs?limit=0", pro)
    stage.deps.directory.forget("acme")
    stage.store.fault = StoreUnavailable("gone")
    await stage.ask("GET", "/v1/jobs", pro)
    stage.store.fault = None
    asked = 10  # with two tokens and the submission

    await eventually(lambda: int(_log(tmp_path)["count"].sum()) == asked)
    rows = _log(tmp_path).to_dicts()
    counts: Counter[tuple[str, str, int, str]] = Counter()
    for row in rows:
        counts[row["method"], row["route"], row["status"], row["plan"]] += row["count"]
    assert counts["GET", "/v1/jobs/{jobId}", 200, "pro"] == 3
    assert counts["POST", "/v1/jobs", 202, "pro"] == 1
    assert counts["GET", "/v1/jobs", 200, PROBER] == 1
    assert counts["GET", "/v1/jobs", 401, "none"] == 1
    assert counts["GET", "/v1/jobs", 400, "pro"] == 1
    assert counts["GET", "/v1/jobs", 503, UNKNOWN] == 1
    assert sum(row["errors_5xx"] for row in rows) == 1
    assert {(row["process"], row["source"]) for row in rows} == {("api", "api")}
