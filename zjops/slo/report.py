"""How every objective stands at a moment: one reading from which tables, checks, alerts and pictures all speak."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from zjops.analytics.warehouse import Warehouse
from zjops.domain.clock import rfc3339
from zjops.domain.text import numbered
from zjops.slo.budget import ACTIONS, Budget, Forecast, Outlook, budget_of, forecast
from zjops.slo.burn import Burn, Burning, burns_of
from zjops.slo.log import MINUTE_MS, minutes_of
from zjops.slo.minutes import Minutes
from zjops.slo.model import Objective, window_text


class Standing(NamedTuple):
    """An objective at the end of a minute."""

    objective: Objective
    minutes: Minutes
    budget: Budget
    burns: list[Burn]
    outlook: Forecast

    @property
    def firing(self) -> list[Burn]:
        """The pairs of windows that burn too fast."""
        return [one for one in self.burns if one.state is Burning.FIRING]

    @property
    def empty_at_ms(self) -> int | None:
        """When nothing will be left, Unix ms."""
        return None if self.outlook.minutes is None else (self.minutes.until + self.outlook.minutes) * MINUTE_MS


def standings(warehouse: Warehouse, objectives: Sequence[Objective], after_minute: int) -> list[Standing]:
    """Every objective at the end of the minute before `after_minute` (since the Unix epoch)."""
    found = minutes_of(warehouse, objectives, after_minute)
    return [_standing(one, found[one.indicator, one.plan]) for one in objectives]


def _standing(one: Objective, minutes: Minutes) -> Standing:
    return Standing(
        one, minutes, budget_of(minutes, one.budget_ppm, one.period_minutes),
        burns_of(minutes, one.budget_ppm, one.pairs), forecast(minutes, one.budget_ppm, one.period_minutes),
    )  # fmt: skip


def record(one: Standing) -> dict[str, Any]:
    """Everything as numbers for programs: shares in millionths, rates in thousandths, windows in minutes."""
    objective, budget, empty = one.objective, one.budget, one.empty_at_ms
    policy = budget.policy
    return {
        "slo": objective.slo, "plan": objective.plan, "indicator": objective.indicator.name,
        "target_ppm": objective.target_ppm, "period_minutes": objective.period_minutes, "good": budget.counted.good,
        "bad": budget.counted.bad, "allowed": budget.allowed, "left": budget.left, "left_ppm": budget.left_ppm,
        "allowed_seconds": budget.allowed_seconds, "spent_seconds": budget.spent_seconds,
        "covered_minutes": budget.counted.covered, "unknown_minutes": budget.counted.unknown,
        "silent_minutes": one.minutes.silent(), "policy": policy, "action": None if policy is None else ACTIONS[policy],
        "outlook": one.outlook.outlook, "empty_at": None if empty is None else rfc3339(empty),
        "burns": [_burn(burn) for burn in one.burns],
    }  # fmt: skip


def _burn(burn: Burn) -> dict[str, Any]:
    return {
        "policy": burn.pair.name, "severity": burn.pair.severity, "factor_tenths": burn.pair.factor_tenths,
        "long_minutes": burn.pair.long_minutes, "short_minutes": burn.pair.short_minutes,
        "long_millis": burn.long_millis, "short_millis": burn.short_millis, "long_events": burn.long.total,
        "short_events": burn.short.total, "long_covered_minutes": burn.long.covered, "state": burn.state,
    }  # fmt: skip


def unit(one: Standing) -> str:
    """What one of its events is called."""
    return "request" if one.objective.indicator.kind in ("availability", "latency") else "job"


def budget_text(one: Standing) -> str:
    """The budget in words: `61 % left = 1,204 bad requests; empty at 17:42 at this burn`."""
    budget = one.budget
    if budget.left_ppm is None:
        return "nothing is known"
    if budget.left < 0:
        return f"overspent by {numbered(-budget.left, f'bad {unit(one)}')}"
    left = numbered(budget.left, f"bad {unit(one)}")
    return f"{budget.left_ppm // 10_000} % left = {left}; {outlook_text(one)}"


def outlook_text(one: Standing) -> str:
    """When it will be empty, in words."""
    empty = one.empty_at_ms
    if one.outlook.outlook is Outlook.EMPTY:
        return "empty"
    if empty is None:
        few = one.outlook.outlook is Outlook.TOO_FEW
        return "no forecast from so few" if few else "not empty at this rate"
    day, now = rfc3339(empty)[:10], rfc3339(one.minutes.until * MINUTE_MS)[:10]
    when = rfc3339(empty)[11:16] if day == now else f"{day} {rfc3339(empty)[11:16]}"
    return f"empty at {when} at this burn"


def state_text(one: Standing) -> str:
    """The policy in a word, or why there is none."""
    budget = one.budget
    if budget.policy is not None:
        return budget.policy.value
    if not budget.counted.total:
        return "unknown"
    return f"none: {span_text(budget.counted.covered)} of {span_text(budget.period)}"


def burn_text(one: Standing) -> str:
    """The pairs that fire with the loudest severity, else the rate over the first long window with enough events."""
    if one.firing:
        loudest = "page" if any(burn.pair.severity == "page" for burn in one.firing) else "ticket"
        burns = (f"{burn.pair.factor}x {window_text(burn.pair.long_minutes)}" for burn in one.firing)
        return f"{loudest.upper()} " + ", ".join(burns)
    judged = next((burn for burn in one.burns if burn.state is Burning.QUIET), None)
    if judged is None or judged.long_millis is None:
        return "not enough data" if one.burns else ""
    return f"{judged.long_millis // 1000}.{judged.long_millis % 1000 // 100}x {window_text(judged.pair.long_minutes)}"


def span_text(minutes: int) -> str:
    """A stretch of time in its two largest units: `6 d 23 h`."""
    days, rest = divmod(minutes, 1440)
    hours, left = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (left, "min")]
    return " ".join([f"{number:,} {name}" for number, name in parts if number][:2]) or "0 min"


def percent_text(ppm: int) -> str:
    """Millionths as a percentage, rounded down to a thousandth: never 100 % while something was bad."""
    thousandths = ppm // 10
    return f"{thousandths // 1000}.{thousandths % 1000:03d} %"
