"""A month read from a log: who was on which plan, what was charged, what is credited."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.unit.zjops.analytics.logs import event, ops, write
from zjops.analytics.billing import Month, draft_invoices, read_month, usage_sql
from zjops.analytics.warehouse import Warehouse
from zjops.domain.clock import parse_rfc3339
from zjops.domain.errors import UsageError
from zjops.domain.events import ENDINGS, EventType
from zjops.domain.invoices import Usage
from zjops.domain.plans import price_book

BOOK = price_book()
MONTH = "2026-06"
NOW = parse_rfc3339("2026-07-10T00:00:00Z")


def _at(day: str) -> int:
    return parse_rfc3339(f"2026-{day}T12:00:00Z")


class Log:
    """A log that is written job by job, act by act."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[dict[str, Any]] = []
        self.acts: list[dict[str, Any]] = []

    def job(self, tenant: str, plan: str, day: str, units: int, charge: str = "charged") -> None:
        """A job that was accepted on a day, and ended at once unless its units are held."""
        at, job = _at(day), uuid.UUID(int=10**6 + len(self.events)).bytes
        for kind in ("submitted", "completed") if charge != "held" else ("submitted",):
            self.events.append(event(
                len(self.events) + 1, kind, tenant=tenant, plan=plan, accepted_at=at, time=at, compute_units=units,
                charge="held" if kind == "submitted" else charge, status=kind, job_id=job,
            ))  # fmt: skip

    def act(self, action: str, tenant: str, at: str, kind: str = "tenant", **values: Any) -> None:
        self.acts.append(ops(
            len(self.acts) + 1, action, tenant=tenant, kind=kind, time=parse_rfc3339(at), values=json.dumps(values),
            reason="as agreed",
        ))  # fmt: skip

    def read(self, month: str = MONTH, tenant: str | None = None) -> Month:
        for name, rows in (("events", self.events), ("ops", self.acts)):
            if rows:
                write(self.folder, name, rows)
        with Warehouse(self.folder) as warehouse:
            return read_month(warehouse, month, BOOK, now_ms=NOW, tenant=tenant)

    def usage(self, tenant: str, month: str = MONTH) -> Usage:
        return next(one for one in self.read(month).usage if one.tenant == tenant)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def test_a_month_is_that_of_acceptance_and_only_what_was_charged_counts(log: Log) -> None:
    log.job("acme", "pro", "05-31", 1_000)
    log.job("acme", "pro", "06-01", 300)
    log.job("acme", "pro", "06-30", 200, "released")
    log.job("acme", "pro", "06-30", 700, "held")
    log.job("acme", "pro", "07-01", 5_000)
    (term,) = log.usage("acme").terms
    assert (term.units, term.jobs, term.plan.name) == (300, 1, "pro")


@pytest.mark.parametrize("kind", EventType)
def test_of_all_events_those_that_end_a_job_charge_it(log: Log, kind: EventType) -> None:
    log.job("acme", "pro", "06-05", 300)
    end = log.events[-1]
    log.events[-1] = end | {"type": kind.value}
    (term,) = log.usage("acme").terms
    assert (term.units, term.jobs) == ((300, 1) if kind in ENDINGS else (0, 0))


def test_a_tenant_that_does_nothing_in_a_month_still_has_its_plan(log: Log) -> None:
    log.job("idle", "starter", "05-02", 100)
    log.act("tenant.create", "new", "2026-06-20T00:00:00Z", plan="pro", overrides={})
    log.act("tenant.create", "later", "2026-07-02T00:00:00Z", plan="pro", overrides={})
    log.job("someone", "free", "06-05", 100)
    found = {one.tenant: one for one in log.read().usage}
    assert sorted(found) == ["idle", "new", "someone"]
    totals = {made.tenant: made.total_cents for made in draft_invoices(log.read(), BOOK)}
    assert totals == {"idle": 29_00, "new": 99_00, "someone": 0}


def test_an_upgrade_is_taken_from_the_act_and_its_time(log: Log) -> None:
    log.act("tenant.create", "acme", "2026-05-01T00:00:00Z", plan="starter", overrides={"overage_enabled": True})
    log.job("acme", "starter", "06-10", 1_100_000)
    log.act("plan.upgrade", "acme", "2026-06-16T00:00:00Z", kind="plan", plan="pro", former="starter")
    log.job("acme", "pro", "06-20", 500)
    before, after = log.usage("acme").terms
    assert (before.plan.name, before.units, after.plan.name, after.units) == ("starter", 1_100_000, "pro", 500)
    assert after.plan.overage_enabled, "negotiated values stay"
    (made,) = draft_invoices(log.read(), BOOK)
    assert made.total_cents == 64_00 + 25


