"""From the log to the invoices of a month: who was on which plan, what was charged, what is credited."""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from zjops.analytics.terms import Act, Seen, acts_of, terms_of
from zjops.analytics.warehouse import Warehouse, sql
from zjops.domain.clock import month_bounds_ms, parse_rfc3339, rfc3339, utc_month
from zjops.domain.errors import UnreachableError, UsageError
from zjops.domain.invoices import Correction, Credit, Invoice, Term, Usage, invoice_of
from zjops.domain.jobs import MAX_ATTEMPTS, MAX_TIMEOUT_S
from zjops.domain.plans import PriceBook, price_book, read_price_book
from zjops.domain.requests import UNBILLED
from zjops.domain.runfile import RUN_FILE
from zjops.domain.synthetic import synthetic_part

KEYS = {"tenant": "tenant", "plan": "plan", "day": '"day"', "month": '"month"', "job_type": "job_type"}
FOREVER_MS = 1 << 60
SETTLED_WITHIN_MS = MAX_ATTEMPTS * (MAX_TIMEOUT_S + 3_600) * 1000
"""A job has ended so long after its acceptance: the longest timeout and wait, at every try."""


class Month(NamedTuple):
    """What the log says of a month: the usage of each tenant, and how far the log went (Unix ms, stream sequence)."""

    month: str
    usage: list[Usage]
    watermark_ms: int
    through_sequence: int = 0


Charged = tuple[int, int]
"""Compute units and jobs."""


def parse_month(month: str) -> str:
    """A month as YYYY-MM. Raises `UsageError`."""
    if not re.fullmatch(r"2\d{3}-(0[1-9]|1[0-2])", month):
        raise UsageError(f"a month is written YYYY-MM, not {month}")
    return month


def read_book(path: Path | None) -> PriceBook:
    """A price book's file, or the book that ships. Raises `UsageError` that names file and place."""
    if path is None:
        return price_book()
    try:
        return read_price_book(path.read_text(), f"price book {path}")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"price book {path} cannot be read: {exc}") from exc


def read_month(
    warehouse: Warehouse, month: str, book: PriceBook, *, now_ms: int, tenant: str | None = None,
    corrections: Mapping[str, Sequence[Correction]] | None = None,
) -> Month:  # fmt: skip
    """The usage of every tenant that was there in a month, or of one. Raises `UsageError` for a month or plan."""
    first_ms, after_ms = month_bounds_ms(parse_month(month))
    watermark_ms = warehouse.watermark()
    if month > utc_month(max(now_ms, watermark_ms)):
        raise UsageError(f"{month} has not begun; the log goes to {utc_month(watermark_ms or now_ms)}")
    _check_end(warehouse, month, first_ms)
    span = {"tenant": tenant, "first_ms": first_ms, "after_ms": after_ms}
    charged: dict[str, dict[str, Charged]] = defaultdict(dict)
    for row in warehouse.rows_within("charged_by_plan", first_ms, after_ms, tenant=tenant):
        charged[row["tenant"]][row["plan"]] = row["units"], row["jobs"]
    acts = acts_of(warehouse.rows("plan_changes", tenant=tenant, after_ms=after_ms))
    plan_of = functools.cache(lambda name, overrides: book.plan(name, msgspec.json.decode(overrides)))
    seen = _seen(warehouse, charged, acts, span, watermark_ms)
    credits, availability = _credits(warehouse, span), _availability(warehouse, first_ms, after_ms)
    usage = []
    for name in sorted({*charged, *acts, *seen} - UNBILLED):
        terms = terms_of(acts.get(name, ()), seen.get(name, ()), first_ms, after_ms, plan_of)
        if terms is None:
            continue
        filled = _fill(warehouse, name, terms, charged.get(name, {}))
        notes = (corrections or {}).get(name, ())
        usage.append(Usage(
            name, month, filled, tuple(credits.get(name, ())), tuple(notes), availability.get(filled[-1].plan.name),
        ))  # fmt: skip
    return Month(month, usage, watermark_ms, _last_number(warehouse))


def end_of_log(warehouse: Warehouse) -> int | None:
    """Unix ms at which a log has ended for good: it is a synthetic one, and no platform goes on behind its end."""
    part = synthetic_part(warehouse.log_dir)
    if part is None or (warehouse.log_dir.parent / RUN_FILE).exists():
        return None
    return parse_rfc3339(part.to) if part.last.events == _last_number(warehouse) else None


def _last_number(warehouse: Warehouse) -> int:
    return max((file.last for file in warehouse.files["events"]), default=0)


def _check_end(warehouse: Warehouse, month: str, first_ms: int) -> None:
    """No invoice of a month that a log never reached: its plan fees would be those of nobody's month."""
    end_ms = end_of_log(warehouse)
    if end_ms is not None and first_ms >= end_ms:
        ends = f"this log is synthetic and ends at {rfc3339(end_ms)}, before {month}"
        raise UsageError(f"{ends}; its last month is {utc_month(end_ms - 1)}")


