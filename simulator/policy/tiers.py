"""Which plan a tenant moves to, and when: upgrades at once, downgrades with the next month (S10, R55)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zjops.domain.plans import PriceBook

UPGRADE_AT_PERCENT = 80
NEGOTIATED = "enterprise"
"""Nobody comes into this tier by a rule: its values are agreed on first."""


def is_downgrade(book: PriceBook, plan: str, wanted: str) -> bool:
    """Whether another plan is a lower tier; tiers are ordered by their fee."""
    return book.plan(wanted).fee_microusd < book.plan(plan).fee_microusd


def next_tier(book: PriceBook, plan: str) -> str | None:
    """The tier above a plan that may be had without negotiation."""
    fee = book.plan(plan).fee_microusd
    above = [other for other in book.plans.values() if other.fee_microusd > fee and other.name != NEGOTIATED]
    return min(above, key=lambda other: other.fee_microusd).name if above else None


def upgrade_due(book: PriceBook, plan: str, overrides: Mapping[str, Any], used: int) -> str | None:
    """The tier that a tenant who has opted in moves to, once 80 % of the month's units are used (R55).

    Nobody pays more for no more units: values that a tenant negotiated hold in the next tier too.
    """
    now = book.plan(plan, dict(overrides))
    wanted = next_tier(book, plan)
    if not now.auto_upgrade or wanted is None or used * 100 < now.compute_units * UPGRADE_AT_PERCENT:
        return None
    return wanted if book.plan(wanted, dict(overrides)).compute_units > now.compute_units else None
