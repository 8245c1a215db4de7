"""The design's figures of cost beside what holds, each with its reason (C51, C53, C54)."""

from __future__ import annotations

from fractions import Fraction

from zjops.analytics.cost import CostBook, CostModel, Inputs, Promise, gas_microusd, stored_microusd
from zjops.analytics.figures import MICROUSD, MILLI, NANOUSD, PPM, half_up, shown

MILLION = 10**6


def promises(book: CostBook, model: CostModel) -> list[Promise]:
    """$0.50 of gas, $0.561 a job, 73 % and 60 %, against the book's own lines and against the model."""
    return [_gas(book, model), _cost(book, model), _saving(book, model), _storage(book, model)]


def _batches(model: CostModel) -> str:
    if model.gas_measured:
        return f"measured here: {shown(half_up(model.gas_per_job * 1000), MILLI)} gas a job"
    return (
        f"here {shown(half_up(model.jobs_per_batch * 1000), MILLI)} jobs share the {model.inputs.gas_per_batch:,} gas "
        f"of a batch, at {model.inputs.jobs_per_month:,} jobs a month and a window of {model.inputs.window_s:g} s"
    )


def _gas(book: CostBook, model: CostModel) -> Promise:
    promised = book.design.gas_microusd_per_job * 1000
    alone = half_up(gas_microusd(Fraction(book.design.single_gas), book.inputs) * 1000)
    reason = f"it is the price of a confirmation by itself, {book.design.single_gas:,} gas; {_batches(model)}"
    holds = model.gas_nanousd_per_job <= promised
    return Promise("gas a job", NANOUSD, promised, alone, model.gas_nanousd_per_job, holds, reason)


def _cost(book: CostBook, model: CostModel) -> Promise:
    design = book.design
    promised, gas = design.cost_microusd_per_job, design.gas_microusd_per_job
    lines = sum(line.microusd for line in book.lines)
    fixed = lines - sum(line.microusd for line in book.lines if line.how == "gas")
    needed = f"{-(-fixed // (promised - gas)):,} jobs a month" if promised > gas else "more jobs than there can be"
    reason = (
        f"the lines add to {shown(lines, MICROUSD)} a month for {design.jobs_per_month:,} jobs; "
        f"{shown(fixed, MICROUSD)} of it do not grow with the jobs, so that the figure needs {needed}"
    )
    given = half_up(Fraction(lines * 1000, design.jobs_per_month))
    return Promise("cost a job", NANOUSD, promised * 1000, given, model.nanousd_per_job,
                   model.nanousd_per_job <= promised * 1000, reason)  # fmt: skip


def _saving(book: CostBook, model: CostModel) -> Promise:
    design = book.design
    own = half_up(MILLION * (1 - Fraction(design.batch_gas, design.batch_jobs * design.single_gas)))
    here = half_up(MILLION * (1 - model.gas_per_job / design.single_gas))
    promised = design.gas_saving_percent * MILLION // 100
    reason = f"its batch of {design.batch_jobs} still writes a record a job; a root is one for all: {_batches(model)}"
    return Promise("gas saved by batching", PPM, promised, own, here, here >= promised, reason)


def _storage(book: CostBook, model: CostModel) -> Promise:
    inputs, promised = model.inputs, book.design.storage_saving_percent * MILLION // 100
    saved = _all_hot(inputs) - stored_microusd(inputs, inputs.hot_days)
    lines = sum(line.here_microusd for line in model.lines if line.group == "storage")
    reason = (
        f"this is of the stored bytes, hot for {inputs.hot_days} of {inputs.keep_days} days; of all storage lines it "
        f"is {shown(_share(saved, lines + saved), PPM)}, of the month's cost "
        f"{shown(_share(saved, model.microusd + saved), PPM)}"
    )
    own, here = (
        _share(_all_hot(one) - stored_microusd(one, one.hot_days), _all_hot(one)) for one in (book.inputs, inputs)
    )
    return Promise("storage saved by tiering", PPM, promised, own, here, here >= promised, reason)


def _all_hot(inputs: Inputs) -> Fraction:
    return stored_microusd(inputs, inputs.keep_days)


def _share(part: Fraction, whole: Fraction) -> int:
    """A share in millionths; none of nothing."""
    return half_up(MILLION * part / whole) if whole else 0
