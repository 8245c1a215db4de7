"""What is told of an experiment, also where the platform did not live to be audited."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from zjops.audit.findings import Finding, Report
from zjops.audit.story import Step, Story
from zjops.chaos import run
from zjops.chaos.experiments import experiment
from zjops.chaos.report import write
from zjops.chaos.result import Result, Untold
from zjops.chaos.run import _generating
from zjops.chaos.suite import Suite, rows, rows_for_people
from zjops.chaos.suite import write as write_suite
from zjops.chaos.toolkit import Journal
from zjops.chaos.verdict import Second, Spent, times, windows
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UntrustedError
from zjops.load.histogram import Histogram
from zjops.load.measured import Measured
from zjops.load.records import SCHEMA, Head, Tail
from zjops.load.scenario import find

STORY = Story("job_1", [Step(5, "client", "sent it")], ["lost: nobody has it"])


def result(audit: Report | None) -> Result:
    """An experiment of ten seconds in which one request failed."""
    seconds = [Second(at * 1000, 10, 10 - (at == 5), errors=int(at == 5), p50_ms=1.0, p99_ms=2.0, max_ms=3.0)
               for at in range(10)]  # fmt: skip
    at = times(seconds, [], 4_000, 5_500)
    return Result(
        experiment("kill-worker"), "fail", "the steady state did not come back", Journal(True, False, [], "failed"), at,
        windows(seconds, [], at), Spent(1, 100, 1_000, 3), seconds, [], audit, [], Histogram.of([5_000] * 100),
        {"final": Histogram.of([7_000_000] * 5)}, {"kill at worker": 2}, 7, "zjops chaos run kill-worker", 5.0, 0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("audit", "row", "said"),
    [
        (None, ("–", "none"), "audit: none could be made"),
        (Report(Counter(client_accepted=9), []), ("9", "ok"), "9 accepted jobs, each of them once everywhere"),
        (Report(Counter(client_accepted=9), [Finding("lost", "job_1", "nobody has it")], story=STORY), ("9", "FOUND"),
         "1 findings: lost job_1"),
    ],
    ids=["a platform that is dead", "all came out right", "a job is lost"],
)  # fmt: skip
def test_a_result_is_written_down_whatever_the_audit_came_to(
    tmp_path: Path, audit: Report | None, row: tuple[str, str], said: str
) -> None:
    one = result(audit)
    write(one, tmp_path)
    (told,) = rows(Suite([one], 1, "zjops chaos suite", 0))
    assert (told["jobs"], told["audit"]) == row
    text = (tmp_path / "report.md").read_text()
    assert all(part in text for part in (said, "- kill at worker struck 2 times", "| final | 5 | 7,000 ms |"))
    assert ("Counter-example" in (tmp_path / "report.html").read_text()) == bool(one.story)
    assert (msgspec.json.decode((tmp_path / "summary.json").read_bytes())["audit"] is None) == (audit is None)


def test_the_percentile_tables_and_the_steps_stand_beside_the_report(tmp_path: Path) -> None:
    write(result(None), tmp_path)
    assert "TotalCount     =          100" in (tmp_path / "latency.hgrm").read_text()
    assert " 99.000%    5.00ms" in (tmp_path / "latency.txt").read_text()
    page = (tmp_path / "report.html").read_text()
    assert " 99.000%    5.00ms" in page
    assert "From acceptance to each step" in page
    told = msgspec.json.decode((tmp_path / "summary.json").read_bytes())
    assert [(row["hop"], row["jobs"]) for row in told["hops"]] == [("final", 5)]
    assert told["struck"] == {"kill at worker": 2}


@pytest.fixture
def suite() -> Suite:
    """One that passed, one that failed, one of which nothing is known, and one that was not begun."""
    good = result(Report(Counter(client_accepted=9), []))._replace(verdict="pass", reason="whole again")
    gone = Untold(experiment("reorg"), "the load ended <early>", "zjops chaos run reorg --seed 1", 5.0)
    bad = result(None)._replace(experiment=experiment("store-slow"))
    return Suite([good, bad, gone], 4, "zjops chaos suite", 0)


def test_a_suite_is_told_with_what_came_to_nothing(suite: Suite, tmp_path: Path) -> None:
    assert [row["verdict"] for row in rows(suite)] == ["✓ pass", "✗ fail", "? cannot tell"]
    assert [row["reason"] for row in rows_for_people(suite)] == [
        "", "the steady state did not come back", "the load ended <early>",
    ]  # fmt: skip
    passed = suite._replace(results=suite.results[:1], asked=1)
    assert "reason" not in rows_for_people(passed)[0]
    write_suite(suite, tmp_path)
    cases = {case.get("name"): [wrong.tag for wrong in case] for case in ET.parse(tmp_path / "junit.xml").getroot()}
    assert cases == {"kill-worker": [], "store-slow": ["failure"], "reorg": ["error"]}
    told = msgspec.json.decode((tmp_path / "suite.json").read_bytes())
    assert (told["schema"], told["asked"], told["passed"]) == ("zjops.chaos.suite/1", 4, 1)
    assert told["experiments"][2]["reason"] == "the load ended <early>"


def test_the_page_of_a_suite_loads_nothing_and_leads_to_each_experiment(suite: Suite, tmp_path: Path) -> None:
    write_suite(suite, tmp_path)
    page = (tmp_path / "suite.html").read_text()
    assert not re.search(r"<(script|link|iframe|img)|@import|url\(|://", page)
    assert "1 of 3 experiments passed; it ended before 1 more" in page
    assert '<a href="kill-worker/report.html">kill-worker</a>' in page
    assert '"reorg/report.html"' not in page
    assert "the load ended &lt;early&gt;" in page


class Load:
    """A generator that is through its warm-up at once and then goes on, or ends."""

    def __init__(self, lives: int) -> None:
        self._lives, self.stopped = lives, False

    @property
    def running(self) -> bool:
        self._lives -= 1
        return self._lives >= 0

    def start(self) -> None: ...
    def check(self) -> None: ...
    def close(self) -> None: ...

    def stop(self) -> None:
        self.stopped = True

    def news(self) -> list[Any]:
        return [Head(schema=SCHEMA, began_ms=0, workers=1, tenants=[]), Tail(worker=0, ran_s=99, whole=False)]


@pytest.mark.parametrize(("lives", "broken"), [(2, False), (3, True)], ids=["before it began", "while it lasted"])
def test_an_experiment_whose_load_ended_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lives: int, broken: bool
) -> None:
    load, reached = Load(lives), []
    monkeypatch.setattr(run, "Generator", lambda *_, **__: load)
    monkeypatch.setattr(run, "LOOK_S", 0)
    asked: Any = SimpleNamespace(seed=1, context_name=None, context=SimpleNamespace(home=None), say=lambda text: None)
    measured = Measured(run.lasting(find("chaos")))
    with (
        pytest.raises(UntrustedError, match="the load ended before the experiment did"),
        _generating(asked, tmp_path, measured, SystemClock()),
    ):
        reached.append(True)
    assert bool(reached) == broken
    assert load.stopped
