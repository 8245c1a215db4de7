"""The verdict as JUnit XML, which every CI shows: a case a threshold, a phase's trust, and the audit."""

from __future__ import annotations

from zjops.load.outcome import Outcome
from zjops.load.report.cases import Wrong, case, suite
from zjops.load.thresholds import Judged

CLASS = "zjops.load"


def junit(outcome: Outcome) -> str:
    """The document. What cannot be told is an error, what did not hold a failure."""
    scenario = outcome.measured.scenario
    cases = [case(CLASS, f"threshold {_name(one, outcome)}", _broken(one, outcome)) for one in outcome.judged]
    for number in scenario.judged():
        phase = scenario.phases[number].name
        wrong = "; ".join(flaw.text for flaw in outcome.flaws if flaw.phase in (phase, ""))
        cases.append(case(CLASS, f"trusted in phase {phase}", ("error", wrong) if wrong else None))
    if outcome.audit is not None:
        found = outcome.audit["findings"]
        text = "; ".join(f"{one['kind']}: {one['job_id']} {one['text']}" for one in found[:5])
        cases.append(case(CLASS, "audit", ("failure", text) if outcome.broken else None))
    return suite(f"zjops load {scenario.name}", cases, outcome.measured.ran_s)


def _name(one: Judged, outcome: Outcome) -> str:
    phase = one.threshold.phase
    where = "" if phase is None else f" in phase {outcome.measured.scenario.phases[phase].name}"
    return f"{one.threshold.text}{where} ({one.threshold.source})"


def _broken(one: Judged, outcome: Outcome) -> Wrong | None:
    if one.ok:
        return None
    value = "nothing was measured" if one.value is None else f"it is {one.value:g}"
    return ("failure" if outcome.trusted or one.threshold.after else "error"), value
