"""The prober in virtual time, against an API that is as well or as ill as it is told, and its log on real files."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import polars as pl
import pytest

from simulator.service import in_place
from simulator.supervisor import probelog
from simulator.supervisor.asking import Asked, Reply, asking
from simulator.supervisor.probelog import ProbeLog
from simulator.supervisor.prober import PATIENCE_S, Prober
from simulator.supervisor.spec import Notice
from zjops.domain.clock import VirtualClock, month_bounds_ms, run_virtual
from zjops.domain.ids import SeededIds
from zjops.domain.logfiles import PROBER_FIRST, log_files
from zjops.domain.requests import LATENCY_BOUNDS_MS, Rollup
from zjops.domain.runfile import ClientEntry, RunFile

START_MS = month_bounds_ms("2026-11")[0] + 12 * 3_600_000
ENTRY = ClientEntry(tenant="prober", plan="free", client_id="p", client_secret="s", scopes=[])
RUN = RunFile(
    run_id="r", home="/", started_at_ms=0, supervisor_pid=1, supervisor_started_at=0, api_url="http://127.0.0.1:1",
    issuer="i", token_url="http://127.0.0.1:1/token", control_url="c", control_token="t", nats_url="n", nats_user="u",
    nats_password="p", rpc_url="r", chain_id=1, log_dir="/", operator=ENTRY, prober=ENTRY,
)  # fmt: skip


class Api:
    """An API in a few lines: how long it takes, what it says, and whether its jobs end."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.takes_s, self.status, self.ending = 0.01, 0, "completed"
        self.asked: Counter[str] = Counter()
        self.tokens = 0
        self.token_of: dict[str, float] = {}
        self.open = self.most_open = 0

    async def ask(self, asked: Asked, within_s: float) -> Reply:
        self.asked[f"{asked.method} {asked.path.split('?')[0]}"] += 1
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            async with asyncio.timeout(within_s):
                await self._clock.sleep(self.takes_s)
        except TimeoutError:
            return Reply(0)
        finally:
            self.open -= 1
        return Reply(self.status) if self.status else self._answer(asked)

    def _answer(self, asked: Asked) -> Reply:
        if asked.path == "/token":
            assert asked.headers["Authorization"] == "Basic " + base64.b64encode(b"p:s").decode()
            self.tokens += 1
            self.token_of[f"Bearer t{self.tokens}"] = self._clock.monotonic() + 900
            return Reply(200, json.dumps({"access_token": f"t{self.tokens}", "expires_in": 900, "scope": ""}).encode())
        if self.token_of.get(asked.headers["Authorization"], 0) <= self._clock.monotonic():
            return Reply(401)
        if asked.method == "POST":
            return Reply(202, b'{"jobId":"job_1","status":"pending"}')
        if asked.path.endswith("/status"):
            return Reply(200, json.dumps({"jobId": "job_1", "status": self.ending}).encode())
        return Reply(200, b"{}")


Story = Callable[[Api, VirtualClock], Awaitable[None]]


def _play(story: Story, job_s: float = 60.0) -> tuple[list[Rollup], Api]:
    async def whole() -> tuple[list[Rollup], Api]:
        clock, rows = VirtualClock(START_MS), list[Rollup]()
        api = Api(clock)
        prober = Prober(RUN, api.ask, clock, SeededIds(clock, 1), rows.append, read_s=1.0, job_s=job_s)
        await prober.start()
        await story(api, clock)
        await prober.stop()
        return rows, api

    return run_virtual(whole())


def _is_good(row: Rollup) -> bool:
    return 200 <= row.status < 300 and not row.timeouts


