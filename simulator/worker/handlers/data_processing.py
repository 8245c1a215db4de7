"""`data_processing`: aggregate and join rows, given inline or generated from a seed."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from simulator.worker.handlers.base import (
    Handler,
    ParameterFault,
    Parameters,
    Progress,
    at,
    check_integer,
    check_known,
    is_number,
)
from zjops.domain.errors import FieldError

MAX_INLINE_ROWS = 10_000
MAX_GENERATED_ROWS = 100_000
MAX_JOINED_ROWS = 100_000

Row = dict[str, Any]
FUNCTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "sum": sum,
    "min": min,
    "max": max,
    "count": len,
    "avg": lambda values: sum(values) / len(values),
}


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _check_rows(parameters: Parameters, name: str) -> list[FieldError]:
    rows = parameters.get(name)
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_INLINE_ROWS:
        return [FieldError(at(name), f"must be 1 to {MAX_INLINE_ROWS} rows")]
    if not all(isinstance(row, dict) and all(map(_is_scalar, row.values())) for row in rows):
        return [FieldError(at(name), "each row must be an object of strings and numbers")]
    return []


def _check_generate(parameters: Parameters) -> list[FieldError]:
    made = parameters["generate"]
    if not isinstance(made, dict):
        return [FieldError(at("generate"), "must be an object with rows and seed")]
    bounds = (("rows", 1, MAX_GENERATED_ROWS, True), ("seed", 0, 2**53, False), ("groups", 1, 1000, False))
    errors = [e for name, low, high, needed in bounds for e in check_integer(made, name, low, high, required=needed)]
    return [FieldError(e.pointer.replace("#/parameters/", at("generate") + "/"), e.detail) for e in errors]


def _check_metrics(parameters: Parameters) -> list[FieldError]:
    metrics = parameters.get("metrics")
    if not isinstance(metrics, list) or not 1 <= len(metrics) <= 20:
        return [FieldError(at("metrics"), "must be 1 to 20 metrics")]
    for index, metric in enumerate(metrics):
        good = isinstance(metric, dict) and isinstance(metric.get("column"), str)
        if not good or metric.get("function") not in FUNCTIONS:
            return [FieldError(at(f"metrics/{index}"), f"needs column and function ({', '.join(FUNCTIONS)})")]
    return []


def _validate_aggregate(parameters: Parameters) -> list[FieldError]:
    errors = check_known(parameters, "rows", "generate", "group_by", "metrics")
    if "generate" in parameters:
        errors += _check_generate(parameters)
    else:
        errors += _check_rows(parameters, "rows")
    if not isinstance(parameters.get("group_by"), str):
        errors.append(FieldError(at("group_by"), "must be the name of a column"))
    return errors + _check_metrics(parameters)


def generate_rows(made: Row) -> list[Row]:
    """Rows of columns `group`, `value` and `weight`, the same again for the same seed."""
    source = random.Random(made.get("seed", 0))  # noqa: S311 - reproducible input
    groups = made.get("groups", 10)
    return [
        {
            "group": f"g{source.randrange(groups)}",
            "value": source.randrange(1_000_000),
            "weight": source.randrange(1, 10),
        }
        for _ in range(made["rows"])
    ]


def _aggregate(parameters: Parameters, progress: Progress) -> dict[str, Any]:
    rows = generate_rows(parameters["generate"]) if "generate" in parameters else parameters["rows"]
    progress(30)
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if parameters["group_by"] not in row:
            raise ParameterFault(f"a row has no column {parameters['group_by']!r}")
        groups[str(row[parameters["group_by"]])].append(row)
    progress(60)
    answer = [{"group": name} | _metrics(parameters["metrics"], groups[name]) for name in sorted(groups)]
    return {"rows": len(rows), "groups": answer}


def _metrics(metrics: list[Row], rows: list[Row]) -> Row:
    found = {}
    for metric in metrics:
        values = [row.get(metric["column"]) for row in rows]
        if metric["function"] != "count" and not all(is_number(v) for v in values):
            raise ParameterFault(f"column {metric['column']!r} is not a number in every row")
        found[f"{metric['function']}_{metric['column']}"] = FUNCTIONS[metric["function"]](values)
    return found


def _validate_join(parameters: Parameters) -> list[FieldError]:
    errors = check_known(parameters, "left", "right", "on", "how")
    errors += _check_rows(parameters, "left") + _check_rows(parameters, "right")
    if not isinstance(parameters.get("on"), str):
        errors.append(FieldError(at("on"), "must be the name of a column"))
    if parameters.get("how", "inner") not in ("inner", "left"):
        errors.append(FieldError(at("how"), "must be inner or left"))
    return errors


def _join(parameters: Parameters, progress: Progress) -> dict[str, Any]:
    on, keep = parameters["on"], parameters.get("how", "inner") == "left"
    index: dict[Any, list[Row]] = defaultdict(list)
    for row in parameters["right"]:
        index[row.get(on)].append(row)
    progress(30)
    joined: list[Row] = []
    for row in parameters["left"]:
        partners = index.get(row.get(on), []) if row.get(on) is not None else []
        joined.extend(partner | row for partner in partners)
        if keep and not partners:
            joined.append(row)
        if len(joined) > MAX_JOINED_ROWS:
            raise ParameterFault(f"the join has more than {MAX_JOINED_ROWS} rows")
    return {"count": len(joined), "rows": joined}


HANDLERS = {"aggregate": Handler(_validate_aggregate, _aggregate), "join": Handler(_validate_join, _join)}
