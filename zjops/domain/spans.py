"""Which of a month's units stand behind which usage line: intervals of the month's units in the order of acceptance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zjops.domain.invoices import BUFFER, INCLUDED, OVERAGE, OVERAGE_DISCOUNTED, Term, split_terms


class Span(NamedTuple):
    """Units from `start` to before `end`, counted from the month's first charged unit, and the line that bills them."""

    code: str
    plan: str
    start: int
    end: int


def usage_spans(terms: Sequence[Term]) -> list[Span]:
    """The intervals of a month, in order; they cover every charged unit once.

    A term's overage is the last of what was charged under it; what is left is included first, then buffer.
    """
    split, overages = split_terms(terms)
    more = {part.term: part for part in overages}
    used, covered, found = 0, 0, list[Span]()
    for number, term in enumerate(terms):
        part = more.get(number)
        edge = used + term.units - (part.units if part else 0)
        found += _covered(used, edge, covered, split.included)
        covered += edge - used
        if part is not None:
            found += _over(term, edge, part.before, part.units)
        used += term.units
    return found


def _covered(start: int, end: int, covered: int, included: int) -> list[Span]:
    """What the allowance covers, cut where the included units end and the buffer begins."""
    cut = start + max(0, min(end - start, included - covered))
    spans = [Span(INCLUDED, "", start, cut), Span(BUFFER, "", cut, end)]
    return [span for span in spans if span.end > span.start]


def _over(term: Term, start: int, before: int, units: int) -> list[Span]:
    """A term's overage, cut where the discount begins."""
    plan = term.plan
    threshold = before + units if plan.discount_after_units is None else plan.discount_after_units
    cut = start + min(units, max(0, threshold - before))
    spans = [Span(OVERAGE, plan.name, start, cut), Span(OVERAGE_DISCOUNTED, plan.name, cut, start + units)]
    return [span for span in spans if span.end > span.start]