def test_a_read_a_second_and_a_job_a_minute_with_a_token_for_a_quarter_of_an_hour() -> None:
    async def story(api: Api, clock: VirtualClock) -> None:
        await clock.sleep(1_800.5)

    rows, api = _play(story)
    assert Counter(row.method for row in rows) == {"GET": 1_800, "POST": 30}
    assert all(_is_good(row) and row.within_300ms == 1 for row in rows)
    assert {(row.source, row.plan, row.route, row.process) for row in rows} == {
        ("prober", "prober", "/v1/jobs", "supervisor")
    }
    reads = [row.second for row in rows if row.method == "GET"]
    assert reads == [START_MS // 1_000 + n for n in range(1, 1_801)]
    assert api.tokens == 3
    assert api.most_open <= 2


def test_an_api_that_hangs_is_seen_in_each_of_its_seconds_and_not_flooded() -> None:
    async def story(api: Api, clock: VirtualClock) -> None:
        await clock.sleep(10.5)
        api.takes_s = 3_600.0
        await clock.sleep(60)
        api.takes_s = 0.01
        await clock.sleep(20)

    rows, api = _play(story)
    bad = sorted(row.second - START_MS // 1_000 for row in rows if row.method == "GET" and not _is_good(row))
    assert bad == list(range(11, 71))
    assert all(row.status == 0 and row.timeouts == 1 for row in rows if not _is_good(row))
    assert api.most_open <= 2 * PATIENCE_S + 2


@pytest.mark.parametrize(("status", "errors", "timeouts"), [(503, 1, 0), (404, 0, 0), (0, 0, 1)])
def test_every_other_answer_is_written_down_as_it_is(status: int, errors: int, timeouts: int) -> None:
    async def story(api: Api, clock: VirtualClock) -> None:
        await clock.sleep(5.5)
        api.status, api.takes_s = status, 0.01 if status else 9.0
        await clock.sleep(10)

    rows = [row for row in _play(story)[0] if row.second > START_MS // 1_000 + 5]
    assert {(row.status, row.errors_5xx, row.timeouts, row.within_300ms) for row in rows} == {
        (status, errors, timeouts, 0)
    }


def test_a_slow_answer_is_good_and_counts_where_it_belongs() -> None:
    async def story(api: Api, clock: VirtualClock) -> None:
        api.takes_s = 0.4
        await clock.sleep(30)

    rows, _ = _play(story)
    row = rows[-1]
    assert (_is_good(row), row.within_300ms, row.within_500ms) == (True, 0, 1)
    assert row.latency_ms_histogram[LATENCY_BOUNDS_MS.index(500)] == 1


@pytest.mark.parametrize(
    ("ending", "good"), [("completed", True), ("confirmed", True), ("failed", False), ("pending", False)]
)
def test_a_job_is_good_once_it_has_completed_in_its_time(ending: str, good: bool) -> None:
    async def story(api: Api, clock: VirtualClock) -> None:
        api.ending = ending
        await clock.sleep(70)

    rows, _ = _play(story)
    (row,) = [row for row in rows if row.method == "POST"]
    assert (row.status, _is_good(row), row.within_300ms) == (202, good, 1)


def test_a_token_that_is_no_longer_taken_is_bad_once_and_then_there_is_another() -> None:
    async def story(api: Api, clock: VirtualClock) -> None:
        await clock.sleep(10.5)
        api.token_of.clear()
        await clock.sleep(10)

    rows, api = _play(story)
    assert [row.status for row in rows if not _is_good(row)] == [401]
    assert api.tokens == 2


def test_where_no_token_is_to_be_had_the_refusal_is_the_outcome() -> None:
    async def story(api: Api, clock: VirtualClock) -> None:
        api.status = 429
        await clock.sleep(5.5)

    rows, api = _play(story)
    assert [row.status for row in rows] == [429] * 5
    assert set(api.asked) == {"POST /token"}


async def test_a_real_socket_that_nobody_answers_is_no_answer(unused_tcp_port: int) -> None:
    assert (await asking(unused_tcp_port)(Asked("GET", "/"), 1.0)).status == 0


@pytest.mark.parametrize(
    ("sent", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", 200, b"{}"), (b"HTTP/1.1 503 No\r\n\r\n", 503, b""),
        (b"", 0, b""), (b"nonsense\r\n\r\n", 0, b""), (b"HTTP/1.1 200 OK\r\n", 0, b""),
    ],
    ids=["whole", "without a body", "hung up", "not HTTP", "cut off"],
)  # fmt: skip
async def test_whatever_a_server_sends_is_an_answer_or_none(sent: bytes, status: int, body: bytes) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(sent)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reply = await asking(port)(Asked("POST", "/x?y=1", {"A": "b"}, b"hi"), 5.0)
    assert (reply.status, reply.body) == (status, body)
    assert heads[0].startswith(b"POST /x?y=1 HTTP/1.1\r\n")
    assert b"\r\nA: b\r\n" in heads[0]
    assert b"\r\nContent-Length: 2\r\n" in heads[0]


def _row(second: int) -> Rollup:
    return Rollup(
        second=START_MS // 1_000 + second, process="supervisor", source="prober", route="/v1/jobs", method="GET",
        status=200, plan="prober", count=1, within_300ms=1, within_500ms=1, errors_5xx=0, timeouts=0,
        latency_ms_histogram=[1] + [0] * len(LATENCY_BOUNDS_MS),
    )  # fmt: skip


class TestLog:
    """Rows on their way to the disk."""

    def _log(self, folder: Path, told: list[Notice] | None = None) -> ProbeLog:
        return ProbeLog(folder, (told if told is not None else []).append, in_place)

    def _ranges(self, folder: Path) -> list[tuple[str, int, int]]:
        return [
            (file.day, file.first - PROBER_FIRST, file.last - PROBER_FIRST) for file in log_files(folder / "requests")
        ]

    def test_files_come_every_few_seconds_and_the_rest_at_the_end(self, tmp_path: Path) -> None:
        async def story() -> None:
            clock, log = VirtualClock(START_MS), self._log(tmp_path)
            await log.start()
            for second in range(40):
                log.note(_row(second))
                await clock.sleep(1)
            await log.stop()
            await log.stop()

        run_virtual(story())
        assert self._ranges(tmp_path) == [("2026-11-01", 0, 14), ("2026-11-01", 15, 29), ("2026-11-01", 30, 39)]
        frame = pl.concat([pl.read_parquet(file.path) for file in log_files(tmp_path / "requests")])
        assert frame["second"].to_list() == [START_MS // 1_000 + second for second in range(40)]
        assert set(frame["source"]) == {"prober"}

    async def test_numbers_go_on_after_a_restart_and_at_midnight(self, tmp_path: Path) -> None:
        for seconds in ((0, 1, 2), (43_199, 43_200)):
            log = self._log(tmp_path)
            for second in seconds:
                log.note(_row(second))
            await log.flush()
        assert self._ranges(tmp_path) == [("2026-11-01", 0, 2), ("2026-11-01", 3, 3), ("2026-11-02", 4, 4)]

    async def test_what_a_full_disk_refuses_waits_and_is_said_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[Notice] = []
        log = self._log(tmp_path, told)

        def full(frame: pl.DataFrame, *arguments: object, **options: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(pl.DataFrame, "write_parquet", full)
            for second in range(3):
                log.note(_row(second))
                await log.flush()
        assert len(told) == 1
        assert "No space left on device" in (told[0].message or "")
        log.note(_row(3))
        await log.flush()
        assert self._ranges(tmp_path) == [("2026-11-01", 0, 3)]

    async def test_while_the_disk_takes_nothing_the_oldest_rows_make_room(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(probelog, "KEPT_MOST", 5)
        log = self._log(tmp_path)
        for second in range(9):
            log.note(_row(second))
        await log.flush()
        (file,) = log_files(tmp_path / "requests")
        assert pl.read_parquet(file.path)["second"].to_list() == [START_MS // 1_000 + n for n in range(4, 9)]
