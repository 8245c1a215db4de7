"""Small logs of requests and jobs, as API, prober and meter write them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from simulator.logfiles import REQUEST_SCHEMA
from tests.unit.zjops.analytics.logs import event, write
from zjops.domain.clock import utc_date
from zjops.domain.logfiles import PROBER_FIRST, name_of
from zjops.slo.catalogue import objectives_of
from zjops.slo.model import Objective

START = 20_753 * 1440
"""A minute since the Unix epoch at which a UTC day begins."""


def answers(minute: int, count: int, *, status: int = 200, plan: str = "pro", within: int | None = None,
            slow: int | None = None, timeouts: int = 0) -> dict[str, Any]:  # fmt: skip
    """What an API answered in a minute: `within` of it within 300 ms and `slow` within 500 ms, all by default."""
    quick = (count if status < 300 else 0) if within is None else within
    return {
        "second": minute * 60, "process": "api-1", "source": "api", "route": "/v1/jobs", "method": "GET",
        "status": status, "plan": plan, "count": count, "within_300ms": quick,
        "within_500ms": quick if slow is None else slow, "errors_5xx": count if status >= 500 else 0,
        "timeouts": timeouts, "latency_ms_histogram": [count],
    }  # fmt: skip


def probe(minute: int, second: int = 0, *, status: int = 200, timeouts: int = 0) -> dict[str, Any]:
    """One probe; status 0 is one that nobody answered."""
    found = answers(minute, 1, status=status, plan="prober", timeouts=int(status == 0) or timeouts)
    return found | {"second": minute * 60 + second, "source": "prober", "process": "supervisor"}


def write_requests(log: Path, rows: Iterable[dict[str, Any]], *, first: int = 1) -> None:
    """Files of rows, those of the prober beside the others."""
    held = sorted(rows, key=lambda row: row["second"])
    for prefix, begin in (("requests", first), ("prober", PROBER_FIRST + first)):
        part = [row for row in held if (row["source"] == "prober") == (prefix == "prober")]
        if part:
            folder = log / "requests" / f"date={utc_date(part[0]['second'] * 1000)}"
            folder.mkdir(parents=True, exist_ok=True)
            frame = pl.DataFrame(part, schema=REQUEST_SCHEMA, orient="row")
            frame.write_parquet(folder / name_of(prefix, begin, begin + len(part) - 1))


class Jobs:
    """Jobs whose events come at seconds after `START`."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._count = 0

    def add(self, accepted: float, *, plan: str = "pro", tenant: str = "acme", charge: str = "released",
            **times: float) -> None:  # fmt: skip
        """A job: `processing`, `completed`, `failed`, `cancelled`, `confirmed` at their seconds."""
        self._count += 1
        told = {"submitted": accepted} | times
        for kind, at in told.items():
            self.rows.append(event(
                0, kind, time=ms(at), accepted_at=ms(accepted), plan=plan, tenant=tenant,
                job_id=uuid.UUID(int=self._count).bytes, charge=charge if kind == "failed" else "charged",
            ))  # fmt: skip

    def save(self, log: Path) -> None:
        """One file of all events in the order of their times."""
        held = sorted(self.rows, key=lambda row: row["time"])
        for number, row in enumerate(held, 1):
            row |= {"event_id": uuid.UUID(int=number).bytes, "stream_seq": number, "outbox_no": number}
        write(log, "events", held)


def ms(second: float) -> int:
    """Unix ms of a second after `START`."""
    return START * 60_000 + round(second * 1000)


def objective(slo: str, plan: str) -> Objective:
    """One that ships."""
    return next(one for one in objectives_of() if (one.slo, one.plan) == (slo, plan))
