"""What a handler is: bounds that are checked before a job is accepted, and a computation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from zjops.domain.errors import FieldError

Parameters = dict[str, Any]
Progress = Callable[[int], None]


class ParameterFault(Exception):
    """The job's own parameters are at fault, found only while running: the client is charged (C70)."""


class Handler(NamedTuple):
    """One algorithm of a job type. `validate` is pure and quick; `run` computes and returns plain JSON values."""

    validate: Callable[[Parameters], list[FieldError]]
    run: Callable[[Parameters, Progress], Any]


def at(name: str) -> str:
    """The pointer of a parameter."""
    return f"#/parameters/{name}"


def check_integer(parameters: Parameters, name: str, low: int, high: int, *, required: bool) -> list[FieldError]:
    """An integer within bounds."""
    if name not in parameters:
        return [FieldError(at(name), "is required")] if required else []
    value = parameters[name]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        return [FieldError(at(name), f"must be an integer from {low} to {high}")]
    return []


def check_known(parameters: Parameters, *names: str) -> list[FieldError]:
    """No parameter but these and `algorithm`."""
    return [
        FieldError(at(n), "is not a parameter of this algorithm") for n in parameters if n not in (*names, "algorithm")
    ]


def is_number(value: Any) -> bool:
    """A JSON number that is neither a boolean nor out of a double's sensible range."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
