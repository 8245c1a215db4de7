"""The search for the highest rate that holds, as one thing: a folder of its own, with a run for each step in it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from zjops.domain.clock import SystemClock
from zjops.load import aftermath, report, runs
from zjops.load.generator import require_installed
from zjops.load.knee import GENERATOR, INTERRUPTION, PLATFORM, Found, Search
from zjops.load.outcome import Outcome, summary
from zjops.load.report.knee import page
from zjops.load.run import Asked, conduct, home_of
from zjops.load.scenario import Scenario, changed

KNEE, PAGE = "knee.json", "knee.html"
STEP = ("achieved_rps", "p50_ms", "p99_ms", "lag_p99_ms", "shed", "errors", "trusted", "verdict")
"""What is told of each step."""


def search(asked: Asked) -> tuple[Found, Path]:
    """Run step after step until the highest rate that holds is known. Raises what `conduct` does.

    What is known is written down after each step, so that no end loses it.
    """
    require_installed()
    aftermath.require_ready(asked.context)
    began_ms, scenario = SystemClock().now_ms(), asked.scenario
    folder = runs.new_folder(home_of(asked.context), scenario.name, began_ms, asked.out)
    runs.write_json(folder / runs.SCENARIO, scenario)
    hunt = Search(scenario.rate, scenario.search_to or scenario.rate)
    found = Found(scenario.name, began_ms, asked.seed, asked.command)
    while (rate := hunt.rate) is not None:
        number = len(found.rows) + 1
        asked.say(f"step {number}: {rate:,.0f} a second")
        outcome, into = conduct(asked._replace(scenario=_step(scenario, rate), out=folder / f"step-{number}"))
        report.write(outcome, into)
        if not outcome.interrupted:
            hunt.tell(outcome.verdict == "pass")
        found = _after(found, outcome, rate, hunt.held)
        runs.write_json(folder / KNEE, found.as_json())
        (folder / PAGE).write_text(page(found))
        if outcome.interrupted:
            break
    return found, folder


def _step(scenario: Scenario, rate: float) -> Scenario:
    return msgspec.structs.replace(changed(scenario, rate=rate), search_to=None)


def _after(found: Found, outcome: Outcome, rate: float, held: float | None) -> Found:
    """What is known with one step more."""
    told = summary(outcome)
    row = {"rate": round(rate, 1)} | {name: told[name] for name in STEP}
    limit = found.limited_by
    if outcome.interrupted:
        limit = INTERRUPTION
    elif outcome.verdict != "pass":
        limit = PLATFORM if outcome.verdict == "fail" else GENERATOR
    return found._replace(
        rows=(*found.rows, row), knee_rps=None if held is None else round(held, 1), limited_by=limit,
        broken=found.broken or outcome.broken,
    )  # fmt: skip
