"""What is told of an experiment, also where the platform did not live to be audited."""

from __future__ import annotations

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
from zjops.chaos.report import suite_rows, write
from zjops.chaos.run import Result, _generating
from zjops.chaos.toolkit import Journal
from zjops.chaos.verdict import Second, Spent, times, windows
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UntrustedError
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
        windows(seconds, [], at), Spent(1, 100, 1_000, 3), seconds, [], audit, 7, "zjops chaos run kill-worker", 5.0, 0,
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
    (told,) = suite_rows([one])
    assert (told["jobs"], told["audit"]) == row
    assert said in (tmp_path / "report.md").read_text()
    assert ("Counter-example" in (tmp_path / "report.html").read_text()) == bool(one.story)
    assert (msgspec.json.decode((tmp_path / "summary.json").read_bytes())["audit"] is None) == (audit is None)


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
