"""What notebooks show, apart from the notebooks: sentences, tables, and how far a log goes."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from tests.unit.zjops.analytics.logs import START_MS, event, events, write
from zjops.analytics.notebook import TABLE_MOST, listed, moment, open_log, percent, reach, say, table
from zjops.domain.errors import UsageError

MARK = {
    "schema": "zjops.synthetic/1", "kind": "simulated", "seed": 7, "days": 7, "tenants": 24,
    "from": "2026-09-01T00:00:00.000Z", "to": "2026-09-08T00:00:00.000Z", "last": {},
}  # fmt: skip


def test_figures_stand_to_the_right_and_have_thousands_separators() -> None:
    shown = table([{"a_name": "x|y", "jobs": 12345, "share": 0.5}], {"share": lambda share: percent(share, 1)})
    assert shown.text.splitlines() == [
        "| a name | jobs | share |",
        "| --- | ---: | ---: |",
        "| x\\|y | 12,345 | 50.0 % |",
    ]


def test_a_frame_is_shown_like_rows_and_what_is_unknown_stays_empty() -> None:
    assert table(pl.DataFrame({"jobs": [1, None]})).text.splitlines()[2:] == ["| 1 |", "|  |"]
    assert table([]).text == "*(no rows)*"


def test_a_dump_is_refused() -> None:
    assert table([{"n": 1}] * TABLE_MOST)
    with pytest.raises(UsageError, match=f"a table of {TABLE_MOST + 1} rows is a dump"):
        table([{"n": 1}] * (TABLE_MOST + 1))


def test_dollars_are_no_formula_and_empty_paragraphs_are_left_out() -> None:
    assert say("costs $1", "", "and $2")._repr_markdown_() == "costs \\$1\n\nand \\$2"


@pytest.mark.parametrize(("words", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_words_are_listed_as_in_a_sentence(words: list[str], text: str) -> None:
    assert listed(words) == text


@pytest.mark.parametrize(
    ("kind", "how"),
    [("simulated", "but the platform's own code did it all"), ("arithmetic", "it was made by arithmetic")],
)
def test_a_log_says_how_far_it_goes_and_what_of_it_is_synthetic(tmp_path: Path, kind: str, how: str) -> None:
    write(tmp_path, "events", events(1, 5))
    told = f"The log is complete to {moment(START_MS + 5)}."
    assert reach(open_log(tmp_path)) == told
    (tmp_path / "SYNTHETIC.json").write_text(json.dumps(MARK | {"kind": kind}))
    assert reach(open_log(tmp_path)) == (
        f"{told} It is **synthetic** from 2026-09-01 to 2026-09-08 (24 tenants, seed 7): nobody did this, {how}."
    )


def test_a_mark_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path, "events", [event(1)])
    (tmp_path / "SYNTHETIC.json").write_text("{")
    with pytest.raises(UsageError, match=r"SYNTHETIC\.json cannot be read"):
        reach(open_log(tmp_path))
