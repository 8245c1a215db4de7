"""Loads the named SQL: `-- name: x` opens a statement that ends at the next name."""

from __future__ import annotations

import functools
import importlib.resources
import re

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
