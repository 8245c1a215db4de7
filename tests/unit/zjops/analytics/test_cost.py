"""The cost of a job: the design's lines, what moves them, and what holds of every input."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.zjops.analytics.money_log import BATCH_GAS, MoneyLog
from zjops.analytics.basis import read_basis
from zjops.analytics.cost import (
    RATE_MOST,
    CostModel,
    asked,
    break_even,
    cost_book,
    cost_model,
    figures,
    plan_margins,
    rate_costs,
    read_cost_book,
    stored_microusd,
    total_line,
)
from zjops.analytics.figures import MICROUSD, MILLI, NANOUSD, PPM, half_up, readable, shown
from zjops.analytics.promises import promises
from zjops.analytics.warehouse import Warehouse
from zjops.domain.clock import month_bounds_ms
from zjops.domain.errors import UsageError
from zjops.domain.plans import price_book
from zjops.domain.requests import PROBER_TENANT

BOOK = cost_book()
TEXT = (Path(__file__).parents[4] / "zjops/analytics/costs.toml").read_text()


def _model(gas: Fraction | None = None, **given: Any) -> CostModel:
    return cost_model(BOOK, asked(BOOK.inputs, given), gas)


def _line(model: CostModel, how: str) -> int:
    return next(row.here_microusd for row, line in zip(model.lines, BOOK.lines, strict=True) if line.how == how)


def test_the_designs_lines_add_to_6601_dollars_a_month_of_which_5000_are_gas() -> None:
    assert sum(line.microusd for line in BOOK.lines) == 6_601_000_000
    assert [line.microusd for line in BOOK.lines if line.how == "gas"] == [5_000_000_000]
    assert BOOK.design.gas_microusd_per_job * BOOK.design.jobs_per_month == 5_000_000_000


def test_asked_as_the_design_was_the_model_gives_its_lines_again() -> None:
    design = BOOK.design.gas_microusd_per_job
    gas = Fraction(design * 10**18, BOOK.inputs.gas_price_wei * BOOK.inputs.coin_microusd)
    model = _model(gas, hot_days=365)
    assert [row.here_microusd for row in model.lines] == [line.microusd for line in BOOK.lines]
    assert (model.microusd, model.nanousd_per_job) == (6_601_000_000, 660_100_000)


def test_the_promises_stand_beside_what_their_own_figures_give_and_what_holds() -> None:
    rows = {row.promise: row for row in promises(BOOK, _model())}
    gas, cost = rows["gas a job"], rows["cost a job"]
    assert (gas.promised, gas.by_its_own_figures) == (500_000_000, 501_287_800)
    assert (cost.promised, cost.by_its_own_figures) == (561_000_000, 660_100_000)
    assert "26,246 jobs a month" in cost.reason
    saving, storage = rows["gas saved by batching"], rows["storage saved by tiering"]
    assert (saving.promised, saving.by_its_own_figures) == (730_000, 164_593)
    assert not saving.holds, "at 10,000 jobs a month a batch of 5 s holds hardly more than one job"
    assert (storage.promised, storage.by_its_own_figures, storage.here) == (600_000, 758_189, 758_189)
    busy = {row.promise: row for row in promises(BOOK, _model(jobs_per_month=1_000_000, window_s=60))}
    assert busy["gas saved by batching"].holds
    assert busy["gas saved by batching"].here > 980_000


def test_the_figure_of_0_561_needs_as_many_jobs_as_the_ruling_says() -> None:
    fixed = 1_601_000_000
    assert Fraction(fixed, 26_246) + 500_000 <= 561_000 < Fraction(fixed, 26_245) + 500_000


def test_gas_of_a_job_is_the_batchs_through_the_jobs_that_share_it() -> None:
    model = _model(jobs_per_month=2_592_000, window_s=60)
    assert (model.jobs_per_batch, model.gas_per_job) == (61, Fraction(54_503, 61))
    assert model.gas_microusd == half_up(Fraction(2_592_000 * 54_503 * 26, 61 * 10_000) * 1_000_000 / 1000)
    assert _model(gas_price_wei=0).gas_microusd == 0


def test_spot_workers_cost_less_and_do_some_work_again() -> None:
    assert _line(_model(), "workers") == 600_000_000
    assert _line(_model(spot_percent=100), "workers") == 600_000_000 * 30 * 105 // 10_000
    assert _line(_model(spot_percent=50), "workers") == (600_000_000 + 600_000_000 * 30 * 105 // 10_000) // 2


def test_coalescing_saves_workers_where_the_work_asks_for_more_than_the_least() -> None:
    busy = {"jobs_per_month": 100_000_000, "work_ms": 2_000}
    assert _model(coalesced_percent=50).workers == _model().workers == 5
    assert _model(**busy).workers == -(-100_000_000 * 2 // (4 * 2_592_000 * 0.7))
    assert _model(**busy, coalesced_percent=50).workers == 14
    assert _model(**busy, coalesced_percent=50).gas_per_job == _model(**busy).gas_per_job


@given(st.integers(1, 10**9), st.floats(0, 3600), st.integers(0, 10**6), st.integers(0, 100), st.integers(0, 365))
def test_of_any_inputs_lines_add_up_and_figures_agree(
    jobs: int, window: float, gas: int, percent: int, hot: int
) -> None:
    model = _model(
        jobs_per_month=jobs, window_s=window, gas_per_batch=gas, spot_percent=percent, coalesced_percent=percent,
        hot_days=hot,
    )  # fmt: skip
    assert model.microusd == sum(row.here_microusd for row in model.lines) == total_line(model).here_microusd
    assert 1 <= model.jobs_per_batch <= 1000
    assert abs(model.nanousd_per_job * jobs - model.microusd * 1000) <= jobs
    assert abs(Fraction(model.gas_nanousd_per_job * jobs - model.gas_microusd * 1000)) <= jobs + 1000
    found = {row.name: row.amount for row in figures(model)}
    assert found["infrastructure a month"] + found["gas a month"] == model.microusd
    assert found["cost a job"] == model.nanousd_per_job


@given(st.integers(1, 10**8), st.integers(0, 364))
def test_more_archive_more_spot_and_a_longer_window_never_cost_more(jobs: int, hot: int) -> None:
    dear = _model(jobs_per_month=jobs, hot_days=hot + 1, window_s=5)
    cheap = _model(jobs_per_month=jobs, hot_days=hot, window_s=60, spot_percent=30, coalesced_percent=10)
    assert cheap.microusd <= dear.microusd
    assert stored_microusd(cheap.inputs, 0) <= stored_microusd(cheap.inputs, hot) <= stored_microusd(cheap.inputs, 365)


@settings(deadline=None)
@given(st.integers(1, 10**8), st.integers(1, 10**7))
def test_a_job_breaks_even_at_the_rate_and_not_one_below(revenue: int, jobs: int) -> None:
    model = _model(jobs_per_month=jobs)
    rate = break_even(BOOK, model, revenue)
    if rate is None:
        assert _model(jobs_per_month=RATE_MOST).nanousd_per_job > revenue
        return
    assert _model(jobs_per_month=rate).nanousd_per_job <= revenue
    assert rate == 1 or _model(jobs_per_month=rate - 1).nanousd_per_job > revenue


def test_a_job_of_100_units_earns_what_the_ruling_says() -> None:
    rows = {row.who: row for row in plan_margins(BOOK, _model(), price_book())}
    assert rows["starter, all units used"].revenue_nanousd == 2_900_000
    assert rows["pro, all units used"].revenue_nanousd == 990_000
    assert rows["pro, overage"].revenue_nanousd == 500_000
    assert rows["enterprise, overage"].revenue_nanousd == 200_000
    free = rows["free, all units used"]
    assert (free.revenue_nanousd, free.margin_ppm, free.break_even_jobs) == (0, None, None)
    assert free.margin_nanousd == -_model().nanousd_per_job
    assert "free, overage" not in rows


def test_rates_are_the_model_at_each_of_them() -> None:
    for row in rate_costs(BOOK, BOOK.inputs):
        model = _model(jobs_per_month=row.jobs_per_month)
        assert (row.cost_nanousd_per_job, row.workers) == (model.nanousd_per_job, model.workers)
        assert abs(row.gas_nanousd_per_job + row.infrastructure_nanousd_per_job - row.cost_nanousd_per_job) <= 1


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('version = "2026-01"', "version = ?", "line 2"),
        ("stored_gb = 1_000", "stored_gb = -1", r"\$\.inputs\.stored_gb"),
        ('name = "Redis"', 'name = "logs"', "'logs' stands there twice"),
        ('how = "gas"', 'how = "fixed"', "no line is of gas"),
        ('how = "storage"', 'how = "workers"', "two lines are of workers"),
        ("hot_days = 30", "hot_days = 400", "400 days hot"),
        ('how = "gas"', 'how = "magic"', "magic"),
        ("worker_slots", "colour = 1\nworker_slots", "colour"),
    ],
    ids=["no TOML", "below zero", "a name twice", "no gas", "two of a kind", "too long hot", "no such way", "no name"],
)
def test_cost_lines_that_cannot_be_are_refused_with_the_place(old: str, new: str, why: str) -> None:
    assert old in TEXT
    with pytest.raises(UsageError, match=why):
        read_cost_book(TEXT.replace(old, new, 1), "costs.toml")


@pytest.mark.parametrize("given", [{"colour": 1}, {"spot_percent": 101}, {"hot_days": 366}, {"jobs_per_month": 0}])
def test_inputs_that_cannot_be_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="cost model: "):
        asked(BOOK.inputs, given)


def test_gas_rate_and_work_are_measured_from_the_log_the_platforms_own_jobs_included(tmp_path: Path) -> None:
    log = MoneyLog(tmp_path)
    for day, tenant in (("06-02", "acme"), ("06-02", "beta"), ("06-03", "acme"), ("06-03", PROBER_TENANT)):
        log.job(tenant, "pro", day, units=200)
    log.batch()
    log.job("acme", "pro", "06-04", units=500)
    log.batch()
    log.job("acme", "pro", "07-04")
    log.batch()
    with Warehouse(log.save()) as warehouse:
        basis = read_basis(warehouse, *month_bounds_ms("2026-06"))
        nothing = read_basis(warehouse, *month_bounds_ms("2026-05"))
    assert (basis.jobs_confirmed, basis.batches, basis.gas) == (4, 2, 2 * BATCH_GAS)
    assert basis.gas_per_job == Fraction(2 * BATCH_GAS, 4)
    measured = {"jobs_per_month": 4, "gas_per_batch": BATCH_GAS, "work_ms": 5 * 250 // 4 + 1, "units_per_job": 275}
    assert basis.inputs() == measured
    assert (nothing.gas_per_job, nothing.inputs()) == (None, {})


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [
        (1_234_565_000, MICROUSD, "$1,234.57"), (-4_999, MICROUSD, "$0.00"), (-5_000, MICROUSD, "-$0.01"),
        (560_750, NANOUSD, "$0.000561"), (-294_482_136, NANOUSD, "-$0.294482"), (758_189, PPM, "75.82 %"),
        (1_019, MILLI, "1.019"), (12_345, "count", "12,345"), (None, PPM, ""),
    ],
)  # fmt: skip
def test_figures_are_shown_by_their_unit(amount: int | None, unit: str, text: str) -> None:
    assert shown(amount, unit) == text


def test_columns_are_read_by_the_unit_in_their_names() -> None:
    row = {"who": "a", "cost_nanousd": 1_000, "gas_nanousd_per_job": 2_000, "share_ppm": 10_000, "ok": True, "n": 1000}
    assert readable(row) == {
        "who": "a", "cost": "$0.000001", "gas a job": "$0.000002", "share %": "1.00 %", "ok": True, "n": "1,000",
    }  # fmt: skip
    assert readable({"amount": 1_000_000, "unit": MICROUSD}) == {"amount": "$1.00"}
