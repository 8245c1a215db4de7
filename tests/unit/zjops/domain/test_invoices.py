"""Invoices as pure arithmetic: the golden ones, upgrades, credits, and what must hold of every month."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zjops.domain.clock import month_bounds_ms, parse_rfc3339
from zjops.domain.errors import UsageError
from zjops.domain.invoices import (
    DAY_MS,
    Correction,
    Credit,
    Invoice,
    Term,
    Usage,
    fee_days,
    invoice_of,
    issued,
    month_term,
    split_terms,
)
from zjops.domain.plans import price_book, read_price_book

BOOK = price_book()
MONTH = "2026-06"
FIRST, AFTER = month_bounds_ms(MONTH)


def _upgraded(at: str, before: int, after: int) -> Usage:
    cut = parse_rfc3339(at)
    starter, pro = BOOK.plan("starter", {"overage_enabled": True}), BOOK.plan("pro")
    return Usage("t", MONTH, (Term(starter, FIRST, cut, before, 1), Term(pro, cut, AFTER, after, 1)))


def _amounts(invoice: Invoice, code: str) -> list[int]:
    return [line.amount_cents for line in invoice.lines if line.code == code]


def test_the_fifth_golden_invoice_an_upgrade_in_mid_month_is_paid_by_the_day() -> None:
    invoice = invoice_of(_upgraded("2026-06-16T00:00:00Z", 900_000, 100), BOOK)
    assert _amounts(invoice, "plan-fee") == [14_50, 49_50]
    assert invoice.total_cents == 64_00
    assert invoice.plan == "pro"


def test_the_day_of_an_upgrade_is_paid_by_the_plan_that_held_when_it_began() -> None:
    at_noon = fee_days(_upgraded("2026-06-16T12:00:00Z", 0, 0).terms, MONTH)
    assert [(plan.name, start, days) for plan, start, days in at_noon] == [("starter", 0, 16), ("pro", 16, 14)]


def test_overage_before_an_upgrade_stays_and_takes_nothing_from_the_new_allowance() -> None:
    usage = _upgraded("2026-06-16T00:00:00Z", 1_100_000, 9_950_000)
    split, overages = split_terms(usage.terms)
    assert [(part.plan.name, part.units) for part in overages] == [("starter", 50_000)]
    assert (split.included, split.buffer, split.overage) == (10_000_000, 1_000_000, 50_000)
    assert invoice_of(usage, BOOK).total_cents == 64_25


def test_a_lower_plan_in_mid_month_takes_back_nothing_that_was_covered() -> None:
    cut = FIRST + 15 * DAY_MS
    terms = (Term(BOOK.plan("pro"), FIRST, cut, 8_000_000, 1), Term(BOOK.plan("starter"), cut, AFTER, 10, 1))
    split, overages = split_terms(terms)
    assert (split.included, split.overage, overages[0].units) == (8_000_000, 10, 10)


def test_credits_and_corrections_are_lines_with_a_reason() -> None:
    usage = Usage(
        "t", MONTH, (month_term(BOOK.plan("pro"), MONTH, 100, 1),),
        (Credit("c-2", 2_000_000, "slow", 2), Credit("c-1", 5_005_000, "lost result", 1, "2026-05", "job_1")),
        (Correction("2026-05", "INV-2026-05-0001", 25, 3, 50_000),),
    )  # fmt: skip
    invoice = invoice_of(usage, BOOK)
    assert _amounts(invoice, "credit") == [-5_00, -2_00]
    assert [line.reference for line in invoice.lines[-3:]] == ["c-1", "c-2", "INV-2026-05-0001"]
    assert "for 2026-05: lost result, job_1" in invoice.lines[-3].description
    assert invoice.total_cents == 99_00 - 7_00 + 25


@pytest.mark.parametrize(
    ("good", "cents"),
    [(99_900, []), (99_899, [-9_90]), (99_000, [-9_90]), (98_999, [-24_75])],
    ids=["the SLA itself is kept", "just under it", "99 % itself", "under 99 %"],
)
def test_a_month_below_the_sla_is_credited_by_the_fee(good: int, cents: list[int]) -> None:
    usage = Usage("t", MONTH, (month_term(BOOK.plan("pro"), MONTH, 0, 0),), availability=(good, 100_000))
    assert _amounts(invoice_of(usage, BOOK), "sla-credit") == cents


def test_a_month_that_was_not_measured_and_a_plan_without_sla_earn_no_credit() -> None:
    for plan, availability in (("pro", None), ("pro", (0, 0)), ("free", (1, 100))):
        usage = Usage("t", MONTH, (month_term(BOOK.plan(plan), MONTH, 0, 0),), availability=availability)
        assert _amounts(invoice_of(usage, BOOK), "sla-credit") == []


def test_a_plan_that_sells_no_overage_charges_none() -> None:
    invoice = invoice_of(Usage("t", MONTH, (month_term(BOOK.plan("free"), MONTH, 31_000, 1),)), BOOK)
    assert invoice.total_cents == 0
    assert invoice.units.overage == 1_000


def test_an_issued_invoice_has_number_and_dates() -> None:
    draft = invoice_of(Usage("t", MONTH, (month_term(BOOK.plan("pro"), MONTH, 0, 0),)), BOOK)
    final = issued(draft, "INV-2026-06-0001", parse_rfc3339("2026-07-03T08:00:00Z"))
    assert (final.state, final.issue_date, final.due_date) == ("issued", "2026-07-03", "2026-07-17")
    assert (final.period_start, final.period_end, final.tax) == ("2026-06-01", "2026-06-30", "excluding tax")
    assert final.lines == draft.lines


PLANS = st.sampled_from(["free", "starter", "pro", "enterprise"])
UNITS = st.integers(0, 3_000_000_000)


@st.composite
def _terms(draw: st.DrawFn) -> tuple[Term, ...]:
    cuts = sorted(draw(st.lists(st.integers(FIRST + 1, AFTER - 1), max_size=4, unique=True)))
    bounds = [FIRST, *cuts, AFTER]
    return tuple(Term(BOOK.plan(draw(PLANS)), since, until, draw(UNITS), 1) for since, until in pairwise(bounds))


@given(_terms())
def test_of_every_month_units_days_and_lines_add_up(terms: tuple[Term, ...]) -> None:
    split, overages = split_terms(terms)
    assert min(split.included, split.buffer, split.overage) >= 0
    assert split.included + split.buffer + split.overage == sum(term.units for term in terms)
    assert sum(part.units for part in overages) == split.overage
    assert [part.before for part in overages] == [0, *accumulate(part.units for part in overages)][:-1]
    assert sum(days for _, _, days in fee_days(terms, MONTH)) == 30
    invoice = invoice_of(Usage("t", MONTH, terms), BOOK)
    assert invoice.total_cents == sum(line.amount_cents for line in invoice.lines)
    units = sum(line.quantity for line in invoice.lines if line.unit == "CU")
    assert units == sum(term.units for term in terms)


@given(_terms(), st.integers(0, 3), st.floats(0, 1))
def test_cutting_a_term_in_two_changes_nothing(terms: tuple[Term, ...], at: int, share: float) -> None:
    index = at % len(terms)
    term = terms[index]
    cut, units = (term.since_ms + term.until_ms) // 2, int(term.units * share)
    parts = (Term(term.plan, term.since_ms, cut, units, 0), Term(term.plan, cut, term.until_ms, term.units - units, 1))
    again = (*terms[:index], *parts, *terms[index + 1 :])
    assert split_terms(again)[0] == split_terms(terms)[0]


BAND = "[[sla_credits]]\nfee_percent = 10\n"
BOOK_TEXT = 'version = "x"\ncurrency = "USD"\nbytes_per_kb = 1000\n'
PLAN_TEXT = (
    "[plans.a]\nfee_microusd = 1\nrequests_per_second = 1\nburst_seconds = 1\ncompute_units = 1\nbuffer_percent = 0\n"
    'overage_allowed = true\noverage_nanousd = 1\nbody_bytes = 1\nactive_jobs = 1\nsla_percent = 1.0\nsupport = "x"\n'
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BOOK_TEXT, "there is no plan"),
        (BOOK_TEXT + PLAN_TEXT + "discount_percent = 5", "from which unit"),
        (BOOK_TEXT + PLAN_TEXT + "discount_after_units = 5", "there is no price"),
        (BOOK_TEXT + PLAN_TEXT.replace("overage_nanousd = 1", "overage_nanousd = 0"), "has no price"),
        (BOOK_TEXT + BAND + BAND + PLAN_TEXT, "two bands overlap"),
        (BOOK_TEXT + BAND + BAND + "below_percent = 90.0\n" + PLAN_TEXT, "smaller credit"),
        (BOOK_TEXT + PLAN_TEXT + "colour = 1", "colour"),
        ("version = ?\n", "line 1"),
        (BOOK_TEXT + "plans = 3", "plans"),
    ],
    ids=["empty", "gap below", "gap above", "no price", "overlap", "falling", "unknown", "no TOML", "no table"],
)
def test_a_price_book_with_gaps_overlaps_or_mistakes_is_refused_with_the_place(text: str, why: str) -> None:
    if why == "smaller credit":
        text = text.replace("fee_percent = 10\nbelow", "fee_percent = 5\nbelow")
    with pytest.raises(UsageError, match=why):
        read_price_book(text)
