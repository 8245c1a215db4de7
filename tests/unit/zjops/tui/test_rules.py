"""Pure rules of the terminal: health, why a job is stuck, tenants, commands, themes, logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.zjops.client.test_standing import QUIET
from tests.unit.zjops.recording.told import START, answered, job_id, life, recorded
from zjops.domain.clock import rfc3339
from zjops.domain.errors import UsageError
from zjops.domain.wire import JobAttempt, JobError, TenantView
from zjops.domain.wire_admin import PlatformState
from zjops.domain.wire_chain import BatchView
from zjops.feed.budgets import Budget
from zjops.feed.readings import CHAIN_HEAD, PLATFORM, RELAYER, ChainHead
from zjops.recording.changes import Changes
from zjops.recording.reader import Recording
from zjops.recording.rows import OpenBatches, Outage
from zjops.tui.applog import TAIL_BYTES, Logs
from zjops.tui.budgets import PERIODS, of_window
from zjops.tui.commands import complete_command, parse_command
from zjops.tui.health import Health, Level, of_age, of_requests, of_work, worst
from zjops.tui.jobsheet import Seen as JobSeen
from zjops.tui.jobsheet import hops
from zjops.tui.moment import Instant
from zjops.tui.pipeline import Facts, facts_of, stages_of
from zjops.tui.stuck import because
from zjops.tui.tenantrows import tenant_rows
from zjops.tui.themes import OURS, usual
from zjops.tui.views.chain import Seen as ChainSeen
from zjops.tui.views.chain import draw as draw_chain
from zjops.tui.views.overview import Seen, draw

WORKING = msgspec.structs.replace(
    QUIET, owner="r", state="active", paused=False, waiting_jobs=7, finality="depth:3", block_time_seconds=1.0
)
STATE = PlatformState(
    active_jobs=1, unpublished=0, oldest_unpublished_ms=None, open_batches=0, dead_letters=0, relayer_paused=False,
    loop_lag_seconds=0.0, versions=[],
)  # fmt: skip


class TestHealth:
    """Words for how a stage stands."""

    @pytest.mark.parametrize(
        ("total", "bad", "within", "level"),
        [
            (0, 0, None, Level.IDLE), (1_000, 0, 300, Level.OK), (1_000, 1, 300, Level.OK), (1_000, 2, 5, Level.SLOW),
            (1_000, 11, 5, Level.FAILING), (1_000, 0, 500, Level.SLOW), (1_000, 0, None, Level.SLOW),
        ],
    )  # fmt: skip
    def test_of_requests(self, total: int, bad: int, within: int | None, level: Level) -> None:
        assert of_requests(total, bad, within).level is level

    @pytest.mark.parametrize(
        ("age", "level"),
        [(None, Level.OK), (10_000, Level.OK), (10_001, Level.SLOW), (30_000, Level.SLOW), (30_001, Level.FAILING)],
    )
    def test_of_what_waits(self, age: int | None, level: Level) -> None:
        assert of_age(age, 10_000, 30_000).level is level

    @pytest.mark.parametrize(
        ("ended", "failed", "level"),
        [(0, 0, Level.IDLE), (19, 19, Level.OK), (20, 1, Level.OK), (20, 2, Level.FAILING)],
    )
    def test_of_work(self, ended: int, failed: int, level: Level) -> None:
        assert of_work(ended, failed).level is level

    def test_of_few_jobs_it_says_that_they_are_not_judged_yet(self) -> None:
        assert of_work(14, 8).why == "8 of 14 failed; judged from 20 on"
        assert of_work(14, 0).why == "0 of 14 failed"
        assert of_work(20, 8).why == "8 of 20 failed"

    def test_the_worst_counts(self) -> None:
        assert worst(Health(Level.OK), Health(Level.STALE), Health(Level.SLOW)).level is Level.STALE


def _facts(folder: Path, later_ms: int = 0, **put: Any) -> Facts:
    """What a recording says `later_ms` after the start; `relayer`, `state`, `head`, `batch`, `outages` may be put."""
    changes = Changes()
    for number in range(3):
        life(changes, number, accepted=START)
    life(changes, 3, accepted=START, started=START + 1_000)
    life(changes, 4, accepted=START, started=START + 1_000, ended=START + 2_000)
    changes.reading(RELAYER, START, put.get("relayer", WORKING))
    changes.reading(PLATFORM, START, put.get("state", STATE))
    changes.reading(CHAIN_HEAD, START, put.get("head", ChainHead(height=9, made_s=START // 1000, base_fee_wei=7)))
    changes.outages = [(outage, None) for outage in put.get("outages", ())]
    if "batch" in put:
        changes.batch(put["batch"], START + 4_000)
    recording = recorded(folder, [changes], START + 2_500)
    return facts_of(recording, Instant(START + later_ms, 300, True))


def _batch(**more: Any) -> BatchView:
    known: dict[str, Any] = {
        "batch_id": 4, "first_sequence": 1, "count": 1, "root": "0x", "state": "mined",
        "closed_at": rfc3339(START + 2_500), "sent_at": rfc3339(START + 3_000), "final_at": None, "tx_hash": "0xab",
        "block_number": 8, "block_hash": None,
        "gas_used": 90, "gas_price_wei": "1",
    } | more  # fmt: skip
    return BatchView(**known)


@pytest.mark.parametrize(("attempt", "note"), [(0, ""), (1, "attempt 1"), (5, "the first of 5 attempts")])
def test_a_start_is_that_of_the_first_attempt(tmp_path: Path, attempt: int, note: str) -> None:
    facts = _facts(tmp_path, 60_000)
    job = Recording(tmp_path / "test.zjrec").job(job_id(4), START + 60_000)
    assert job is not None
    seen = JobSeen(job._replace(attempt=attempt), None, facts)
    assert [hop.note for hop in hops(seen) if hop.name == "started"] == [note]


def test_a_relayer_that_tells_no_balance_still_tells_its_finality(tmp_path: Path) -> None:
    silent = msgspec.structs.replace(WORKING, balance_wei=None)
    lines = draw_chain(ChainSeen(_facts(tmp_path, relayer=silent), [], 0), 160)
    text = "\n".join("".join(part for part, _ in line) for line in lines)
    assert "  balance not told now   finality depth:3" in text


def test_what_budgets_are_counted_from_fits_the_smallest_terminal() -> None:
    assert len(PERIODS) < 78


class TestOpenBatches:
    """Those that are open are counted however many there are."""

    def _backlog(self, folder: Path) -> Facts:
        changes = Changes()
        for number in range(1, 61):
            state = "final" if number <= 5 else "mined" if number <= 10 else "sent" if number <= 20 else "closed"
            closed = START + number * 100
            view = _batch(
                batch_id=number, state=state, count=10, closed_at=rfc3339(closed), sent_at=None if state == "closed"
                else rfc3339(closed + 1), final_at=rfc3339(closed + 50) if state == "final" else None,
            )  # fmt: skip
            changes.batch(view, closed + 10)
        changes.reading(CHAIN_HEAD, START, ChainHead(height=9, made_s=START // 1000 + 60, base_fee_wei=7))
        changes.reading(RELAYER, START, WORKING)
        return facts_of(recorded(folder, [changes], START + 60_000), Instant(START + 60_000, 300, True))

    def test_all_of_them_and_the_oldest(self, tmp_path: Path) -> None:
        facts = self._backlog(tmp_path)
        assert facts.open == OpenBatches(
            closed=40, sent=10, mined=5, jobs=550, oldest_at=START + 600, newest=60
        )  # fmt: skip
        chain = next(stage for stage in stages_of(facts) if stage.name == "chain")
        assert chain.oldest_ms == 60_000 - 600, "the oldest of all, not of the newest twenty"
        assert chain.health.why.endswith("batch 60 closed, 55 open")
        lines = draw(Seen(facts, stages_of(facts), [], [], []), 160, 50)
        assert "Newest batches  55 open, 5 of them mined" in "\n".join("".join(t for t, _ in line) for line in lines)

    def test_the_batch_of_a_job_is_found_behind_many_others(self, tmp_path: Path) -> None:
        self._backlog(tmp_path)
        after = Recording(tmp_path / "test.zjrec").batch_after(START + 1_250, START + 60_000)
        assert after is not None
        assert (after.batch_id, after.state_at(START + 60_000)) == (13, "sent")

    def test_as_of_a_moment(self, tmp_path: Path) -> None:
        self._backlog(tmp_path)
        recording = Recording(tmp_path / "test.zjrec")
        assert recording.open_batches(START + 99) == OpenBatches()
        assert recording.open_batches(START + 120) == OpenBatches(sent=1, jobs=10, oldest_at=START + 100, newest=1)


class TestStuck:
    """The first thing on a job's way that holds it up."""

    def _because(self, folder: Path, number: int, later_ms: int = 60_000, **put: Any) -> str:
        facts = _facts(folder, later_ms, **put)
        job = Recording(folder / "test.zjrec").job(job_id(number), START + later_ms)
        assert job is not None
        after = Recording(folder / "test.zjrec").batch_after(job.ended_at or job.accepted_at, START + later_ms)
        return because(job, facts, after) or ""

    def test_the_outbox(self, tmp_path: Path) -> None:
        held = msgspec.structs.replace(STATE, unpublished=40, oldest_unpublished_ms=9_000)
        assert self._because(tmp_path, 0, state=held) == (
            "stuck for 60 s because the outbox holds 40 rows, the oldest for 9.0 s: no relay publishes them, "
            "or it gives way to submissions"
        )

    def test_other_jobs_are_before_it(self, tmp_path: Path) -> None:
        assert "because 2 other jobs wait for a worker too" in self._because(tmp_path, 0)

    def test_a_job_that_has_just_come_is_on_its_way(self, tmp_path: Path) -> None:
        assert self._because(tmp_path, 0, 1_500).startswith("on its way for 1.5 s because")

    def test_it_runs(self, tmp_path: Path) -> None:
        assert "because a worker runs attempt 1 of it" in self._because(tmp_path, 3)

    @pytest.mark.parametrize(
        ("last", "why"),
        [
            ({"outcome": "running"}, "a worker runs attempt 3 of it;"),
            (
                {"outcome": "retried", "ended_at": 55_000, "next_at": 63_000},
                "attempt 3 failed by synthetic and attempt 4 is due in 3.0 s",
            ),
            (
                {"outcome": "retried", "ended_at": 40_000, "next_at": 48_000},
                "attempt 3 failed by synthetic and attempt 4, due for 12 s, waits for a worker",
            ),
            ({"outcome": "retried", "ended_at": 61_000, "next_at": 63_000}, "a worker runs attempt 3 of it;"),
        ],
        ids=["running", "due later", "due", "ended after the moment shown"],
    )
    def test_between_attempts_it_waits_for_the_next(self, tmp_path: Path, last: dict[str, Any], why: str) -> None:
        told = {name: rfc3339(START + value) if isinstance(value, int) else value for name, value in last.items()}
        error = None if last["outcome"] == "running" else JobError(code="synthetic", message="No.")
        tried = [JobAttempt(attempt=3, started_at=rfc3339(START + 30_000), error=error, **told)]
        facts = _facts(tmp_path, 60_000)
        job = Recording(tmp_path / "test.zjrec").job(job_id(3), START + 60_000)
        assert job is not None
        assert f"because {why}" in (because(job, facts, None, tried) or "")

    @pytest.mark.parametrize(
        ("relayer", "why"),
        [
            (
                msgspec.structs.replace(WORKING, paused=True),
                "the relayer is paused by an operator; see zjops chain unpause relayer",
            ),
            (msgspec.structs.replace(WORKING, owner=None), "no relayer is active; see zjops chain status"),
            (
                msgspec.structs.replace(WORKING, paused=True, reason="reorg_beyond_finality: batch 3"),
                "the relayer has stopped: reorg_beyond_finality: batch 3; see zjops chain reanchor",
            ),
            (WORKING, "the relayer has not closed its batch yet; 7 jobs wait for one"),
            (
                msgspec.structs.replace(WORKING, waiting_jobs=1),
                "the relayer has not closed its batch yet; 1 job waits for one",
            ),
        ],
        ids=["paused", "no relayer", "a reorganisation", "no batch yet", "no batch for one yet"],
    )
    def test_the_relayer(self, tmp_path: Path, relayer: Any, why: str) -> None:
        assert self._because(tmp_path, 4, relayer=relayer) == f"stuck for 58 s because {why}"

    def test_its_batch(self, tmp_path: Path) -> None:
        told = self._because(tmp_path, 4, 10_000, batch=_batch())
        assert told == "on its way for 8.0 s because batch 4 is mined 2/3, and its block must be final (depth:3)"

    @pytest.mark.parametrize(("number", "source"), [(0, "broker"), (3, "broker"), (4, "chain")])
    def test_a_source_that_is_away(self, tmp_path: Path, number: int, source: str) -> None:
        told = self._because(tmp_path, number, outages=[Outage(source, START + 50_000, "refused")])
        assert told.endswith(f"because the {source} has been away for 10 s (refused)")


