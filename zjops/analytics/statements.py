"""Named statements: SQL lives in files, each with a comment that says what it answers."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def sql(name: str) -> str:
    """A statement from its file in `zjops/analytics/sql`."""
    return (resources.files("zjops.analytics") / "sql" / f"{name}.sql").read_text()


@cache
def views() -> dict[str, str]:
    """The named views by file name, in an order in which each finds those it reads from."""
    folder = resources.files("zjops.analytics") / "views"
    return {name: (folder / f"{name}.sql").read_text() for name in VIEWS}


VIEWS = ("jobs", "charged_jobs", "usage_daily", "invoice_usage", "batches", "requests_by_minute")
