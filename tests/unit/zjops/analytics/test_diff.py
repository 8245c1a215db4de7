"""Volume, mix and price: each alone where it is alone, and together the difference to the cent, of any two invoices."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.zjops.analytics.money_log import cheaper
from zjops.analytics.diff import Difference, difference
from zjops.domain.clock import month_bounds_ms
from zjops.domain.errors import UsageError
from zjops.domain.invoices import Correction, Credit, Invoice, InvoiceLine, Term, Usage, invoice_of, month_term
from zjops.domain.plans import PriceBook, price_book, read_price_book

BOOK = price_book()
OTHER = read_price_book(cheaper((Path(__file__).parents[4] / "zjops/domain/prices.toml").read_text()))
JUNE, JULY = "2026-06", "2026-07"


def _invoice(plan: str, units: int, book: PriceBook = BOOK, month: str = JUNE, credits: Sequence[int] = ()) -> Invoice:
    notes = tuple(Credit(f"c{n}", cents * 10_000, "slow", n) for n, cents in enumerate(credits))
    return invoice_of(Usage("t", month, (month_term(book.plan(plan), month, units, 1),), notes), book)


def _lines(*lines: tuple[str, str, int, int, int]) -> Invoice:
    """An invoice of hand-made usage lines: code, plan, units, nano-dollars a unit, cents."""
    made = [InvoiceLine(code, "", units, "CU", price, cents, plan) for code, plan, units, price, cents in lines]
    return msgspec.structs.replace(_invoice("free", 0), lines=made, total_cents=sum(line.amount_cents for line in made))


def _effects(found: Difference) -> tuple[int, int, int]:
    return found.volume_cents, found.mix_cents, found.price_cents


def test_twice_of_everything_at_the_same_price_is_volume() -> None:
    before = _lines(("included", "", 100, 0, 0), ("overage", "pro", 100, 10**7, 100))
    after = _lines(("included", "", 200, 0, 0), ("overage", "pro", 200, 10**7, 200))
    assert _effects(difference(before, after)) == (100, 0, 0)


def test_units_that_moved_from_included_into_overage_are_mix() -> None:
    before = _lines(("included", "", 150, 0, 0), ("overage", "pro", 50, 10**7, 50))
    after = _lines(("included", "", 100, 0, 0), ("overage", "pro", 100, 10**7, 100))
    assert _effects(difference(before, after)) == (0, 50, 0)


def test_the_same_units_at_another_price_are_price() -> None:
    before, after = _lines(("overage", "pro", 100, 10**7, 100)), _lines(("overage", "pro", 100, 2 * 10**7, 200))
    assert _effects(difference(before, after)) == (0, 0, 100)


def test_the_textbooks_example_of_two_products_gives_its_three_variances() -> None:
    """Sold 9,000 and 3,000 at 2 and 4 cents; then 10,000 of which 6,000 and 4,000, at 3 and 4 cents."""
    before = _lines(("overage", "a", 9_000, 2 * 10**7, 18_000), ("overage", "b", 3_000, 4 * 10**7, 12_000))
    after = _lines(("overage", "a", 6_000, 3 * 10**7, 18_000), ("overage", "b", 4_000, 4 * 10**7, 16_000))
    found = difference(before, after)
    assert _effects(found) == (-2_000 * 5 // 2, 3_000, 6_000)
    assert found.change_cents == 4_000


def test_a_new_book_for_the_same_usage_changes_prices_alone() -> None:
    found = difference(_invoice("starter", 1_200_000), _invoice("starter", 1_200_000, OTHER))
    assert _effects(found) == (0, 0, -4_00)


def test_an_upgrade_is_mix_and_the_length_of_a_month_is_nothing() -> None:
    assert _effects(difference(_invoice("starter", 0), _invoice("pro", 0))) == (0, 70_00, 0)
    assert _effects(difference(_invoice("pro", 0), _invoice("pro", 0, month=JULY))) == (0, 0, 0)
    first, after = month_bounds_ms(JULY)
    terms = (Term(BOOK.plan("starter"), first, first + 14 * 86_400_000, 0, 0),
             Term(BOOK.plan("pro"), first + 14 * 86_400_000, after, 0, 0))  # fmt: skip
    half = invoice_of(Usage("t", JULY, terms), BOOK)
    found = difference(_invoice("starter", 0), half)
    assert _effects(found) == (0, half.total_cents - 29_00, 0), "rounding a share of the fee is no change of price"
    assert [(line.plan, line.before_quantity, line.after_quantity) for line in found.lines[:2]] == [
        ("starter", 30, 14), ("pro", 0, 17),
    ]  # fmt: skip


def test_rounding_an_amount_is_no_change_of_price() -> None:
    found = difference(_invoice("pro", 11_001_999), _invoice("pro", 11_003_001))
    assert found.price_cents == 0
    assert found.change_cents == 1


def test_credits_and_corrections_are_told_within_price_and_apart() -> None:
    usage = Usage(
        "t", JUNE, (month_term(BOOK.plan("pro"), JUNE, 0, 0),), (Credit("c", 5_000_000, "slow", 1),),
        (Correction("2026-05", "INV-2026-05-0001", 25, 3, 50_000),),
    )  # fmt: skip
    found = difference(_invoice("pro", 0), invoice_of(usage, BOOK))
    assert (_effects(found), found.notes_cents) == ((0, 0, -4_75), -4_75)


def test_invoices_that_do_not_add_up_or_are_in_other_currencies_are_refused() -> None:
    made = _invoice("pro", 0)
    with pytest.raises(UsageError, match="EUR cannot be compared"):
        difference(made, msgspec.structs.replace(made, currency="EUR"))
    with pytest.raises(UsageError, match="do not add up"):
        difference(msgspec.structs.replace(made, total_cents=1), made)


PLANS = st.sampled_from(["free", "starter", "pro", "enterprise"])
UNITS = st.one_of(st.integers(0, 2_000_000), st.integers(0, 3_000_000_000))


@st.composite
def _any_invoice(draw: st.DrawFn) -> Invoice:
    """A month of one to three plans, with overage, credits and corrections, by one of two books."""
    month, book = draw(st.sampled_from([JUNE, JULY, "2028-02"])), draw(st.sampled_from([BOOK, OTHER]))
    first, after = month_bounds_ms(month)
    cuts = sorted(draw(st.lists(st.integers(first + 1, after - 1), max_size=2, unique=True)))
    terms = [
        Term(book.plan(draw(PLANS)), since, until, draw(UNITS), 1)
        for since, until in zip([first, *cuts], [*cuts, after], strict=True)
    ]
    credits = tuple(Credit(f"c{n}", draw(st.integers(1, 10**8)), "slow", n) for n in range(draw(st.integers(0, 2))))
    notes = tuple(
        Correction("2026-05", "INV-2026-05-0001", draw(st.integers(-5_000, 5_000)), 1, draw(st.integers(-99, 99)))
        for _ in range(draw(st.integers(0, 1)))
    )
    return invoice_of(Usage("t", month, tuple(terms), credits, notes, (99, 100)), book)


def _adds_up(found: Difference, before: Invoice, after: Invoice) -> None:
    assert sum(_effects(found)) == found.change_cents == after.total_cents - before.total_cents
    for line in found.lines:
        assert line.volume_cents + line.mix_cents + line.price_cents == line.change_cents
        assert line.change_cents == line.after_cents - line.before_cents
    for name in ("before", "after", "volume", "mix", "price", "change"):
        total = getattr(found, f"{name}_cents")
        assert sum(getattr(line, f"{name}_cents") for line in found.lines) == total


@given(_any_invoice(), _any_invoice())
def test_of_any_two_invoices_the_effects_add_up_to_the_cent(before: Invoice, after: Invoice) -> None:
    found = difference(before, after)
    _adds_up(found, before, after)
    back = difference(after, before)
    _adds_up(back, after, before)
    assert back.change_cents == -found.change_cents


@given(_any_invoice())
def test_an_invoice_does_not_differ_from_itself(invoice: Invoice) -> None:
    found = difference(invoice, invoice)
    assert all(line.volume_cents == line.mix_cents == line.price_cents == 0 for line in found.lines)


@given(PLANS, UNITS, UNITS)
def test_with_one_plan_and_one_book_no_price_changes(plan: str, before: int, after: int) -> None:
    found = difference(_invoice(plan, before), _invoice(plan, after))
    assert found.price_cents == 0, "not even by the rounding of the lines"
    if before == 0:
        assert found.mix_cents == 0, "usage where there was none is volume"


@given(PLANS, PLANS, UNITS)
def test_the_same_units_are_no_volume(before: str, after: str, units: int) -> None:
    assert difference(_invoice(before, units), _invoice(after, units)).volume_cents == 0


LINE = st.builds(
    InvoiceLine,
    code=st.sampled_from(["plan-fee", "included", "overage", "overage-discounted", "credit", "else"]),
    description=st.just(""), quantity=st.integers(-5, 10**6), unit=st.just("CU"),
    unit_price_nanousd=st.integers(0, 10**9), amount_cents=st.integers(-10**9, 10**9),
    plan=st.sampled_from(["", "pro"]), days=st.integers(-3, 40),
)  # fmt: skip


@given(st.lists(LINE, max_size=6), st.lists(LINE, max_size=6))
def test_whatever_stands_in_a_file_the_effects_add_up(before: list[InvoiceLine], after: list[InvoiceLine]) -> None:
    one, two = (
        msgspec.structs.replace(_invoice("pro", 0), lines=lines, total_cents=sum(line.amount_cents for line in lines))
        for lines in (before, after)
    )
    _adds_up(difference(one, two), one, two)
