import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zjops.domain.errors import UsageError
from zjops.domain.invoices import Usage, invoice_of, month_term, overage_lines, round_to_cents
from zjops.domain.plans import Verdict, compute_units, decide_quota, price_book, read_price_book, split_units

BOOK = price_book()


@pytest.mark.parametrize(
    ("size", "units"),
    [(0, 100), (200, 100), (99_999, 100), (100_001, 101), (1_000_000, 1000), (1_000_001, 1202), (2_000_000, 2400)],
    ids=lambda v: str(v),
)
def test_compute_units_follow_the_size_classes(size: int, units: int) -> None:
    assert compute_units(size) == units


def _golden(plan: str, units: int, **overrides: object) -> int:
    term = month_term(BOOK.plan(plan, overrides), "2026-11", units, 1)
    return invoice_of(Usage("t", "2026-11", (term,)), BOOK).total_cents


def test_the_four_golden_invoices() -> None:
    assert _golden("free", 10_000) == 0
    assert _golden("starter", 1_100_000, overage_enabled=True) == 29_25
    assert _golden("pro", 8_000_000) == 99_00
    assert _golden("enterprise", 1_300_000_000, buffer_override_units=0) == 5_600_00


def test_pro_overage_above_fifty_million_units_is_a_fifth_cheaper() -> None:
    assert [line.amount_cents for line in overage_lines(BOOK.plan("pro"), 60_000_000)] == [250_00, 40_00]


def test_cents_are_rounded_half_up() -> None:
    assert [round_to_cents(v) for v in (4_999, 5_000, 14_999, 15_000)] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("plan", "used", "enabled", "verdict"),
    [
        ("free", 29_900, False, Verdict.PRIMARY),
        ("free", 29_901, False, Verdict.PAYMENT_REQUIRED),
        ("starter", 1_000_000, False, Verdict.BUFFER),
        ("starter", 1_050_000, False, Verdict.PAYMENT_REQUIRED),
        ("starter", 1_050_000, True, Verdict.OVERAGE),
        ("starter", 1_549_901, True, Verdict.CAP_REACHED),
    ],
    ids=["fits", "free has no buffer", "buffer", "buffer gone", "paid overage", "cap"],
)
def test_the_quota_decides_in_the_documented_order(plan: str, used: int, enabled: bool, verdict: Verdict) -> None:
    assert decide_quota(BOOK.plan(plan, {"overage_enabled": enabled}), used, 100).verdict is verdict


@given(st.integers(0, 3_000_000), st.integers(0, 10_000))
def test_a_job_is_charged_only_its_own_part_of_the_overage(used: int, needed: int) -> None:
    plan = BOOK.plan("starter", {"overage_enabled": True})
    before, after = split_units(plan, used), split_units(plan, used + needed)
    assert decide_quota(plan, used, needed).job_overage == after.overage - before.overage
    assert after.included + after.buffer + after.overage == used + needed


def test_bad_plans_and_books_are_refused_with_a_reason() -> None:
    with pytest.raises(UsageError, match="no plan 'gold'"):
        BOOK.plan("gold")
    with pytest.raises(UsageError, match="override"):
        BOOK.plan("pro", {"free_lunch": 1})
    with pytest.raises(UsageError, match="price book"):
        read_price_book("version = ")


def test_plans_survive_a_round_trip() -> None:
    plan = BOOK.plan("pro", {"overage_enabled": True})
    assert msgspec.convert(msgspec.to_builtins(plan), type(plan)) == plan
