"""OpenSLO files: those that ship, somebody's own, and what is refused with the name of the file and the member."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from zjops.domain.errors import UsageError
from zjops.domain.indicators import KINDS
from zjops.domain.plans import price_book
from zjops.slo.catalogue import objectives_of, shipped
from zjops.slo.model import MILLION, Indicator

OWN = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: quick-start, labels: {plan: [pro]}}
spec:
  description: Jobs start within ten seconds.
  service: jobs
  indicator:
    metadata: {name: start-10s}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: zjops, spec: {indicator: start, within: 10s}}}
        total: {metricSource: {type: zjops, spec: {indicator: start}}}
  timeWindow: [{duration: 7d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{targetPercent: 99.5}]
  alertPolicies: [burn-14x, {alertPolicyRef: burn-1x}]
"""


def test_every_indicator_has_an_objective_for_every_plan() -> None:
    found = objectives_of()
    assert {one.indicator.kind for one in found} == set(KINDS)
    names = {one.indicator for one in found}
    plans = {"all", "free", "starter", "pro", "enterprise"}
    assert all({one.plan for one in found if one.indicator == name} == plans for name in names)
    targets = {one.indicator.name: one.target_ppm for one in found if one.plan == "all"}
    assert targets == {
        "availability": 999_000, "latency-300ms": 950_000, "latency-500ms": 990_000, "start-30s": 990_000,
        "confirmation-1m": 990_000, "job-success": 950_000, "job-duration-5m": 990_000,
    }  # fmt: skip


def test_each_plans_availability_is_tighter_than_its_sla() -> None:
    slas = {name: plan.sla_percent for name, plan in price_book().plans.items()}
    held = {one.plan: one.target_ppm for one in objectives_of() if one.indicator == Indicator("availability")}
    assert all(held[plan] > sla * MILLION / 100 for plan, sla in slas.items())


def test_pairs_of_windows_stand_one_a_policy_with_the_short_one_in_the_annotations() -> None:
    policies = [one for one in shipped() if one.kind == "AlertPolicy"]
    assert [one.metadata.name for one in policies] == ["burn-14x", "burn-6x", "burn-3x", "burn-1x"]
    assert all(len(one.spec.conditions) == 1 for one in policies)
    assert [p.severity for p in objectives_of()[0].pairs] == ["page", "page", "ticket", "ticket"]


def test_a_file_of_ones_own_takes_policies_and_services_from_this_package(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(OWN)
    (one,) = objectives_of([file])
    assert (one.slo, one.plan, one.target, one.indicator) == (
        "quick-start",
        "pro",
        "99.5 %",
        Indicator("start", 10_000),
    )
    assert [(p.factor, p.long_minutes) for p in one.pairs] == [("14.4", 14), ("1", 1008)]


def _with(path: str, value: Any) -> str:
    document = yaml.safe_load(OWN)
    at: Any = document
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in way:
        at = at[part]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return yaml.safe_dump(document)


GOOD = "spec.indicator.spec.ratioMetric.good.metricSource"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("apiVersion", "openslo/v1alpha", "apiVersion"),
        ("kind", "Budget", "kind"),
        ("metadata.name", "Quick Start", "metadata.name"),
        ("metadata.labels.plan", "gold", "metadata.labels.plan: gold is none of"),
        ("spec.tagret", "0.9", "spec: object contains unknown field `tagret`"),
        ("spec.service", "billing", "spec.service: there is no Service billing"),
        ("spec.service", None, "spec: object missing required field `service`"),
        ("spec.indicator", None, "either indicator or indicatorRef"),
        ("spec.timeWindow.0.isRolling", False, "spec.timeWindow[0]"),
        ("spec.timeWindow.0.duration", "1M", "spec.timeWindow[0].duration"),
        ("spec.timeWindow.0.duration", "5m", "from 1h to 90d"),
        ("spec.budgetingMethod", "Timeslices", "spec.budgetingMethod: Timeslices is not counted here"),
        ("spec.objectives.0.targetPercent", "100", "spec.objectives[0].targetPercent"),
        ("spec.objectives.0.targetPercent", "99.99999", "more than 4 decimal places"),
        ("spec.objectives.0.target", "0.99", "either target or targetPercent"),
        ("spec.objectives.0.timeSliceTarget", "0.9", "spec.objectives[0]"),
        ("spec.objectives", [], "spec.objectives"),
        ("spec.alertPolicies", ["burn-2x"], "there is no AlertPolicy burn-2x; there are burn-14x"),
        (f"{GOOD}.type", "Datadog", "its type is Datadog"),
        (f"{GOOD}.spec.indicator", "happiness", "'happiness' is none of"),
        (f"{GOOD}.spec.within", None, "indicator start needs within"),
        (f"{GOOD}.spec.within", "soon", "'soon' is no time"),
        (f"{GOOD}.spec.query", "up", "there is no member query"),
        ("spec.indicator.spec.ratioMetric.total.metricSource.spec.indicator", "job-success", "total: it must be"),
    ],
)
def test_what_cannot_be_counted_is_refused_by_file_and_member(tmp_path: Path, path: str, value: Any, said: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(_with(path, value))
    with pytest.raises(UsageError) as raised:
        objectives_of([file])
    assert str(raised.value).startswith(f"{file}, document 1")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "line 1"),
        ("kind: SLO\nkind: SLI", "line 2: kind stands there twice"),
        ("a: &x {b: 1}\nc: *x", "line 2: references"),
        ("? [a]\n: b", "line 1: a member's name is text"),
        ("[]", "expected `object`, got `array`"),
        ("", "there is no SLO in it"),
        ("\x01", "no YAML"),
        (f"{OWN}---{OWN}", "stands there already"),
    ],
)
def test_what_is_no_such_document_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as raised:
        objectives_of([file])
    assert str(file) in str(raised.value)
    assert said in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml cannot be read"):
        objectives_of([tmp_path / "none.yaml"])
