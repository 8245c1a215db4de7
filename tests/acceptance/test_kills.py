"""`kill -9` of any one process while 200 jobs run: nothing is lost, doubled, billed or confirmed twice."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from tests.support.nats import eventually
from tests.support.platform import Stage, running_platform

JOBS = 200


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One platform with a process for every role; what each test leaves is audited again by the next."""
    with running_platform(tmp_path_factory.mktemp("kills"), "--spread", "--workers", "2") as made:
        yield made


def _holds(stage: Stage, expected: int) -> None:
    report = stage.audit()
    assert report.findings == []
    summary = report.as_json()
    assert summary["client_accepted"] == summary["settled"] == summary["accepted"] == expected
    assert summary["completed"] + summary["failed"] == summary["confirmed"] == expected
    assert summary["charged"] + summary["released"] == expected
    assert summary["charged"] == summary["completed"]
    assert summary["failed"] > 0


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "target", ["api", "outbox", "worker", "settlement", "relayer", "meter", "broker", "chain"]
)  # fmt: skip
async def test_killing_a_process_loses_and_doubles_nothing(stage: Stage, target: str) -> None:
    before, restarts = stage.told(), stage.process(target)["restarts"]
    threads = stage.submit_many(JOBS)
    await eventually(lambda: stage.told() >= before + JOBS // 4, 60)
    stage.control.fault(target, "kill")
    for thread in threads:
        thread.join()
    await eventually(lambda: stage.process(target)["restarts"] > restarts and stage.process(target)["ready"], 60)
    assert stage.told() == before + JOBS
    _holds(stage, before + JOBS)


@pytest.mark.timeout(180)
async def test_a_worker_stopped_past_its_claim_and_continued_changes_nothing(stage: Stage) -> None:
    before = stage.told()
    fault = stage.control.fault("worker", "stop", lease_s=60)
    process = psutil.Process(stage.process("worker")["pid"])
    await eventually(lambda: process.status() == psutil.STATUS_STOPPED)
    for thread in stage.submit_many(JOBS):
        thread.join()
    # The other worker ends them all, also those that the stopped one had claimed and could not extend.
    report = stage.audit()
    assert report.findings == []
    stage.control.heal(fault)
    await eventually(lambda: process.status() != psutil.STATUS_STOPPED)
    _holds(stage, before + JOBS)
