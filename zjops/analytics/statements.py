"""Named statements: SQL lives in files, each with a comment that says what it answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

VIEWS = ("jobs", "charged_jobs", "usage_daily", "invoice_usage", "batches", "requests_by_minute")
"""The named views, each after those that it reads from."""


class Asked(NamedTuple):
    """A statement and what it was asked with."""

    text: str
    params: dict[str, Any]


class Expression(NamedTuple):
    """SQL that stands for a parameter as it is."""

    text: str


_asked: ContextVar[list[Asked] | None] = ContextVar("asked", default=None)


@cache
def sql(name: str) -> str:
    """A statement from its file in `zjops/analytics/sql`."""
    return (resources.files("zjops.analytics") / "sql" / f"{name}.sql").read_text()


@cache
def views() -> dict[str, str]:
    """The named views: CREATE VIEW, then comments on it and its columns."""
    return {name: _view_file(name) for name in VIEWS}


@cache
def functions() -> str:
    """SQL functions that views and queries may use."""
    return _view_file("functions")


def _view_file(name: str) -> str:
    return (resources.files("zjops.analytics") / "views" / f"{name}.sql").read_text()


@contextmanager
def recording() -> Iterator[list[Asked]]:
    """What is asked of the warehouse meanwhile, in order."""
    asked: list[Asked] = []
    token = _asked.set(asked)
    try:
        yield asked
    finally:
        _asked.reset(token)


def record(text: str, params: dict[str, Any]) -> None:
    """Note a statement for whoever records."""
    asked = _asked.get()
    if asked is not None:
        asked.append(Asked(text, params))


def rendered(asked: Asked) -> str:
    """A statement with its parameters written out, so that it can be pasted into `zjops query` or `duckdb`."""
    import duckdb

    text = asked.text.encode()
    tokens = duckdb.tokenize(text.decode())
    starts = [start for start, _ in tokens]
    pieces, position = [], 0
    for start in starts:
        if text[start : start + 1] != b"$" or start + 1 not in starts:
            continue
        end = start + 1
        while end < len(text) and (text[end : end + 1].isalnum() or text[end : end + 1] == b"_"):
            end += 1
        pieces += [text[position:start].decode(), literal(asked.params[text[start + 1 : end].decode()])]
        position = end
    return "".join([*pieces, text[position:].decode()]).strip().removesuffix(";")


def literal(value: Any) -> str:
    """A value as a SQL literal: text, numbers, truth, nothing, and lists of them. Raises `TypeError` for another."""
    if isinstance(value, Expression):
        return value.text
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bytes):
        return f"unhex('{value.hex()}')"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(literal, value)) + "]"
    raise TypeError(f"no SQL literal for {type(value).__name__}")
