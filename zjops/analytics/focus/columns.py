"""FOCUS's columns by version, read from the data beside this file, which names its sources."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from typing import Literal

import msgspec

from zjops.domain.errors import UsageError

VERSIONS = ("1.2", "1.4")


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column: feature level, data type, whether it may be null, and whether a number may be negative."""

    level: Literal["Mandatory", "Conditional", "Recommended"]
    type: Literal["String", "Decimal", "Date/Time", "Currency", "JSON"]
    nulls: bool
    negative: bool = True


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One version: columns, allowed values, columns that are null together, and what no file can answer.

    `parents` gives the one category of each service subcategory where the version's list is known.
    """

    version: str
    columns: dict[str, Column]
    values: dict[str, list[str]]
    together: dict[str, str]
    only_with: dict[str, str]
    unchecked: dict[str, str]
    parents: dict[str, str] = {}

    def of_type(self, kind: str) -> list[str]:
        """The columns of a data type."""
        return [name for name, column in self.columns.items() if column.type == kind]


@functools.cache
def spec(version: str) -> Spec:
    """A version's columns. Raises `UsageError` for a version that is not here."""
    if version not in VERSIONS:
        raise UsageError(f"FOCUS {version} is not known here; there are {', '.join(VERSIONS)}")
    path = resources.files("zjops.analytics.focus") / f"focus_{version.replace('.', '_')}.toml"
    return msgspec.convert(tomllib.loads(path.read_text()), Spec)
