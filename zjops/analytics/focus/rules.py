"""Whether a FOCUS file keeps FOCUS's rules: those that can be seen in a file, each by name, and those that cannot.

Requirements are those of FOCUS 1.2, by column (`specification/columns`) and attribute (`specification/attributes`).
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

import msgspec

from zjops.analytics.focus.columns import Spec
from zjops.analytics.focus.files import Table

NUMBER = re.compile(r"-?([0-9]+(\.[0-9]+)?|\.[0-9]+)([eE]-?[0-9]+)?")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
DIGITS_MOST = 60
SHOWN = 3
CURRENCY = re.compile(r"[A-Z]{3}")
PLACEHOLDERS = frozenset({"not applicable", "n/a", "na", "null", "none", "unassigned", "-"})
TOLERANCE = Decimal("0.000001")
"""How far a product of a file's numbers may lie from its cost: what a writer's rounding of each leaves."""
Row = dict[str, str | None]
Problem = tuple[int | None, str]


class Rule(NamedTuple):
    """A rule: the column or attribute it is of, what it asks, the columns it needs, and who breaks it (line, text).

    `unless` says why it cannot be checked on a file though the columns are there, or nothing.
    """

    name: str
    asks: str
    needs: tuple[str, ...]
    broken: Callable[[Table, Spec], Iterable[Problem]]
    unless: Callable[[Table, Spec], str] = lambda table, spec: ""


class Checked(msgspec.Struct, frozen=True):
    """A rule's outcome; `violations` is None where it was not checked, `why` says why or shows the first ones."""

    rule: str
    asks: str
    checked: bool
    violations: int | None
    why: str


def check(table: Table, spec: Spec) -> list[Checked]:
    """Every rule on a file, then what no file can answer."""
    found = [_one(rule, table, spec) for rule in RULES]
    return found + [Checked(name, asks, False, None, "a file cannot tell") for name, asks in spec.unchecked.items()]


def _one(rule: Rule, table: Table, spec: Spec) -> Checked:
    missing = [name for name in rule.needs if name not in table.columns]
    reason = f"the file has no {', '.join(missing)}" if missing else rule.unless(table, spec)
    if reason:
        return Checked(rule.name, rule.asks, False, None, reason)
    problems = list(rule.broken(table, spec))
    told = [text if line is None else f"line {line}: {text}" for line, text in problems[:SHOWN]]
    more = [f"and {len(problems) - SHOWN:,} more"] if len(problems) > SHOWN else []
    return Checked(rule.name, rule.asks, True, len(problems), "; ".join(told + more))


def _each(table: Table) -> Iterator[tuple[int, Row]]:
    return zip(table.lines, table.rows, strict=True)


def number_of(text: str | None) -> Decimal | None:
    """A number in FOCUS's format; None for nothing, and for what is no number, which has a rule of its own."""
    if text is None or not NUMBER.fullmatch(text):
        return None
    found = Decimal(text)
    return found if abs(found.adjusted()) < DIGITS_MOST else None


def _present(table: Table, spec: Spec) -> Iterator[Problem]:
    for name, column in spec.columns.items():
        if column.level == "Mandatory" and name not in table.columns:
            yield None, f"column {name} is missing"


def _names(table: Table, spec: Spec) -> Iterator[Problem]:
    for name in table.columns:
        if name not in spec.columns and not name.startswith("x_"):
            yield None, f"column {name} is not of FOCUS {spec.version} and does not begin with x_"


def _format(kind: str, fits: Callable[[str], bool], what: str) -> Callable[[Table, Spec], Iterator[Problem]]:
    """A check of every value of the columns of a data type."""

    def broken(table: Table, spec: Spec) -> Iterator[Problem]:
        names = [name for name in spec.of_type(kind) if name in table.columns]
        for line, row in _each(table):
            for name in names:
                value = row[name]
                if value is not None and not fits(value):
                    yield line, f"{name} is {value[:40]!r}, which is no {what}"

    return broken


def _is_time(text: str) -> bool:
    from zjops.domain.clock import parse_rfc3339

    if not TIME.fullmatch(text):
        return False
    try:
        parse_rfc3339(text)
    except ValueError:
        return False
    return True


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text, object_pairs_hook=_plain_object, parse_constant=_no_constant), dict)
    except (ValueError, RecursionError):
        return False


def _plain_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs) or any(isinstance(value, dict | list) for value in found.values()):
        raise ValueError("a key twice, or a value that is not plain")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _types(table: Table, spec: Spec) -> Iterator[Problem]:
    """Parquet's own types; CSV has none."""
    for name, kind in table.types.items():
        column = spec.columns.get(name)
        if column is None or kind == "Null":
            continue
        allowed = {"Decimal": ("Decimal", "Float", "Int", "UInt"), "Date/Time": ("Datetime", "String")}
        if not kind.startswith(allowed.get(column.type, ("String", "Categorical", "Enum"))):
            yield None, f"column {name} is {kind}, FOCUS says {column.type}"


