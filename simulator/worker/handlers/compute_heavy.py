"""`compute_heavy`: integer matrix products and prime sieves."""

from __future__ import annotations

import hashlib
import random
from typing import Any

from simulator.worker.handlers.base import Handler, Parameters, Progress, at, check_integer, check_known, is_number
from zjops.domain.errors import FieldError

MAX_SIZE = 200
MAX_LIMIT = 5_000_000

Matrix = list[list[int]]


def _check_matrix(parameters: Parameters, name: str) -> list[FieldError]:
    rows = parameters[name]
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_SIZE:
        return [FieldError(at(name), f"must be 1 to {MAX_SIZE} rows")]
    for row in rows:
        if not isinstance(row, list) or not 1 <= len(row) <= MAX_SIZE or not all(is_number(v) for v in row):
            return [FieldError(at(name), f"each row must be 1 to {MAX_SIZE} numbers")]
        if len(row) != len(rows[0]):
            return [FieldError(at(name), "all rows must have the same length")]
    return []


def _validate_matrices(parameters: Parameters) -> list[FieldError]:
    errors = check_known(parameters, "size", "seed", "a", "b")
    if "a" not in parameters and "b" not in parameters:
        errors += check_integer(parameters, "size", 1, MAX_SIZE, required=True)
        return errors + check_integer(parameters, "seed", 0, 2**53, required=False)
    if "a" not in parameters or "b" not in parameters:
        return [*errors, FieldError("#/parameters", "give both a and b, or size")]
    errors += _check_matrix(parameters, "a") + _check_matrix(parameters, "b")
    if not errors and len(parameters["a"][0]) != len(parameters["b"]):
        errors.append(FieldError(at("b"), "must have as many rows as a has columns"))
    return errors


def _random_matrix(source: random.Random, size: int) -> Matrix:
    return [[source.randrange(1000) for _ in range(size)] for _ in range(size)]


def _multiply(parameters: Parameters, progress: Progress) -> dict[str, Any]:
    if "a" in parameters:
        a, b = parameters["a"], parameters["b"]
    else:
        source = random.Random(parameters.get("seed", 0))  # noqa: S311 - reproducible input
        a, b = (_random_matrix(source, parameters["size"]) for _ in range(2))
    columns = list(zip(*b, strict=True))
    product: Matrix = []
    for index, row in enumerate(a):
        product.append([sum(x * y for x, y in zip(row, column, strict=True)) for column in columns])
        progress(100 * (index + 1) // len(a))
    text = ";".join(",".join(map(str, row)) for row in product)
    answer: dict[str, Any] = {
        "rows": len(product),
        "columns": len(columns),
        "trace": sum(product[i][i] for i in range(min(len(product), len(columns)))),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    # Small products are worth having whole; large ones are told by their digest.
    return answer | ({"product": product} if len(product) * len(columns) <= 100 else {})


def _validate_sieve(parameters: Parameters) -> list[FieldError]:
    return check_known(parameters, "limit") + check_integer(parameters, "limit", 2, MAX_LIMIT, required=True)


def _sieve(parameters: Parameters, progress: Progress) -> dict[str, Any]:
    limit = parameters["limit"]
    flags = bytearray([1]) * (limit + 1)
    flags[0:2] = b"\0\0"
    for n in range(2, int(limit**0.5) + 1):
        if flags[n]:
            flags[n * n :: n] = bytes(len(range(n * n, limit + 1, n)))
    progress(80)
    return {"count": sum(flags), "largest": flags.rfind(1), "sum": sum(n for n, f in enumerate(flags) if f)}


HANDLERS = {"matrix_multiply": Handler(_validate_matrices, _multiply), "prime_sieve": Handler(_validate_sieve, _sieve)}
