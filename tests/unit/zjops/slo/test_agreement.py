"""`zjops slo`, `zjops check` and the exported Prometheus rules say the same of the same log, minute for minute."""

from __future__ import annotations

import contextlib
import importlib.resources
import io
import json
import shutil
import subprocess
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.unit.zjops.slo.logs import START, Jobs, answers, probe, write_requests
from zjops.cli.main import main
from zjops.domain.clock import rfc3339
from zjops.feed.budgets import read_budgets
from zjops.slo.catalogue import objectives_of
from zjops.slo.model import MILLION, window_text
from zjops.slo.prometheus import rules

LENGTH = 480
"""Eight hours: a bad half hour, a dead API, a time of which nothing is known."""
OWN = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: six-hours, labels: {plan: [pro, free]}}
spec:
  service: jobs
  indicatorRef: availability
  timeWindow: [{duration: 6h, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.95}]
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: start, labels: {plan: [pro, all]}}
spec:
  service: jobs
  indicatorRef: start
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
  alertPolicies: [burn-14x, burn-6x, burn-3x, burn-1x]
"""
LOOKS = (100, 305, 331, 364, 395, 419, 424, 470)
Told = tuple[Any, list[dict[str, Any]]]
"""What check and slo say."""


class Story:
    """What happened, told twice: as rows of a log, and as the counters that Prometheus would have scraped."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.jobs = Jobs()
        self.counted: dict[tuple[str, str, str], list[int]] = {}
        for minute in range(LENGTH):
            self._minute(minute)

    def _count(self, sli: str, plan: str, minute: int, good: int, bad: int) -> None:
        for outcome, number in (("good", good), ("bad", bad)):
            self.counted.setdefault((sli, plan, outcome), [0] * LENGTH)[minute] += number

    def _minute(self, minute: int) -> None:
        dead, silent, troubled = 360 <= minute < 400, 415 <= minute < 425, 300 <= minute < 330
        if not silent:
            self._probes(minute, bad=6 if dead else 0)
        if dead or silent:
            return
        pro, free = (42, 18) if troubled else (60, 0), (1, 0)
        for plan, (good, bad) in (("pro", pro), ("free", free)):
            self.rows += [answers(START + minute, good, plan=plan)]
            self.rows += [answers(START + minute, bad, plan=plan, status=503)] if bad else []
            self._count("availability", plan, minute, good, bad)
        for number in range(3):
            late = troubled and number == 0
            self.jobs.add(minute * 60, plan="pro", **({} if late else {"processing": minute * 60 + 2.0}))
            self._count("start-30s", "pro", minute, int(not late), int(late))

    def _probes(self, minute: int, bad: int) -> None:
        self.rows += [probe(START + minute, 10 * n, status=0 if n < bad else 200) for n in range(6)]
        self._count("availability", "prober", minute, 6 - bad, bad)

    def save(self, log: Path) -> None:
        """The log."""
        write_requests(log, self.rows)
        self.jobs.save(log)

    def series(self) -> list[dict[str, str]]:
        """The counters at the end of each minute, from zero on."""
        return [
            {"series": f'slo_events_total{{sli="{sli}",plan="{plan}",outcome="{outcome}"}}',
             "values": " ".join(map(str, [0, *accumulate(numbers)]))}
            for (sli, plan, outcome), numbers in self.counted.items()
        ]  # fmt: skip


