"""What jobs are worth: compute units, and their share of the fees of their plans by the price book."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from zjops.actions.acts import Target
from zjops.domain.errors import UsageError
from zjops.domain.plans import price_book
from zjops.domain.text import dollars


def fees_of(units_by_plan: dict[str, int]) -> tuple[int, int]:
    """Micro-dollars of the fees of plans that these units are, and the units of plans that have none."""
    microusd = unpriced = 0
    for name, units in units_by_plan.items():
        try:
            plan = price_book().plan(name)
        except UsageError:
            unpriced += units
            continue
        if plan.fee_microusd and plan.compute_units:
            microusd += units * plan.fee_microusd // plan.compute_units
        else:
            unpriced += units
    return microusd, unpriced


def worth_of(targets: Iterable[Target]) -> str:
    """Units and dollars in words."""
    by_plan: Counter[str] = Counter()
    for one in targets:
        by_plan[one.plan] += one.units
    microusd, unpriced = fees_of(by_plan)
    total = sum(by_plan.values())
    text = f"{total:,} compute units = {dollars(microusd)} of their plans' fees"
    return text if not unpriced or unpriced == total == 0 else f"{text} ({unpriced:,} of plans without a fee)"
