"""Prometheus rules from the same objectives: recorded ratios, and alerts with the thresholds of the engine.

A plan's series are its own and those of the probes, which count for every plan (C79). Both windows of a pair must burn,
with the engine's least numbers of events (C80); budgets alert only where the history covers the period (C79).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from zjops.domain.errors import UsageError
from zjops.domain.indicators import AVAILABILITY, BAD, COUNTED, EVENTS_METRIC, EVERY_PLAN
from zjops.domain.requests import PROBER
from zjops.slo.alerts import (
    AUTH,
    AUTH_MINUTES,
    AUTH_PER_S,
    BURN,
    CHAIN,
    CHAIN_LEAST,
    CHAIN_MINUTES,
    CHAIN_PERCENT,
    EXHAUSTED,
    LOW,
    SEVERITY,
    SILENT,
    SILENT_MINUTES,
    SUMMARY,
    SURGE,
    SURGE_FACTOR,
    SURGE_LEAST,
)
from zjops.slo.burn import LONG_ENOUGH, SHORT_ENOUGH
from zjops.slo.model import MILLION, TENTHS, Objective, Pair, window_text

Rule = dict[str, Any]
NOW = '{{ with query "time()" }}{{ . | first | value | printf "%.0f" }}{{ end }}'
"""In an annotation: the moment at which the rule was evaluated, Unix s."""
RATIO, EVENTS, LEFT = "slo:error_ratio:rate{}", "slo:events:increase{}", "slo:budget_left:ratio"
INTERVAL = "1m"
HEAD = "# Made by: zjops export prometheus-rules. Scrape the targets of prometheus-sd.json every minute or oftener.\n"


def rules(objectives: Sequence[Objective]) -> str:
    """The file. Raises `UsageError` for an indicator that the platform's metrics do not count."""
    for one in objectives:
        if one.indicator not in COUNTED:
            known = ", ".join(indicator.name for indicator in COUNTED)
            raise UsageError(f"SLO {one.slo}: {one.indicator.name} is not in the metrics, only in the log; {known} are")
    groups = [(f"zjops-slo-{one.slo}-{one.plan}", _of(one)) for one in objectives] + [("zjops-platform", _platform())]
    document = {"groups": [{"name": name, "interval": INTERVAL, "rules": found} for name, found in groups]}
    return HEAD + str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True))


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # the library has no types
    """Writes expressions of several lines as such."""


def _lines(dumper: _Dumper, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _lines)


def _of(one: Objective) -> list[Rule]:
    windows = sorted({window for pair in one.pairs for window in (pair.long_minutes, pair.short_minutes)})
    recorded = [rule for window in windows for rule in _recorded(one, window)]
    return [*recorded, *_budget(one), *(_burn(one, pair) for pair in one.pairs), *_silence(one)]


def _recorded(one: Objective, window: int) -> list[Rule]:
    text = window_text(window)
    bad, all_ = (f"sum(rate({_series(one, **only)}[{text}]))" for only in ({"outcome": BAD}, {}))
    return [
        {"record": RATIO.format(text), "expr": f"{bad} / {all_}", "labels": _labels(one)},
        {"record": EVENTS.format(text), "expr": f"sum(increase({_series(one)}[{text}]))", "labels": _labels(one)},
    ]


def _series(one: Objective, **more: str) -> str:
    labels = {"sli": one.indicator.name} | more
    matchers = [f'{name}="{value}"' for name, value in labels.items()]
    probed = one.indicator.kind == AVAILABILITY
    if one.plan != EVERY_PLAN:
        matchers.append(f'plan=~"{one.plan}|{PROBER}"' if probed else f'plan="{one.plan}"')
    return f"{EVENTS_METRIC}{{{','.join(matchers)}}}"


def _burn(one: Objective, pair: Pair) -> Rule:
    long, short = window_text(pair.long_minutes), window_text(pair.short_minutes)
    # A whole number over a power of ten, so that no threshold is a rounded float.
    limit = f"{pair.factor_tenths * one.budget_ppm} / {TENTHS * MILLION}"
    here = _selector(one)
    expr = "\nand ".join([
        f"{RATIO.format(long)}{here} > {limit}", f"{RATIO.format(short)}{here} > {limit}",
        f"round({EVENTS.format(long)}{here}) >= {LONG_ENOUGH}",
        f"round({EVENTS.format(short)}{here}) >= {SHORT_ENOUGH}",
    ])  # fmt: skip
    text = f"{one.slo}, plan {one.plan}, burns above {pair.factor} times as fast as it lasts over {long} and {short}"
    return _alert(BURN, pair.severity, expr, text, {"slo": one.slo, "plan": one.plan, "window": long})


