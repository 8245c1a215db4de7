"""Figures with their units: whole numbers to compute with, and the way people read them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec

COUNT, MILLI, PPM = "count", "milli", "ppm"
CENTS, MICROUSD, NANOUSD = "cents", "microusd", "nanousd"
DIGITS = {CENTS: 2, MICROUSD: 6, NANOUSD: 9}


class Figure(msgspec.Struct, frozen=True):
    """One figure: its name, a whole number of `unit`, and the formula or the reason behind it."""

    name: str
    amount: int
    unit: str
    formula: str


def half_up(value: Fraction) -> int:
    """The nearest whole number, halves upward."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def decimal(amount: int, digits: int, places: int) -> str:
    """`amount` of 10 to the power of minus `digits` with `places` decimals, half up: (1_234_567, 6, 2) is `1.23`."""
    whole = half_up(Fraction(abs(amount) * 10**places, 10**digits))
    sign = "-" if amount < 0 and whole else ""
    return f"{sign}{whole // 10**places:,}" + (f".{whole % 10**places:0{places}d}" if places else "")


def dollars_of(amount: int, unit: str) -> str:
    """Money as dollars: with cents, and nano-dollars, which are told a job, with six decimals."""
    text = decimal(amount, DIGITS[unit], 6 if unit == NANOUSD else 2)
    return f"-${text[1:]}" if text.startswith("-") else f"${text}"


def shown(amount: int | None, unit: str) -> str:
    """A figure as people read it; nothing for none."""
    if amount is None:
        return ""
    if unit in DIGITS:
        return dollars_of(amount, unit)
    if unit == PPM:
        return f"{decimal(amount, 4, 2)} %"
    return decimal(amount, 3, 3) if unit == MILLI else f"{amount:,}"


ENDINGS = {
    "_nanousd": NANOUSD, "_nanousd_per_job": NANOUSD, "_microusd": MICROUSD, "_cents": CENTS, "_milli": MILLI,
    "_ppm": PPM,
}  # fmt: skip


def readable(row: dict[str, Any]) -> dict[str, Any]:
    """A row of whole numbers as people read it: by the unit in a column's name, or by the row's own `unit`."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        end = next((end for end in ENDINGS if name.endswith(end)), None)
        if end is not None:
            per_job = " a job" if end.endswith("per_job") else " %" if ENDINGS[end] == PPM else ""
            found[name.removesuffix(end).replace("_", " ") + per_job] = shown(value, ENDINGS[end])
        elif isinstance(value, int) and not isinstance(value, bool):
            found[name.replace("_", " ")] = shown(value, row.get("unit", COUNT))
        elif name != "unit":
            found[name.replace("_", " ")] = value
    return found
