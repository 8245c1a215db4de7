"""What happens in a synthetic month beside its daily rhythm: the parts, who plays them, and when. Pure."""

from __future__ import annotations

import datetime as dt
import enum
from typing import Any, NamedTuple

from simulator.world.population import Company, Habit
from simulator.world.rhythm import DAY_MS, HOUR_MS, MINUTE_MS, SCHEDULED_MS
from zjops.domain.clock import month_bounds_ms, utc_month
from zjops.domain.plans import price_book

QUIET_MS = HOUR_MS
"""Nobody submits in the last hour, so that every job is final before the span ends."""
UNITS_A_JOB = 100
LARGE_UNITS = 560
"""About what a job with a large body costs, with what it gains by being large left out."""
OUTAGE_MS, STALL_MS = 20 * MINUTE_MS, 3 * HOUR_MS
"""How long the incident keeps the store away, and how long the workers."""
CREDIT_PART = 20
"""Which part of its fee a tenant has back for the incident."""
FLOOD_MS, FLOOD_EVERY_MS, FLOOD_REQUESTS = 30 * MINUTE_MS, 10_000, 40


class Kind(enum.StrEnum):
    """What an act does."""

    CHANGE = "change"
    CREDIT = "credit"
    STORE_AWAY = "store_away"
    STORE_BACK = "store_back"
    WORKERS_STOP = "workers_stop"
    WORKERS_START = "workers_start"
    FLOOD = "flood"
    DEVICE = "device"


class Act(NamedTuple):
    """One thing that happens at a moment (Unix ms), to a tenant or to the platform."""

    at_ms: int
    kind: Kind
    tenant: str = ""
    values: dict[str, Any] = {}  # noqa: RUF012 - never changed


class Span(NamedTuple):
    """The time that is played: Unix ms, the end excluded."""

    start_ms: int
    days: int

    @property
    def end_ms(self) -> int:
        """The first moment after it."""
        return self.start_ms + self.days * DAY_MS

    @property
    def last_ms(self) -> int:
        """The last moment at which anything is asked of the platform."""
        return self.end_ms - QUIET_MS

    def at(self, share: float, hour: int, minute: int = 0) -> int:
        """About this share of the span, on a weekday if there is one near, at this time of the day (UTC)."""
        day = min(self.days - 1, int(self.days * share))
        near = sorted(range(self.days), key=lambda other: (abs(other - day), other))
        weekday = next((d for d in near[:5] if _weekday(self.start_ms + d * DAY_MS) < 5), day)
        midnight = (self.start_ms + weekday * DAY_MS) // DAY_MS * DAY_MS
        return min(max(midnight + hour * HOUR_MS + minute * MINUTE_MS, self.start_ms + MINUTE_MS), self.last_ms - 1)


class Story(NamedTuple):
    """The tenants, each with what its part adds, the acts in order, and who plays which part."""

    companies: list[Company]
    acts: list[Act]
    cast: dict[str, str]


def longest_month(span: Span) -> tuple[str, float]:
    """The UTC month (YYYY-MM) of which the span holds most, and how many days of it."""
    found: dict[str, int] = {}
    at = span.start_ms
    while at < span.end_ms:
        month = utc_month(at)
        after = min(month_bounds_ms(month)[1], span.end_ms)
        found[month], at = after - at, after
    month = max(found, key=lambda name: found[name])
    return month, found[month] / DAY_MS


def tell(companies: list[Company], span: Span) -> Story:
    """Give parts to some of the tenants and say what happens when."""
    credited = _credited(companies, span)
    by_plan = {plan: [one for one in companies if one.plan == plan] for plan in price_book().plans}
    cast = {
        "overage": by_plan["starter"][0].tenant, "upgrade": by_plan["starter"][1].tenant,
        "negotiated": by_plan["pro"][0].tenant, "downgrade": by_plan["pro"][1].tenant,
        "large": by_plan["enterprise"][0].tenant, "credit": credited.tenant,
        "climber": by_plan["free"][0].tenant, "abuser": by_plan["free"][-1].tenant,
        "double": by_plan["free"][-2].tenant,
    }  # fmt: skip
    _, days = longest_month(span)
    parts = {
        cast["overage"]: _overage(days), cast["negotiated"]: _negotiated(days), cast["climber"]: _climber(days),
        cast["large"]: lambda one: one._replace(large=0.05),
    }  # fmt: skip
    played = [parts[one.tenant](one) if one.tenant in parts else one for one in companies]
    acts = [*_changes(cast, span), _credit(credited, span), *_incident(span), *_abuse(cast, span)]
    return Story(played, sorted(acts, key=lambda act: (act.at_ms, act.kind, act.tenant)), cast)


def units_of(company: Company, days: float) -> float:
    """About how many compute units a tenant asks for in so many days."""
    each = UNITS_A_JOB + company.large * (LARGE_UNITS - UNITS_A_JOB)
    return company.jobs_a_day * days * each


