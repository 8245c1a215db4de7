"""The verdict as JUnit XML, which every CI shows: a case a threshold, a phase's trust, and the audit."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from zjops.load.outcome import Outcome
from zjops.load.thresholds import Judged


def junit(outcome: Outcome) -> str:
    """The document. What cannot be told is an error, what did not hold a failure."""
    scenario = outcome.measured.scenario
    cases = [_case(f"threshold {_name(one, outcome)}", _broken(one, outcome)) for one in outcome.judged]
    for number in scenario.judged():
        phase = scenario.phases[number].name
        wrong = "; ".join(flaw.text for flaw in outcome.flaws if flaw.phase in (phase, ""))
        cases.append(_case(f"trusted in phase {phase}", ("error", wrong) if wrong else None))
    if outcome.audit is not None:
        found = outcome.audit["findings"]
        text = "; ".join(f"{one['kind']}: {one['job_id']} {one['text']}" for one in found[:5])
        cases.append(_case("audit", None if outcome.audit["ok"] else ("failure", text)))
    failures, errors = (sum(f"<{kind} " in case for case in cases) for kind in ("failure", "error"))
    head = f'<testsuite name={quoteattr("zjops load " + scenario.name)} tests="{len(cases)}"'
    body = "\n".join(cases)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n{head} failures="{failures}" errors="{errors}" '
        f'time="{outcome.measured.ran_s:.3f}">\n{body}\n</testsuite>\n'
    )


def _name(one: Judged, outcome: Outcome) -> str:
    phase = one.threshold.phase
    where = "" if phase is None else f" in phase {outcome.measured.scenario.phases[phase].name}"
    return f"{one.threshold.text}{where} ({one.threshold.source})"


def _broken(one: Judged, outcome: Outcome) -> tuple[str, str] | None:
    if one.ok:
        return None
    value = "nothing was measured" if one.value is None else f"it is {one.value:g}"
    return ("failure" if outcome.trusted or one.threshold.after else "error"), value


def _case(name: str, wrong: tuple[str, str] | None) -> str:
    head = f'  <testcase classname="zjops.load" name={quoteattr(name)}'
    return f"{head}/>" if wrong is None else f"{head}><{wrong[0]} message={quoteattr(wrong[1])}/></testcase>"
