"""What tables and budgets show, apart from any terminal."""

from __future__ import annotations

import pytest

from zjops.actions.acts import Act
from zjops.actions.running import Report, told
from zjops.feed.budgets import Budget
from zjops.tui.budgets import name_of
from zjops.tui.widgets import Column, Row, Table


def _rows(*keys: str) -> list[Row]:
    return [Row(key, [(key, "")]) for key in keys]


@pytest.mark.parametrize(("follows", "chosen"), [(True, "c"), (False, "b")])
def test_a_cursor_at_the_newest_row_follows_where_a_table_does(follows: bool, chosen: str) -> None:
    table = Table([Column("key", 4)], follows=follows, id="t")
    table.put(_rows("b", "a"))
    table.put(_rows("c", "b", "a"))
    assert table.chosen is not None
    assert table.chosen.key == chosen


def test_a_cursor_further_down_stays_at_its_row() -> None:
    table = Table([Column("key", 4)], follows=True, id="t")
    table.put(_rows("b", "a"), cursor=1)
    table.put(_rows("c", "b", "a"))
    assert table.chosen is not None
    assert table.chosen.key == "a"


@pytest.mark.parametrize(
    ("name", "plan", "shown"),
    [
        ("availability", "all", "availability  all        "),
        ("availability-enterprise", "enterprise", "availability  enterprise "),
        ("availability-of-europe", "pro", "availability… pro        "),
    ],
)
def test_an_objective_and_its_plan_are_columns(name: str, plan: str, shown: str) -> None:
    assert name_of(Budget(name, plan, 999_000, 1, 0, 60), 25) == shown


def test_an_act_on_the_relayer_counts_nothing() -> None:
    assert told(Report(Act.PAUSE, 1, 1, {}, None, None)) == ["pause: done, the relayer"]