def _seen(
    warehouse: Warehouse, charged: Mapping[str, Mapping[str, Charged]], acts: Mapping[str, Sequence[Act]],
    span: Mapping[str, Any], watermark_ms: int,
) -> dict[str, list[Seen]]:  # fmt: skip
    """What the jobs say of plans that no act tells.

    Jobs that ended in the month name their plan. Who else was there submitted earlier, or so lately that the job may
    still run: the rest of the log is not read for it.
    """
    told = {name for name, done in acts.items() if any(act.plan for act in done)}
    found: dict[str, list[Seen]] = defaultdict(list)
    found |= {n: [Seen(span["first_ms"], next(iter(c)))] for n, c in charged.items() if len(c) == 1 and n not in told}
    recent = max(span["first_ms"], watermark_ms - SETTLED_WITHIN_MS)
    spans = ((0, span["first_ms"]), (recent, span["after_ms"]))
    there = {
        row["tenant"] for since_ms, until_ms in spans if since_ms < until_ms
        for row in warehouse.rows_within("tenants_within", since_ms, until_ms, once=False, tenant=span["tenant"])
    }  # fmt: skip
    asked = sorted((there | charged.keys()) - told - found.keys())
    for row in warehouse.rows("seen_plans", tenants=asked, until_ms=span["after_ms"]) if asked else ():
        found[row["tenant"]].append(Seen(row["since_ms"], row["plan"]))
    return found


def _fill(
    warehouse: Warehouse, tenant: str, terms: Sequence[Term], charged: Mapping[str, Charged]
) -> tuple[Term, ...]:  # fmt: skip
    """The terms with what was charged in each; only a month of several terms is read a second time."""
    if len(terms) == 1:
        term, units, jobs = terms[0], 0, 0
        for more_units, more_jobs in charged.values():
            units, jobs = units + more_units, jobs + more_jobs
        return (Term(term.plan, term.since_ms, term.until_ms, units, jobs),)
    found = []
    for term in terms:
        span = {"tenant": tenant, "since_ms": term.since_ms, "until_ms": term.until_ms}
        row = warehouse.rows("charged_between", **span)[0]
        found.append(msgspec.structs.replace(term, units=row["units"], jobs=row["jobs"]))
    return tuple(found)


class _CreditValues(msgspec.Struct, rename="camel"):
    """What a credit's OPS event carries; `microusd` above 0."""

    credit_id: str
    microusd: int
    month: str | None = None
    job: str | None = None


def _credits(warehouse: Warehouse, span: Mapping[str, Any]) -> dict[str, list[Credit]]:
    found: dict[str, dict[str, Credit]] = defaultdict(dict)
    for row in warehouse.rows("credits", **span):
        try:
            values = msgspec.json.decode(row["values"], type=_CreditValues)
        except msgspec.MsgspecError as exc:
            raise UsageError(f"OPS log: a credit of {row['tenant']} cannot be read: {exc}") from exc
        credit = Credit(
            values.credit_id, values.microusd, row["reason"] or "", row["time"], values.month, values.job
        )  # fmt: skip
        found[row["tenant"]].setdefault(values.credit_id, credit)
    return {tenant: list(credits.values()) for tenant, credits in found.items()}


def _availability(warehouse: Warehouse, first_ms: int, after_ms: int) -> dict[str, tuple[int, int]]:
    """Good and all requests by plan; probes, which anyone's request might have been, count for each."""
    probes, plans = (0, 0), dict[str, tuple[int, int]]()
    for row in warehouse.rows("availability", first_ms=first_ms, after_ms=after_ms):
        counted = (row["good"], row["total"])
        if row["source"] == "prober":
            probes = (probes[0] + counted[0], probes[1] + counted[1])
        else:
            plans[row["plan"]] = counted
    return {plan: (good + probes[0], total + probes[1]) for plan, (good, total) in plans.items()}


def draft_invoices(found: Month, book: PriceBook) -> list[Invoice]:
    """The drafts of a month."""
    reached = {"watermark_ms": found.watermark_ms, "through_sequence": found.through_sequence}
    return [invoice_of(usage, book, **reached) for usage in found.usage]


def invoice_for(log_dir: Path, tenant: str, month: str, now_ms: int) -> Invoice:
    """The draft invoice of a tenant's month (UTC, by acceptance: C76). Raises `UsageError`, `UnreachableError`."""
    book = price_book()
    with Warehouse(log_dir) as warehouse:
        found = read_month(warehouse, month, book, now_ms=now_ms, tenant=tenant)
    if not found.usage:
        raise UnreachableError(f"the log holds nothing of tenant {tenant} in {month}; see: zjops tenants list")
    return draft_invoices(found, book)[0]


def usage_sql(by: Sequence[str]) -> str:
    """The statement behind `zjops usage`, grouped by what was asked for. Raises `UsageError` for another key."""
    unknown = [key for key in by if key not in KEYS]
    if unknown or len(set(by)) != len(by):
        raise UsageError(f"--by takes each of {', '.join(KEYS)} once, not {', '.join(by)}")
    return sql("usage_by").replace("/*KEYS*/", "".join(f"{KEYS[key]}, " for key in by))