def test_the_plan_before_an_upgrade_is_known_from_the_upgrade_itself(log: Log) -> None:
    log.act("plan.upgrade", "acme", "2026-06-16T00:00:00Z", kind="plan", plan="pro", former="starter")
    assert [term.plan.name for term in log.usage("acme").terms] == ["starter", "pro"]


def test_plans_that_no_act_tells_of_are_read_off_the_jobs(log: Log) -> None:
    log.job("acme", "starter", "06-02", 100)
    log.job("acme", "pro", "06-16", 200)
    assert [(term.plan.name, term.units) for term in log.usage("acme").terms] == [("starter", 100), ("pro", 200)]


def test_negotiated_values_hold_from_their_own_time(log: Log) -> None:
    log.job("big", "enterprise", "06-02", 1_300_000_000)
    log.act("tenant.change", "big", "2026-05-01T00:00:00Z", overrides={"buffer_override_units": 0}, plan=None)
    (made,) = draft_invoices(log.read(), BOOK)
    assert made.total_cents == 5_600_00


def test_an_act_without_effect_makes_no_term_and_a_suspension_none(log: Log) -> None:
    log.act("tenant.create", "acme", "2026-05-01T00:00:00Z", plan="pro", overrides={})
    log.act("tenant.change", "acme", "2026-06-10T00:00:00Z", status="suspended", plan=None, overrides=None)
    log.act("tenant.change", "acme", "2026-06-12T00:00:00Z", kind="plan", plan="pro", overrides=None)
    assert len(log.usage("acme").terms) == 1


def test_credits_land_on_the_month_in_which_they_were_granted_and_only_once(log: Log) -> None:
    values: dict[str, Any] = {"microusd": 5_000_000, "month": "2026-05", "creditId": "c1"}
    log.act("tenant.create", "acme", "2026-05-01T00:00:00Z", plan="pro", overrides={})
    for _ in range(2):
        log.act("credit.grant", "acme", "2026-06-10T00:00:00Z", kind="credit", **values)
    log.act("credit.grant", "acme", "2026-07-01T00:00:00Z", kind="credit", **(values | {"creditId": "c2"}))
    assert [(c.credit_id, c.microusd, c.reason) for c in log.usage("acme").credits] == [("c1", 5_000_000, "as agreed")]
    assert draft_invoices(log.read(), BOOK)[0].total_cents == 94_00


@pytest.mark.parametrize(
    ("month", "why"), [("2026-13", "YYYY-MM"), ("2026-08", "has not begun"), ("junk", "YYYY-MM")],
    ids=["no month", "future", "no date"],
)  # fmt: skip
def test_a_month_that_cannot_be_is_refused(log: Log, month: str, why: str) -> None:
    log.job("acme", "pro", "06-02", 100)
    with pytest.raises(UsageError, match=why):
        log.read(month)


def test_an_unknown_plan_is_refused_by_name(log: Log) -> None:
    log.job("acme", "platinum", "06-02", 100)
    with pytest.raises(UsageError, match="platinum"):
        log.read()


def test_the_platforms_own_prober_gets_no_invoice(log: Log) -> None:
    log.job("prober", "free", "06-02", 100)
    assert log.read().usage == []


def test_usage_by_any_keys_adds_up_to_the_same(log: Log) -> None:
    log.job("acme", "pro", "06-02", 100)
    log.job("acme", "pro", "06-03", 200, "released")
    log.job("beta", "free", "06-03", 400, "held")
    log.read()
    with Warehouse(log.folder) as warehouse:
        span = {"tenant": None, "since_ms": 0, "until_ms": 1 << 60}
        for by in ([], ["tenant"], ["tenant", "day"], ["day", "job_type"], ["month", "plan"]):
            rows = warehouse.ask(usage_sql(by), **span)
            sums = [sum(row[f"units_{part}"] for row in rows) for part in ("reserved", "charged", "released", "held")]
            assert sums == [700, 100, 200, 400], by
    with pytest.raises(UsageError, match="job_type"):
        usage_sql(["colour"])
