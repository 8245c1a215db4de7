"""A whole run with its parts made up: in which order they are asked, and what is told when one of them is away."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.zjops.load.made import run as measured
from tests.unit.zjops.load.made import scenario, steady
from zjops.audit.findings import Finding, Report
from zjops.audit.story import Step, Story
from zjops.config import Context
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UnreachableError, UntrustedError
from zjops.load import run
from zjops.load.generator import Generator
from zjops.load.measured import Measured
from zjops.load.outcome import Outcome, summary
from zjops.load.roles import Usage
from zjops.load.run import Asked, Ended, _failure, _unfinished
from zjops.load.runs import LOG


class Parts:
    """Generator, platform and audit; `order` is what was asked of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.order: list[str] = []
        self.ended = Ended(measured(*steady()), False, None)
        self.error: BaseException | None = None
        self.report = Report(Counter(), [])
        monkeypatch.setattr(run, "require_installed", lambda: None)
        monkeypatch.setattr(run.aftermath, "require_ready", lambda context: None)
        monkeypatch.setattr(run, "usage", self._usage)
        monkeypatch.setattr(run, "_generate", lambda *_: self.ended)
        monkeypatch.setattr(run.aftermath, "prove", self._prove)

    def _usage(self, context: Context) -> dict[str, Usage]:
        self.order.append("usage")
        return {"api": Usage(1, ("api",), float(len(self.order)), 5)}

    def _prove(self, *_: Any) -> Report:
        self.order.append("audit")
        if self.error is not None:
            raise self.error
        return self.report

    def conduct(self, home: Path) -> Outcome:
        context = Context(api_url="http://127.0.0.1:9", token_url="http://127.0.0.1:9", issuer="x", home=str(home))
        asked = Asked(scenario(slos=(), thresholds=("p(99)<200",)), context, None, 7, 1, "zjops load run made")
        return run.conduct(asked)[0]


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    return Parts(monkeypatch)


def test_what_the_audit_takes_is_no_cost_of_a_job(parts: Parts, tmp_path: Path) -> None:
    outcome = parts.conduct(tmp_path)
    assert parts.order == ["usage", "usage", "audit"]
    assert [cost.cpu_s for cost in outcome.costs] == [1.0]
    assert (outcome.verdict, outcome.audit is not None) == ("pass", True)


def test_an_audit_that_cannot_be_made_is_a_doubt(parts: Parts, tmp_path: Path) -> None:
    parts.error = UnreachableError("away")
    outcome = parts.conduct(tmp_path)
    assert (outcome.verdict, outcome.audit, len(outcome.costs)) == ("not_trusted", None, 1)
    assert [flaw.text for flaw in outcome.flaws] == ["the audit could not be made: away"]


def test_a_run_that_lost_a_job_fails_and_tells_its_story(parts: Parts, tmp_path: Path) -> None:
    story = Story("job_1", [Step(1_795_689_472_504, "client", "accepted")], ["the store has no such job"])
    parts.report = Report(Counter(), [Finding("lost", "job_1", "the store has no such job")], story=story)
    outcome = parts.conduct(tmp_path)
    assert (outcome.verdict, outcome.broken, outcome.trusted) == ("fail", True, True)
    assert outcome.story[0] == "the story of job_1:"
    told = summary(outcome)["audit"]
    assert (told["ok"], told["counterexample"]["job_id"]) == (False, "job_1")


def test_a_run_that_is_interrupted_while_it_is_audited_is_no_pass(parts: Parts, tmp_path: Path) -> None:
    parts.error = KeyboardInterrupt()
    outcome = parts.conduct(tmp_path)
    assert (outcome.verdict, outcome.interrupted, outcome.audit) == ("not_trusted", True, None)


def test_a_generator_that_lost_a_process_measured_another_load(parts: Parts, tmp_path: Path) -> None:
    parts.ended = Ended(measured(*steady(), whole=False), False, None)
    assert parts.conduct(tmp_path).verdict == "not_trusted"


def test_a_generator_that_failed_at_its_end_leaves_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = Generator(tmp_path, seed=1, workers=1, prefix="load-x", context=None, home=None)
    (tmp_path / LOG).write_text("Traceback\n")
    monkeypatch.setattr(generator, "_process", SimpleNamespace(returncode=1))
    failed = _failure(generator, measured(*steady()), ended_early=False)
    assert failed is not None
    assert failed.startswith("the generator ended with 1; see ")
    assert [flaw.text for flaw in _unfinished(Ended(measured(*steady()), False, None, failed))] == [failed]
    assert _failure(generator, measured(*steady()), ended_early=True) is None
    with pytest.raises(UntrustedError, match="ended with 1"):
        _failure(generator, Measured(scenario()), ended_early=True)


def test_a_run_without_hope_fails_though_it_was_ended_early(parts: Parts, tmp_path: Path) -> None:
    parts.ended = Ended(measured(*steady(times_ms=[900.0] * 100), whole=False), False, "p(99)<200")
    assert parts.conduct(tmp_path).verdict == "fail"


def test_a_generator_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = Context(api_url="http://127.0.0.1:9", token_url="http://127.0.0.1:9", issuer="x", home=str(tmp_path))
    made = Generator(tmp_path, seed=1, workers=1, prefix="load-x", context=None, home=None)
    made._argv = [sys.executable, "-c", "import signal; signal.pause()"]
    monkeypatch.setattr(run, "Generator", lambda *_, **__: made)
    monkeypatch.setattr(run, "SILENT_S", 0.0)
    asked = Asked(scenario(slos=(), thresholds=()), context, None, 7, 1, "zjops load run made")
    with pytest.raises(UntrustedError, match=r"the generator said nothing for 0 s; see .*generator\.log"):
        run._generate(asked, tmp_path, [], SystemClock())
    assert not made.running
