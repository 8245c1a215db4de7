"""Which plan follows which, and when (S10, R55)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.policy.tiers import is_downgrade, next_tier, upgrade_due
from zjops.domain.plans import price_book

BOOK = price_book()
WILLING = {"auto_upgrade": True}


@pytest.mark.parametrize(
    ("plan", "above"), [("free", "starter"), ("starter", "pro"), ("pro", None), ("enterprise", None)]
)
def test_the_tier_above_is_the_next_by_fee_and_enterprise_is_negotiated(plan: str, above: str | None) -> None:
    assert next_tier(BOOK, plan) == above


def test_a_lower_fee_is_a_downgrade_and_the_same_plan_is_none() -> None:
    assert is_downgrade(BOOK, "pro", "starter")
    assert not is_downgrade(BOOK, "starter", "pro")
    assert not is_downgrade(BOOK, "pro", "pro")


@pytest.mark.parametrize(
    ("plan", "overrides", "used", "wanted"),
    [
        ("free", WILLING, 24_000, "starter"),
        ("free", WILLING, 23_999, None),
        ("free", {}, 30_000, None),
        ("starter", WILLING, 800_000, "pro"),
        ("pro", WILLING, 10_000_000, None),
        ("starter", WILLING | {"compute_units": 1_000}, 1_000, None),
    ],
    ids=["at 80 %", "just below", "not opted in", "starter", "nothing above pro", "negotiated units would not grow"],
)
def test_an_upgrade_is_due_at_80_percent_for_who_has_opted_in(
    plan: str, overrides: dict[str, Any], used: int, wanted: str | None
) -> None:
    assert upgrade_due(BOOK, plan, overrides, used) == wanted


@given(st.sampled_from(list(BOOK.plans)), st.integers(0, 10**10))
def test_an_upgrade_always_gives_more_units_and_ends(plan: str, used: int) -> None:
    for _ in range(len(BOOK.plans)):
        wanted = upgrade_due(BOOK, plan, WILLING, used)
        if wanted is None:
            return
        assert BOOK.plan(wanted).compute_units > BOOK.plan(plan).compute_units
        plan = wanted
    raise AssertionError("it never ends")
