"""Whether a measurement can be trusted: did the generator do what it was asked to, and was it quick enough itself?

Two things may be wrong. The load was not the one that was asked for: then nothing that was measured counts. Or the
generator was slow: that can only have made times longer, so that a pass stands, and a fail cannot be told from it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from zjops.load.measured import Measured, Tally
from zjops.load.thresholds import Judged, Threshold, Verdict, tightest_ms

ACHIEVED_LEAST = 0.999
LAG_SHARE = 0.2
"""The lag's 99th percentile may be this share of the shortest time that is allowed."""
CPU_MOST = 0.8
CPU_FROM_S = 1.0
"""In so long a phase the generator's processor is looked at: a generator that does not get to it is too busy."""
USUAL_MS = 300.0
"""Where no threshold is about times, as the design has it (R103)."""
Kind = Literal["load", "speed"]


class Figures(NamedTuple):
    """What the gate looks at, of one phase; `cpu` is None where nobody looked, `tightest_ms` is what lag is held to.

    `seconds` is how much of the phase has gone.
    """

    phase: str
    offered: int
    achieved: int
    dropped: int
    lag_p99_ms: float
    cpu: float | None
    tightest_ms: float
    model: str = "open"
    seconds: float = 0.0


class Flaw(NamedTuple):
    """Why a phase cannot be trusted."""

    phase: str
    kind: Kind
    text: str


def figures(measured: Measured, thresholds: list[Threshold], phase: int) -> Figures:
    """What the gate looks at, of one phase of a run."""
    return _figures(
        measured.scenario.phases[phase].name, measured.phase(phase), measured.cpu_share(phase),
        tightest_ms(thresholds, phase) or USUAL_MS, measured.scenario.model, measured.elapsed_s(phase),
    )  # fmt: skip


def figures_within(measured: Measured, name: str, from_s: float, to_s: float) -> Figures:
    """The same of the whole seconds between two moments of a run, which get a name; held to the usual time."""
    return _figures(
        name, measured.within(from_s, to_s), measured.cpu_within(from_s, to_s), USUAL_MS, measured.scenario.model,
        to_s - from_s,
    )  # fmt: skip


def _figures(name: str, tally: Tally, cpu: float | None, tightest: float, model: str, seconds: float) -> Figures:
    return Figures(
        name, tally["offered"], tally.achieved, tally["dropped"], tally.lag.ms(99) or 0.0, cpu, tightest, model, seconds
    )


def flaws(seen: Figures) -> list[Flaw]:
    """What is wrong with one phase."""
    found: list[tuple[Kind, str]] = []
    if seen.offered == 0:
        found.append(("load", "nothing was sent"))
    elif seen.achieved < ACHIEVED_LEAST * seen.offered:
        found.append(("load", f"{seen.achieved:,} of {seen.offered:,} arrivals were sent in time"))
    if seen.dropped:
        found.append(("load", f"{seen.dropped:,} arrivals were dropped"))
    most_ms = seen.tightest_ms * LAG_SHARE
    if seen.model == "open" and seen.lag_p99_ms > most_ms:
        found.append(("speed", f"the schedule's lag is {seen.lag_p99_ms:.1f} ms at p99, more than {most_ms:g} ms"))
    if seen.cpu is not None and seen.cpu > CPU_MOST:
        found.append(("speed", f"the generator took {seen.cpu:.0%} of a core, more than {CPU_MOST:.0%}"))
    if seen.model == "open" and seen.cpu is None and seen.seconds >= CPU_FROM_S:
        found.append(("speed", "nobody looked at the generator's processor"))
    return [Flaw(seen.phase, kind, text) for kind, text in found]


def all_flaws(measured: Measured, thresholds: list[Threshold]) -> list[Flaw]:
    """What is wrong with the phases that count and have begun."""
    begun = [number for number in measured.scenario.judged() if measured.elapsed_s(number) > 0]
    return [flaw for number in begun for flaw in flaws(figures(measured, thresholds, number))] or (
        [] if begun else [Flaw("", "load", "no phase that counts has begun")]
    )


def verdict(judged: list[Judged], found: list[Flaw], proven: bool | None = None) -> Verdict:
    """What is thought of a run: a pass stands though the generator lagged, a fail does not.

    `proven` is what the audit says, None where there was none. A job that did not come out right is a fail under
    whatever load.
    """
    if proven is False:
        return "fail"
    if any(flaw.kind == "load" for flaw in found):
        return "not_trusted"
    if all(one.ok for one in judged):
        return "pass"
    # What is known of jobs after they were accepted owes nothing to the generator's own speed.
    after = any(not one.ok and one.threshold.after for one in judged)
    return "not_trusted" if found and not after else "fail"
