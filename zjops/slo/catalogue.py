"""From OpenSLO documents to objectives: references followed, and what cannot be counted here refused by name.

OpenSLO has one window a condition, so that the short window of a pair stands in its policy's annotations, and the
period for which both were written; for another period they are scaled (C80).
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from zjops.domain.errors import UsageError
from zjops.domain.indicators import EVERY_PLAN, KINDS, LATENCIES_MS, LATENCY, TIMED
from zjops.slo.model import MILLION, TENTHS, Indicator, Objective, Pair
from zjops.slo.openslo import (
    ConditionSpec,
    Document,
    InlineSli,
    Metric,
    PolicyCondition,
    PolicyRef,
    PolicySpec,
    SliSpec,
    SloSpec,
    read_documents,
    read_file,
)

SHORT_WINDOW, FOR_PERIOD = "zama.ai/short-window", "zama.ai/for-period"
PLAN_LABEL = "plan"
SOURCE_TYPE = "zjops"
MINUTES = {"m": 1, "h": 60, "d": 1440, "w": 10_080}
SHORTEST, LONGEST = 60, 90 * 1440
"""Periods, in minutes."""
_WITHIN = re.compile(r"([1-9][0-9]{0,6})(ms|s|m)")
_TO_MS = {"ms": 1, "s": 1000, "m": 60_000}
PLANS = (EVERY_PLAN, "free", "starter", "pro", "enterprise")


def shipped() -> list[Document]:
    """The documents of this package."""
    folder = importlib.resources.files("zjops.slo") / "specs"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    return [one for file in files for one in read_documents(file.read_text(), file.name)]


def objectives_of(files: Sequence[Path] = ()) -> list[Objective]:
    """The objectives of files, or of this package where there is none.

    A file may name indicators, policies and services of this package, or bring its own under the same names. Raises
    `UsageError` that names file, object and member.
    """
    ours = shipped()
    given = [one for path in files for one in read_file(path)]
    chosen = given if files else ours
    found = [o for one in chosen if one.kind == "SLO" for o in _Catalogue(ours, given).objectives(one)]
    if not found:
        raise UsageError(f"{', '.join(map(str, files))}: there is no SLO in it")
    keys = [(one.slo, one.plan) for one in found]
    twice = next((key for number, key in enumerate(keys) if key in keys[:number]), None)
    if twice is not None:
        raise UsageError(f"SLO {twice[0]} stands there twice for plan {twice[1]}")
    return found


class _Catalogue:
    """Objects by kind and name; those that were given go before those of this package."""

    def __init__(self, ours: Iterable[Document], given: Iterable[Document]) -> None:
        self._known = {(one.kind, one.metadata.name): one for one in ours}
        fresh: set[tuple[str, str]] = set()
        for one in given:
            key = one.kind, one.metadata.name
            if key in fresh:
                raise UsageError(f"{one.where}: a {one.kind} of this name stands there already")
            fresh.add(key)
            self._known[key] = one

    def _named(self, kind: str, name: str, where: str) -> Document:
        found = self._known.get((kind, name))
        if found is None:
            names = ", ".join(sorted(known for other, known in self._known if other == kind))
            raise UsageError(f"{where}: there is no {kind} {name}; there are {names}")
        return found

    def objectives(self, one: Document) -> list[Objective]:
        """An SLO, once for each of its plans."""
        spec: SloSpec = one.spec
        self._named("Service", spec.service, f"{one.where}: spec.service")
        indicator, text = self._indicator(spec, one.where)
        period, target = _period(spec, one.where), _target(spec, one.where)
        pairs = tuple(self._pair(name, period, one.where) for name in spec.alert_policies)
        return [
            Objective(one.metadata.name, spec.description or text, indicator, plan, target, period, pairs)
            for plan in _plans(one)
        ]

    def _indicator(self, spec: SloSpec, where: str) -> tuple[Indicator, str]:
        if (spec.indicator is None) == (spec.indicator_ref is None):
            raise UsageError(f"{where}: spec: either indicator or indicatorRef is needed")
        inline: InlineSli | None = spec.indicator
        if inline is not None:
            return self._counted(inline.spec, f"{where}: spec.indicator"), inline.spec.description or ""
        found = self._named("SLI", str(spec.indicator_ref), f"{where}: spec.indicatorRef")
        sli: SliSpec = found.spec
        return self._counted(sli, f"{found.where}: spec"), sli.description or ""

    def _counted(self, sli: SliSpec, where: str) -> Indicator:
        ratio = sli.ratio_metric
        if ratio is None or ratio.good is None or ratio.total is None or ratio.bad is not None or not ratio.counter:
            raise UsageError(f"{where}: only a ratioMetric with counter: true, good and total can be counted here")
        good = self._source(ratio.good, f"{where}.ratioMetric.good.metricSource")
        total = self._source(ratio.total, f"{where}.ratioMetric.total.metricSource")
        if total != (good.kind, None):
            raise UsageError(f"{where}.ratioMetric.total: it must be {{indicator: {good.kind}}}, all of which good is")
        if (good.kind in TIMED) != (good.within_ms is not None):
            need = "needs within, such as 30s" if good.kind in TIMED else "has no within"
            raise UsageError(f"{where}.ratioMetric.good.metricSource.spec: indicator {good.kind} {need}")
        if good.kind == LATENCY and good.within_ms not in LATENCIES_MS:
            raise UsageError(
                f"{where}.ratioMetric.good.metricSource.spec.within: the log counts exactly 300ms and 500ms"
            )
        return good

    def _source(self, metric: Metric, where: str) -> Indicator:
        source = metric.metric_source
        kind = source.type
        if source.metric_source_ref is not None:
            kind = self._named("DataSource", source.metric_source_ref, f"{where}.metricSourceRef").spec.type
        if kind != SOURCE_TYPE:
            raise UsageError(f"{where}: its type is {kind}; only {SOURCE_TYPE}, the platform's logs, is read here")
        unknown = set(source.spec) - {"indicator", "within"}
        if unknown:
            raise UsageError(f"{where}.spec: there is no member {min(unknown)}; there are indicator and within")
        name = source.spec.get("indicator")
        if name not in KINDS:
            raise UsageError(f"{where}.spec.indicator: {name!r} is none of {', '.join(KINDS)}")
        return Indicator(name, _within(source.spec.get("within"), f"{where}.spec.within"))

    def _pair(self, ref: str | PolicyRef, period: int, where: str) -> Pair:
        name = ref.alert_policy_ref if isinstance(ref, PolicyRef) else ref
        policy = self._named("AlertPolicy", name, f"{where}: spec.alertPolicies")
        spec: PolicySpec = policy.spec
        if (spec.alert_when_breaching, spec.alert_when_resolved, spec.alert_when_no_data) != (True, True, False):
            need = "alertWhenBreaching and alertWhenResolved must be true, alertWhenNoData false"
            raise UsageError(f"{policy.where}: spec: {need}: minutes without data have an alert of their own")
        condition, notes = self._condition(spec.conditions[0], policy.where), policy.metadata.annotations
        if condition.severity not in ("page", "ticket"):
            raise UsageError(f"{policy.where}: severity {condition.severity} is neither page nor ticket")
        if condition.condition.op != "gt" or condition.condition.alert_after.rstrip("mhdw") != "0":
            raise UsageError(f"{policy.where}: condition: op must be gt and alertAfter 0m: the short window ends it")
        for target in spec.notification_targets:
            self._named("AlertNotificationTarget", target.target_ref, f"{policy.where}: spec.notificationTargets")
        long = minutes_of(condition.condition.lookback_window, f"{policy.where}: lookbackWindow")
        short, given = (minutes_of(notes.get(key, ""), f"{policy.where}: metadata.annotations.{key}")
                        for key in (SHORT_WINDOW, FOR_PERIOD))  # fmt: skip
        if not short < long <= given:
            raise UsageError(f"{policy.where}: short window < long window <= period must hold")
        factor = _scaled(condition.condition.threshold, TENTHS, f"{policy.where}: threshold")
        found = Pair(name, factor, long, short, "page" if condition.severity == "page" else "ticket")
        return found.scaled(period, given)

    def _condition(self, one: PolicyCondition, where: str) -> ConditionSpec:
        if (one.condition_ref is None) == (one.spec is None):
            raise UsageError(f"{where}: spec.conditions[0]: either conditionRef or kind, metadata and spec are needed")
        if one.spec is not None:
            return one.spec
        found: Any = self._named("AlertCondition", str(one.condition_ref), f"{where}: spec.conditions[0]").spec
        spec: ConditionSpec = found
        return spec


def _plans(one: Document) -> list[str]:
    given = one.metadata.labels.get(PLAN_LABEL, EVERY_PLAN)
    plans = [given] if isinstance(given, str) else given
    for plan in plans:
        if plan not in PLANS:
            raise UsageError(f"{one.where}: metadata.labels.plan: {plan} is none of {', '.join(PLANS)}")
    return plans


def _period(spec: SloSpec, where: str) -> int:
    window = spec.time_window[0]
    if not window.is_rolling or window.calendar is not None:
        raise UsageError(f"{where}: spec.timeWindow[0]: only rolling windows are counted here; set isRolling: true")
    if spec.budgeting_method != "Occurrences":
        raise UsageError(f"{where}: spec.budgetingMethod: {spec.budgeting_method} is not counted here; set Occurrences")
    period = minutes_of(window.duration, f"{where}: spec.timeWindow[0].duration")
    if not SHORTEST <= period <= LONGEST:
        raise UsageError(f"{where}: spec.timeWindow[0].duration: it must be from 1h to 90d")
    return period


def _target(spec: SloSpec, where: str) -> int:
    """The target in millionths."""
    if len(spec.objectives) != 1:
        raise UsageError(f"{where}: spec.objectives: one objective an SLO; write another SLO for another target")
    one = spec.objectives[0]
    if any(value is not None for value in (one.op, one.value, one.time_slice_target, one.time_slice_window)):
        raise UsageError(f"{where}: spec.objectives[0]: op, value and timeSlice… are not counted here")
    if (one.target is None) == (one.target_percent is None):
        raise UsageError(f"{where}: spec.objectives[0]: either target or targetPercent is needed")
    name, unit = ("target", MILLION) if one.target is not None else ("targetPercent", MILLION // 100)
    found = _scaled(one.target or one.target_percent or "", unit, f"{where}: spec.objectives[0].{name}")
    if not 0 < found < MILLION:
        raise UsageError(f"{where}: spec.objectives[0].{name}: it must lie between 0 and {MILLION // unit}")
    return found


def minutes_of(text: str, where: str) -> int:
    """A duration in minutes. Raises `UsageError` for months and longer, which have no fixed length."""
    unit, number = text[-1:], text[:-1]
    if unit not in MINUTES or not number.isdecimal() or not int(number):
        raise UsageError(f"{where}: {text or 'it is missing;'} a duration in m, h, d or w is needed, such as 30d")
    return int(number) * MINUTES[unit]


def _within(text: Any, where: str) -> int | None:
    if text is None:
        return None
    found = _WITHIN.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise UsageError(f"{where}: {text!r} is no time such as 300ms, 30s or 5m")
    return int(found[1]) * _TO_MS[found[2]]


def _scaled(text: str, unit: int, where: str) -> int:
    """A decimal number as a whole number of its smallest parts. Raises `UsageError` for one that has smaller parts."""
    whole, _, part = text.partition(".")
    digits = len(str(unit)) - 1
    if len(part.rstrip("0")) > digits:
        raise UsageError(f"{where}: {text} has more than {digits} decimal places")
    return int(whole) * unit + int((part.rstrip("0") or "0").ljust(digits, "0"))
