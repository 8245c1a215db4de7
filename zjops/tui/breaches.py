"""Breaches: the moments at which something began to be wrong in what is recorded, in order.

A breach begins when a stage of the pipeline turns failing (by the overview's own rules), when the API, the broker or
the chain goes away, when a burn-rate alert of an objective begins to fire, and when a budget goes below zero. What was
so already when the recording began did not begin in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from zjops.feed.budgets import BUDGETS, Budget, BudgetsSeen
from zjops.feed.messages import API, BROKER, CHAIN
from zjops.recording.reader import Recording
from zjops.recording.rows import Outage
from zjops.tui.failing import Look, looks
from zjops.tui.figures import clock
from zjops.tui.moment import Instant
from zjops.tui.pipeline import facts_of, stages_of

WATCHED = (API, BROKER, CHAIN)


class Breach(NamedTuple):
    """What began to be wrong at a moment, each in a few words."""

    at_ms: int
    what: tuple[str, ...]


def breaches(recording: Recording, last_ms: int, window_s: int) -> list[Breach]:
    """Every breach up to a moment; `window_s` is over how long failed jobs are counted. May take seconds."""
    span = recording.span()
    if span is None:
        return []
    found = defaultdict[int, list[str]](list)
    for at_ms, what in (
        *of_outages(recording.outage_spans(last_ms), span[0]),
        *of_looks(looks(recording, last_ms, window_s)),
        *of_budgets(recording.readings(BUDGETS, last_ms, BudgetsSeen)),
    ):
        found[at_ms].append(what)
    return [Breach(at_ms, tuple(found[at_ms])) for at_ms in sorted(found)]


def of_outages(spans: Iterable[tuple[Outage, int | None]], first_ms: int) -> Iterator[tuple[int, str]]:
    """Sources that went away after the beginning."""
    for gone, _ in spans:
        if gone.source in WATCHED and gone.since > first_ms:
            yield gone.since, f"{gone.source} away: {gone.reason}"


def of_looks(series: Iterable[Look]) -> Iterator[tuple[int, str]]:
    """Stages that turned failing; one of which nothing is known is as it was."""
    before: frozenset[str] | None = None
    for look in series:
        failing = look.failing - look.unknown | (before or frozenset()) & look.unknown
        if before is not None:
            for stage in sorted(failing - before):
                yield look.at_ms, f"{stage} failing"
        before = failing


def of_budgets(series: Iterable[tuple[int, BudgetsSeen]]) -> Iterator[tuple[int, str]]:
    """Burn-rate alerts that begin to fire and budgets that go below zero; a log that was away says nothing."""
    before: dict[tuple[str, ...], str] | None = None
    for at_ms, seen in series:
        if seen.why is not None:
            continue
        wrong = {key: words for budget in seen.budgets for key, words in _wrong(budget)}
        if before is not None:
            yield from ((at_ms, words) for words in dict.fromkeys(wrong[key] for key in sorted(wrong.keys() - before)))
        before = wrong


def _wrong(budget: Budget) -> Iterator[tuple[tuple[str, ...], str]]:
    name = f"{budget.name} of plan {budget.plan}"
    if budget.alert is not None:
        words = f"{name} burns ({budget.alert})"
        yield (name, "burns"), words
        # An alert that grows louder is a breach of its own; one that grows quieter is none.
        if budget.alert.startswith("PAGE"):
            yield (name, "pages"), words
    if budget.left_share is not None and budget.left_share < 0:
        yield (name, "spent"), f"{name}: budget spent"


class Choice(NamedTuple):
    """The breach to go to, which one of how many it is, and why there is none."""

    breach: Breach | None
    number: int
    among: int


def choose(found: Sequence[Breach], instant: Instant, standing: bool) -> Choice:
    """Of a window, the first; where it holds none, the first of all; from a breach on which one stands, the next."""
    if standing:
        wanted = next((one for one in found if one.at_ms > instant.at_ms), None)
    else:
        within = (one for one in found if instant.first_ms < one.at_ms <= instant.at_ms)
        wanted = next(within, found[0] if found else None)
    return Choice(wanted, 0 if wanted is None else found.index(wanted) + 1, len(found))


def seek(recording: Recording, instant: Instant, last_ms: int, standing: bool) -> tuple[Choice, str]:
    """Find the breach to go to from an instant, and say which it is. May take seconds; called in a thread."""
    choice = choose(breaches(recording, last_ms, instant.window_s), instant, standing)
    return choice, told(recording, choice, instant.window_s)


def told(recording: Recording, choice: Choice, window_s: int) -> str:
    """A sentence about where that is: `first breach of 3: gateway failing: 12 bad of 40 · 14:03:12Z`."""
    breach = choice.breach
    if breach is None:
        return "no later breach in what is recorded" if choice.among else "no breach in what is recorded"
    stages = {stage.name: stage for stage in stages_of(facts_of(recording, Instant(breach.at_ms, window_s, False)))}
    words = []
    for what in breach.what:
        name, _, rest = what.partition(" ")
        why = stages[name].health.why if rest == "failing" and name in stages else ""
        words.append(f"{what}: {why}" if why else what)
    order = "first breach" if choice.number == 1 else f"breach {choice.number}"
    return f"{order} of {choice.among}: {'; '.join(words)} · {clock(breach.at_ms)}"
