"""A store's log is folded into its file beside those that write."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from simulator.store import folding
from simulator.store.connecting import connect
from simulator.store.folding import PAGES, PAUSE_LEAST_S, PAUSE_MOST_S, Folding, Log, fold, pause_s
from simulator.store.sharing import Sharing
from simulator.store.sqlite import SqliteStore
from tests.support.nats import eventually


def _put(name: str) -> Any:
    return lambda tx: tx.run("setting_put", name=name, value="x" * 3_000)


def _in_the_file(path: Path) -> int:
    """Rows that lie in the file itself: what is only in the log is not looked at."""
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM settings").fetchone()[0])
        except sqlite3.DatabaseError:
            # The table itself is in the log still, or the file is just being written.
            return 0


@pytest.mark.parametrize(
    ("new_pages", "seconds", "told"),
    [
        (0, 1.0, PAUSE_MOST_S),
        (PAGES // 4, 1.0, PAUSE_MOST_S),
        (2 * PAGES, 1.0, 0.5),
        (PAGES, 0.5, 0.5),
        (100 * PAGES, 1.0, PAUSE_LEAST_S),
    ],
)
def test_it_folds_again_when_about_so_much_has_come(new_pages: int, seconds: float, told: float) -> None:
    assert pause_s(new_pages, seconds) == pytest.approx(told)


async def test_what_was_committed_lies_in_the_file_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "PAUSE_MOST_S", 0.01)
    store = SqliteStore(tmp_path / "store.sqlite", Sharing(folds=True))
    await store.start()
    try:
        for number in range(50):
            await store.transact(_put(f"n{number}"))
        await eventually(lambda: _in_the_file(store._path) == 50, 30)
    finally:
        await store.stop()


async def test_one_that_does_not_fold_leaves_what_it_commits_in_the_log(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    await store.start()
    try:
        with closing(connect(str(store._path))) as other:
            fold(other, "FULL")
            for number in range(50):
                await store.transact(_put(f"n{number}"))
            assert _in_the_file(store._path) == 0
            told = fold(other, "FULL")
            assert (told.busy, told.pages) == (0, told.folded)
            assert _in_the_file(store._path) == 50
    finally:
        await store.stop()


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = str(tmp_path / "store.sqlite")
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE t (a)")
    return path


def _passes(monkeypatch: pytest.MonkeyPatch, said: list[Log]) -> list[str]:
    """Let checkpoints say this; returns how they are asked for."""
    asked: list[str] = []

    def told(connection: sqlite3.Connection, how: str) -> Log:
        asked.append(how)
        return said[min(len(asked), len(said)) - 1]

    monkeypatch.setattr(folding, "fold", told)
    return asked


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ([Log(0, 4_999, 4_999)], ["PASSIVE"]),
        ([Log(0, 5_000, 5_000), Log(0, 5_000, 5_000)], ["PASSIVE"] * 2),
        ([Log(0, 5_000, 4_000), Log(0, 5_100, 5_100), Log(0, 40, 0)], ["PASSIVE"] * 3),
        ([Log(0, n, n) for n in (9_000, 9_100, 9_200, 9_300)], ["PASSIVE"] * 4),
        (
            [*(Log(0, n, n) for n in (20_000, 20_100, 20_200, 20_300)), Log(0, 20_350, 20_350)],
            ["PASSIVE"] * 4 + ["FULL"],
        ),
        (
            [*[Log(0, 20_000, 7)] * 2, *[Log(1, -1, -1)] * 2, Log(0, 9, 9)],
            ["PASSIVE"] * 2 + ["FULL"] * 3,
        ),
        ([*[Log(0, 20_000, 7)] * 2, Log(1, 20_040, 20_040), Log(1, 40, 40)], ["PASSIVE"] * 2 + ["FULL"] * 2),
    ],
)  # fmt: skip
def test_what_came_meanwhile_follows_and_only_a_log_that_never_starts_anew_is_folded_with_the_lock(
    monkeypatch: pytest.MonkeyPatch, path: str, said: list[Log], asked: list[str]
) -> None:
    told, one = _passes(monkeypatch, said), Folding(path)
    try:
        with closing(connect(path)) as connection:
            assert one._fold(connection) == said[-1]
        assert told == asked
    finally:
        one.stop()


def test_a_log_that_somebody_reads_from_its_middle_is_not_waited_for(path: str) -> None:
    with closing(connect(path)) as reader, closing(connect(path)) as writer:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM t").fetchall()
        writer.execute("INSERT INTO t VALUES (1)")
        with closing(connect(path)) as connection:
            told = fold(connection, "PASSIVE")
            assert told.folded < told.pages


def test_a_file_that_cannot_be_folded_is_tried_again_and_a_stop_waits_for_no_pause(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    tried: list[str] = []
    honest = folding.fold

    def told(connection: sqlite3.Connection, how: str) -> Log:
        tried.append(how)
        if len(tried) == 1:
            raise sqlite3.OperationalError("disk I/O error")
        monkeypatch.setattr(folding, "PAUSE_MOST_S", 3_600.0)
        monkeypatch.setattr(folding, "PAUSE_LEAST_S", 3_600.0)
        return honest(connection, how)

    monkeypatch.setattr(folding, "PAUSE_MOST_S", 0.01)
    monkeypatch.setattr(folding, "fold", told)
    one = Folding(path)
    while len(tried) < 2 and one._thread.is_alive():
        one._ended.wait(0.01)
    one.stop()
    assert not one._thread.is_alive()
    assert tried == ["PASSIVE"] * 2
