"""A log with jobs, batches and acts, written job by job: what invoices, costs and exports are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.unit.zjops.analytics.logs import event, ops, write
from zjops.domain.clock import parse_rfc3339

BATCH_GAS = 54_500


class MoneyLog:
    """Jobs and acts of June 2026 unless said; each call of `batch` confirms the jobs since the last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[dict[str, Any]] = []
        self.acts: list[dict[str, Any]] = []
        self._waiting: list[dict[str, Any]] = []
        self._batches = 0

    def job(self, tenant: str, plan: str, day: str, units: int = 100, charge: str = "charged") -> None:
        """A job that was accepted at noon of a day (MM-DD) and completed a second later."""
        at, number = parse_rfc3339(f"2026-{day}T12:00:00Z"), len(self.events)
        facts = {
            "tenant": tenant, "plan": plan, "accepted_at": at, "compute_units": units,
            "job_id": number.to_bytes(16, "big"),
        }  # fmt: skip
        self._add("submitted", facts | {"time": at, "charge": "held"})
        self._add("completed", facts | {"time": at + 1000, "charge": charge, "processing_ms": 250})
        self._waiting.append(facts | {"time": at + 8000, "charge": charge})

    def batch(self, gas: int = BATCH_GAS) -> None:
        """Confirm what waits; the shares add up to the gas."""
        self._batches += 1
        jobs, self._waiting = self._waiting, []
        for index, facts in enumerate(jobs):
            share = gas // len(jobs) + (index < gas % len(jobs))
            self._add("confirmed", facts | {"batch_id": self._batches, "gas_share": share, "leaf_index": index})

    def act(self, action: str, tenant: str, at: str, kind: str = "tenant", **values: Any) -> None:
        """An act of an operator, at an RFC 3339 time."""
        self.acts.append(ops(
            len(self.acts) + 1, action, tenant=tenant, kind=kind, time=parse_rfc3339(at), values=json.dumps(values),
            reason="as agreed",
        ))  # fmt: skip

    def save(self) -> Path:
        """Write the files; returns the log's folder."""
        for name, rows in (("events", self.events), ("ops", self.acts)):
            if rows:
                write(self.folder, name, rows)
        return self.folder

    def _add(self, kind: str, facts: dict[str, Any]) -> None:
        self.events.append(event(len(self.events) + 1, kind, **facts))
