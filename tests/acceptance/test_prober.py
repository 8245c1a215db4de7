"""The prober of a real platform: what it saw while the API was dead stands in the log, and its jobs are on no bill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from simulator.supervisor.prober import PATIENCE_S
from tests.support.nats import eventually
from tests.support.platform import Stage, running_platform
from zjops.analytics.warehouse import Warehouse
from zjops.client.admin import Admin
from zjops.domain.logfiles import log_files, those_that_count
from zjops.domain.requests import PROBER, PROBER_TENANT, REQUEST_LOG
from zjops.slo.catalogue import objectives_of
from zjops.slo.log import span_of
from zjops.slo.report import Standing, standings

DEAD_S = PATIENCE_S + 4.0
"""The supervisor keeps the API's socket: who waits long enough is answered by its successor."""


@pytest.fixture
def admin(stage: Stage) -> Iterator[Admin]:
    made = Admin(stage.context)
    yield made
    made.http.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    options = ("prober=true", "prober_job_s=1", "prober_read_s=0.25", "requests_flush_s=0.5")
    with running_platform(tmp_path, *(word for one in options for word in ("--set", one))) as made:
        yield made


def standings_at_the_end(stage: Stage) -> list[Standing]:
    """Availability of two plans at the end of the log."""
    chosen = [one for one in objectives_of() if one.slo == "availability" and one.plan in ("free", "starter")]
    with Warehouse(stage.home / "log") as warehouse:
        return standings(warehouse, chosen, -(-(span_of(warehouse).until_ms or 0) // 60_000))


def _completed(admin: Admin) -> int:
    jobs: list[dict[str, Any]] = admin.http.get(f"/v1/admin/jobs?tenant={PROBER_TENANT}")["jobs"]
    return sum(job["job"]["status"] in ("completed", "confirmed") for job in jobs)


@pytest.mark.timeout(180)
async def test_it_sees_the_api_die_and_come_back_and_its_jobs_pass_the_audit(stage: Stage, admin: Admin) -> None:
    await eventually(lambda: _completed(admin) >= 2, within_s=60)
    before = stage.process("api")["restarts"]
    stage.control.fault("api", "kill", lease_s=DEAD_S)
    await eventually(lambda: stage.process("api")["restarts"] > before and stage.process("api")["ready"], within_s=60)
    seen = _completed(admin)
    await eventually(lambda: _completed(admin) >= seen + 2, within_s=60)
    assert admin.tenant(PROBER_TENANT).plan == "free"
    stage.platform.stop()

    log = pl.concat([
        pl.read_parquet(file.path) for file in those_that_count(log_files(stage.home / "log" / REQUEST_LOG))
    ])  # fmt: skip
    probes = log.filter(pl.col("source") == "prober")
    assert set(probes["plan"]) == {PROBER}
    dead = probes.filter(pl.col("status") == 0)
    assert dead["timeouts"].to_list() == [1] * len(dead)
    assert dead["second"].max() - dead["second"].min() >= DEAD_S - PATIENCE_S - 1  # type: ignore[operator]
    good = probes.filter(pl.col("status").is_in([200, 202]), pl.col("timeouts") == 0)
    assert set(good["method"]) == {"GET", "POST"}
    assert good["second"].min() < dead["second"].min() < dead["second"].max() <= good["second"].max()  # type: ignore[operator]
    answered = log.filter(pl.col("source") == "api", pl.col("plan") == PROBER, pl.col("route") == "/v1/jobs")
    assert answered["count"].sum() > len(good) / 2

    _, standing = standings_at_the_end(stage)
    assert standing.budget.counted.bad == len(probes) - len(good), "a dead API is bad minutes in every plan's budget"
    assert (standing.budget.left_ppm or 0) < 0
    # The platform may start or end just beside the turn of a minute: only where it probed is anything known.
    probed = set((probes["second"] // 60).to_list())
    assert probed == set(range(min(probed), max(probed) + 1)), "nor is any minute in between unknown"
    assert standing.budget.counted.known == len(probed)
