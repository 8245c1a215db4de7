"""Gas tables: the arithmetic of savings, costs, and rates of arrival, on the figures of C51."""

from __future__ import annotations

import pytest

from zjops.cli.gas import Table, _price, _show
from zjops.cli.output import Format, Out
from zjops.domain.batches import jobs_per_batch
from zjops.domain.errors import UsageError
from zjops.gas.tables import Measured, Prices, gas_rows, promise_rows, rate_rows

MEASURED = [
    Measured("original_single", 1, 192_500), Measured("original_batch", 100, 16_134_453),
    Measured("root_batch", 1, 57_000), Measured("root_batch", 100, 56_500), Measured("root_batch", 1_000, 57_000),
]  # fmt: skip
PRICES = Prices(gwei=1.0, usd=2_600.0)


def test_a_batch_is_held_against_the_single_confirmation_of_the_original() -> None:
    rows = {(row.path, row.batch_size): row for row in gas_rows(MEASURED, PRICES)}
    assert rows["original_single", 1].saving_vs_original_single == 0
    assert rows["original_batch", 100].gas_per_job == 161_344.53
    assert round(rows["original_batch", 100].saving_vs_original_single, 3) == 0.162
    assert rows["root_batch", 100].gas_per_job == 565
    assert rows["root_batch", 100].saving_vs_original_single > 0.996


def test_a_cost_follows_from_gas_price_and_coin_price() -> None:
    first = gas_rows(MEASURED, PRICES)[0]
    assert first.cost_per_job_usd == pytest.approx(0.5005)
    assert gas_rows(MEASURED, Prices(gwei=2.0, usd=2_600.0))[0].cost_per_job_usd == pytest.approx(1.001)


@pytest.mark.parametrize(
    ("jobs_a_month", "window_s", "size"),
    [
        pytest.param(0, 3_600, 1.0, id="a job that comes alone is a batch by itself"),
        pytest.param(2_592_000, 60, 61.0, id="one a second for a minute, and the one that opened the batch"),
        pytest.param(2_592_000_000, 60, 1_000.0, id="a batch never holds more than a thousand"),
    ],
)
def test_jobs_in_a_batch_by_rate_and_window(jobs_a_month: int, window_s: int, size: float) -> None:
    assert jobs_per_batch(jobs_a_month, window_s) == size


def test_the_saving_depends_on_the_rate_of_arrival() -> None:
    rows = rate_rows(MEASURED, PRICES, rates=(1_000, 100_000_000), windows_s=(5,))
    rare, busy = rows
    assert rare.gas_per_job == pytest.approx(57_000, rel=0.01)
    assert busy.gas_per_job < 300
    assert rare.saving_vs_original_single < 0.71 < 0.99 < busy.saving_vs_original_single
    assert busy.cost_per_month_usd == pytest.approx(busy.cost_per_job_usd * 100_000_000, rel=1e-3)


def test_gas_between_two_measured_sizes_lies_between_theirs() -> None:
    steep = [Measured("original_single", 1, 100), Measured("root_batch", 1, 100), Measured("root_batch", 101, 300)]
    (row,) = rate_rows(steep, PRICES, rates=(2_592_000,), windows_s=(50,))
    assert (row.jobs_per_batch, row.gas_per_job) == (51.0, round(200 / 51, 2))


def test_a_job_that_is_stored_by_proof_pays_alone_and_is_no_way_of_batching() -> None:
    rows = gas_rows([*MEASURED, Measured("materialise", 1_000, 62_615, jobs=1)], PRICES)
    assert (rows[-1].batch_size, rows[-1].gas_per_job) == (1_000, 62_615)
    assert not any(row.way.startswith("materialise") for row in promise_rows(rows))


@pytest.mark.parametrize(
    ("form", "more", "first"),
    [
        (Format.CSV, None, "path,batch_size,gas,gas_per_job,saving_vs_original_single,cost_per_job_usd\n"
                           "original_single,1,192500,192500.0,0.0,0.5005\n"),
        (Format.CSV, Table.PROMISE, "way,promised_saving,saving,holds\noriginal_batch of 100,0.73,0.161847,no\n"),
        (Format.JSONL, None, '{"path":"original_single","batch_size":1,"gas":192500,'),
        (Format.TABLE, None, "way              batch  gas         gas/job    saving  USD/job\n"),
        (Format.MD, None, "## gas by way and size of batch"),
    ],
)  # fmt: skip
def test_programs_get_one_table_with_plain_numbers_and_people_all(
    form: Format, more: Table | None, first: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _show(Out(form), more, MEASURED, PRICES, {"chain_id": 31338})
    out = capsys.readouterr().out
    assert out.startswith(first)
    assert ("jobs/month" in out) is (form in (Format.TABLE, Format.MD))
    assert all(len(line) <= 80 for line in out.splitlines() if form is Format.TABLE)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e308, -1.0])
def test_a_price_that_cannot_be_computed_with_is_wrong_usage(value: float) -> None:
    with pytest.raises(UsageError, match="--gas-price takes a number from 0 to 1,000,000,000"):
        _price("--gas-price", value)


def test_the_promise_stands_beside_what_holds() -> None:
    promise = {row.way: row for row in promise_rows(gas_rows(MEASURED, PRICES))}
    assert promise["original_batch of 100"].holds is False
    assert promise["root_batch of 1,000"].holds is True
    assert {row.promised_saving for row in promise.values()} == {0.73}
