"""A platform with a bug in it: the audit finds it each time and names the job."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.faults.breaking import DROP_EVENT, STORES, SWITCH
from tests.support.platform import running_platform
from zjops.audit.findings import Report

JOBS = 12
EXPECTED = {
    "lose-outbox-row": {"event_missing"},
    "drop-event": {"event_missing"},
    "bill-twice": {"double_billed", "doubled"},
    "confirm-twice": {"double_confirmed"},
    "accept-nothing": {"lost"},
}
"""What must be among the findings."""
LATE_S = 30.0


def _named(report: Report, breakage: str) -> set[str]:
    return {finding.job_id for finding in report.findings if finding.kind in EXPECTED[breakage]}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("breakage", [*STORES, DROP_EVENT])
def test_the_audit_catches_it_and_names_the_job(breakage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, breakage)
    with running_platform(tmp_path) as stage:
        client = stage.jobs()
        told = set()
        for _ in range(JOBS):
            told.add(client.submit({"jobType": "data_processing", "parameters": {"algorithm": "synthetic"}}).job.job_id)
            stage.clock.pause(0.25)
        client.http.close()
        # Others may be on their way to the log and the chain still: what is broken stays, what is late does not.
        until = stage.clock.monotonic() + LATE_S
        while True:
            report = stage.audit(wait_s=5)
            if len(_named(report, breakage)) == 1 or stage.clock.monotonic() > until:
                break
    assert EXPECTED[breakage] <= {finding.kind for finding in report.findings}
    named = _named(report, breakage)
    assert len(named) == 1
    assert named <= told
    assert report.story is not None
    assert report.story.job_id in named
    assert {"client", "store"} <= {step.where for step in report.story.steps}
