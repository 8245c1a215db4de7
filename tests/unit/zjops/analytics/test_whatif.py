"""The same log under other prices: who wins and loses, who would have met a quota, and what must hold of any log."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.zjops.analytics.money_log import BATCH_GAS, MoneyLog, cheaper, shop
from zjops.analytics.basis import read_basis
from zjops.analytics.billing import Month
from zjops.analytics.cost import cost_book, cost_model
from zjops.analytics.warehouse import Warehouse
from zjops.analytics.whatif import (
    NamedBook,
    Priced,
    Spent,
    book_row,
    changes,
    months_between,
    price,
    quota_hits,
    spent,
    within_quota,
)
from zjops.domain.clock import month_bounds_ms, parse_rfc3339
from zjops.domain.errors import UsageError
from zjops.domain.invoices import Term, Usage, invoice_of
from zjops.domain.plans import Verdict, decide_quota, price_book, quota_limit, read_price_book

BOOK = price_book()
TEXT = (Path(__file__).parents[4] / "zjops/domain/prices.toml").read_text()
OTHER = read_price_book(cheaper(TEXT))
MONTH = "2026-06"
FIRST, AFTER = month_bounds_ms(MONTH)
NOW = parse_rfc3339("2026-07-10T00:00:00Z")


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Priced, Priced, Spent]:
    with Warehouse(shop(tmp_path_factory.mktemp("log")).save()) as warehouse:
        base = price(warehouse, [MONTH], NamedBook("shipped", BOOK), now_ms=NOW)
        other = price(warehouse, [MONTH], NamedBook("new", OTHER), now_ms=NOW)
        return base, other, spent(warehouse, [MONTH], cost_book(), {})


def test_winners_pay_less_losers_more_and_the_differences_add_up(priced: tuple[Priced, Priced, Spent]) -> None:
    base, other, cost = priced
    rows = {row.tenant: row for row in changes(base, other)}
    assert {name: (row.change_cents, row.who) for name, row in rows.items()} == {
        "ada": (0, "same"), "bob": (-4_00, "winner"), "cy": (8_00, "loser"), "dot": (0, "same"),
        "eve": (-2_00, "winner"),
    }  # fmt: skip
    assert rows["bob"].change_ppm == -134_454
    assert rows["ada"].change_ppm is None, "there is no share of nothing"
    assert [row.change_cents for row in changes(base, other)] == [-4_00, -2_00, 0, 0, 8_00]
    row = book_row(base, other, cost)
    assert (row.winners, row.losers, row.change_cents) == (2, 1, 2_00)
    assert row.revenue_cents == sum(base.cents.values()) + row.change_cents


def test_a_smaller_allowance_makes_a_tenant_meet_its_quota_from_a_day_on(priced: tuple[Priced, Priced, Spent]) -> None:
    base, other, cost = priced
    assert base.hits == []
    (hit,) = other.hits
    assert (hit.tenant, hit.verdict, hit.limit_units) == ("ada", Verdict.PAYMENT_REQUIRED, 20_000)
    assert (hit.peak_units, hit.first_at) == (30 * 900, "2026-06-23T12:00:00.000Z")
    assert book_row(base, other, cost).quota_402 == 1
    assert next(row.quota for row in changes(base, other) if row.tenant == "ada").startswith("402 from 2026-06-23")


def test_the_margin_is_what_is_left_after_the_gas_that_was_used_and_the_months_lines(
    priced: tuple[Priced, Priced, Spent], tmp_path: Path
) -> None:
    base, _, cost = priced
    assert cost.chain_microusd == 30 * BATCH_GAS * 2_600 // 1_000
    with Warehouse(shop(tmp_path).save()) as warehouse:
        inputs = read_basis(warehouse, FIRST, AFTER).inputs()
    assert inputs["jobs_per_month"] == 150
    assert cost.infrastructure_microusd == cost_model(cost_book(), cost_book().inputs).infrastructure_microusd
    row = book_row(base, base, cost)
    assert row.margin_microusd == row.revenue_cents * 10_000 - cost.chain_microusd - cost.infrastructure_microusd
    assert (row.change_cents, row.winners, row.losers) == (0, 0, 0)


def test_what_a_quota_would_have_refused_is_revenue_but_not_within_quota(tmp_path: Path) -> None:
    log = MoneyLog(tmp_path)
    log.act("tenant.create", "bob", "2026-05-20T00:00:00Z", plan="starter", overrides={"overage_enabled": True})
    for day in range(1, 31):
        log.job("bob", "starter", f"06-{day:02d}", 100_000)
    with Warehouse(log.save()) as warehouse:
        found = price(warehouse, [MONTH], NamedBook("shipped", BOOK), now_ms=NOW)
    (hit,) = found.hits
    assert (hit.verdict, hit.limit_units, hit.peak_units) == (Verdict.CAP_REACHED, 1_550_000, 3_000_000)
    assert found.cents["bob"] == 29_00 + 9_75
    assert found.within_cents["bob"] == 29_00 + 2_50


def test_a_book_without_a_plan_that_someone_is_on_is_named(tmp_path: Path) -> None:
    less = read_price_book(TEXT[: TEXT.index("[plans.enterprise]")])
    with (
        Warehouse(shop(tmp_path).save()) as warehouse,
        pytest.raises(UsageError, match=r"no plan 'enterprise'.*\(price book less.toml\)"),
    ):
        price(warehouse, [MONTH], NamedBook("less.toml", less), now_ms=NOW)


def test_a_span_is_of_whole_months() -> None:
    def at(day: str) -> int:
        return parse_rfc3339(f"{day}T00:00:00Z")

    assert months_between(at("2026-11-01"), at("2027-02-01")) == ["2026-11", "2026-12", "2027-01"]
    for since, until, why in (
        ("2026-11-02", "2026-12-01", "not 2026-11-02"), ("2026-11-01", "2026-12-02", "not 2026-12-02"),
        ("2026-11-01", "2026-11-01", "span is empty"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=why):
            months_between(at(since), at(until))


PLANS = st.sampled_from(["free", "starter", "pro", "enterprise"])
OVERRIDES = st.fixed_dictionaries({"overage_enabled": st.booleans(), "compute_units": st.integers(0, 5_000)})


@given(PLANS, OVERRIDES, st.integers(0, 20_000), st.integers(0, 20_000))
def test_the_limit_is_where_the_quotas_decision_turns(
    plan_name: str, overrides: dict[str, int], used: int, needed: int
) -> None:
    plan = BOOK.plan(plan_name, overrides)
    limit, verdict = quota_limit(plan)
    decision = decide_quota(plan, used, needed)
    assert decision.allowed == (used + needed <= limit)
    assert decision.allowed or decision.verdict is verdict


@given(st.lists(st.tuples(PLANS, OVERRIDES, st.integers(0, 20_000)), min_size=1, max_size=4))
def test_within_quota_no_term_adds_units_above_its_limit(parts: list[tuple[str, dict[str, int], int]]) -> None:
    terms = [Term(BOOK.plan(name, over), FIRST + n, AFTER, units, 1) for n, (name, over, units) in enumerate(parts)]
    used = 0
    for term, kept in zip(terms, within_quota(terms), strict=True):
        limit = quota_limit(term.plan)[0]
        assert 0 <= kept.units <= term.units
        assert kept.units in (term.units, max(0, limit - used))
        used += kept.units


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(-10_000, 10_000)),
    st.dictionaries(st.sampled_from("abcdef"), st.integers(-10_000, 10_000)),
)
def test_whatever_tenants_pay_the_changes_add_up_to_that_of_the_whole(
    before: dict[str, int], after: dict[str, int]
) -> None:
    base, other = (Priced(name, "v", cents, cents, {}, []) for name, cents in (("a", before), ("b", after)))
    rows = changes(base, other)
    assert sum(row.change_cents for row in rows) == sum(after.values()) - sum(before.values())
    assert {row.tenant for row in rows} == {*before, *after}
    back = {row.tenant: row.change_cents for row in changes(other, base)}
    assert back == {row.tenant: -row.change_cents for row in rows}
    row = book_row(base, other, Spent(7, 3))
    assert row.winners + row.losers + sum(one.who == "same" for one in rows) == len(rows)
    assert row.margin_microusd == sum(after.values()) * 10_000 - 10


def test_the_first_hit_is_where_the_live_quota_would_first_have_refused(tmp_path: Path) -> None:
    drawn, log = random.Random(7), MoneyLog(tmp_path)
    usage, refused = [], {}
    for tenant in (f"t{number}" for number in range(200)):
        plan = BOOK.plan("pro", {
            "compute_units": drawn.randint(100, 3_000), "buffer_override_units": 0,
            "overage_enabled": drawn.random() < 0.5,
        })  # fmt: skip
        used = 0
        for day in sorted(drawn.choices(range(1, 29), k=drawn.randint(1, 12))):
            units, charge = drawn.randint(1, 900), drawn.choice(["charged", "released"])
            log.job(tenant, "pro", f"06-{day:02d}", units, charge)
            if not decide_quota(plan, used, units).allowed:
                refused.setdefault(tenant, f"2026-06-{day:02d}T12:00:00.000Z")
            used += units if charge == "charged" else 0
        usage.append(Usage(tenant, MONTH, (Term(plan, FIRST, AFTER, used, 1),)))
    with Warehouse(log.save()) as warehouse:
        hits = quota_hits(warehouse, Month(MONTH, usage, NOW), "b")
    assert 20 < len(refused) < 180, "the draw must hold both kinds"
    assert {hit.tenant: hit.first_at for hit in hits} == refused
    assert all(hit.limit_units < hit.peak_units for hit in hits)


def test_each_tenant_pays_by_a_book_what_its_invoice_by_that_book_says(tmp_path: Path) -> None:
    drawn, log = random.Random(11), MoneyLog(tmp_path)
    units: dict[tuple[str, str], int] = {}
    for number in range(300):
        plan = drawn.choice(["free", "starter", "pro", "enterprise"])
        key, amount = (f"t{number % 60}-{plan}", plan), drawn.randint(1, 5_000_000)
        log.job(key[0], plan, f"06-{drawn.randint(1, 28):02d}", amount)
        units[key] = units.get(key, 0) + amount
    with Warehouse(log.save()) as warehouse:
        found = price(warehouse, [MONTH], NamedBook("new", OTHER), now_ms=NOW)
    for (tenant, plan), amount in units.items():
        usage = Usage(tenant, MONTH, (Term(OTHER.plan(plan), FIRST, AFTER, amount, 1),))
        assert found.cents[tenant] == invoice_of(usage, OTHER).total_cents
    assert len(found.cents) == len(units)
