"""Loads the named SQL: `-- name: x` opens a statement that ends at the next name."""

from __future__ import annotations

import functools
import importlib.resources
import re
import sqlite3
from typing import Any

_NAME = re.compile(r"^-- name: (\w+)[^\n]*\n", re.MULTILINE)


def parse(text: str) -> dict[str, str]:
    """Statements by name. Raises `ValueError` when a name stands twice."""
    parts = _NAME.split(text)[1:]
    found: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in found:
            raise ValueError(f"query {name} stands twice")
        found[name] = body.strip().rstrip(";")
    return found


@functools.cache
def queries() -> dict[str, str]:
    """Every named statement of the package."""
    folder = importlib.resources.files("simulator.store").joinpath("queries")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return parse("\n".join(file.read_text() for file in files))


@functools.cache
def schema() -> str:
    """The statements that create the tables."""
    return importlib.resources.files("simulator.store").joinpath("schema.sql").read_text()


def columns_of(connection: sqlite3.Connection, table: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The columns of a table in their order, and the value of each in a row that does not name it."""
    found = connection.execute(f"SELECT name, dflt_value FROM pragma_table_info('{table}')").fetchall()  # noqa: S608
    defaults = {name: connection.execute(f"SELECT {text or 'NULL'}").fetchone()[0] for name, text in found}
    return tuple(defaults), defaults


@functools.cache
def touching(table: str) -> frozenset[str]:
    """The statements that name a table."""
    named = re.compile(rf"\b(?:FROM|JOIN|INTO|UPDATE)\s+{table}\b")
    return frozenset(name for name, sql in queries().items() if named.search(_code(sql)))


@functools.cache
def writing() -> frozenset[str]:
    """The statements that write."""
    return frozenset(name for name, sql in queries().items() if _code(sql).startswith(("INSERT", "UPDATE", "DELETE")))


def _code(sql: str) -> str:
    return "\n".join(line for line in sql.splitlines() if not line.startswith("--")).lstrip()