def _not_null(table: Table, spec: Spec) -> Iterator[Problem]:
    names = [name for name in table.columns if name in spec.columns and not spec.columns[name].nulls]
    for line, row in _each(table):
        yield from ((line, f"{name} is null") for name in names if row[name] is None)


def _placeholders(table: Table, spec: Spec) -> Iterator[Problem]:
    names = [name for name in table.columns if name in spec.columns]
    for line, row in _each(table):
        for name in names:
            value = row[name]
            if value is not None and (not value.strip() or value.strip().lower() in PLACEHOLDERS):
                yield line, f"{name} is {value!r} where it means nothing"


def _values(table: Table, spec: Spec) -> Iterator[Problem]:
    for line, row in _each(table):
        for name, allowed in spec.values.items():
            value = row.get(name)
            if value is not None and value not in allowed:
                yield line, f"{name} is {value!r}, not one of {', '.join(allowed)}"


def _negative(table: Table, spec: Spec) -> Iterator[Problem]:
    names = [name for name, column in spec.columns.items() if not column.negative and name in table.columns]
    for line, row in _each(table):
        for name in names:
            value = number_of(row[name])
            if value is not None and value < 0:
                yield line, f"{name} is {value}"


def _pairs(table: Table, spec: Spec) -> Iterator[Problem]:
    for line, row in _each(table):
        for name, other in spec.together.items():
            if name in row and other in row and (row[name] is None) != (row[other] is None):
                yield line, f"{name} is {'null' if row[name] is None else 'not null'} and {other} is not so"
        for name, other in spec.only_with.items():
            if row.get(name) is not None and row.get(other) is None:
                yield line, f"{name} is {row[name]!r} and {other} is null"


def _period(name: str) -> Callable[[Table, Spec], Iterator[Problem]]:
    def broken(table: Table, spec: Spec) -> Iterator[Problem]:
        for line, row in _each(table):
            start, end = row[f"{name}Start"], row[f"{name}End"]
            # Times of this one format are in order as texts.
            if start is not None and end is not None and start >= end:
                yield line, f"{name}Start {start} is not before {name}End {end}"

    return broken


def _frequency(table: Table, spec: Spec) -> Iterator[Problem]:
    for line, row in _each(table):
        if row["ChargeCategory"] == "Purchase" and row["ChargeFrequency"] == "Usage-Based":
            yield line, "a Purchase is Usage-Based"


def _consumed(table: Table, spec: Spec) -> Iterator[Problem]:
    for line, row in _each(table):
        usage = row["ChargeCategory"] == "Usage" and row.get("CommitmentDiscountStatus") != "Unused"
        there = row["ConsumedQuantity"] is not None
        if there and not usage:
            yield line, f"ConsumedQuantity of a charge of category {row['ChargeCategory']}"
        elif usage and not there and row["ChargeClass"] != "Correction":
            yield line, "ConsumedQuantity is null for usage"


def _of_priced(name: str) -> Callable[[Table, Spec], Iterator[Problem]]:
    """Null for a tax, not null for usage and purchases that are no corrections."""

    def broken(table: Table, spec: Spec) -> Iterator[Problem]:
        for line, row in _each(table):
            category, there = row["ChargeCategory"], row[name] is not None
            if category == "Tax" and there:
                yield line, f"{name} of a tax"
            elif category in ("Usage", "Purchase") and row["ChargeClass"] != "Correction" and not there:
                yield line, f"{name} is null for category {category}"

    return broken


def _product(cost: str, price: str) -> Callable[[Table, Spec], Iterator[Problem]]:
    """A cost is price times quantity; without a price, that of a credit is what was billed."""

    def broken(table: Table, spec: Spec) -> Iterator[Problem]:
        for line, row in _each(table):
            told, unit = number_of(row[cost]), number_of(row.get(price))
            quantity, billed = number_of(row["PricingQuantity"]), number_of(row["BilledCost"])
            if told is None or row["ChargeClass"] == "Correction":
                continue
            if unit is not None and quantity is not None and abs(unit * quantity - told) > TOLERANCE:
                yield line, f"{cost} is {told}, {price} x PricingQuantity is {unit * quantity}"
            if unit is None and row["ChargeCategory"] == "Credit" and told != billed:
                yield line, f"{cost} is {told}, BilledCost is {billed}"

    return broken


def _effective(table: Table, spec: Spec) -> Iterator[Problem]:
    for line, row in _each(table):
        told, billed = number_of(row["EffectiveCost"]), number_of(row["BilledCost"])
        if row["ChargeCategory"] == "Credit" and told != billed:
            yield line, f"EffectiveCost of a credit is {told}, BilledCost is {billed}"


def _one_of(many: str, one: str) -> Callable[[Table, Spec], Iterator[Problem]]:
    """Each value of a column goes with one value of another."""

    def broken(table: Table, spec: Spec) -> Iterator[Problem]:
        known: dict[str, str | None] = {}
        for line, row in _each(table):
            value = row[many]
            if value is not None and known.setdefault(value, row[one]) != row[one]:
                yield line, f"{many} {value} has {one} {row[one]} here and {known[value]} before"

    return broken


