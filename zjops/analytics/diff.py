"""Why one invoice differs from another: volume, mix and price, which add up to the difference to the cent.

Two groups of lines have a quantity: the fee (days of the month, by plan) and usage (compute units, by the part of the
allowance they fall into and the plan). Of each group, with Q its quantity, and q, s = q / Q and p the quantity, share
and price of a line, before (0) and after (1):

    volume = (Q1 - Q0) x s0 x p0       more or less of everything, in the former mix at the former prices
    mix    = Q1 x (s1 - s0) x p0       shares that moved between plans, or from included units into overage
    price  = q1 x (p1 - p0)            what was taken costs more or less than it did

so that volume + mix + price = q1 x p1 - q0 x p0. These are the sales-quantity, sales-mix and sales-price variances of
cost accounting (Horngren, Datar and Rajan, Cost Accounting, on the sales-volume variance). A line that was
not there before has its new price as the former one; a group that was not there at all is volume.

Credits and corrections have no quantity of this invoice: they are told within price, and apart as `notes`. Arithmetic
is exact; a line's three effects are then rounded to cents by the largest remainder, so that lines and totals add up.
A price is the one that gives both amounts, where one does: rounding an amount to the cent is no change of price.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import floor
from typing import NamedTuple

import msgspec

from zjops.domain.clock import month_bounds_ms
from zjops.domain.errors import UsageError
from zjops.domain.invoices import BUFFER, DAY_MS, FEE, INCLUDED, OVERAGE, OVERAGE_DISCOUNTED, Invoice, InvoiceLine

USAGE = frozenset({INCLUDED, BUFFER, OVERAGE, OVERAGE_DISCOUNTED})
NANOUSD_PER_CENT = 10_000_000
HALF = Fraction(1, 2)


class Key(NamedTuple):
    """What makes two lines the same: code and plan."""

    code: str
    plan: str


class Side(NamedTuple):
    """A line of one invoice: its quantity, the cents it comes to, and its listed price in cents a unit, if any."""

    quantity: Fraction = Fraction(0)
    shown: int = 0
    cents: int = 0
    price: Fraction | None = None


class LineChange(msgspec.Struct, frozen=True):
    """A line before and after, in its unit and in cents, and its part of each effect."""

    code: str
    plan: str
    unit: str
    before_quantity: int
    after_quantity: int
    before_cents: int
    after_cents: int
    volume_cents: int
    mix_cents: int
    price_cents: int
    change_cents: int


class Difference(msgspec.Struct, frozen=True):
    """All lines, and the effects of the whole; `notes_cents` is the part of price that is credits and corrections."""

    lines: list[LineChange]
    before_cents: int
    after_cents: int
    volume_cents: int
    mix_cents: int
    price_cents: int
    notes_cents: int
    change_cents: int


def difference(before: Invoice, after: Invoice) -> Difference:
    """What leads from one invoice's total to another's. Raises `UsageError` for other currencies or a wrong total."""
    if before.currency != after.currency:
        raise UsageError(f"{before.currency} and {after.currency} cannot be compared")
    for one in (before, after):
        if sum(line.amount_cents for line in one.lines) != one.total_cents:
            raise UsageError(f"the lines of {one.tenant}'s invoice of {one.month} do not add up to its total")
    lines = [
        *_group("day", _fees(before), _fees(after)), *_group("CU", _usage(before), _usage(after)),
        *_notes(before.lines, after.lines),
    ]  # fmt: skip
    notes = sum(line.change_cents for line in lines if not line.unit)
    volume, mix, price = (sum(getattr(line, f"{name}_cents") for line in lines) for name in ("volume", "mix", "price"))
    change = after.total_cents - before.total_cents
    return Difference(lines, before.total_cents, after.total_cents, volume, mix, price, notes, change)


def _fees(invoice: Invoice) -> dict[Key, Side]:
    """Fees by plan; their quantity is the share of the month, so that a month of 31 days is no more than one of 30."""
    first_ms, after_ms = month_bounds_ms(invoice.month)
    days = (after_ms - first_ms) // DAY_MS
    fees = [(line, max(0, line.days) or days) for line in invoice.lines if line.code == FEE]
    return _sides((line, Fraction(paid, days), paid) for line, paid in fees)


def _usage(invoice: Invoice) -> dict[Key, Side]:
    return _sides((line, Fraction(line.quantity), line.quantity) for line in invoice.lines if _is_usage(line))


def _is_usage(line: InvoiceLine) -> bool:
    """Whether a line has units that cost; an amount without units is a note."""
    return line.code in USAGE and (line.quantity > 0 or not line.amount_cents)


def _sides(lines: Iterable[tuple[InvoiceLine, Fraction, int]]) -> dict[Key, Side]:
    found: dict[Key, Side] = {}
    for line, quantity, shown in lines:
        key, listed = Key(line.code, line.plan), Fraction(line.unit_price_nanousd, NANOUSD_PER_CENT)
        one = found.get(key, Side(price=listed or None))
        price = one.price if one.price == listed else None
        found[key] = Side(one.quantity + quantity, one.shown + shown, one.cents + line.amount_cents, price)
    return found


def _group(unit: str, before: Mapping[Key, Side], after: Mapping[Key, Side]) -> list[LineChange]:
    was, now = (sum((side.quantity for side in sides.values()), Fraction(0)) for sides in (before, after))
    rows = []
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key, Side()), after.get(key, Side())
        old_price, new_price = _prices(old, new)
        # A group that is new, or is gone, has only the other side's mix: all of it is volume.
        share = old.quantity / was if was else new.quantity / now if now else Fraction(0)
        moved = (new.quantity / now if now else share) - share
        effects = ((now - was) * share * old_price, now * moved * old_price, new.quantity * (new_price - old_price))
        change = new.cents - old.cents
        volume, mix, price = _whole(effects, change)
        rows.append(LineChange(
            key.code, key.plan, unit, old.shown, new.shown, old.cents, new.cents, volume, mix, price, change
        ))  # fmt: skip
    return rows


def _prices(old: Side, new: Side) -> tuple[Fraction, Fraction]:
    """The price of each side in cents a unit: one price where one explains both amounts."""
    if not old.quantity or not new.quantity:
        price = _price(new if new.quantity else old)
        return price, price
    if old.price == new.price and all(map(_explained, (old, new))):
        return _price(old), _price(new)
    low = max((side.cents - HALF) / side.quantity for side in (old, new))
    high = min((side.cents + HALF) / side.quantity for side in (old, new))
    if old.price == new.price and low <= high:
        return (low + high) / 2, (low + high) / 2
    return _price(old), _price(new)


def _explained(side: Side) -> bool:
    """Whether the listed price gives the amount, but for rounding to the cent."""
    return side.price is not None and abs(side.quantity * side.price - side.cents) <= HALF


def _price(side: Side) -> Fraction:
    if side.price is not None and _explained(side):
        return side.price
    return side.cents / side.quantity if side.quantity else Fraction(0)


def _whole(effects: Sequence[Fraction], total: int) -> list[int]:
    """Effects in whole cents that add up to a total, by the largest remainder."""
    found = [floor(effect) for effect in effects]
    left = total - sum(found)
    order = sorted(range(len(effects)), key=lambda at: (found[at] - effects[at], -abs(effects[at])))
    if not 0 <= left <= len(order):
        # Amounts that no price explains, in a file that was written by hand.
        found[max(order, key=lambda at: abs(effects[at]))] += left
        return found
    for at in order[:left]:
        found[at] += 1
    return found


def _notes(before: Sequence[InvoiceLine], after: Sequence[InvoiceLine]) -> list[LineChange]:
    """Credits, corrections and whatever else has no quantity, by code."""
    sums: dict[str, list[int]] = {}
    for side, lines in enumerate((before, after)):
        for line in lines:
            if line.code != FEE and not _is_usage(line):
                sums.setdefault(line.code, [0, 0])[side] += line.amount_cents
    return [LineChange(code, "", "", 0, 0, a, b, 0, 0, b - a, b - a) for code, (a, b) in sums.items()]
