"""Which files of a log count, by their names alone."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from zjops.domain.logfiles import FOLDED, PROBER_FIRST, LogFile, log_files, name_of, those_that_count


def _folder(tmp_path: Path, *names: str) -> Path:
    folder = tmp_path / "date=2026-11-24"
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return tmp_path


def _counting(folder: Path) -> list[str]:
    return [file.path.name for file in those_that_count(log_files(folder))]


def test_a_file_counts_until_another_covers_its_range(tmp_path: Path) -> None:
    merged, after = name_of("events", 1, 30), name_of("events", 31, 40)
    folder = _folder(tmp_path, name_of("events", 1, 10), merged, name_of("events", 11, 30), after)
    assert _counting(folder) == [merged, after]


def test_what_was_folded_counts_in_place_of_what_it_was_folded_from(tmp_path: Path) -> None:
    folded = name_of(FOLDED, 1, 30)
    assert _counting(_folder(tmp_path, name_of("requests", 1, 30), folded, name_of("requests", 1, 9))) == [folded]


def test_rows_of_the_prober_and_of_the_stream_never_hide_each_other(tmp_path: Path) -> None:
    names = [name_of("requests", 1, 30), name_of("prober", PROBER_FIRST, PROBER_FIRST + 9)]
    assert _counting(_folder(tmp_path, *names)) == names


def test_what_is_no_file_of_a_log_is_passed_over(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "notes.parquet", "events-1-2.parquet", f".{name_of('events', 1, 2)}.part")
    assert log_files(folder) == []


@given(st.integers(1, 60), st.randoms())
def test_whatever_was_merged_each_number_is_read_once(rows: int, source: random.Random) -> None:
    """Files of one row each, any of them merged again and again: what counts holds every number, and none twice."""
    live = [(n, n) for n in range(1, rows + 1)]
    names = set(live)
    for _ in range(source.randrange(5)):
        first = source.randrange(len(live))
        last = source.randrange(first, len(live))
        live[first : last + 1] = [(live[first][0], live[last][1])]
        names.add(live[first])
    files = [LogFile(first, last, "events", Path(name_of("events", first, last))) for first, last in names]
    files.sort(key=lambda file: (file.first, -file.last))
    held = [n for file in those_that_count(files) for n in range(file.first, file.last + 1)]
    assert held == list(range(1, rows + 1))
