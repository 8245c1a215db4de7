"""What a transaction may cost (EIP-1559): the first offer, its replacement, and when waiting is cheaper. All in wei."""

from __future__ import annotations

from typing import NamedTuple

BUMP_PERCENT = 10
"""By how much nodes want both fees raised before one transaction takes another's place."""
GAS_MARGIN_PERCENT = 20
BASE_FEE_FACTOR = 2
"""The base fee doubles in six full blocks: an offer of twice the present one outlasts a short crowd."""
FIRST_TIP_SHARE = 2
"""A first tip is half of the most at highest, so that there is room for replacements."""
COVERS_PERCENT = 113
"""A base fee rises by an eighth from one block to the next at most."""


class Fees(NamedTuple):
    """The offer of a transaction for a unit of gas: at most this in all, at most that of it for the block's maker."""

    max_fee: int
    max_tip: int


def _first_tip(tip: int, most: Fees) -> int:
    return min(tip, most.max_tip // FIRST_TIP_SHARE)


def offer(base_fee: int, tip: int, most: Fees) -> Fees | None:
    """What to offer now, None when even the next block costs more than `most` allows."""
    tip = _first_tip(tip, most)
    least = base_fee + tip
    if least > most.max_fee:
        return None
    return Fees(min(BASE_FEE_FACTOR * base_fee + tip, most.max_fee), tip)


def _raised(fee: int) -> int:
    return max(fee + 1, -(-fee * (100 + BUMP_PERCENT) // 100))


def replacement(former: Fees, base_fee: int, tip: int, most: Fees) -> Fees | None:
    """What to offer in place of a stuck transaction, None when that is above the most or can do no good.

    Both fees rise by a tenth at least, or a node refuses it; and no lower than what would be offered anew.
    """
    fresh = offer(base_fee, tip, most)
    if fresh is None:
        return None
    max_tip = max(_raised(former.max_tip), fresh.max_tip)
    max_fee = max(_raised(former.max_fee), fresh.max_fee, max_tip)
    return Fees(max_fee, max_tip) if max_fee <= most.max_fee and max_tip <= most.max_tip else None


def covers(standing: Fees, base_fee: int, tip: int, most: Fees) -> bool:
    """Whether an offer is good for the next block as it is, so that more of it is money for nothing."""
    wanted = _first_tip(tip, most)
    return standing.max_tip >= wanted and standing.max_fee >= -(-base_fee * COVERS_PERCENT // 100) + wanted


def gas_limit(estimate: int) -> int:
    """The gas to allow for an estimate: state may change until the block is made."""
    return estimate * (100 + GAS_MARGIN_PERCENT) // 100
