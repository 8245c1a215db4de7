"""Where Prometheus finds this platform's metrics: its file of targets, and the probes as a metric of the supervisor."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from simulator.supervisor.ports import HOST
from zjops.domain.indicators import AVAILABILITY, BAD, EVENTS_METRIC, GOOD
from zjops.domain.requests import PROBER, Rollup, is_good_probe
from zjops.domain.runfile import ProcessEntry

FILE = "prometheus-sd.json"
SILENT = frozenset({"broker", "chain"})
"""Roles whose processes have no metrics of ours."""


def targets(processes: Iterable[ProcessEntry], control_port: int) -> list[dict[str, Any]]:
    """Prometheus' `file_sd` document: every process that serves /metrics, and the supervisor."""
    found = [(one.name, one.port, one.roles) for one in processes if one.port and not SILENT & set(one.roles)]
    found.append(("supervisor", control_port, ["supervisor"]))
    return [
        {"targets": [f"{HOST}:{port}"], "labels": {"process": name, "roles": ",".join(roles)}}
        for name, port, roles in found
    ]


def write_targets(home: Path, processes: Iterable[ProcessEntry], control_port: int) -> None:
    """Replace the file in one step: Prometheus reads it whenever it changes."""
    beside = home / f".{FILE}.{os.getpid()}"
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(targets(processes, control_port)), indent=2))
    beside.replace(home / FILE)


class ProbeCounts:
    """How many probes were good and bad: in availability they count for every plan, and nobody else has them."""

    def __init__(self) -> None:
        self._counts = {GOOD: 0, BAD: 0}

    def note(self, row: Rollup) -> None:
        """Count a probe."""
        self._counts[GOOD if is_good_probe(row) else BAD] += row.count

    def metrics_text(self) -> bytes:
        """The Prometheus text format, by hand: the supervisor has no library for it."""
        lines = [f"# HELP {EVENTS_METRIC} Probes, good or bad.", f"# TYPE {EVENTS_METRIC} counter"]
        for outcome, count in self._counts.items():
            lines.append(f'{EVENTS_METRIC}{{sli="{AVAILABILITY}",plan="{PROBER}",outcome="{outcome}"}} {count}')
        return ("\n".join(lines) + "\n").encode()
