"""Alerts: what somebody must know, how loudly, what to do, and the command that opens that minute (R112, C61).

The exported Prometheus rules carry the same names, severities and thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from zjops.analytics.warehouse import Warehouse
from zjops.domain.clock import rfc3339
from zjops.domain.indicators import AVAILABILITY, EVERY_PLAN
from zjops.domain.requests import UNBILLED
from zjops.slo.budget import ACTIONS, Policy
from zjops.slo.burn import Burn
from zjops.slo.log import MINUTE_MS, Span
from zjops.slo.model import Severity, window_text
from zjops.slo.report import Standing, budget_text

BURN, EXHAUSTED, LOW, SILENT = "SloBudgetBurn", "SloBudgetExhausted", "SloBudgetLow", "SloNoData"
AUTH, SURGE, CHAIN = "AuthFailures", "SubmissionSurge", "ChainConfirmationsFailing"
SEVERITY: dict[str, Severity] = {
    EXHAUSTED: "page", LOW: "ticket", SILENT: "ticket", AUTH: "page", SURGE: "ticket", CHAIN: "page",
}  # fmt: skip
"""How loud an alert is; that of a burn is its policy's."""
SUMMARY: dict[str, str] = {
    BURN: "an error budget is being spent too fast",
    EXHAUSTED: "an error budget is spent",
    LOW: "an error budget is half spent or more",
    SILENT: "nothing is known of the availability",
    AUTH: "many requests are refused for their token",
    SURGE: "a tenant submits far more jobs than usual",
    CHAIN: "confirmation transactions fail on the chain",
}
SILENT_MINUTES = 5
AUTH_PER_S, AUTH_MINUTES = 10, 5
SURGE_FACTOR, SURGE_LEAST, SURGE_DAYS = 10, 100, 7
CHAIN_PERCENT, CHAIN_LEAST, CHAIN_MINUTES = 10, 5, 10


class Alert(NamedTuple):
    """One alert that fires. `labels` tell it from others of its name; `at_ms` is the end of its minute."""

    name: str
    severity: Severity
    labels: dict[str, str]
    text: str
    at_ms: int

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from every other."""
        return self.name, *sorted(self.labels.items())

    @property
    def opens(self) -> str:
        """The command that shows that minute."""
        plan = f" --plan {self.labels['plan']}" if "plan" in self.labels else ""
        return f"zjops slo{plan} --at {rfc3339(self.at_ms)[:19]}Z"

    @property
    def runbook(self) -> str:
        """The command that says what to do."""
        return f"zjops runbook {self.name}"


def alerts_of(standings: Iterable[Standing]) -> list[Alert]:
    """What the objectives alert on, the loudest first."""
    found = [alert for one in standings for alert in (*_burns(one), *_policy(one), *_silence(one))]
    return sorted(found, key=lambda alert: (alert.severity != "page", alert.name != BURN))


def _burns(one: Standing) -> Iterator[Alert]:
    for burn in one.firing:
        pair = burn.pair
        labels = _labels(one) | {"window": window_text(pair.long_minutes)}
        text = f"{one.objective.slo}, plan {one.objective.plan}, burns at {_rate(burn)} over {labels['window']}"
        yield Alert(BURN, pair.severity, labels, f"{text} (above {pair.factor}); {budget_text(one)}", _end(one))


def _policy(one: Standing) -> Iterator[Alert]:
    policy = one.budget.policy
    if policy in (None, Policy.HEALTHY):
        return
    name = EXHAUSTED if policy is Policy.FULL_FREEZE else LOW
    text = f"{one.objective.slo}, plan {one.objective.plan}: {budget_text(one)}; {ACTIONS[policy]}"
    yield Alert(name, SEVERITY[name], _labels(one), text, _end(one))


def _silence(one: Standing) -> Iterator[Alert]:
    """Probes come every second: minutes in which nothing at all is known are a fault of those who measure (C79)."""
    measured = one.objective.indicator.kind == AVAILABILITY and one.objective.plan == EVERY_PLAN
    if not measured or one.minutes.silent() < SILENT_MINUTES:
        return
    text = f"{one.objective.slo}: nothing is known of the last {one.minutes.silent():,} min"
    yield Alert(SILENT, SEVERITY[SILENT], _labels(one), text, _end(one))


def auth_failures(warehouse: Warehouse, after_minute: int) -> list[Alert]:
    """More than 10 a second over five minutes."""
    end = after_minute * MINUTE_MS
    ((refused,),) = warehouse.tuples("slo_auth_failures", first_ms=end - AUTH_MINUTES * MINUTE_MS, after_ms=end)
    if refused <= AUTH_PER_S * AUTH_MINUTES * 60:
        return []
    text = f"{refused:,} requests were refused with 401 in {AUTH_MINUTES} min, more than {AUTH_PER_S} a second"
    return [Alert(AUTH, SEVERITY[AUTH], {}, text, end)]


def surges(warehouse: Warehouse, span: Span, after_minute: int) -> list[Alert]:
    """Tenants with more than ten times their usual submissions; none before the log holds seven days (C61)."""
    end = after_minute * MINUTE_MS
    if span.events_since_ms is None or span.events_since_ms > end - 3_600_000 - SURGE_DAYS * 86_400_000:
        return []
    rows = warehouse.tuples(
        "slo_submissions", after_ms=end, factor=SURGE_FACTOR, least=SURGE_LEAST, unbilled=sorted(UNBILLED)
    )
    return [
        Alert(SURGE, SEVERITY[SURGE], {"tenant": tenant}, f"tenant {tenant} submitted {hour:,} jobs in an hour, "
              f"more than {SURGE_FACTOR} times its usual {week // (SURGE_DAYS * 24):,}", end)
        for tenant, hour, week in rows
    ]  # fmt: skip


def chain_fails(confirmed: int, failed: int) -> bool:
    """Whether too many confirmation transactions of ten minutes failed."""
    return failed >= CHAIN_LEAST and failed * 100 > CHAIN_PERCENT * (confirmed + failed)


def _labels(one: Standing) -> dict[str, str]:
    return {"slo": one.objective.slo, "plan": one.objective.plan}


def _end(one: Standing) -> int:
    return one.minutes.until * MINUTE_MS


def _rate(burn: Burn) -> str:
    millis = burn.long_millis or 0
    return f"{millis // 1000}.{millis % 1000 // 100} times as fast as it lasts"