class TestPipeline:
    """Stages as of an instant."""

    def test_depth_and_age_of_each(self, tmp_path: Path) -> None:
        stages = {stage.name: stage for stage in stages_of(_facts(tmp_path, 2_500))}
        assert list(stages) == ["gateway", "outbox", "queue", "workers", "relayer", "chain"]
        assert (stages["queue"].waiting, stages["queue"].oldest_ms) == (3, 2_500)
        assert (stages["workers"].waiting, stages["workers"].oldest_ms) == (1, 1_500)
        assert (stages["relayer"].waiting, stages["relayer"].health.level) == (7, Level.OK)
        assert sum(stages["outbox"].series) == 5

    def test_a_source_that_is_away_makes_its_stages_stale(self, tmp_path: Path) -> None:
        facts = _facts(tmp_path, 20_000, outages=[Outage("API", START + 5_000, "refused")])
        levels = {stage.name: stage.health for stage in stages_of(facts)}
        assert levels["gateway"] == Health(Level.STALE, "API away for 15 s: refused")
        assert levels["relayer"].level is Level.STALE
        assert levels["queue"].level is not Level.STALE

    def test_a_chain_without_blocks_fails(self, tmp_path: Path) -> None:
        health = {stage.name: stage.health for stage in stages_of(_facts(tmp_path, 30_000))}["chain"]
        assert (health.level, health.why) == (Level.FAILING, "block 9 is 29 s late")

    def test_nothing_read_is_unknown_and_not_well(self, tmp_path: Path) -> None:
        facts = facts_of(recorded(tmp_path, [Changes()], START), Instant(START, 300, True))
        levels = {stage.name: stage.health.level for stage in stages_of(facts)}
        assert levels == {
            "gateway": Level.IDLE, "outbox": Level.UNKNOWN, "queue": Level.OK, "workers": Level.IDLE,
            "relayer": Level.UNKNOWN, "chain": Level.UNKNOWN,
        }  # fmt: skip


