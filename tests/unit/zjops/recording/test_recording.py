"""A recording: what was put in is read again, as of any moment; it stays within its limits; a broken one says so."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.zjops.recording.told import START, TRACE, answered, job_id, life, recorded
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UsageError
from zjops.domain.wire_chain import BatchView
from zjops.recording.changes import Changes
from zjops.recording.cut import cut
from zjops.recording.files import Limits, check_file, covering, drop_old, new_file
from zjops.recording.reader import Recording
from zjops.recording.recorder import Recorder
from zjops.recording.rows import Outage

MINUTE = 60_000


def test_a_job_is_told_as_of_any_moment_of_its_way(tmp_path: Path) -> None:
    changes = Changes()
    life(changes, 1, accepted=START, started=START + 100, ended=START + 600, final=START + 9_000)
    recording = recorded(tmp_path, [changes], START + 10_000)

    def seen(later: int) -> tuple[str, str, int | None]:
        row = recording.job(job_id(1), START + later)
        assert row is not None
        return row.state, row.charge, row.block_number

    assert seen(0) == ("pending", "held", None)
    assert seen(100) == ("processing", "held", None)
    assert seen(600) == ("completed", "charged", None)
    assert seen(9_000) == ("confirmed", "charged", 42)
    row = recording.job(job_id(1), START + 9_000)
    assert row is not None
    assert row.trace_id == TRACE.split("-")[1]
    assert recording.job(job_id(2), START) is None
    assert recording.page(START - 1) == []


def test_the_same_events_in_one_tick_or_in_many_give_the_same_recording(tmp_path: Path) -> None:
    whole, parts = Changes(), [Changes() for _ in range(5)]
    for number in range(20):
        told = {"accepted": START + number, "started": START + 50, "ended": START + 2_000, "final": START + 3_000}
        life(whole, number, outcome=("completed", "failed")[number % 2], **told)
    events = list(whole.jobs)
    for index, part in enumerate(parts):
        part.jobs = events[index * 16 : (index + 1) * 16]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, many = recorded(tmp_path / "a", [whole], START), recorded(tmp_path / "b", parts, START)
    at = START + 5_000
    assert one.page(at) == many.page(at)
    assert one.states(at) == {"confirmed": 10, "failed": 10}


def test_counts_of_a_second_add_up_whoever_tells_them(tmp_path: Path) -> None:
    parts = [Changes(), Changes()]
    for part in parts:
        life(part, 1, accepted=START)
        answered(part, START // 1000, count=3)
        answered(part, START // 1000, status=503)
        answered(part, START // 1000, status=429, count=2)
    recording = recorded(tmp_path, parts, START)
    assert [second.submitted for second in recording.series(START // 1000, START // 1000)] == [2]
    (told,) = recording.traffic(START // 1000, START // 1000)
    assert (told.total, told.good, told.refused, told.bad, told.within_300ms) == (12, 6, 4, 2, 6)
    assert sum(told.histogram) == 12
    assert parts[0].counts()["submitted"] == 1


def test_depths_say_what_waits_and_since_when(tmp_path: Path) -> None:
    changes = Changes()
    life(changes, 1, accepted=START)
    life(changes, 2, accepted=START + 5)
    life(changes, 3, accepted=START, started=START + 40)
    life(changes, 4, accepted=START, started=START + 1, ended=START + 70)
    life(changes, 5, accepted=START, started=START + 1, ended=START + 80, outcome="failed")
    life(changes, 6, accepted=START, started=START + 1, ended=START + 9, outcome="cancelled")
    depths = recorded(tmp_path, [changes], START + 100).depths(START + 100)
    assert {stage: tuple(depth) for stage, depth in depths.items()} == {
        "pending": (2, START), "processing": (1, START + 40), "completed": (1, START + 70), "failed": (1, START + 80),
    }  # fmt: skip


def test_errors_are_grouped_by_code_and_type(tmp_path: Path) -> None:
    changes = Changes()
    for number in range(6):
        code = "boom" if number % 3 else "invalid_parameters"
        life(changes, number, accepted=START, ended=START + 1_000 * number, outcome="failed", error_code=code,
             tenant=f"t{number}")  # fmt: skip
    groups = recorded(tmp_path, [changes], START).errors(START, START + 10_000)
    assert [(g.error_code, g.jobs, g.first_at - START, g.last_at - START, g.tenants) for g in groups] == [
        ("boom", 4, 1_000, 5_000, 4),
        ("invalid_parameters", 2, 0, 3_000, 2),
    ]


def test_a_batch_is_followed_to_finality(tmp_path: Path) -> None:
    view = BatchView(
        batch_id=1, first_sequence=1, count=9, root="0x", state="mined", closed_at="2026-11-26T08:00:01Z",
        sent_at="2026-11-26T08:00:02Z", final_at=None, tx_hash="0xab", block_number=5, block_hash=None, gas_used=90,
        gas_price_wei="1",
    )  # fmt: skip
    changes = Changes()
    changes.batch(view, START + 3_000)
    batch = recorded(tmp_path, [changes], START).batch(1, START + 10_000)
    assert batch is not None
    assert [batch.state_at(START + later) for later in (1_000, 2_000, 3_000)] == ["closed", "sent", "mined"]


def test_readings_and_outages_hold_at_their_time(tmp_path: Path) -> None:
    changes = Changes()
    for later, depth in ((0, 1), (1_000, 1), (2_000, 2)):
        changes.reading("platform", START + later, {"depth": depth})
    changes.outages = [(Outage("API", START, "refused"), START + 5_000), (Outage("chain", START + 4_000, "away"), None)]
    recording = recorded(tmp_path, [changes], START)
    assert recording.reading("platform", START - 1, dict) is None
    assert recording.reading("platform", START + 1_500, dict) == (START, {"depth": 1})
    assert recording.reading("platform", START + 2_500, dict) == (START + 2_000, {"depth": 2})
    assert [o.source for o in recording.outages(START + 4_500)] == ["API", "chain"]
    assert [o.source for o in recording.outages(START + 5_000)] == ["chain"]


class TestLimits:
    """The oldest minutes go; what is newer stays whole."""

    def _minutes(self, count: int, jobs: int = 20) -> list[Changes]:
        made = []
        for minute in range(count):
            changes = Changes()
            for number in range(jobs):
                at = START + minute * MINUTE + number
                life(changes, minute * jobs + number, accepted=at, started=at, ended=at, final=at)
            answered(changes, START // 1000 + minute * 60)
            changes.reading("platform", START + minute * MINUTE, {"minute": minute})
            made.append(changes)
        return made

    def test_by_hours(self, tmp_path: Path) -> None:
        recorder = Recorder(tmp_path / "r.zjrec", {}, Limits(hours=5 / 60))
        for minute, changes in enumerate(self._minutes(20)):
            recorder.write(changes, START + minute * MINUTE)
        recorder.close()
        recording = Recording(tmp_path / "r.zjrec")
        at = START + 19 * MINUTE
        assert recording.span() == (START + 14 * MINUTE, at + 999)
        assert recording.count(at + 999) == 6 * 20
        assert recording.reading("platform", START + 15 * MINUTE, dict) == (START + 15 * MINUTE, {"minute": 15})

    def test_by_bytes(self, tmp_path: Path) -> None:
        limit = 300_000
        recorder = Recorder(tmp_path / "r.zjrec", {}, Limits(bytes=limit))
        for minute, changes in enumerate(self._minutes(40, jobs=100)):
            recorder.write(changes, START + minute * MINUTE)
            if minute > 2:
                assert recorder.live_bytes() <= limit
        recorder.close()
        recording = Recording(tmp_path / "r.zjrec")
        kept = recording.count(START + 40 * MINUTE)
        assert 0 < kept < 4_000
        newest = recording.page(START + 40 * MINUTE, limit=1)[0][1]
        assert newest.job_id == job_id(3_999)

    def test_former_recordings_go_too(self, tmp_path: Path) -> None:
        for name in ("20261126T080000Z-99999999.zjrec", "20261126T090000Z-99999999.zjrec"):
            (tmp_path / name).write_bytes(b"x" * 1_000)
        drop_old(tmp_path, 0, Limits(bytes=1_500))
        assert len(list(tmp_path.glob("*.zjrec"))) == 1
        drop_old(tmp_path, 2**53, Limits())
        assert list(tmp_path.glob("*.zjrec")) == []

    def test_but_none_that_a_process_is_writing(self, tmp_path: Path) -> None:
        now = SystemClock().now_ms()
        for path in (mine := new_file(tmp_path, now), new_file(tmp_path, 0)):
            path.write_bytes(b"x")
        drop_old(tmp_path, 2**53, Limits())
        assert list(tmp_path.glob("*.zjrec")) == [mine], "the other began before this process, whatever its number"


class TestBrokenFiles:
    """Every kind of broken file is one clear line."""

    @pytest.fixture
    def whole(self, tmp_path: Path) -> Path:
        changes = Changes()
        for number in range(500):
            life(changes, number, accepted=START, started=START, ended=START, final=START)
        recorded(tmp_path, [changes], START).close()
        return tmp_path / "test.zjrec"

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot be read"):
            Recording(tmp_path / "none.zjrec")

    @pytest.mark.parametrize("content", [b"", b"hello", b"SQLite format 3\x00" + b"\x00" * 200])
    def test_one_that_is_something_else(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(UsageError, match="no recording"):
            Recording(tmp_path / "x")

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(UsageError, match="no recording"):
            Recording(tmp_path / "pipe")

    def test_the_store_of_a_platform(self, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / "store.sqlite") as db:
            db.execute("CREATE TABLE t (a)")
        db.close()
        with pytest.raises(UsageError, match="a SQLite file, but no recording"):
            check_file(tmp_path / "store.sqlite")

    @pytest.mark.parametrize("share", [0.02, 0.3, 0.99])
    def test_one_that_is_cut_off(self, whole: Path, share: float) -> None:
        content = whole.read_bytes()
        whole.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(UsageError, match="cut off"):
            Recording(whole)

    def test_one_with_a_hole(self, whole: Path) -> None:
        content = bytearray(whole.read_bytes())
        content[4096 * 3 : 4096 * 20] = b"\xff" * 4096 * 17
        whole.write_bytes(content)
        with pytest.raises(UsageError, match="damaged"):
            Recording(whole).check()

    def test_one_of_another_version(self, whole: Path) -> None:
        with sqlite3.connect(whole) as db:
            db.execute("PRAGMA user_version = 9")
        db.close()
        with pytest.raises(UsageError, match="version 9"):
            Recording(whole)


def test_what_a_killed_recorder_wrote_is_there(tmp_path: Path) -> None:
    recorder, changes = Recorder(tmp_path / "live.zjrec", {}), Changes()
    life(changes, 1, accepted=START)
    recorder.write(changes, START)
    for part in tmp_path.glob("live.zjrec*"):
        shutil.copy(part, tmp_path / part.name.replace("live", "copy"))
    assert Recording(tmp_path / "copy.zjrec").count(START) == 1
    recorder.close()


def test_the_recording_of_a_moment_is_found_by_it(tmp_path: Path) -> None:
    path = new_file(tmp_path, START)
    Recorder(path, {}).close()
    os.utime(path, (START / 1000 + 60, START / 1000 + 60))
    assert covering(tmp_path, START + 60_000) == path
    with pytest.raises(UsageError, match=r"covers 2026-11-26T08:05:00.000Z"):
        covering(tmp_path, START + 300_000)
    with pytest.raises(UsageError, match=r"covers 2026-11-26T07:59:59.000Z; the oldest of 1 begins at"):
        covering(tmp_path, START - 1_000)


def test_a_moment_is_found_in_a_recording_whose_journal_alone_is_young(tmp_path: Path) -> None:
    path, changes = new_file(tmp_path, START), Changes()
    recorder = Recorder(path, {})
    life(changes, 1, accepted=START)
    recorder.write(changes, START)
    os.utime(path, (START / 1000 + 60, START / 1000 + 60))
    os.utime(f"{path}-wal", (START / 1000 + 300, START / 1000 + 300))
    assert covering(tmp_path, START + 300_000) == path
    recorder.close()


def test_a_recording_goes_on_while_others_read_it_and_go(tmp_path: Path) -> None:
    path = tmp_path / "live.zjrec"
    recorder = Recorder(path, {})
    own = Recording(path)
    read = "import pathlib, sys; from zjops.recording.reader import Recording as R; r = R(pathlib.Path(sys.argv[1])); "

    def jobs_seen_by_another() -> str:
        code = [sys.executable, "-c", f"{read}print(r.count({START + 60_000})); r.close()", str(path)]
        return subprocess.run(code, capture_output=True, text=True, check=True).stdout.strip()

    for number in range(1, 4):
        changes = Changes()
        life(changes, number, accepted=START + number)
        recorder.write(changes, START + number)
        assert jobs_seen_by_another() == str(number)
        cut(own, tmp_path / f"part-{number}.zjrec", START, START + 60_000)
    own.close()
    recorder.close()
    assert jobs_seen_by_another() == "3"
