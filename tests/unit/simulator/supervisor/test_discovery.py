"""Where Prometheus finds the metrics, and the probes as the supervisor's own."""

from __future__ import annotations

import json
from pathlib import Path

from simulator.supervisor.discovery import FILE, ProbeCounts, write_targets
from tests.unit.zjops.slo.logs import START, probe
from zjops.domain.requests import Rollup
from zjops.domain.runfile import ProcessEntry


def test_the_file_names_every_process_with_metrics_and_the_supervisor(tmp_path: Path) -> None:
    processes = [
        ProcessEntry(name="broker", pid=1, roles=["broker"], port=4222),
        ProcessEntry(name="chain", pid=2, roles=["chain"], port=8545),
        ProcessEntry(name="api", pid=3, roles=["api", "outbox"], port=8080),
        ProcessEntry(name="backend", pid=4, roles=["meter", "relayer"], port=8091),
        ProcessEntry(name="starting", pid=5, roles=["worker"]),
    ]
    write_targets(tmp_path, processes, 8090)
    assert json.loads((tmp_path / FILE).read_text()) == [
        {"targets": ["127.0.0.1:8080"], "labels": {"process": "api", "roles": "api,outbox"}},
        {"targets": ["127.0.0.1:8091"], "labels": {"process": "backend", "roles": "meter,relayer"}},
        {"targets": ["127.0.0.1:8090"], "labels": {"process": "supervisor", "roles": "supervisor"}},
    ]
    assert [path.name for path in tmp_path.iterdir()] == [FILE], "nothing is left beside it"


def test_probes_are_counted_from_zero_on() -> None:
    counts = ProbeCounts()
    assert counts.metrics_text().endswith(b'outcome="bad"} 0\n')
    for status, timeouts in ((200, 0), (202, 0), (202, 1), (0, 0), (503, 0), (429, 0)):
        counts.note(Rollup(**probe(START, status=status, timeouts=timeouts)))
    assert counts.metrics_text().decode().splitlines()[2:] == [
        'slo_events_total{sli="availability",plan="prober",outcome="good"} 2',
        'slo_events_total{sli="availability",plan="prober",outcome="bad"} 4',
    ]
