"""Invoices as FOCUS: what each line becomes, sums that hold of any month, files read as written, rules that break."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zjops.analytics.focus.columns import VERSIONS, spec
from zjops.analytics.focus.files import Table, read_table, table_of, to_text, write_csv, write_parquet
from zjops.analytics.focus.rows import KINDS, all_rows, exact, focus_rows
from zjops.analytics.focus.rules import RULES, check
from zjops.analytics.issued import book_of
from zjops.domain.clock import month_bounds_ms
from zjops.domain.errors import InvariantError, UsageError
from zjops.domain.invoices import Correction, Credit, Invoice, Term, Usage, invoice_of, issued, month_term
from zjops.domain.plans import price_book

BOOK = price_book()
MONTH = "2026-06"
FIRST, AFTER = month_bounds_ms(MONTH)
MANDATORY_1_2 = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
    "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
    "ServiceCategory", "ServiceName",
}  # fmt: skip


def _invoice() -> Invoice:
    """A month with every kind of line: an upgrade, all parts of the allowance, credits and a correction."""
    cut = FIRST + 15 * 86_400_000
    terms = (
        Term(BOOK.plan("starter", {"overage_enabled": True}), FIRST, cut, 1_100_000, 9),
        Term(BOOK.plan("pro"), cut, AFTER, 70_000_003, 5),
    )
    usage = Usage(
        "acme", MONTH, terms, (Credit("c", 5_000_000, "slow", 1),),
        (Correction("2026-05", "INV-2026-05-0001", -25, 3, 50_000),), (99_000, 100_000),
    )  # fmt: skip
    return issued(invoice_of(usage, BOOK), "INV-2026-06-0001", AFTER + 86_400_000)


def _rows(version: str = "1.2") -> list[dict[str, Any]]:
    return focus_rows(_invoice(), BOOK, version)


def _by_code(code: str) -> list[dict[str, Any]]:
    return [row for row in _rows() if row["x_LineCode"] == code]


def _broken(table: Table, version: str = "1.2") -> dict[str, int]:
    return {one.rule: one.violations for one in check(table, spec(version)) if one.violations}


def test_the_columns_are_those_of_the_specifications() -> None:
    old, new = spec("1.2"), spec("1.4")
    assert (len(old.columns), len(new.columns)) == (57, 65)
    assert {name for name, column in old.columns.items() if column.level == "Mandatory"} == MANDATORY_1_2
    assert old.columns.keys() - new.columns.keys() == {"ProviderName", "PublisherName"}
    added = new.columns.keys() - old.columns.keys()
    assert {"ServiceProviderName", "HostProviderName", "InvoiceDetailId"} < added
    assert len(added) == 10
    for one in (old, new):
        assert {*one.values, *one.together, *one.together.values(), *one.only_with} <= one.columns.keys()
    with pytest.raises(UsageError, match=r"FOCUS 1.3 is not known here; there are 1.2, 1.4"):
        spec("1.3")


def test_a_fee_is_a_purchase_of_its_own_days() -> None:
    starter, pro = _by_code("plan-fee")
    assert (starter["ChargeCategory"], starter["ChargeFrequency"]) == ("Purchase", "Recurring")
    assert (starter["ChargePeriodStart"], starter["ChargePeriodEnd"]) == (
        "2026-06-01T00:00:00Z",
        "2026-06-16T00:00:00Z",
    )
    assert (pro["ChargePeriodStart"], pro["ChargePeriodEnd"]) == ("2026-06-16T00:00:00Z", "2026-07-01T00:00:00Z")
    assert (starter["PricingQuantity"], starter["PricingUnit"]) == (Decimal("0.500000000"), "Month")
    assert (starter["ListUnitPrice"], starter["BilledCost"], pro["BilledCost"]) == (
        29,
        Decimal("14.50"),
        Decimal("49.50"),
    )
    assert starter["ConsumedQuantity"] is None
    assert (starter["SkuId"], starter["SkuPriceId"]) == ("starter-plan", "2026-01/starter/plan-fee")


def test_usage_is_consumed_and_priced_by_the_unit() -> None:
    assert [row["ConsumedQuantity"] for row in _by_code("included")] == [10_000_000]
    (first, second), (discounted,) = _by_code("overage"), _by_code("overage-discounted")
    assert {row["ChargeCategory"] for row in (first, second, discounted)} == {"Usage"}
    assert (first["ContractedUnitPrice"], discounted["ListUnitPrice"]) == (Decimal("0.000005"), Decimal("0.000004"))
    assert discounted["ContractedCost"] == discounted["ContractedUnitPrice"] * discounted["PricingQuantity"]
    assert abs(discounted["ContractedCost"] - discounted["BilledCost"]) <= Decimal("0.005")
    assert {row["SkuId"] for row in (first, discounted)} == {"compute-units"}


def test_credits_and_corrections_are_amounts_without_a_price() -> None:
    (credit,), (service,), (note,) = _by_code("credit"), _by_code("sla-credit"), _by_code("correction")
    for row in (credit, service):
        assert (row["ChargeCategory"], row["ChargeClass"]) == ("Credit", None)
        assert row["BilledCost"] == row["ListCost"] == row["EffectiveCost"] < 0
        assert row["PricingQuantity"] is row["SkuId"] is row["ConsumedUnit"] is None
    assert (note["ChargeCategory"], note["ChargeClass"], note["BilledCost"]) == (
        "Adjustment",
        "Correction",
        Decimal("-0.25"),
    )
    assert (note["ChargePeriodStart"], note["BillingPeriodStart"]) == ("2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z")


def test_negotiated_prices_stand_beside_those_of_the_list() -> None:
    plan = BOOK.plan(
        "enterprise", {"fee_microusd": 4_000_000_000, "overage_nanousd": 1_500, "buffer_override_units": 0}
    )
    made = invoice_of(Usage("big", MONTH, (month_term(plan, MONTH, 1_300_000_000, 1),)), BOOK)
    fee, _, overage = focus_rows(made, BOOK, "1.2")
    assert (fee["ListUnitPrice"], fee["ContractedUnitPrice"]) == (5000, 4000)
    assert (overage["ListUnitPrice"], overage["ContractedUnitPrice"]) == (Decimal("0.000002"), Decimal("0.0000015"))
    assert (overage["ListCost"], overage["BilledCost"]) == (600, 450)
    assert _broken(table_of(focus_rows(made, BOOK, "1.2"))) == {}


def test_a_draft_has_a_provisional_id_and_a_line_of_no_kind_is_refused() -> None:
    draft = invoice_of(Usage("acme", MONTH, (month_term(BOOK.plan("pro"), MONTH, 0, 0),)), BOOK)
    (row,) = focus_rows(draft, BOOK, "1.4")
    assert (row["InvoiceId"], row["InvoiceDetailId"]) == ("DRAFT-2026-06-acme", "DRAFT-2026-06-acme-001")
    odd = msgspec.structs.replace(draft, lines=[msgspec.structs.replace(draft.lines[0], code="tip")])
    with pytest.raises(UsageError, match="line 1: no such kind of line as tip"):
        focus_rows(odd, BOOK, "1.2")


PLANS = st.sampled_from(["free", "starter", "pro", "enterprise"])


@st.composite
def _any_invoice(draw: st.DrawFn) -> Invoice:
    month = draw(st.sampled_from([MONTH, "2026-07", "2028-02"]))
    first, after = month_bounds_ms(month)
    cuts = sorted(draw(st.lists(st.integers(first + 1, after - 1), max_size=2, unique=True)))
    fees = st.fixed_dictionaries(
        {}, optional={"fee_microusd": st.integers(0, 10**10), "overage_nanousd": st.integers(1, 9_999)}
    )
    terms = [
        Term(BOOK.plan(draw(PLANS), draw(fees)), since, until, draw(st.integers(0, 3_000_000_000)), 1)
        for since, until in zip([first, *cuts], [*cuts, after], strict=True)
    ]
    credits = tuple(Credit(f"c{n}", draw(st.integers(1, 10**8)), "slow", n) for n in range(draw(st.integers(0, 2))))
    notes = [Correction("2026-05", "INV-2026-05-0001", draw(st.integers(-5_000, 5_000)), 1, 7)] * draw(
        st.integers(0, 1)
    )
    return invoice_of(Usage("t", month, tuple(terms), credits, tuple(notes), (99, 100)), BOOK)


@settings(deadline=None)
@given(_any_invoice(), st.sampled_from(VERSIONS))
def test_of_any_month_the_rows_add_up_to_the_invoice_and_break_no_rule(invoice: Invoice, version: str) -> None:
    rows = focus_rows(invoice, BOOK, version)
    assert sum(row["BilledCost"] for row in rows) == exact(invoice.total_cents, 2)
    assert sum(row["EffectiveCost"] for row in rows) == exact(invoice.total_cents, 2)
    assert _broken(table_of(rows), version) == {}
    units = sum(row["ConsumedQuantity"] or 0 for row in rows)
    assert units == invoice.units.total
    mandatory = {name for name, column in spec(version).columns.items() if column.level == "Mandatory"}
    assert all(mandatory <= row.keys() for row in rows)
    assert all(abs(row["ContractedCost"] - row["BilledCost"]) < Decimal("0.0051") for row in rows)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_written_is_read_back_as_it_was(version: str, tmp_path: Path) -> None:
    rows = _rows(version)
    (tmp_path / "f.csv").write_bytes(write_csv(rows))
    (tmp_path / "f.parquet").write_bytes(write_parquet(rows, spec(version)))
    told, by_csv, by_parquet = table_of(rows), read_table(tmp_path / "f.csv"), read_table(tmp_path / "f.parquet")
    assert by_csv.columns == by_parquet.columns == told.columns
    assert by_csv.rows == by_parquet.rows == told.rows
    assert by_csv.lines == list(range(2, len(rows) + 2))
    frame = pl.read_parquet(tmp_path / "f.parquet")
    assert frame.schema["BilledCost"] == pl.Decimal(38, 18)
    assert frame.schema["BillingPeriodStart"] == pl.Datetime("ms", "UTC")
    assert frame.select(pl.col("BilledCost").sum()).item() == exact(_invoice().total_cents, 2)


@given(st.integers(-(10**30), 10**30), st.integers(0, 18))
def test_whole_numbers_become_decimals_without_rounding(value: int, digits: int) -> None:
    text = to_text(exact(value, digits))
    assert text is not None
    assert "E" not in text.upper()
    whole, _, rest = text.lstrip("-").partition(".")
    assert int(whole + rest.ljust(digits, "0")) == abs(value)
    assert text.startswith("-") == (value < 0)


def _set(name: str, value: str | None, where: str | None = None) -> Callable[[Table], Table]:
    """The table with a value in a column, of the rows of one kind of line or of all."""

    def change(table: Table) -> Table:
        rows = [row | {name: value} if where in (None, row["x_LineCode"]) else row for row in table.rows]
        columns = table.columns if name in table.columns else [*table.columns, name]
        return table._replace(rows=rows, columns=columns)

    return change


def _drop(name: str) -> Callable[[Table], Table]:
    return lambda table: table._replace(
        columns=[one for one in table.columns if one != name],
        rows=[{key: value for key, value in row.items() if key != name} for row in table.rows],
    )


BREAKS: list[tuple[str, str, Callable[[Table], Table]]] = [
    ("1.2", "CostAndUsage", _drop("BilledCost")),
    ("1.4", "CostAndUsage", _drop("HostProviderName")),
    ("1.2", "ColumnHandling", _set("Colour", "red")),
    ("1.4", "ColumnHandling", _set("ProviderName", "Zama")),
    ("1.2", "DataType", lambda table: table._replace(types={"BilledCost": "String"})),
    ("1.2", "NumericFormat", _set("ListCost", "1,000.00")),
    ("1.2", "NumericFormat", _set("ListCost", "+1")),
    ("1.2", "NumericFormat", _set("ListCost", "$1")),
    ("1.2", "DateTimeFormat", _set("ChargePeriodEnd", "2026-07-01")),
    ("1.2", "DateTimeFormat", _set("ChargePeriodEnd", "2026-13-01T00:00:00Z")),
    ("1.2", "CurrencyFormat", _set("BillingCurrency", "Dollars")),
    ("1.2", "KeyValueFormat", _set("SkuPriceDetails", '{"a":{"b":1}}')),
    ("1.2", "KeyValueFormat", _set("SkuPriceDetails", '{"a":1,"a":2}')),
    ("1.2", "KeyValueFormat", _set("Tags", "[1]")),
    ("1.2", "NullHandling", _set("BillingAccountName", "Not Applicable")),
    ("1.2", "NullHandling", _set("BillingAccountName", "  ")),
    ("1.2", "NotNull", _set("ServiceName", None)),
    ("1.2", "AllowedValues", _set("ChargeCategory", "Refund")),
    ("1.2", "UnitPrices", _set("ListUnitPrice", "-1", "overage")),
    ("1.2", "NullTogether", _set("PricingUnit", None, "plan-fee")),
    ("1.2", "NullTogether", _set("SkuMeter", "CU", "credit")),
    ("1.2", "BillingPeriod", _set("BillingPeriodEnd", "2026-06-01T00:00:00Z")),
    ("1.2", "ChargePeriod", _set("ChargePeriodEnd", "2026-01-01T00:00:00Z")),
    ("1.2", "ChargeFrequency", _set("ChargeFrequency", "Usage-Based")),
    ("1.2", "ConsumedQuantity", _set("ConsumedQuantity", "1", "plan-fee")),
    ("1.2", "ConsumedQuantity", _set("ConsumedQuantity", None, "overage")),
    ("1.2", "PricingQuantity", _set("PricingQuantity", None, "overage")),
    ("1.2", "ListUnitPrice", _set("ChargeCategory", "Tax", "overage")),
    ("1.2", "ContractedUnitPrice", _set("ContractedUnitPrice", None, "plan-fee")),
    ("1.2", "PricingCategory", _set("PricingCategory", None, "plan-fee")),
    ("1.2", "SkuId", _set("SkuId", None, "included")),
    ("1.2", "SkuPriceId", _set("SkuPriceId", None, "included")),
    ("1.2", "SkuPriceId", _set("SkuPriceId", "one-for-all")),
    ("1.2", "ContractedCost", _set("ContractedCost", "7", "overage")),
    ("1.2", "ListCost", _set("ListCost", "7", "credit")),
    ("1.2", "EffectiveCost", _set("EffectiveCost", "0", "credit")),
    ("1.2", "ServiceName", _set("ServiceCategory", "Web", "credit")),
    ("1.4", "ServiceSubcategory", _set("ServiceSubcategory", "Containers Deluxe")),
    ("1.4", "ServiceSubcategory", _set("ServiceSubcategory", "Other (Web)")),
    ("1.2", "InvoiceId", _set("BillingAccountId", "other", "credit")),
    ("1.2", "InvoiceId", _set("BillingCurrency", "EUR", "credit")),
    ("1.2", "BilledCost", _set("BilledCost", "1", "credit")),
]


@pytest.mark.parametrize(("version", "rule", "change"), BREAKS, ids=[f"{row[1]}-{n}" for n, row in enumerate(BREAKS)])
def test_every_rule_finds_what_breaks_it(version: str, rule: str, change: Callable[[Table], Table]) -> None:
    table = table_of(_rows(version))
    assert _broken(table, version) == {}
    found = [one for one in check(change(table), spec(version)) if one.violations and one.rule == rule]
    assert found, f"{rule} saw nothing"
    assert all(one.checked and one.why for one in found)


def test_every_rule_is_broken_by_one_of_these() -> None:
    assert {rule.name for rule in RULES} == {rule for _, rule, _ in BREAKS}


def test_a_violation_names_its_line() -> None:
    (one,) = [one for one in check(_set("ListCost", "x", "included")(table_of(_rows())), spec("1.2")) if one.violations]
    line = next(n for n, row in enumerate(_rows(), 2) if row["x_LineCode"] == "included")
    assert one.why == f"line {line}: ListCost is 'x', which is no number"


def test_many_violations_are_counted_and_the_first_are_shown() -> None:
    (one,) = [one for one in check(_set("ListCost", "x")(table_of(_rows())), spec("1.2")) if one.violations]
    assert one.violations == len(_rows()) > 4
    assert one.why.count("line ") == 3
    assert one.why.endswith(f"; and {len(_rows()) - 3} more")


def test_what_cannot_be_checked_is_said_and_never_counted_as_kept() -> None:
    checked = check(_drop("x_InvoiceTotal")(table_of(_rows())), spec("1.2"))
    by_rule = {(one.rule, one.asks): one for one in checked}
    total = by_rule["BilledCost", "adds up to x_InvoiceTotal for each InvoiceId"]
    assert (total.checked, total.violations, total.why) == (False, None, "the file has no x_InvoiceTotal")
    unknown = [one for one in checked if one.rule == "ServiceSubcategory"]
    assert [one.checked for one in unknown] == [False, False]
    types = next(one for one in checked if one.rule == "DataType")
    assert (types.checked, types.why) == (False, "the file has no types")
    assert {one.rule for one in checked if one.why == "a file cannot tell"} == spec("1.2").unchecked.keys()


ODD = ["1e999999999", "-0", "NaN", "1e-9", "{", "Tax", "Usage"]
TEXTS = st.one_of(st.none(), st.text(max_size=8), st.sampled_from(ODD))
NAMES = st.sampled_from([*sorted(spec("1.2").columns), "x_InvoiceTotal", "y"])


@settings(deadline=None)
@given(st.lists(st.dictionaries(NAMES, TEXTS), max_size=4))
def test_no_content_of_a_file_can_stop_the_check(rows: list[dict[str, str | None]]) -> None:
    names = sorted({name for row in rows for name in row})
    filled = [{name: row.get(name) for name in names} for row in rows]
    for version in VERSIONS:
        checked = check(Table(names, filled, list(range(len(rows))), {}), spec(version))
        assert any(one.rule == "CostAndUsage" and one.checked for one in checked)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "line 1: a FOCUS file begins"), (b"a,a\n1,2\n", "line 1: a FOCUS file begins"),
        (b"a,b\n1,2\n1,2,3\n", "line 3: 3 cells, the file has 2 columns"), (b'a,b\n1,"2\n', "line 2: "),
        (b"a,b\n\xff,2\n", "is no text"), (b"PAR1 and no more", "is damaged"),
    ],
    ids=["empty", "a column twice", "too many cells", "an open quote", "no text", "broken Parquet"],
)  # fmt: skip
def test_files_that_cannot_be_read_are_named_with_the_line(content: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=rf"f\.csv.*{why}"):
        read_table(path)


def test_list_prices_are_those_of_the_book_that_a_month_was_closed_by(tmp_path: Path) -> None:
    kept = tmp_path / "billing/2026-06/prices.json"
    kept.parent.mkdir(parents=True)
    log = tmp_path / "log"
    assert book_of(log, MONTH, None).version == BOOK.version
    kept.write_bytes(msgspec.json.encode(msgspec.structs.replace(BOOK, version="of that time")))
    assert book_of(log, MONTH, None).version == "of that time"
    assert book_of(log, "2026-07", None).version == BOOK.version
    kept.write_text("{")
    with pytest.raises(InvariantError, match=r"prices\.json cannot be read"):
        book_of(log, MONTH, None)


def test_the_kinds_of_lines_are_those_of_invoices_and_the_data_names_its_source() -> None:
    from zjops.domain import invoices

    codes = {getattr(invoices, name) for name in (
        "FEE", "INCLUDED", "BUFFER", "OVERAGE", "OVERAGE_DISCOUNTED", "SLA_CREDIT", "CREDIT", "CORRECTION"
    )}  # fmt: skip
    assert KINDS.keys() == codes
    folder = Path(__file__).parents[4] / "zjops/analytics/focus"
    for version in VERSIONS:
        text = (folder / f"focus_{version.replace('.', '_')}.toml").read_text()
        assert "# Source: " in text
        assert tomllib.loads(text)["version"] == version
    assert all_rows([], BOOK, "1.2") == []
