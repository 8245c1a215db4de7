"""A file that names several parts is run at each of them, as the experiments that come with the project are."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.unit.zjops.chaos.test_report import result
from tests.unit.zjops.client.test_clients import CONTEXT
from zjops.chaos.experiments import command_of, experiment, folder, named
from zjops.chaos.run import Asked, Result
from zjops.cli.main import main
from zjops.domain.errors import UsageError

MINE = "title: x\ndescription: y\nmethod: []\nextensions: [{name: zjops, targets: [api, worker, meter]}]\n"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    return path


@pytest.fixture
def conducted(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """What is run, none of it really; the worker's fails."""
    asked: list[Asked] = []

    def conduct(one: Asked) -> tuple[Result, Path]:
        asked.append(one)
        if one.out is not None:
            one.out.mkdir(parents=True)
        verdict = "fail" if one.experiment.target == "worker" else "pass"
        return result(None)._replace(experiment=one.experiment, verdict=verdict), one.out or Path("runs")

    monkeypatch.setattr("zjops.chaos.run.conduct", conduct)
    monkeypatch.setattr("zjops.chaos.report.write", lambda result, folder: None)
    monkeypatch.setattr("zjops.cli.chaos.resolve", lambda *_: CONTEXT)
    return asked


def test_each_target_of_a_file_is_run_and_one_failure_is_the_whole_s(
    mine: Path, tmp_path: Path, conducted: list[Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "reports"
    assert main(["chaos", "run", str(mine), "--lease", "2", "--seed", "5", "--out", str(out), "--json"]) == 1
    assert [one.experiment.target for one in conducted] == ["api", "worker", "meter"]
    assert [(one.lease_s, one.seed, one.out) for one in conducted] == [
        (2, 5, out / name) for name in ("mine-api", "mine-worker", "mine-meter")
    ]  # fmt: skip
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "zjops.chaos.suite/1"
    assert [row["experiment"] for row in told["rows"]] == ["mine-api", "mine-worker", "mine-meter"]
    assert (out / "junit.xml").read_text().count("<testcase ") == 3


def test_what_repeats_one_of_them_runs_that_one_alone(mine: Path, conducted: list[Asked]) -> None:
    main(["chaos", "run", str(mine), "--seed", "5", "-q"])
    command = shlex.split(conducted[1].command)
    assert command == ["zjops", "chaos", "run", str(mine), "--target", "worker", "--under", "chaos", "--seed", "5"]
    conducted.clear()
    assert main(command[1:]) == 1
    assert [one.experiment.name for one in conducted] == ["mine-worker"]


def test_a_suite_takes_a_file_with_all_its_targets(mine: Path, conducted: list[Asked]) -> None:
    main(["chaos", "suite", "--only", f"kill-worker,{mine}", "-q"])
    assert [one.experiment.name for one in conducted] == ["kill-worker", "mine-api", "mine-worker", "mine-meter"]


def test_one_that_comes_with_the_project_is_told_by_its_name_however_it_was_named() -> None:
    found = named(str(folder() / "kill.yaml"), "worker")
    assert [command_of(one) for one in [*found, experiment("kill-worker")]] == [["kill-worker"]] * 2


def test_a_target_that_an_experiment_has_not_is_refused(mine: Path) -> None:
    with pytest.raises(UsageError, match=r"mine\.yaml cannot be done at chain; there is api, worker, meter"):
        named(str(mine), "chain")
    with pytest.raises(UsageError, match="reorg cannot be done at chain; there is no target to choose"):
        named("reorg", "chain")
