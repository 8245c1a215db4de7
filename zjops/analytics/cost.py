"""What a job costs: the design's lines, the gas of batches, workers, storage. Pure arithmetic on whole numbers.

    cost a job = (infrastructure a month + gas a month) / jobs a month
    gas a month = jobs a month x gas a job x gas price x coin price
    gas a job = gas a batch / jobs a batch, or what a log measured
    jobs a batch = 1 + jobs a month x window / seconds a month, at most 1,000   (zjops/domain/batches.py)
    workers = the larger of `workers_least` and jobs x (1 - coalesced) x seconds a job / (slots x use x seconds a month)
    stored bytes a month = GB x (hot days x hot price + the other days x archive price) / days kept

Coalescing saves computing alone: each job keeps a leaf, a proof and an answer of its own. Every amount is rounded once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from zjops.analytics.figures import COUNT, MICROUSD, MILLI, NANOUSD, Figure, half_up, shown
from zjops.domain.batches import BATCH_MOST, MONTH_S, jobs_per_batch
from zjops.domain.errors import UsageError
from zjops.domain.plans import PriceBook

WEI = 10**18
Amount = Annotated[int, Meta(ge=0, le=10**15)]
Positive = Annotated[int, Meta(ge=1, le=10**15)]
Share = Annotated[int, Meta(ge=0, le=100)]
RATE_MOST = 10**12
RATES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)


class Inputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the model is asked with; each is explained in `costs.toml`."""

    jobs_per_month: Positive
    window_s: Annotated[float, Meta(ge=0, le=10**6)]
    gas_per_batch: Amount
    gas_price_wei: Amount
    coin_microusd: Amount
    stored_gb: Amount
    hot_microusd_per_gb: Amount
    archive_microusd_per_gb: Amount
    hot_days: Amount
    keep_days: Positive
    worker_microusd: Amount
    workers_least: Amount
    worker_slots: Positive
    worker_use_percent: Annotated[int, Meta(ge=1, le=100)]
    work_ms: Amount
    spot_percent: Share
    spot_discount_percent: Share
    spot_repeat_percent: Share
    coalesced_percent: Share
    units_per_job: Positive


