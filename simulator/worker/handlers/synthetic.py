"""The `synthetic` algorithm of every type: a duration and a failure by distribution, for load. It computes nothing."""

from __future__ import annotations

import math
import random
from typing import Any, NamedTuple

from simulator.worker.handlers.base import Parameters, at, check_integer, check_known, is_number
from zjops.domain.errors import FieldError
from zjops.domain.jobs import OutcomeKind

NAME = "synthetic"
MAX_DURATION_MS = 600_000
MAX_RESULT_BYTES = 1_000_000
_NEEDS = {
    "constant": ("value",),
    "uniform": ("low", "high"),
    "exponential": ("mean",),
    "lognormal": ("median", "sigma"),
}
_FAILURES = {"retry": OutcomeKind.RETRY, "failed": OutcomeKind.FAILED, "client_fault": OutcomeKind.CLIENT_FAULT}


class Plan(NamedTuple):
    """What one attempt will do: how long it takes, how it ends, and its result."""

    duration_s: float
    failure: OutcomeKind | None
    result: dict[str, Any]


def _check_duration(value: Any) -> list[FieldError]:
    if is_number(value) and 0 <= value <= MAX_DURATION_MS:
        return []
    pointer = at("duration_ms")
    if not isinstance(value, dict) or value.get("distribution") not in _NEEDS:
        return [FieldError(pointer, f"must be 0 to {MAX_DURATION_MS}, or have a distribution ({', '.join(_NEEDS)})")]
    wrong = [
        n for n in _NEEDS[value["distribution"]] if not is_number(value.get(n)) or not 0 <= value[n] <= MAX_DURATION_MS
    ]
    return [FieldError(f"{pointer}/{name}", f"must be a number from 0 to {MAX_DURATION_MS}") for name in wrong]


def _check_failure(value: Any) -> list[FieldError]:
    if not isinstance(value, dict) or value.get("kind") not in _FAILURES:
        return [FieldError(at("failure"), f"must have a kind ({', '.join(_FAILURES)})")]
    chance = value.get("probability", 1)
    good = is_number(chance) and 0 <= chance <= 1
    return [] if good else [FieldError(at("failure/probability"), "must be from 0 to 1")]


def validate(parameters: Parameters) -> list[FieldError]:
    """Bounds of the synthetic algorithm."""
    errors = check_known(parameters, "duration_ms", "failure", "seed", "result_bytes")
    errors += _check_duration(parameters.get("duration_ms", 0))
    errors += _check_failure(parameters["failure"]) if "failure" in parameters else []
    errors += check_integer(parameters, "seed", 0, 2**53, required=False)
    return errors + check_integer(parameters, "result_bytes", 0, MAX_RESULT_BYTES, required=False)


def _draw_ms(source: random.Random, value: Any) -> float:
    if not isinstance(value, dict):
        return float(value)
    match value["distribution"]:
        case "constant":
            return float(value["value"])
        case "uniform":
            return source.uniform(value["low"], value["high"])
        case "exponential":
            return source.expovariate(1 / value["mean"]) if value["mean"] else 0.0
        case _:
            return float(value["median"]) * math.exp(source.gauss(0, min(value["sigma"], 10)))


def plan(parameters: Parameters, job: str, attempt: int) -> Plan:
    """What this attempt of a job does: the same again for the same seed, job and attempt."""
    asked, failure = parameters.get("duration_ms", 0), parameters.get("failure")
    fails, duration_ms = False, asked
    if failure is not None or isinstance(asked, dict):
        # Only then is anything drawn: to seed a source costs more than all the rest.
        source = random.Random(f"{parameters.get('seed', job)}/{job}/{attempt}")  # noqa: S311 - load, not a secret
        duration_ms = _draw_ms(source, asked)
        fails = failure is not None and source.random() < failure.get("probability", 1)
    duration_ms = min(float(duration_ms), MAX_DURATION_MS)
    padding = "x" * parameters.get("result_bytes", 0)
    result: dict[str, Any] = {"synthetic": True} | ({"padding": padding} if padding else {})
    return Plan(duration_ms / 1000, _FAILURES[failure["kind"]] if fails and failure else None, result)
