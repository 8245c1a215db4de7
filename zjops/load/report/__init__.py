"""The documents of a run: a page with its charts, JSON, JUnit, and the percentile tables that other tools read."""

from __future__ import annotations

from pathlib import Path

from zjops.load import runs
from zjops.load.outcome import Outcome, detail, summary
from zjops.load.report import percentiles
from zjops.load.report.junit import junit
from zjops.load.report.page import page


def write(outcome: Outcome, folder: Path) -> None:
    """Write all of them."""
    latency = outcome.measured.over(outcome.measured.scenario.judged()).latency
    runs.write_json(folder / runs.SUMMARY, summary(outcome))
    runs.write_json(folder / runs.DETAIL, detail(outcome))
    (folder / "junit.xml").write_text(junit(outcome))
    percentiles.write(latency, folder)
    (folder / "report.html").write_text(page(outcome))