class TestBudgets:
    """What a recording's window alone says."""

    def test_counts_of_a_plan(self, tmp_path: Path) -> None:
        changes = Changes()
        for second in range(60):
            answered(changes, START // 1000 + second, count=100)
            answered(changes, START // 1000 + second, count=5, plan="none")
        answered(changes, START // 1000, status=503, count=3)
        life(changes, 1, accepted=START, ended=START + 1_000)
        recording = recorded(tmp_path, [changes], START)
        found = {(b.name, b.plan): b for b in of_window(recording, Instant(START + 60_000, 300, True))}
        assert ("availability", "none") not in found
        whole = found["availability", "pro"]
        assert (whole.total, whole.bad, whole.allowed, whole.covers_s) == (6_003, 3, 6, 59)
        assert whole.left_share == pytest.approx(1 - 3 / 6.003)
        assert found["job success", "all"].left_share == 1
        assert whole.words is None

    def test_an_api_that_was_away_is_said(self, tmp_path: Path) -> None:
        changes = Changes()
        answered(changes, START // 1000)
        changes.outages = [(Outage("API", START - 5_000, "refused"), START + 12_000)]
        recording = recorded(tmp_path, [changes], START)
        found = of_window(recording, Instant(START + 60_000, 60, True))
        assert found[0].words == "the API was away for 12 s of it, which is not counted"

    def test_nothing_is_no_budget(self) -> None:
        assert Budget("availability", "pro", 999_000, 0, 0, 0).left_share is None


class TestTenants:
    """Who is limited next."""

    def _view(self, name: str, charged: int, **more: Any) -> TenantView:
        known: dict[str, Any] = {
            "tenant_id": name, "name": None, "plan": "starter", "status": "active", "overrides": {}, "client_id": "c",
            "created_at": rfc3339(START), "month": "2026-11", "compute_units_limit": 1_000_000, "compute_units_held": 0,
            "compute_units_charged": charged, "active_jobs": 0,
        } | more  # fmt: skip
        return TenantView(**known)

    def test_in_the_order_of_their_limits(self) -> None:
        now = [self._view("idle", 10), self._view("quick", 500_000), self._view("slow", 900_000),
               self._view("over", 99_000_000), self._view("new", 5)]  # fmt: skip
        before = [self._view("idle", 10), self._view("quick", 400_000), self._view("slow", 899_000),
                  self._view("over", 98_000_000)]  # fmt: skip
        rows = tenant_rows(now, before, 3_600_000)
        assert [row.view.tenant_id for row in rows] == ["over", "quick", "slow", "idle", "new"]
        assert [row.word for row in rows] == ["limited", "ok", "ok", "ok", "ok"]
        assert (rows[1].per_hour, rows[4].per_hour) == (100_000, None)
        assert rows[1].limited_ms == pytest.approx((rows[1].most - 500_000) / 100_000 * 3_600_000)

    def test_a_month_that_begins_has_no_rate_yet(self) -> None:
        rows = tenant_rows([self._view("a", 5)], [self._view("a", 900, month="2026-10")], 1_000)
        assert rows[0].per_hour is None

    def test_a_plan_that_is_not_known_here(self) -> None:
        row = tenant_rows([self._view("a", 5, plan="galaxy")], [], 0)[0]
        assert (row.most, row.buffer, row.word) == (1_000_000, 0, "ok")


class TestCommands:
    """After the colon."""

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("jobs", ("jobs", None)), (":chain", ("chain", None)), ("jobs age>5m x", ("jobs", "age>5m x")),
            ("ov", ("overview", None)), ("theme light", ("theme", "light")), (" at -10m ", ("at", "-10m")),
            ("job job_1", ("job", "job_1")), ("c", ("chain", None)), ("cancel", ("cancel", None)),
            ("redeliver filter delivered", ("redeliver", "filter delivered")),
            ("retry job_1 job_2", ("retry", "job_1 job_2")), ("pause", ("pause", None)),
        ],
    )  # fmt: skip
    def test_that_mean_something(self, text: str, wanted: tuple[str, str | None]) -> None:
        assert parse_command(text) == wanted

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "no command"), ("fly", "no command fly"), ("l", "l may be"), ("window 7m", "window is"),
            ("window", "window is"), ("theme pink", "theme is"), ("at", "at needs a moment"),
            ("canc", "no command canc"), ("cancel all", "after cancel there may be filter JOB_ID …, not all"),
            ("retry delivered", "not delivered"), ("resume job_1", "after resume there may be nothing, not job_1"),
        ],
    )  # fmt: skip
    def test_that_mean_nothing(self, text: str, said: str) -> None:
        with pytest.raises(UsageError, match=said):
            parse_command(text)

    def test_are_completed(self) -> None:
        assert complete_command("te") == ["tenants"]
        assert complete_command("") == []
        assert complete_command("window 1") == ["window 1m", "window 15m", "window 1h"]
        assert complete_command("theme 16") == ["theme 16-light"]
        assert complete_command("re") == ["retry", "redeliver", "resume"]
        assert complete_command("redeliver de") == ["redeliver delivered"]


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({"COLORTERM": "truecolor"}, "dark"), ({"TERM": "xterm-256color"}, "dark"), ({"TERM": "linux"}, "16"),
        ({"TERM": "xterm-256color", "COLORFGBG": "0;15"}, "light"), ({"COLORFGBG": "0;default;7"}, "16-light"),
        ({}, "16"),
    ],
)  # fmt: skip
def test_the_theme_follows_the_terminal(environ: dict[str, str], wanted: str) -> None:
    assert usual(environ) == wanted
    assert wanted in OURS


