"""What tables and budgets show, apart from any terminal."""

from __future__ import annotations

import pytest

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
