"""Logs that begin anew at a size: nothing is lost but what is too old, and whoever appends goes on."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from simulator.rotation import RotatingLog, older, rotate_copy
from simulator.supervisor.logs import LogKeeper
from simulator.supervisor.spec import Notice
from simulator.telemetry import Telemetry
from zjops.domain.clock import ManualClock, SystemClock


def _lines(path: Path, keep: int) -> list[int]:
    files = [older(path, number) for number in range(keep, 0, -1)] + [path]
    return [
        json.loads(line)["metadata"]["n"] for file in files if file.exists() for line in file.read_text().splitlines()
    ]


def test_a_log_of_ours_loses_no_line_and_ends_no_file_within_one(tmp_path: Path) -> None:
    path = tmp_path / "log" / "api.jsonl"
    log = RotatingLog(path, 1_000, keep=50)
    telemetry = Telemetry("api", ManualClock(0), log)
    for n in range(200):
        telemetry.log("info", "a line", n=n)
    log.close()
    assert _lines(path, 50) == list(range(200))
    sizes = [older(path, n).stat().st_size for n in range(1, 50) if older(path, n).exists()]
    assert len(sizes) > 10
    assert all(1_000 < size < 1_200 for size in sizes)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(older(path, 1).stat().st_mode) == 0o600


def test_only_so_many_older_files_are_kept_and_they_are_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "api.jsonl"
    log = RotatingLog(path, 300, keep=3)
    telemetry = Telemetry("api", ManualClock(0), log)
    for n in range(100):
        telemetry.log("info", "a line", n=n)
    log.close()
    assert len(list(tmp_path.iterdir())) == 4
    left = _lines(path, 3)
    assert left == list(range(left[0], 100))


def test_a_log_goes_on_where_a_former_life_ended(tmp_path: Path) -> None:
    path = tmp_path / "api.jsonl"
    for life in range(3):
        log = RotatingLog(path, 10_000, keep=1)
        Telemetry("api", ManualClock(0), log).log("info", "a line", n=life)
        log.close()
    assert _lines(path, 1) == [0, 1, 2]


def test_a_program_that_appends_goes_on_at_the_beginning_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "broker.log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for part in (b"first\n", b"second\n", b"third\n"):
            os.write(descriptor, part)
            assert rotate_copy(path, 3, keep=2)
            assert not rotate_copy(path, 3, keep=2)
        os.write(descriptor, b"4\n")
        assert not rotate_copy(path, 3, keep=2)
    finally:
        os.close(descriptor)
    assert [file.read_bytes() for file in (older(path, 2), older(path, 1), path)] == [b"second\n", b"third\n", b"4\n"]


def test_a_log_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert not rotate_copy(tmp_path / "none.log", 0, keep=1)


async def test_the_keeper_says_what_it_cannot_rotate_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Notice] = []
    stuck, fine = tmp_path / "stuck.log", tmp_path / "fine.log"
    for path in (stuck, fine):
        path.write_bytes(b"x" * 100)
    (tmp_path / "stuck.1.log").mkdir()
    keeper = LogKeeper([stuck, fine], SystemClock(), told.append, most_bytes=10, keep=1)
    for path in (stuck, fine):
        await keeper._look(path)
    assert [(notice.event, (notice.message or "").split(" cannot")[0]) for notice in told] == [
        ("note", "log stuck.log")
    ]
    assert (stuck.stat().st_size, fine.stat().st_size) == (100, 0)