class TestLogs:
    """The ends of the platform's logs."""

    def _line(self, second: int, level: str = "info", **more: Any) -> bytes:
        line = {"timestamp": rfc3339(START + second * 1000), "level": level, "service": "api", "message": f"m{second}"}
        return msgspec.json.encode(line | more)

    def test_of_all_processes_newest_first(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_bytes(b"\n".join([self._line(1), b"not json", self._line(3)]) + b'\n{"cut')
        (tmp_path / "b.jsonl").write_bytes(self._line(2, "error", trace_id="ABC") + b"\n")
        logs = Logs(tmp_path)
        assert [e.message for e, _ in logs.newest(START + 9_000)] == ["m3", "m2", "m1"]
        assert [e.message for e, _ in logs.newest(START + 2_000)] == ["m2", "m1"]
        assert [e.message for e, _ in logs.newest(START + 9_000, ["abc"])] == ["m2"]
        assert [e.message for e, _ in logs.newest(START + 9_000, bad=True)] == ["m2"]
        assert [e.message for e, _ in logs.newest(START + 9_000, most=1)] == ["m3"]

    def test_that_grow_and_are_turned_over(self, tmp_path: Path) -> None:
        file, logs = tmp_path / "a.jsonl", Logs(tmp_path)
        file.write_bytes(self._line(1) + b"\n")
        assert len(logs.newest(START + 9_000)) == 1
        file.write_bytes(self._line(1) + b"\n" + self._line(2) + b"\n")
        assert len(logs.newest(START + 9_000)) == 2
        file.write_bytes(b"")
        assert logs.newest(START + 9_000) == []
        file.unlink()
        assert logs.newest(START + 9_000) == []

    def test_of_which_only_the_end_is_read(self, tmp_path: Path) -> None:
        lines = [self._line(second, padding="x" * 200) for second in range(5_000)]
        (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
        found = Logs(tmp_path).newest(START + 10_000_000, most=10_000)
        assert found[0][0].message == "m4999"
        assert 0 < sum(len(line) + 1 for _, line in found) <= TAIL_BYTES