def _budget(one: Objective) -> list[Rule]:
    period, share = window_text(one.period_minutes), f"{one.budget_ppm} / {MILLION}"
    bad, all_ = (f"sum(increase({_series(one, **only)}[{period}]))" for only in ({"outcome": BAD}, {}))
    covered = f"count({_series(one)} offset {period}) > 0"
    left, labels = f"{LEFT}{_selector(one)}", {"slo": one.slo, "plan": one.plan}
    who = f"{one.slo}, plan {one.plan}"
    return [
        {"record": LEFT, "expr": f"1 - ({bad} / ({all_} * {share}))", "labels": _labels(one)},
        _alert(EXHAUSTED, SEVERITY[EXHAUSTED], f"{left} <= 0 and on() {covered}", f"{who}: nothing is left", labels),
        _alert(LOW, SEVERITY[LOW], f"({left} > 0 and {left} <= 0.5) and on() {covered}",
               f"{who}: half of the budget or less is left", labels),
    ]  # fmt: skip


def _silence(one: Objective) -> list[Rule]:
    if one.indicator.kind != AVAILABILITY or one.plan != EVERY_PLAN:
        return []
    # Nothing counted, or nobody there who counts.
    counted = f"sum(increase({_series(one)}[{SILENT_MINUTES}m]))"
    labels, text = {"slo": one.slo, "plan": one.plan}, f"nothing is known of the last {SILENT_MINUTES} min"
    return [_alert(SILENT, SEVERITY[SILENT], f"({counted} or vector(0)) == 0", text, labels)]


def _platform() -> list[Rule]:
    """The alerts of R112 as C61 reads them. Metrics carry no tenant: which one it is, zjops check slo says."""
    hour = "sum by (plan) (rate(jobs_submitted_total[1h]))"
    week = "sum by (plan) (rate(jobs_submitted_total[7d] offset 1h))"
    least = f"sum by (plan) (increase(jobs_submitted_total[1h])) >= {SURGE_LEAST}"
    old = "sum by (plan) (jobs_submitted_total offset 169h)"
    window = f"[{CHAIN_MINUTES}m]"
    failed = f'sum(increase(blockchain_confirmations_total{{outcome="failed"}}{window}))'
    both = f'sum(increase(blockchain_confirmations_total{{outcome=~"failed|confirmed"}}{window}))'
    return [
        _alert(AUTH, SEVERITY[AUTH], f"sum(rate(auth_failures_total[{AUTH_MINUTES}m])) > {AUTH_PER_S}",
               f"more than {AUTH_PER_S} requests a second are refused with 401", {}),
        _alert(SURGE, SEVERITY[SURGE], f"({hour} > {SURGE_FACTOR} * {week})\nand {least}\nand {old}",
               f"plan {{{{ $labels.plan }}}} submits more than {SURGE_FACTOR} times its mean of seven days", {}),
        _alert(CHAIN, SEVERITY[CHAIN],
               f"{failed} > {CHAIN_PERCENT} / 100 * {both}\nand round({failed}) >= {CHAIN_LEAST}",
               f"more than {CHAIN_PERCENT} % of the confirmation transactions of {CHAIN_MINUTES} min failed", {}),
    ]  # fmt: skip


def _alert(name: str, severity: str, expr: str, text: str, labels: dict[str, str]) -> Rule:
    plan = f" --plan {labels['plan']}" if "plan" in labels else ""
    return {
        "alert": name, "expr": expr, "labels": {"severity": severity, "service": "zjops"} | labels,
        "annotations": {
            "summary": SUMMARY[name], "description": text, "runbook": f"zjops runbook {name}",
            "opens": f"zjops slo{plan} --at {NOW}",
        },
    }  # fmt: skip


def _labels(one: Objective) -> dict[str, str]:
    return {"slo": one.slo, "plan": one.plan}


def _selector(one: Objective) -> str:
    return f'{{slo="{one.slo}",plan="{one.plan}"}}'