def _overage(days: float) -> Any:
    """A starter who pays for more than is included: its allowance ends after about three quarters of its month."""

    def play(company: Company) -> Company:
        heavy = company._replace(large=0.3)
        included = min(1_000_000, round(units_of(heavy, days) / 1.3 / 1000) * 1000)
        return heavy._replace(overrides={"compute_units": max(1000, included), "overage_enabled": True})

    return play


def _negotiated(days: float) -> Any:
    """A pro with an agreement of its own: fewer units, and a discount that it reaches."""

    def play(company: Company) -> Company:
        included = max(1000, round(units_of(company, days) / 1.45 / 1000) * 1000)
        return company._replace(overrides={
            "compute_units": included, "overage_enabled": True, "discount_after_units": included // 10,
        })  # fmt: skip

    return play


def _climber(days: float) -> Any:
    """A free tenant who has opted in and uses 80 % of its units in about six tenths of its month (R55)."""

    def play(company: Company) -> Company:
        enough = price_book().plan("free").compute_units * 0.8 / UNITS_A_JOB
        return company._replace(jobs_a_day=enough / (0.6 * days), overrides={"auto_upgrade": True})

    return play


def _changes(cast: dict[str, str], span: Span) -> list[Act]:
    upgrade = {"plan": "pro", "reason": "asked for by the tenant"}
    downgrade = {"plan": "starter", "reason": "asked for by the tenant"}
    return [
        Act(_while_it_answers(span.at(0.45, 10, 5), span), Kind.CHANGE, cast["upgrade"], upgrade),
        Act(_while_it_answers(span.at(0.55, 15, 40), span), Kind.CHANGE, cast["downgrade"], downgrade),
    ]


def _while_it_answers(at_ms: int, span: Span) -> int:
    """This moment, or a minute after the outage if it falls in it: in a short span the incident is near everything."""
    away, back, _ = incident_of(span)
    return min(back + MINUTE_MS, span.last_ms - 1) if away <= at_ms <= back else at_ms


def _credited(companies: list[Company], span: Span) -> Company:
    """Who has a credit for the incident: of those who pay the largest plan's first whose schedule it delays, if any."""
    _, back, working = incident_of(span)
    paying = [one for one in companies if one.plan != "free"]
    delayed = (one for one in paying if one.habit is Habit.STEADY and _next_run_ms(one, span, back) < working)
    return next(delayed, paying[0])


def _next_run_ms(company: Company, span: Span, at_ms: int) -> int:
    """When the schedule of a steady tenant fires next, at a moment or after it."""
    step = DAY_MS // company.runs
    first = span.start_ms + company.minute * MINUTE_MS % step + SCHEDULED_MS
    return at_ms + (first - at_ms) % step


def _credit(company: Company, span: Span) -> Act:
    """A twentieth of the fee, on a weekday's morning after the incident; in a short span half an hour after it."""
    over = incident_of(span)[2]
    mornings = (span.at(share, 9, 30) for share in (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0))
    at = next((at for at in mornings if at > over), min(over + HOUR_MS // 2, span.last_ms - 1))
    amount = price_book().plan(company.plan).fee_microusd // CREDIT_PART
    values = {"amountMicrousd": amount, "month": utc_month(at), "reason": "for the incident"}
    return Act(at, Kind.CREDIT, company.tenant, values)


def incident_of(span: Span) -> tuple[int, int, int]:
    """When the store goes away, when it comes back, and when the workers do: Unix ms."""
    begin = span.at(0.6, 13, 20)
    room = span.last_ms - begin
    back = begin + min(OUTAGE_MS, room // 6)
    return begin, back, begin + min(STALL_MS, room // 2)


def _incident(span: Span) -> list[Act]:
    """The store goes away and takes the workers with it; they are back hours after it, and work off what waits."""
    begin, back, working = incident_of(span)
    return [
        Act(begin, Kind.STORE_AWAY), Act(begin, Kind.WORKERS_STOP), Act(back, Kind.STORE_BACK),
        Act(working, Kind.WORKERS_START),
    ]  # fmt: skip


def _abuse(cast: dict[str, str], span: Span) -> list[Act]:
    """A free tenant floods the interface, and is seen to share three devices with another account of its."""
    begin, abuser, double = span.at(0.75, 11), cast["abuser"], cast["double"]
    until = min(begin + FLOOD_MS, span.last_ms)
    floods = [Act(at, Kind.FLOOD, abuser, {"requests": FLOOD_REQUESTS}) for at in range(begin, until, FLOOD_EVERY_MS)]
    steps = [begin + (until - begin) * share // 6 + 1_500 for share in (1, 3, 5)]
    devices = []
    for number, at in enumerate(steps):
        values = {"device": f"device-{number + 1}"}
        devices += [Act(at, Kind.DEVICE, double, values), Act(at + 1_000, Kind.DEVICE, abuser, values)]
    return floods + devices


def _weekday(at_ms: int) -> int:
    return dt.datetime.fromtimestamp(at_ms // 1000, dt.UTC).weekday()