class Design(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the design promised, and the gas of its own contract."""

    jobs_per_month: Positive
    gas_microusd_per_job: Amount
    cost_microusd_per_job: Amount
    gas_saving_percent: Share
    storage_saving_percent: Share
    single_gas: Positive
    batch_gas: Positive
    batch_jobs: Positive


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of infrastructure: the design's micro-dollars a month, and what moves it."""

    name: str
    group: str
    microusd: Amount
    how: Literal["fixed", "gas", "workers", "storage"] = "fixed"


class CostBook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of `costs.toml`."""

    version: str
    inputs: Inputs
    design: Design
    lines: tuple[Line, ...]


class LineCost(msgspec.Struct, frozen=True):
    """A line as the design has it and as it is here: micro-dollars a month, nano-dollars a job."""

    line: str
    group: str
    design_microusd: int
    here_microusd: int
    here_nanousd_per_job: int


class CostModel(msgspec.Struct, frozen=True):
    """The answer: lines and what they rest on. `gas_measured` when the gas of a job was not derived from batches."""

    inputs: Inputs
    lines: list[LineCost]
    jobs_per_batch: Fraction
    gas_per_job: Fraction
    gas_measured: bool
    workers: int
    gas_microusd: int
    infrastructure_microusd: int
    gas_nanousd_per_job: int
    nanousd_per_job: int

    @property
    def microusd(self) -> int:
        """Micro-dollars a month, gas included."""
        return self.gas_microusd + self.infrastructure_microusd


class RateCost(msgspec.Struct, frozen=True):
    """What a job costs at a rate of arrival."""

    jobs_per_month: int
    jobs_per_batch_milli: int
    workers: int
    gas_nanousd_per_job: int
    infrastructure_nanousd_per_job: int
    cost_nanousd_per_job: int


class Margin(msgspec.Struct, frozen=True):
    """What a job earns beside what it costs, in nano-dollars.

    `margin_ppm` is of the revenue, None without one. `break_even_jobs` a month make a job cost no more than it earns;
    None when no rate below a million million does.
    """

    who: str
    units_per_job: int
    revenue_nanousd: int
    cost_nanousd: int
    margin_nanousd: int
    margin_ppm: int | None
    break_even_jobs: int | None


class Promise(msgspec.Struct, frozen=True):
    """What the design said, what its own figures give, what holds here, and why; all amounts in `unit`."""

    promise: str
    unit: str
    promised: int
    by_its_own_figures: int
    here: int
    holds: bool
    reason: str


def read_cost_book(text: str, where: str = "cost lines") -> CostBook:
    """Parse cost lines. Raises `UsageError` that names the line or the member when they are none."""
    try:
        book = msgspec.convert(tomllib.loads(text), CostBook)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as exc:
        raise UsageError(f"{where}: {exc}") from exc
    for fault in _faults(book):
        raise UsageError(f"{where}: {fault}")
    return book


def _faults(book: CostBook) -> list[str]:
    """What would be counted twice or not at all."""
    names, ways = [line.name for line in book.lines], [line.how for line in book.lines]
    found = [f"line {name!r} stands there twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    found += [f"two lines are of {way}" for way in ("gas", "workers", "storage") if ways.count(way) > 1]
    return found + ([] if "gas" in ways else ["no line is of gas"]) + _day_faults(book.inputs)


def _day_faults(inputs: Inputs) -> list[str]:
    kept = inputs.hot_days <= inputs.keep_days
    return [] if kept else [f"{inputs.hot_days} days hot are more than the {inputs.keep_days} days kept"]


def cost_book(path: Path | None = None) -> CostBook:
    """The lines of a file, or those that ship. Raises `UsageError`."""
    if path is None:
        return read_cost_book(resources.files("zjops.analytics").joinpath("costs.toml").read_text())
    try:
        return read_cost_book(path.read_text(), f"cost lines {path}")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"cost lines {path} cannot be read: {exc}") from exc


def asked(inputs: Inputs, given: dict[str, Any]) -> Inputs:
    """The inputs with those that were given. Raises `UsageError` for one that cannot be."""
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        found = msgspec.convert(msgspec.to_builtins(inputs) | chosen, Inputs)
    except msgspec.ValidationError as exc:
        raise UsageError(f"cost model: {exc}") from exc
    for fault in _day_faults(found):
        raise UsageError(f"cost model: {fault}")
    return found


def gas_microusd(gas: Fraction, inputs: Inputs) -> Fraction:
    """What an amount of gas costs, in micro-dollars."""
    return gas * inputs.gas_price_wei * inputs.coin_microusd / WEI


def stored_microusd(inputs: Inputs, hot_days: int) -> Fraction:
    """What the stored bytes cost a month when each is hot for `hot_days` of the days it is kept."""
    rest = inputs.keep_days - hot_days
    prices = hot_days * inputs.hot_microusd_per_gb + rest * inputs.archive_microusd_per_gb
    return Fraction(inputs.stored_gb * prices, inputs.keep_days)


def workers_needed(inputs: Inputs) -> int:
    """Workers for the jobs that are computed, and never fewer than `workers_least`."""
    work_ms = Fraction(inputs.jobs_per_month * inputs.work_ms * (100 - inputs.coalesced_percent), 100)
    each_ms = Fraction(MONTH_S * 1000 * inputs.worker_slots * inputs.worker_use_percent, 100)
    return max(inputs.workers_least, -(-work_ms // each_ms))


def _workers_microusd(inputs: Inputs) -> Fraction:
    """The workers' bill: those on spot cost less and do some of their work again."""
    spot = Fraction(inputs.spot_percent, 100)
    spot_price = Fraction((100 - inputs.spot_discount_percent) * (100 + inputs.spot_repeat_percent), 100**2)
    return workers_needed(inputs) * inputs.worker_microusd * (1 - spot + spot * spot_price)


def cost_model(book: CostBook, inputs: Inputs, measured_gas: Fraction | None = None) -> CostModel:
    """What the month and a job cost; `measured_gas` a job stands in for that derived from batches."""
    share = jobs_per_batch(inputs.jobs_per_month, inputs.window_s)
    gas = Fraction(inputs.gas_per_batch) / share if measured_gas is None else measured_gas
    moved = {
        "gas": half_up(gas_microusd(gas * inputs.jobs_per_month, inputs)),
        "workers": half_up(_workers_microusd(inputs)),
        "storage": half_up(stored_microusd(inputs, inputs.hot_days)),
    }
    lines = [_line_cost(line, moved.get(line.how, line.microusd), inputs.jobs_per_month) for line in book.lines]
    spent = sum(line.here_microusd for line, row in zip(lines, book.lines, strict=True) if row.how == "gas")
    total = sum(line.here_microusd for line in lines)
    return CostModel(
        inputs, lines, share, gas, measured_gas is not None, workers_needed(inputs), spent, total - spent,
        half_up(gas_microusd(gas, inputs) * 1000), half_up(Fraction(total * 1000, inputs.jobs_per_month)),
    )  # fmt: skip


def _line_cost(line: Line, microusd: int, jobs: int) -> LineCost:
    return LineCost(line.name, line.group, line.microusd, microusd, half_up(Fraction(microusd * 1000, jobs)))


def total_line(model: CostModel) -> LineCost:
    """The sum of the lines."""
    return LineCost(
        "total", "", sum(line.design_microusd for line in model.lines), model.microusd, model.nanousd_per_job
    )


def figures(model: CostModel) -> list[Figure]:
    """What the cost of a job is made of, each with its formula."""
    inputs, shared = model.inputs, model.jobs_per_batch
    window = f"1 + jobs a month x {inputs.window_s:g} s / {MONTH_S:,} s, at most {BATCH_MOST:,}"
    if model.gas_measured and model.gas_per_job:
        shared, window = inputs.gas_per_batch / model.gas_per_job, f"{inputs.gas_per_batch:,} gas a batch / gas a job"
    gas = "measured: gas of the log's batches / jobs" if model.gas_measured else (
        f"{inputs.gas_per_batch:,} gas a batch / jobs a batch"
    )  # fmt: skip
    price = f"gas a job x {inputs.gas_price_wei:,} wei x {shown(inputs.coin_microusd, MICROUSD)} a coin"
    work = (
        f"the larger of {inputs.workers_least} and jobs x {100 - inputs.coalesced_percent} % x {inputs.work_ms:,} ms / "
        f"({inputs.worker_slots} slots x {inputs.worker_use_percent} % x a month)"
    )
    return [
        Figure("jobs a month", inputs.jobs_per_month, COUNT, "given or measured"),
        Figure("jobs a batch", half_up(shared * 1000), MILLI, window),
        Figure("gas a job", half_up(model.gas_per_job * 1000), MILLI, gas),
        Figure("gas cost a job", model.gas_nanousd_per_job, NANOUSD, price),
        Figure("workers", model.workers, COUNT, work),
        Figure("infrastructure a month", model.infrastructure_microusd, MICROUSD, "the lines without gas"),
        Figure("gas a month", model.gas_microusd, MICROUSD, "gas cost a job x jobs a month"),
        Figure("cost a job", model.nanousd_per_job, NANOUSD, "(infrastructure + gas) a month / jobs a month"),
    ]


def rate_costs(book: CostBook, inputs: Inputs, rates: Sequence[int] = RATES) -> list[RateCost]:
    """What a job costs at other rates of arrival, all else as asked; gas is derived from batches."""
    rows = []
    for rate in rates:
        model = cost_model(book, msgspec.structs.replace(inputs, jobs_per_month=rate))
        infrastructure = half_up(Fraction(model.infrastructure_microusd * 1000, rate))
        rows.append(RateCost(
            rate, half_up(model.jobs_per_batch * 1000), model.workers, model.gas_nanousd_per_job, infrastructure,
            model.nanousd_per_job,
        ))  # fmt: skip
    return rows


def break_even(book: CostBook, model: CostModel, revenue_nanousd: int) -> int | None:
    """A rate of jobs a month at which a job costs no more than it earns, while at one job fewer it does.

    Found by bisection, all else as in the model: a measured gas a job stays as it is, else larger batches share more.
    """
    gas = model.gas_per_job if model.gas_measured else None

    def pays(rate: int) -> bool:
        inputs = msgspec.structs.replace(model.inputs, jobs_per_month=rate)
        return cost_model(book, inputs, gas).nanousd_per_job <= revenue_nanousd

    low, high = 0, RATE_MOST
    if not revenue_nanousd or not pays(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if pays(middle) else (middle, high)
    return high


def margin_of(who: str, units: int, revenue_nanousd: int, book: CostBook, model: CostModel) -> Margin:
    """Revenue and cost of a job beside each other."""
    margin = revenue_nanousd - model.nanousd_per_job
    share = half_up(Fraction(margin * 10**6, revenue_nanousd)) if revenue_nanousd else None
    needed = break_even(book, model, revenue_nanousd)
    return Margin(who, units, revenue_nanousd, model.nanousd_per_job, margin, share, needed)


def plan_margins(book: CostBook, model: CostModel, prices: PriceBook) -> list[Margin]:
    """A job of every plan: out of an allowance that is used up whole, and as overage."""
    units, rows = model.inputs.units_per_job, []
    for plan in prices.plans.values():
        if plan.compute_units:
            share = half_up(Fraction(plan.fee_microusd * 1000 * units, plan.compute_units))
            rows.append(margin_of(f"{plan.name}, all units used", units, share, book, model))
        if plan.overage_allowed:
            rows.append(margin_of(f"{plan.name}, overage", units, plan.overage_nanousd * units, book, model))
    return rows
