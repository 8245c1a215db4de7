"""The units behind each line: every charged unit stands behind exactly one."""

from collections import Counter

from hypothesis import given

from tests.unit.zjops.domain.test_invoices import MONTH, _terms
from zjops.domain.clock import month_bounds_ms
from zjops.domain.invoices import OVERAGE, OVERAGE_DISCOUNTED, Term, Usage, invoice_of, month_term
from zjops.domain.plans import price_book
from zjops.domain.spans import Span, usage_spans

BOOK = price_book()


@given(_terms())
def test_the_spans_cover_the_month_and_are_as_long_as_its_lines(terms: tuple[Term, ...]) -> None:
    spans = usage_spans(terms)
    edges = [0, *(span.end for span in spans)]
    assert [span.start for span in spans] == edges[:-1]
    assert edges[-1] == sum(term.units for term in terms)
    assert all(span.end > span.start for span in spans)
    billed: Counter[tuple[str, str]] = Counter()
    for line in invoice_of(Usage("t", MONTH, terms), BOOK).lines:
        if line.unit == "CU":
            billed[line.code, line.plan] += line.quantity
    covered: Counter[tuple[str, str]] = Counter()
    for span in spans:
        covered[span.code, span.plan] += span.end - span.start
    assert +covered == +billed


def test_overage_before_an_upgrade_lies_between_what_the_two_plans_cover() -> None:
    first, after = month_bounds_ms(MONTH)
    terms = (Term(BOOK.plan("starter"), first, first + 1, 1_060_000), Term(BOOK.plan("pro"), first + 1, after, 500))
    assert usage_spans(terms) == [
        Span("included", "", 0, 1_050_000), Span("overage", "starter", 1_050_000, 1_060_000),
        Span("included", "", 1_060_000, 1_060_500),
    ]  # fmt: skip


def test_the_discount_begins_where_its_threshold_lies() -> None:
    spans = usage_spans([month_term(BOOK.plan("pro"), MONTH, 11_000_000 + 60_000_000, 1)])
    assert [(span.code, span.end - span.start) for span in spans[-2:]] == [
        (OVERAGE, 50_000_000), (OVERAGE_DISCOUNTED, 10_000_000),
    ]  # fmt: skip
