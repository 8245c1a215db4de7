"""Rows of a job put together write what each of them would have: against the statement itself."""

from __future__ import annotations

import re
import sqlite3
from importlib import resources
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from zjops.recording.merging import COLUMNS, merged
from zjops.recording.statements import statement

NUMBERS = {
    "accepted_at", "seen_at", "started_at", "ended_at", "final_at", "attempt", "processing_ms", "payload_bytes",
    "compute_units", "batch_id", "chain_sequence", "leaf_index", "block_number", "gas_share",
}  # fmt: skip
ALWAYS = {"tenant", "plan", "job_type", "state", "accepted_at", "seen_at", "attempt", "payload_bytes", "compute_units"}


def _value(column: str) -> st.SearchStrategy[Any]:
    if column == "job_id":
        return st.sampled_from(("job_a", "job_b", "job_c"))
    told: st.SearchStrategy[Any] = st.integers(0, 9) if column in NUMBERS else st.sampled_from("xyz")
    return told if column in ALWAYS or column == "charge" else st.none() | told


def _written(rows: list[tuple[Any, ...]], *, together: bool) -> list[tuple[Any, ...]]:
    with sqlite3.connect(":memory:") as db:
        db.executescript(resources.files("zjops.recording").joinpath("schema.sql").read_text())
        for part in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            db.executemany(statement("put_job"), merged(part) if together else part)
        found = db.execute("SELECT * FROM jobs ORDER BY n").fetchall()
    db.close()
    return found


@given(st.lists(st.tuples(*map(_value, COLUMNS)), max_size=12))
def test_together_they_write_what_each_of_them_would(rows: list[tuple[Any, ...]]) -> None:
    assert _written(rows, together=True) == _written(rows, together=False)


def test_the_columns_are_those_of_the_statement_in_its_order() -> None:
    names = re.search(r"\(([^)]*)\)", statement("put_job"))
    assert names is not None
    assert tuple(re.findall(r"\w+", names[1])) == COLUMNS


def test_a_job_takes_one_row_in_the_order_in_which_jobs_came() -> None:
    def row(job: str) -> tuple[Any, ...]:
        return tuple(job if name == "job_id" else 0 for name in COLUMNS)

    assert [one[0] for one in merged([row("b"), row("a"), row("b"), row("c"), row("a")])] == ["b", "a", "c"]
