"""A file that names several parts is run at each of them, as the experiments that come with the project are."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.unit.zjops.chaos.test_report import result
from tests.unit.zjops.client.test_clients import CONTEXT
from zjops.chaos import run
from zjops.chaos.experiments import command_of, experiment, folder, named
from zjops.chaos.result import Result
from zjops.chaos.run import Asked
from zjops.cli.main import main
from zjops.domain.errors import UnreachableError, UntrustedError, UsageError, ZjopsError

MINE = "title: x\ndescription: y\nmethod: []\nextensions: [{name: zjops, targets: [api, worker, meter]}]\n"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    return path


@pytest.fixture
def conducted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Asked]:
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
    monkeypatch.setattr("zjops.chaos.needs.require_parts", lambda context, chosen: None)
    monkeypatch.setattr("zjops.cli.chaos.resolve", lambda *_: CONTEXT)
    monkeypatch.setenv("ZJOPS_HOME", str(tmp_path / "home"))
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


@pytest.mark.parametrize(
    "error", [UntrustedError("the load ended"), UnreachableError("nothing answers")], ids=["no load", "no platform"]
)
def test_one_that_comes_to_nothing_is_told_and_the_others_are_run(
    mine: Path, conducted: list[Asked], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    error: ZjopsError,
) -> None:  # fmt: skip
    others = run.conduct

    def conduct(one: Asked) -> tuple[Result, Path]:
        if one.experiment.target == "api":
            raise error
        return others(one)

    monkeypatch.setattr(run, "conduct", conduct)
    assert main(["chaos", "run", str(mine), "--json"]) == 5
    (row, *rest) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["experiment"], row["verdict"], row["reason"]) == ("mine-api", "? cannot tell", str(error))
    assert [row["verdict"] for row in rest] == ["✗ fail", "✓ pass"]


def test_a_suite_has_a_folder_among_the_runs_to_which_latest_leads(
    mine: Path, tmp_path: Path, conducted: list[Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chaos", "suite", "--only", f"kill-worker,{mine}", "--seed", "5"]) == 1
    (made,) = (tmp_path / "home" / "runs").glob("*-chaos-suite")
    assert {path.name for path in made.iterdir()} >= {"suite.json", "suite.html", "junit.xml", "kill-worker"}
    assert (tmp_path / "home" / "runs" / "latest").resolve() == made
    assert (made / "junit.xml").read_text().count("<testcase ") == 4
    told = capsys.readouterr()
    assert "reason" in told.out.splitlines()[0]
    assert f"2 of 4 experiments passed; {made / 'suite.html'}" in told.err
    command = f"zjops chaos suite --only {shlex.quote(f'kill-worker,{mine}')} --under chaos --seed 5"
    assert json.loads((made / "suite.json").read_text())["command"] == command


@pytest.mark.parametrize("command", [["run", "reorg"], ["suite", "--fresh"]], ids=["one", "all"])
def test_a_load_without_a_rate_is_refused_before_anything_is_started(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chaos", *command, "--under", "throughput"]) == 2
    assert "scenario throughput has no rate" in capsys.readouterr().err


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
