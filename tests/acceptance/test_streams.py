"""Following jobs on a platform whose API is killed meanwhile: nothing is lost, nothing is told twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.platform import Stage, running_platform
from zjops.client.history import Read, read_history

ALL = [(1, "pending"), (2, "processing"), (3, "completed"), (4, "confirmed")]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with running_platform(tmp_path_factory.mktemp("streams"), "--workers", "2") as made:
        yield made


def _begin(stage: Stage, *arguments: str) -> subprocess.Popen[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("ZJOPS_")} | {"ZJOPS_HOME": str(stage.home)}
    argv = [sys.executable, "-m", "zjops", *arguments]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def _jobs(stage: Stage, *durations_ms: int) -> list[str]:
    """Jobs of the first tenant, whom the command line speaks for."""
    from zjops.client.jobs import Jobs

    client = Jobs(stage.context, stage.context.client("demo-pro"))
    bodies = [
        {"jobType": "data_processing", "parameters": {"algorithm": "synthetic", "duration_ms": duration}}
        for duration in durations_ms
    ]
    made = [client.submit(body).job.job_id for body in bodies]
    client.http.close()
    return made


def _lines_until(process: subprocess.Popen[str], wanted: dict[str, int]) -> list[dict[str, Any]]:
    """What it writes until each job was told so far."""
    assert process.stdout is not None
    found = []
    while any(max((u["sequence"] for u in found if u["jobId"] == job), default=0) < n for job, n in wanted.items()):
        line = process.stdout.readline()
        assert line, process.communicate()
        found.append(json.loads(line))
    return found


@pytest.mark.parametrize("count", [1, 3], ids=["one job by events", "many jobs by WebSocket"])
def test_a_cut_in_the_middle_loses_and_repeats_nothing(stage: Stage, tmp_path: Path, count: int) -> None:
    jobs, history = _jobs(stage, *[4000] * count), tmp_path / "history.jsonl"
    process = _begin(
        stage, "jobs", "watch", *jobs, "--final", "-o", "jsonl", "--tenant", "demo-pro", "--history", str(history),
        "--within", "90",
    )  # fmt: skip
    updates = _lines_until(process, dict.fromkeys(jobs, 2))
    stage.control.fault("api", "kill")
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    updates += [json.loads(line) for line in out.splitlines()]
    for job in jobs:
        assert [(u["sequence"], u["status"]) for u in updates if u["jobId"] == job] == ALL
    assert {update["schema"] for update in updates} == {"zjops.update/1"}
    assert "note:" not in err
    read = [(r.job_id, r.status) for r in read_history(history) if isinstance(r, Read)]
    assert set(read) >= {(job, status) for job in jobs for _, status in ALL}
    audit = _begin(stage, "audit", "--history", str(history), "--json")
    out, err = audit.communicate(timeout=90)
    assert audit.returncode == 0, (out, err)


def test_many_jobs_end_in_one_table_and_a_failure_in_an_exit_code(stage: Stage) -> None:
    jobs = _jobs(stage, 300, 600)
    stage_client = ("--tenant", "demo-pro")
    process = _begin(stage, "jobs", "watch", *jobs, jobs[0], *stage_client, "--json")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    document = json.loads(out)
    assert document["schema"] == "zjops.jobs/1"
    assert [row["jobId"] for row in document["rows"]] == jobs
    for job in jobs:
        assert len([line for line in err.splitlines() if f"  {job}  completed" in line]) == 1
    process = _begin(stage, "jobs", "watch", *jobs, "job_1111111111111111AAAAAA", *stage_client)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.splitlines()[-1].startswith("error: 404 not-found: There is no such job. (job_1111")


def test_time_that_is_up_is_one_line(stage: Stage) -> None:
    (job,) = _jobs(stage, 60_000)
    process = _begin(stage, "jobs", "watch", job, "--within", "2", "--tenant", "demo-pro")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert err.splitlines()[-1] == f"error: job {job} has not ended after 2 s; watch it again"


def _tailed(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    """The same, once it listens."""
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("listening"), line
    return process


def test_events_are_seen_as_they_flow_and_through_a_dead_broker(stage: Stage) -> None:
    process = _tailed(_begin(stage, "events", "tail", "--stream", "EVENTS", "--type", "completed", "--count", "2"))
    (first,) = _jobs(stage, 10)
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert (told["schema"], told["stream"], told["subject"]) == ("zjops.event/1", "EVENTS", "jobs.completed")
    assert told["event"]["subject"] == first
    stage.control.fault("broker", "kill")
    (second,) = _jobs(stage, 10)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert [json.loads(line)["event"]["subject"] for line in out.splitlines()] == [second]


def test_events_of_a_job_are_published_again(stage: Stage) -> None:
    (job,) = _jobs(stage, 10)
    watch = _begin(stage, "jobs", "watch", job, "--final", "--tenant", "demo-pro")
    _, err = watch.communicate(timeout=90)
    assert watch.returncode == 0, err
    log = _begin(stage, "events", "tail", "--stream", "EVENTS", "--from-sequence", "1", "--job", job, "--count", "4")
    out, err = log.communicate(timeout=60)
    assert log.returncode == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    hearing = _tailed(_begin(stage, "events", "tail", "--replay", "repair", "--count", "4"))
    made = _begin(
        stage, "events", "replay", "--name", "repair", "--from-sequence", "1", "--job", job, "--reason", "a test",
        "--json",
    )  # fmt: skip
    out, err = made.communicate(timeout=60)
    assert made.returncode == 0, err
    assert json.loads(out)["replayed"] == 4
    again, err = hearing.communicate(timeout=60)
    assert hearing.returncode == 0, err
    heard = [json.loads(line) for line in again.splitlines()]
    assert [event["event"] for event in heard] == [event["event"] for event in events]
    assert [event["subject"] for event in heard] == ["replay.repair." + event["subject"] for event in events]
    refused = _begin(stage, "events", "replay", "--reason", "x")
    _, err = refused.communicate(timeout=60)
    assert (refused.returncode, err) == (
        2,
        "error: say where to begin, by --since or by --from-sequence, one of them\n",
    )
