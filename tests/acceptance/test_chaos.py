"""`zjops chaos` on a real platform: the verdict of a run, and that everything heals when its controller is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from tests.support.cli import Cli
from tests.support.nats import eventually
from tests.support.platform import Stage, running_platform
from zjops.chaos.experiments import experiment, experiments
from zjops.chaos.toolkit import JOURNAL, LOG, Toolkit
from zjops.config import local_context
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UsageError
from zjops.domain.jobs import JobState
from zjops.domain.runfile import read_run_file

pytest.importorskip("chaoslib", reason="Chaos Toolkit is missing; install it with: make load")

LONG = os.environ.get("ZJOPS_LONG") == "1"
"""Set by `make chaos`: every experiment, not a few."""
FEW = ("api-latency", "store-locked", "api-killed", "workers-throttled", "stop-settlement", "broker-lossy")
LEASE_S = 3.0
CLOCK = SystemClock()
AT_ONE_STROKE = {
    "reorg": "look-on", "key-rotation": "while-both-keys-hold", "stream-tail-lost": "look-on",
    "poison-job": "the-poison-job-ends", "webhook-fails": "receive-badly", "webhook-hangs": "receive-badly",
}  # fmt: skip
"""Those whose controller holds no fault by a lease, and the step of their method that is half way."""
FAULTY = [name for name in experiments() if name not in AT_ONE_STROKE]
STAGE = ("--spread", "--workers", "2", "--set", "proxies=true")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A process for every role, and a proxy before the API, the broker and the chain."""
    with running_platform(tmp_path_factory.mktemp("chaos"), *STAGE) as made:
        yield made


@pytest.fixture
def zjops(stage: Stage, tmp_path: Path) -> Cli:
    """The command line on that platform."""
    return Cli(stage, tmp_path / "config")


def _whole(stage: Stage) -> bool:
    return all(process["ready"] for process in stage.control.status()["processes"])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", FAULTY if LONG else FEW)
async def test_what_it_broke_heals_though_its_controller_was_killed_half_way(
    stage: Stage, tmp_path: Path, name: str
) -> None:
    chosen = experiment(name)
    toolkit = Toolkit(chosen, tmp_path, local_context(stage.home), lease_s=LEASE_S, recover_s=30.0)
    toolkit.start()
    await eventually(lambda: bool(stage.control.faults()["active"]), 60)
    await _heals_alone(stage, toolkit, tmp_path)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", AT_ONE_STROKE if LONG else ("reorg", "webhook-hangs"))
async def test_what_it_did_at_one_stroke_is_got_over_without_it(stage: Stage, tmp_path: Path, name: str) -> None:
    toolkit = Toolkit(experiment(name), tmp_path, local_context(stage.home), lease_s=LEASE_S, recover_s=30.0)
    toolkit.start()
    await eventually(lambda: AT_ONE_STROKE[name] in (tmp_path / LOG).read_text(), 60)
    await _heals_alone(stage, toolkit, tmp_path)


async def _heals_alone(stage: Stage, toolkit: Toolkit, folder: Path) -> None:
    """Kill the controller; then faults end by their leases, every process is ready, and a job goes the whole way."""
    toolkit.kill()
    assert not (folder / JOURNAL).exists()
    await eventually(lambda: not stage.control.faults()["active"] and _whole(stage), LEASE_S + 30)
    jobs = stage.jobs()
    job_id = jobs.submit({"jobType": "data_processing", "parameters": {"algorithm": "synthetic"}}).job.job_id
    await eventually(lambda: jobs.get(job_id).status == JobState.CONFIRMED, 60)
    jobs.http.close()


@pytest.mark.timeout(180)
def test_an_experiment_is_run_judged_and_reported(stage: Stage, zjops: Cli, tmp_path: Path) -> None:
    out = tmp_path / "report"
    status, said, err = zjops(
        "chaos", "run", "kill-worker", "--lease", "2", "--seed", "5", "--out", str(out),
        "--json",
    )  # fmt: skip
    assert status == 0, err
    told = msgspec.json.decode(said)
    assert (told["schema"], told["experiment"], told["verdict"]) == ("zjops.chaos/1", "kill-worker", "pass")
    assert told["audit"]["ok"]
    assert told["audit"]["client_accepted"] > 100
    # Whichever comes first: a machine that starts a worker anew may be too busy for its requests as well.
    assert told["noticed_by"].endswith(("does not answer", " ms")), told["noticed_by"]
    assert 1.0 < told["healed_after_s"] < 20.0
    assert [window["name"] for window in told["windows"]] == ["before", "during", "after"]
    assert told["windows"][1]["away"] == ["worker"]
    assert told["command"].endswith("--seed 5")
    names = {path.name for path in out.iterdir()}
    assert {"report.html", "report.md", "summary.json", "junit.xml", "journal.json", "history.jsonl"} <= names
    assert told["flaws"] == []
    assert told["struck"] == {"kill at worker": 1}
    assert {row["hop"] for row in told["hops"]} >= {"started", "completed", "mined", "final"}
    assert "TotalCount" in (out / "latency.hgrm").read_text()
    assert " 99.000%" in (out / "latency.txt").read_text()
    assert "://" not in (out / "report.html").read_text().replace("http://www.w3.org", "")


