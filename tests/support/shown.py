"""Everything that the terminal's views show of a recording at an instant, as values that can be compared."""

from __future__ import annotations

from typing import Any

from zjops.recording.reader import Recording
from zjops.tui.breaches import Breach, breaches
from zjops.tui.moment import Instant
from zjops.tui.station import Station
from zjops.tui.views.chain import Chain
from zjops.tui.views.errors import Errors
from zjops.tui.views.overview import Overview
from zjops.tui.views.slos import Slos
from zjops.tui.views.tenants import Tenants

ROWS = 200


def shown(recording: Recording, at_ms: int, window_s: int = 300) -> dict[str, Any]:
    """By view: the pipeline with rates and depths, budgets, jobs and their counts, tenants, chain, errors."""
    instant, station = Instant(at_ms, window_s, live=False), Station(recording, "local")
    views = [kind(station) for kind in (Overview, Slos, Tenants, Chain, Errors)]
    jobs = [row for _, row in recording.page(at_ms, limit=ROWS)]
    return {view.NAME: view.read(recording, instant) for view in views} | {
        "jobs": jobs, "count": recording.count(at_ms), "states": recording.states(at_ms),
        "job": [recording.job(row.job_id, at_ms) for row in jobs[:5]],
    }  # fmt: skip


def breaches_at(recording: Recording, window_s: int = 300) -> list[Breach]:
    """Every breach that is recorded."""
    span = recording.span()
    assert span is not None
    return breaches(recording, span[1], window_s)