class Stage(NamedTuple):
    """A log, the files of its objectives as arguments, the story, and what the commands say of its minutes."""

    folder: Path
    files: list[str]
    story: Story
    told: dict[int, Told]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The commands, run once for every minute that is looked at."""
    folder = tmp_path_factory.mktemp("agreement")
    story = Story()
    story.save(folder / "log")
    (folder / "own.yaml").write_text(OWN)
    shipped = Path(str(importlib.resources.files("zjops.slo"))) / "specs" / "availability.yaml"
    files, told = ["--slo-file", str(shipped), "--slo-file", str(folder / "own.yaml")], {}
    for minute in LOOKS:
        at = ["--at", rfc3339((START + minute) * 60_000), "--log", str(folder / "log"), *files]
        checked = _asked("check", "slo", "--format", "json", *at)
        told[minute] = (checked, _asked("slo", "--json", "-q", *at)["rows"])
    return Stage(folder, files, story, told)


def _asked(*arguments: str) -> Any:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main([*arguments])
    return json.loads(out.getvalue())


def _alerts(checked: Any) -> set[tuple[str, ...]]:
    return {
        (one["name"], one["severity"], one["labels"]["slo"], one["labels"]["plan"], one["labels"].get("window", ""))
        for one in checked["alerts"]
    }


def test_check_and_table_agree_at_every_minute(stage: Stage) -> None:
    seen: set[str] = set()
    for checked, rows in stage.told.values():
        alerts = _alerts(checked)
        assert {one for one in alerts if one[0] == "SloBudgetBurn"} == {
            ("SloBudgetBurn", burn["severity"], row["slo"], row["plan"], window_text(burn["long_minutes"]))
            for row in rows for burn in row["burns"] if burn["state"] == "firing"
        }  # fmt: skip
        policies = {"SloBudgetExhausted": {"full-freeze"}, "SloBudgetLow": {"freeze", "slow"}}
        for name, those in policies.items():
            assert {one[2:4] for one in alerts if one[0] == name} == {
                (row["slo"], row["plan"]) for row in rows if row["policy"] in those
            }
        seen |= {name for name, *_ in alerts}
    assert seen == {"SloBudgetBurn", "SloBudgetExhausted", "SloBudgetLow", "SloNoData"}, "the story shows every alert"


@pytest.mark.parametrize("minute", [LOOKS[0], LOOKS[-1]])
def test_the_terminal_shows_what_the_table_says(stage: Stage, minute: int) -> None:
    at_ms, log = (START + minute) * 60_000, stage.folder / "log"
    rows = _asked("slo", "--json", "-q", "--at", rfc3339(at_ms), "--log", str(log))["rows"]
    found = read_budgets(log, START + minute).budgets
    assert [(one.name, one.plan, one.target_ppm, one.bad, one.allowed) for one in found] == [
        (row["slo"], row["plan"], row["target_ppm"], row["bad"], row["allowed"]) for row in rows
    ]
    shares = [one.left_share for one in found]
    told = [row["left_ppm"] for row in rows]
    assert shares == [None if ppm is None else pytest.approx(ppm / 1_000_000, abs=1e-6) for ppm in told]
    loud = {(one.name, one.plan) for one in found if {"PAGE", "TICKET"} & set((one.outlook or "").split())}
    assert loud == {(r["slo"], r["plan"]) for r in rows if any(burn["state"] == "firing" for burn in r["burns"])}
    assert loud == {(one.name, one.plan) for one in found if one.alert is not None}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on this machine")
def test_prometheus_fires_what_check_fires(stage: Stage) -> None:
    folder = stage.folder
    assert main(["export", "prometheus-rules", "-o", str(folder / "rules.yaml"), *stage.files]) == 0
    looks = []
    for minute, (checked, rows) in stage.told.items():
        looks += [_fires(minute, _alerts(checked)), *_ratios(minute, rows)]
    test = {
        "rule_files": ["rules.yaml"], "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": stage.story.series(), "promql_expr_test": looks}],
    }  # fmt: skip
    (folder / "test.yaml").write_text(yaml.safe_dump(test, width=10**6))
    for arguments in (["check", "rules", "rules.yaml"], ["test", "rules", "test.yaml"]):
        done = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def _fires(minute: int, fired: set[tuple[str, ...]]) -> dict[str, Any]:
    """At a minute the firing alerts are exactly those."""
    samples = []
    for name, severity, slo, plan, window in sorted(fired):
        labels = {"alertname": name, "alertstate": "firing", "severity": severity, "service": "zjops", "slo": slo,
                  "plan": plan} | ({"window": window} if window else {})  # fmt: skip
        inner = ",".join(f'{key}="{value}"' for key, value in labels.items())
        samples.append({"labels": f"ALERTS{{{inner}}}", "value": 1})
    return {"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{minute}m", "exp_samples": samples}


def _ratios(minute: int, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is left of budgets whose period the history covers, to a millionth."""
    found = []
    for row in rows:
        if row["covered_minutes"] == row["period_minutes"]:
            selector = f'slo:budget_left:ratio{{slo="{row["slo"]}",plan="{row["plan"]}"}}'
            expr = f"count(abs({selector} - ({row['left_ppm']} / {MILLION})) < 2 / {MILLION})"
            found.append({"expr": expr, "eval_time": f"{minute}m", "exp_samples": [{"labels": "{}", "value": 1}]})
    assert found or minute < 360
    return found


def test_every_pair_of_every_objective_has_a_rule_with_its_thresholds() -> None:
    document = yaml.safe_load(rules(objectives_of()))
    found = [rule for group in document["groups"] for rule in group["rules"] if rule.get("alert") == "SloBudgetBurn"]
    expected = [(one, pair) for one in objectives_of() for pair in one.pairs]
    assert len(found) == len(expected) == 35 * 4
    recorded = {(r["record"], r["labels"]["slo"], r["labels"]["plan"]) for g in document["groups"] for r in g["rules"]
                if "record" in r}  # fmt: skip
    for rule, (one, pair) in zip(found, expected, strict=True):
        long, short = window_text(pair.long_minutes), window_text(pair.short_minutes)
        here = f'{{slo="{one.slo}",plan="{one.plan}"}}'
        limit = f"{pair.factor_tenths * one.budget_ppm} / {10 * MILLION}"
        assert rule["expr"].splitlines() == [
            f"slo:error_ratio:rate{long}{here} > {limit}", f"and slo:error_ratio:rate{short}{here} > {limit}",
            f"and round(slo:events:increase{long}{here}) >= 100", f"and round(slo:events:increase{short}{here}) >= 10",
        ]  # fmt: skip
        assert rule["labels"]["severity"] == pair.severity
        assert rule["annotations"]["runbook"] == "zjops runbook SloBudgetBurn"
        for window in (long, short):
            assert {
                (f"slo:{name}{window}", one.slo, one.plan) for name in ("error_ratio:rate", "events:increase")
            } <= recorded