@pytest.mark.timeout(300)
def test_a_suite_is_run_one_after_the_other_and_told_as_one(stage: Stage, zjops: Cli) -> None:
    status, said, err = zjops(
        "chaos", "suite", "--only", "kill-worker,store-slow", "--lease", "2", "--seed", "5", within_s=280
    )
    assert status == 0, err
    head, *lines = said.splitlines()
    assert head.split() == ["experiment", "verdict", "noticed", "healed", "over", "bad", "jobs", "audit"]
    assert [line.split()[:3] for line in lines] == [["kill-worker", "✓", "pass"], ["store-slow", "✓", "pass"]]
    assert all(line.split()[-1] == "ok" for line in lines)
    (folder,) = (stage.home / "runs").glob("*-chaos-suite")
    assert f"2 of 2 experiments passed; {folder / 'suite.html'}" in err
    assert (stage.home / "runs" / "latest").resolve() == folder
    cases = ET.parse(folder / "junit.xml").getroot()
    assert (cases.get("tests"), cases.get("failures"), cases.get("errors")) == ("2", "0", "0")
    told = msgspec.json.decode((folder / "suite.json").read_bytes())
    assert [(one["experiment"], one["verdict"]) for one in told["experiments"]] == [
        ("kill-worker", "pass"), ("store-slow", "pass"),
    ]  # fmt: skip
    assert (folder / "store-slow" / "report.html").exists()


def test_a_suite_is_refused_before_its_first_experiment_where_a_part_is_missing(
    stage: Stage, zjops: Cli, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "title: x\ndescription: y\nmethod: []\nextensions: [{name: zjops, targets: [worker, nobody, none]}]\n"
    )
    status, said, err = zjops("chaos", "suite", "--only", f"kill-worker,{mine}", "--out", str(tmp_path / "out"))
    assert (status, said) == (2, "")
    assert err.startswith("error: mine-nobody needs a process nobody; mine-none needs a process none. There are ")
    assert err.rstrip().endswith("start the platform with: zjops up --spread --set proxies=true, or give --fresh")
    assert not (tmp_path / "out").exists()


def test_an_experiment_that_needs_what_is_not_here_is_refused(zjops: Cli, stage: Stage, tmp_path: Path) -> None:
    status, _, err = zjops("chaos", "run", "kill-nobody")
    assert status == 2
    assert err.startswith("error: there is no experiment kill-nobody; there are ")
    mine = tmp_path / "mine.yaml"
    mine.write_text("title: x\n")
    status, _, err = zjops("chaos", "run", str(mine))
    assert status == 2
    assert "is not an experiment" in err


def test_faults_can_be_put_and_ended_by_hand(zjops: Cli, stage: Stage) -> None:
    assert zjops("chaos", "break", "api", "store.delay", "--param", "ms=5", "--lease", "60")[0] == 0
    status, said, err = zjops("chaos", "faults")
    assert status == 0
    assert "store.delay" in said
    assert "holds: store.delay at api" in err
    assert zjops("chaos", "break", "meter", "kill", "--lease", "60")[0] == 0
    assert "holds: kill at meter, struck 1 time\n" in zjops("chaos", "faults")[2]
    assert zjops("chaos", "heal")[1].strip() == "2 faults ended"
    status, _, err = zjops("chaos", "break", "api", "store.delay", "--param", "ms")
    assert (status, err.strip()) == (2, "error: --param is NAME=NUMBER, not ms")


def test_the_command_that_repeats_a_run_names_all_that_it_was_given() -> None:
    from zjops.cli.chaos import _command

    assert _command(["run", "kill-worker"], "smoke", None, False, None, None) == (
        "zjops chaos run kill-worker --under smoke"
    )  # fmt: skip
    assert _command(["run", "reorg"], "chaos", 2.5, True, None, None) == (
        "zjops chaos run reorg --under chaos --lease 2.5 --fresh"
    )  # fmt: skip
    assert _command(["run", "my own.yaml"], "chaos", None, False, None, Path("/tmp/a b")) == (
        "zjops chaos run 'my own.yaml' --under chaos --home '/tmp/a b'"
    )  # fmt: skip


def test_a_suite_of_nothing_or_of_one_twice_is_refused() -> None:
    from zjops.cli.chaos import _chosen

    with pytest.raises(UsageError, match="--only names no experiment"):
        _chosen(None, " ,")
    with pytest.raises(UsageError, match="--only names reorg twice"):
        _chosen(None, "reorg,store-slow,reorg")


def test_every_experiment_is_listed(zjops: Cli) -> None:
    listed = zjops.json("chaos", "list")
    assert len(listed["rows"]) == len(experiments())


@pytest.mark.timeout(120)
def test_a_platform_of_its_own_ends_with_the_run_however_that_ends(tmp_path: Path) -> None:
    env = os.environ | {"ZJOPS_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    argv = [sys.executable, "-m", "zjops", "chaos", "run", "kill-worker", "--fresh"]
    with subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        until = CLOCK.monotonic() + 60
        while not any(tmp_path.glob("zjops-chaos-*/home/run.json")) and CLOCK.monotonic() < until:
            CLOCK.pause(0.1)
        (found,) = tmp_path.glob("zjops-chaos-*/home/run.json")
        supervisor = psutil.Process(read_run_file(found.parent).supervisor_pid)
        run.terminate()
        assert run.wait(60) == 130
    assert not supervisor.is_running()
    assert not any(tmp_path.glob("zjops-chaos-*"))
