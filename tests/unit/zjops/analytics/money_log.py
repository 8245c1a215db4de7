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


def shop(folder: Path) -> MoneyLog:
    """June of five tenants: one a plan, and one that goes from starter to pro in mid-month."""
    log = MoneyLog(folder)
    for tenant, plan in (("ada", "free"), ("bob", "starter"), ("cy", "pro"), ("dot", "enterprise"), ("eve", "starter")):
        overage = {"overage_enabled": True} if tenant in ("bob", "cy") else {}
        log.act("tenant.create", tenant, "2026-05-20T00:00:00Z", plan=plan, overrides=overage)
    log.act("plan.upgrade", "eve", "2026-06-16T00:00:00Z", kind="plan", plan="pro", former="starter")
    for day in range(1, 31):
        log.job("ada", "free", f"06-{day:02d}", 900)
        log.job("bob", "starter", f"06-{day:02d}", 40_000)
        log.job("cy", "pro", f"06-{day:02d}", 250_000)
        log.job("dot", "enterprise", f"06-{day:02d}", 20_000_000)
        log.job("eve", "starter" if day < 16 else "pro", f"06-{day:02d}", 60_000, "released" if day == 3 else "charged")
        log.batch()
    return log


def cheaper(text: str) -> str:
    """A price book with a cheaper starter, cheaper overage and a pro plan of fewer units."""
    for old, new in (
        ('version = "2026-01"', 'version = "2026-07"'), ("fee_microusd = 29_000_000", "fee_microusd = 25_000_000"),
        ("overage_nanousd = 5_000\nbody_bytes = 10_000_000", "overage_nanousd = 4_000\nbody_bytes = 10_000_000"),
        ("compute_units = 10_000_000", "compute_units = 5_000_000"),
        ("compute_units = 30_000", "compute_units = 20_000"),
        ("overage_nanousd = 5_000\ndiscount", "overage_nanousd = 4_000\ndiscount"),
    ):  # fmt: skip
        text = text.replace(old, new)
    return text