def _parents(table: Table, spec: Spec) -> Iterator[Problem]:
    for line, row in _each(table):
        name, category = row["ServiceSubcategory"], row["ServiceCategory"]
        if name is None:
            continue
        other = re.fullmatch(r"Other \((.+)\)", name)
        parent = other[1] if other else spec.parents.get(name)
        if parent is None or parent != category:
            yield line, f"ServiceSubcategory {name!r} is not of ServiceCategory {category!r}"


def _totals(table: Table, spec: Spec) -> Iterator[Problem]:
    sums, told = defaultdict[str, Decimal](Decimal), dict[str, tuple[int, Decimal | None]]()
    for line, row in _each(table):
        name = row["InvoiceId"]
        if name is not None:
            sums[name] += number_of(row["BilledCost"]) or 0
            told.setdefault(name, (line, number_of(row["x_InvoiceTotal"])))
    for name, (line, total) in told.items():
        if sums[name] != total:
            yield line, f"BilledCost of invoice {name} adds up to {sums[name]}, its total is {total}"


def _priced_rules() -> Iterator[Rule]:
    asks = "null for a tax; not null for usage and purchases that are no corrections"
    names = ("PricingQuantity", "ListUnitPrice", "ContractedUnitPrice", "PricingCategory", "SkuId", "SkuPriceId")
    for name in names:
        yield Rule(name, asks, ("ChargeCategory", "ChargeClass", name), _of_priced(name))
    for cost, price in (("ContractedCost", "ContractedUnitPrice"), ("ListCost", "ListUnitPrice")):
        needs = ("ChargeCategory", "ChargeClass", "BilledCost", "PricingQuantity", cost)
        yield Rule(
            cost, f"{price} x PricingQuantity; for a credit without a price BilledCost", needs, _product(cost, price)
        )


def _pair_rule(many: str, one: str) -> Rule:
    return Rule(many, f"each has one {one}", (many, one), _one_of(many, one))


def _period_rule(name: str) -> Rule:
    return Rule(name, "it starts before it ends", (f"{name}Start", f"{name}End"), _period(name))


RULES: tuple[Rule, ...] = (
    Rule("CostAndUsage", "every mandatory column is present", (), _present),
    Rule("ColumnHandling", "columns are FOCUS's, or begin with x_", (), _names),
    Rule("DataType", "the types of a Parquet file are those of the columns", (), _types,
         lambda table, spec: "" if table.types else "the file has no types"),
    Rule("NumericFormat", "numbers have no symbols, commas or plus signs", (),
         _format("Decimal", lambda text: NUMBER.fullmatch(text) is not None, "number")),
    Rule("DateTimeFormat", "times are ISO 8601 in UTC, to the second", (),
         _format("Date/Time", _is_time, "time such as 2026-11-01T00:00:00Z")),
    Rule("CurrencyFormat", "currencies are ISO 4217 codes", (),
         _format("Currency", lambda text: CURRENCY.fullmatch(text) is not None, "currency code")),
    Rule("KeyValueFormat", "JSON columns are objects of plain values, each key once", (),
         _format("JSON", _is_object, "object of plain values")),
    Rule("NullHandling", "no empty strings and no placeholders", (), _placeholders),
    Rule("NotNull", "columns that may not be null are not", (), _not_null),
    Rule("AllowedValues", "columns with allowed values hold one of them", (), _values),
    Rule("UnitPrices", "unit prices are not negative", (), _negative),
    Rule("NullTogether", "columns that belong together are null together", (), _pairs),
    _period_rule("BillingPeriod"), _period_rule("ChargePeriod"),
    Rule("ChargeFrequency", "no Purchase is Usage-Based", ("ChargeCategory", "ChargeFrequency"), _frequency),
    Rule("ConsumedQuantity", "there for usage alone, and always unless it is a correction",
         ("ChargeCategory", "ChargeClass", "ConsumedQuantity"), _consumed),
    *_priced_rules(),
    Rule("EffectiveCost", "for a credit BilledCost", ("ChargeCategory", "EffectiveCost", "BilledCost"), _effective),
    _pair_rule("SkuPriceId", "SkuId"), _pair_rule("ServiceName", "ServiceCategory"),
    Rule("ServiceSubcategory", "it is of its ServiceCategory", ("ServiceSubcategory", "ServiceCategory"), _parents,
         lambda table, spec: "" if spec.parents else f"the list of FOCUS {spec.version} is not known here"),
    _pair_rule("InvoiceId", "BillingAccountId"), _pair_rule("InvoiceId", "BillingCurrency"),
    Rule("BilledCost", "adds up to x_InvoiceTotal for each InvoiceId",
         ("InvoiceId", "BilledCost", "x_InvoiceTotal"), _totals),
)  # fmt: skip
