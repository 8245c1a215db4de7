"""Streams against connections that break as they are told: nothing lost, nothing told twice, waits as asked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from tests.unit.zjops.client.test_clients import AWAY, CLIENT, CONTEXT, Hasty, Server, problem, reply
from zjops.client.history import History, Read, read_history
from zjops.client.http import Http, Outage
from zjops.client.jobs import Jobs
from zjops.client.oauth import ClientCredentials
from zjops.client.stream import JOBS_MOST, QUIET_S, Streams, Update, fields, update_of
from zjops.client.websocket import Closed, Refused, Socket
from zjops.domain.errors import Problem, UnreachableError, UsageError
from zjops.domain.jobs import JobState
from zjops.domain.wire import Confirmation, JobView, Links

STATUSES = {1: "pending", 2: "processing", 3: "completed", 4: "confirmed"}
CUT = httpx2.ReadError("cut")


def change(number: int, job: str = "job_1", status: str | None = None, **more: Any) -> bytes:
    return msgspec.json.encode(
        {"jobId": job, "status": status or STATUSES[number], "timestamp": 1_000.5 + number, "sequence": number} | more
    )


def event(number: int, **more: Any) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, STATUSES[number].encode(), change(number, **more))


def sse(*parts: bytes | Exception, kind: str = "text/event-stream") -> httpx2.Response:
    def body() -> Iterator[bytes]:
        for part in parts:
            if isinstance(part, Exception):
                raise part
            yield part

    return httpx2.Response(200, content=body(), headers={"Content-Type": kind})


Made = tuple[Streams, Server, Hasty]


@pytest.fixture
def events() -> Iterator[Callable[..., Made]]:
    """Streams whose HTTP answers in turn."""
    made: list[Http] = []

    def make(*answers: Any, **options: Any) -> Made:
        server, clock = Server(*answers), Hasty()
        made.append(Http("http://api", transport=httpx2.MockTransport(server), clock=clock))
        return Streams(made[-1], "http://api", lambda: "token", clock=clock, **options), server, clock

    yield make
    for http in made:
        http.close()


def told(streams: Streams, *jobs: str, final: bool = True, within_s: float = 60.0) -> list[tuple[str, int]]:
    found = streams.follow(jobs or ["job_1"], final=final, within_s=within_s)
    return [(update.job_id[4:], update.sequence) for update in found]


WHOLE = [("1", 1), ("1", 2), ("1", 3), ("1", 4)]


class TestEvents:
    """One job by server-sent events."""

    def test_every_change_comes_as_a_typed_update(self, events: Any) -> None:
        end = event(4, blockchainConfirmation={"txHash": "0x1", "blockNumber": 7})
        streams, server, _ = events(sse(b"retry: 2000\n\n", event(1) + event(2), event(3, result={"a": 1}), end))
        found = list(streams.follow(["job_1"], final=True, within_s=60))
        assert [update.status for update in found] == list(STATUSES.values())
        assert found[2].result == {"a": 1}
        assert found[3].blockchain_confirmation is not None
        assert found[3].blockchain_confirmation.block_number == 7
        assert found[0].timestamp == 1001.5
        (asked,) = server.asked
        assert asked.url.path == "/v1/jobs/job_1/stream"
        assert "last-event-id" not in asked.headers
        assert asked.extensions["timeout"]["read"] == QUIET_S

    def test_whoever_waits_is_called_while_nothing_changes(self, events: Any) -> None:
        streams, _, _ = events(sse(event(1), b": still here\n\n", b": still here\n\n", event(3)))
        calls: list[None] = []
        list(streams.follow(["job_1"], final=False, within_s=60, idle=lambda: calls.append(None)))
        assert len(calls) == 2

    def test_without_final_the_ending_is_enough(self, events: Any) -> None:
        streams, server, _ = events(sse(event(1), event(3)))
        assert told(streams, final=False) == [("1", 1), ("1", 3)]
        assert len(server.asked) == 1

    def test_a_cancelled_job_has_nothing_to_wait_for(self, events: Any) -> None:
        cancelled = b"data: %s\n\n" % change(3, status="cancelled")
        streams, server, _ = events(sse(event(1), cancelled))
        assert told(streams) == [("1", 1), ("1", 3)]
        assert len(server.asked) == 1

    def test_a_cut_in_the_middle_of_an_event_loses_and_repeats_nothing(self, events: Any) -> None:
        half = event(2)
        streams, server, clock = events(
            sse(b"retry: 2000\n\n", event(1), half[:20], CUT), sse(event(1), event(2), CUT), sse(event(3), event(4))
        )
        assert told(streams) == WHOLE
        assert [request.headers.get("last-event-id") for request in server.asked] == [None, "1", "2"]
        assert clock.paused == [2.0, 2.0], "as long as the server asks, from the beginning after each success"

    def test_a_result_may_hold_what_others_take_for_the_end_of_a_line(self, events: Any) -> None:
        odd = "a\u2028b\x0bc\x85d"
        streams, _, _ = events(sse(event(3, result=odd)))
        (update,) = streams.follow(["job_1"], final=False, within_s=60)
        assert update.result == odd

    def test_waits_grow_while_nothing_comes_and_end(self, events: Any) -> None:
        streams, server, clock = events(AWAY)
        with pytest.raises(Outage, match="does not answer"):
            told(streams)
        assert clock.paused == [0.5, 1.0, 2.0, 4.0, 8.0]
        assert len(server.asked) == 6

    def test_a_stream_that_ends_early_is_opened_again_but_not_for_ever(self, events: Any) -> None:
        streams, server, _ = events(sse(event(1)), *[sse() for _ in range(5)])
        with pytest.raises(UnreachableError, match="ends again and again"):
            told(streams)
        assert len(server.asked) == 6

    def test_a_quiet_job_outlives_many_connections(self, events: Any) -> None:
        quiet = [sse(b"retry: 0\n\n", b": still here\n\n") for _ in range(20)]
        streams, _, _ = events(*quiet, sse(event(1), event(3)))
        assert told(streams, final=False) == [("1", 1), ("1", 3)]

    def test_retry_after_is_obeyed(self, events: Any) -> None:
        limited = problem(429, "rate-limit-exceeded", retry_after="9")
        streams, _, clock = events(limited, sse(event(1), event(2), event(3), event(4)))
        assert told(streams) == WHOLE
        assert clock.paused == [9.0]

    @pytest.mark.parametrize(
        ("status", "code"), [(404, "not-found"), (403, "insufficient-scope"), (401, "unauthorized")]
    )
    def test_a_refusal_is_not_repeated(self, events: Any, status: int, code: str) -> None:
        streams, server, _ = events(problem(status, code))
        with pytest.raises(Problem) as caught:
            told(streams)
        assert (caught.value.kind.code, len(server.asked)) == (code, 1)

    @pytest.mark.parametrize(
        "answer",
        [lambda: httpx2.Response(404, text="no"), lambda: reply(body={}), lambda: problem(405, "method-not-allowed")],
        ids=["a proxy's 404", "no event stream", "another version's 405"],
    )  # fmt: skip
    def test_where_there_are_no_streams_it_says_so(self, events: Any, answer: Any) -> None:
        streams, _, _ = events(answer())
        with pytest.raises(Refused):
            told(streams)

    def test_the_time_is_up_even_while_heartbeats_come(self, events: Any) -> None:
        streams, _, clock = events(sse(event(1), *[b": still here\n\n"] * 5))
        moments = iter(range(0, 1000, 10))
        clock.monotonic = lambda: float(next(moments))
        with pytest.raises(UnreachableError, match="job job_1 has not ended after 45 s; watch it again"):
            told(streams, within_s=45)

    def test_an_event_without_an_end_does_not_fill_the_memory(self) -> None:
        endless = iter(lambda: b"data: " + b"x" * 100_000, b"")
        with pytest.raises(Outage, match="without an end"):
            list(fields(endless))

    def test_data_of_several_lines_is_one_event(self) -> None:
        assert list(fields([b"data: a\r\nda", b"ta:b\r\n", b"\r\n: x\n"])) == [("data", "a\nb"), ("", "x")]


def test_an_endless_answer_is_not_read_whole_for_the_sake_of_its_token() -> None:
    """The stream must give its first event while it goes on."""
    taken: list[int] = []

    def endless() -> Iterator[bytes]:
        for number in (1, 3):
            taken.append(number)
            yield event(number)
        raise AssertionError("read to the end")

    def server(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/token":
            return reply(body={"access_token": "one", "expires_in": 900})
        assert request.headers["authorization"] == "Bearer one"
        return httpx2.Response(200, content=endless(), headers={"Content-Type": "text/event-stream"})

    auth = ClientCredentials("http://api/token", CLIENT)
    with Http("http://api", auth=auth, transport=httpx2.MockTransport(server)) as http:
        found = Streams(http, "http://api", lambda: "").follow(["job_1"], final=False, within_s=60)
        assert next(found).sequence == 1
        assert taken == [1]
        assert [update.sequence for update in found] == [3]


def test_what_was_told_is_in_the_history_from_the_moment_it_was_so(events: Any, tmp_path: Path) -> None:
    _, server, _ = events(sse(event(1), event(3)))
    history = History(tmp_path / "history.jsonl")
    with Http("http://api", transport=httpx2.MockTransport(server)) as http:
        jobs = Jobs(CONTEXT, CLIENT, history, http)
        assert len(list(jobs.streams.follow(["job_1"], final=False, within_s=60))) == 2
    history.close()
    records = [record for record in read_history(tmp_path / "history.jsonl") if isinstance(record, Read)]
    assert [(r.status, r.start_ms) for r in records] == [("pending", 1_001_500), ("completed", 1_003_500)]
    assert all(r.end_ms > r.start_ms for r in records)


Script = list[bytes | Exception | None]


class Line:
    """A WebSocket that says what it is told to, and then breaks."""

    def __init__(self, script: Script) -> None:
        self._script, self.asked = script, list[dict[str, Any]]()

    def send(self, text: str) -> None:
        self.asked.append(msgspec.json.decode(text))

    def receive(self, within_s: float) -> bytes | None:
        step = self._script.pop(0) if self._script else Closed(1006, "")
        if isinstance(step, Exception):
            raise step
        return step


class Exchange:
    """Hands out one connection after the other."""

    def __init__(self, *scripts: Script | Exception) -> None:
        self._scripts, self.lines, self.tokens = list(scripts), list[Line](), list[str]()
        self.urls: set[str] = set()

    @contextlib.contextmanager
    def __call__(self, url: str, token: str) -> Iterator[Socket]:
        self.urls.add(url)
        self.tokens.append(token)
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        if isinstance(script, Exception):
            raise script
        self.lines.append(Line(script))
        yield self.lines[-1]


def sockets(*scripts: Script | Exception) -> tuple[Streams, Exchange, Hasty]:
    exchange, clock = Exchange(*scripts), Hasty()
    tokens = iter(f"token-{n}" for n in range(100))
    http = Http("https://api", transport=httpx2.MockTransport(Server(AWAY)), clock=clock)
    return Streams(http, "https://api", lambda: next(tokens), clock=clock, dialled=exchange), exchange, clock


def both(number: int) -> list[bytes | Exception | None]:
    return [change(number, "job_a"), change(number, "job_b")]


class TestMessages:
    """Many jobs by WebSocket."""

    def test_every_change_of_each_job_comes_once(self) -> None:
        streams, exchange, _ = sockets([*both(1), *both(2), None, *both(3), *both(4)])
        found = told(streams, "job_a", "job_b")
        assert sorted(found) == [(job, n) for job in "ab" for n in range(1, 5)]
        assert exchange.urls == {"wss://api/v1/jobs/subscribe"}
        assert exchange.lines[0].asked == [{"action": "subscribe", "jobIds": ["job_a", "job_b"], "after": {}}]

    def test_after_a_cut_each_job_goes_on_where_it_was_told(self) -> None:
        streams, exchange, clock = sockets(
            [*both(1), change(2, "job_a"), change(3, "job_a"), change(4, "job_a"), Closed(1006, "lost")],
            [change(1, "job_b"), change(2, "job_b"), change(3, "job_b"), change(4, "job_b")],
        )
        found = told(streams, "job_a", "job_b")
        assert sorted(found) == [(job, n) for job in "ab" for n in range(1, 5)]
        assert exchange.lines[1].asked == [{"action": "subscribe", "jobIds": ["job_b"], "after": {"job_b": 1}}]
        assert clock.paused == [0.5]

    def test_an_expired_token_is_replaced_at_once(self) -> None:
        streams, exchange, clock = sockets([*both(1), Closed(4401, "the token has expired")], [*both(3), *both(4)])
        assert len(told(streams, "job_a", "job_b")) == 6
        assert (exchange.tokens, clock.paused) == (["token-0", "token-1"], [])

    def test_a_token_that_is_worth_nothing_is_not_replaced_for_ever(self) -> None:
        streams, exchange, clock = sockets(Closed(4401, "the token has expired"))
        with pytest.raises(Closed):
            told(streams, "job_a", "job_b")
        assert len(exchange.tokens) == 6
        assert clock.paused == [1.0, 2.0, 4.0, 8.0]

    def test_who_was_too_slow_comes_back_after_a_moment(self) -> None:
        streams, _, clock = sockets([*both(1), Closed(4408, "too slow")], [*both(3), *both(4)])
        assert len(told(streams, "job_a", "job_b")) == 6
        assert clock.paused == [0.5]

    def test_retry_after_of_a_refused_handshake_is_obeyed(self) -> None:
        full = Problem("overloaded", "x", headers={"retry-after": "7"})
        streams, _, clock = sockets(full, [*both(3), *both(4)])
        assert len(told(streams, "job_a", "job_b")) == 4
        assert clock.paused == [7.0]

    def test_a_job_that_does_not_exist_is_named(self) -> None:
        answer = {"error": {"code": "not-found", "detail": "There is no such job.", "jobIds": ["job_b"]}}
        streams, _, _ = sockets([change(1, "job_a"), msgspec.json.encode(answer)])
        with pytest.raises(Problem, match=r"no such job\. \(job_b\)"):
            told(streams, "job_a", "job_b")

    def test_a_failed_job_is_told_with_its_error_and_is_no_refusal(self) -> None:
        failed = change(3, "job_a", "failed", error={"code": "timeout", "message": "late"})
        streams, _, _ = sockets([failed, change(3, "job_b")])
        updates = list(streams.follow(["job_a", "job_b"], final=False, within_s=60))
        assert updates[0].status is JobState.FAILED
        assert updates[0].error is not None
        assert updates[0].error.code == "timeout"

    def test_more_than_one_message_asks_for_many_jobs(self) -> None:
        names = [f"job_{n:022}" for n in range(JOBS_MOST)]
        streams, exchange, _ = sockets([change(3, name) for name in names])
        assert len(told(streams, *names, final=False)) == JOBS_MOST
        asked = exchange.lines[0].asked
        assert [len(ask["jobIds"]) for ask in asked] == [500, 500]
        assert max(len(msgspec.json.encode(ask)) for ask in asked) < 65_536

    @pytest.mark.parametrize("count", [0, JOBS_MOST + 1])
    def test_how_many_is_bounded(self, count: int) -> None:
        streams, _, _ = sockets([])
        with pytest.raises(UsageError, match="at most 1000"):
            list(streams.follow([f"job_{n}" for n in range(count)], final=False, within_s=60))


def test_what_was_read_looks_as_if_it_had_been_told() -> None:
    view = JobView(
        job_id="job_1", status=JobState.FAILED, job_type="ml_inference", priority=5, compute_units=1,  # type: ignore[arg-type]
        submitted_at="1970-01-01T00:00:01Z", updated_at="1970-01-01T00:00:02.500Z", links=Links(self_="/v1"),
        blockchain_confirmation=Confirmation(tx_hash="0x1", block_number=3, confirmed_at="1970-01-01T00:00:02Z"),
    )  # fmt: skip
    update = update_of(view)
    assert (update.sequence, update.timestamp, update.status) == (4, 2.5, JobState.FAILED)
    assert update.is_last(final=True)
    assert isinstance(update, Update)
