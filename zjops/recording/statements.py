"""The recording's SQL, by name."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from zjops.recording.rows import COLUMNS


@cache
def schema() -> str:
    """The tables of a new recording."""
    return (resources.files("zjops.recording") / "schema.sql").read_text()


@cache
def statement(name: str) -> str:
    """A named statement."""
    return _statements()[name]


def named(text: str) -> dict[str, str]:
    """The statements of a file, each after a line with its name."""
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return {name: sql.strip().rstrip(";") for name, sql in zip(parts[::2], parts[1::2], strict=True)}


@cache
def _statements() -> dict[str, str]:
    columns = ", ".join(COLUMNS)
    text = (resources.files("zjops.recording") / "queries.sql").read_text()
    return {name: sql.replace("{columns}", columns) for name, sql in named(text).items()}
