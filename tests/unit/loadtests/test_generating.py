"""One process of the generator against an API that is made up: what it counts, and what it says it was told."""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

gevent = pytest.importorskip("gevent")

from gevent.server import StreamServer  # noqa: E402

from loadtests.generator import Generator  # noqa: E402
from loadtests.plan import Plan, decode, encode  # noqa: E402
from loadtests.tokens import Token  # noqa: E402
from zjops.client.history import read_history  # noqa: E402
from zjops.domain.clock import SystemClock  # noqa: E402
from zjops.domain.ids import derived_uuid  # noqa: E402
from zjops.domain.runfile import ClientEntry  # noqa: E402
from zjops.load.measured import Measured, Tally  # noqa: E402
from zjops.load.records import parse_line  # noqa: E402
from zjops.load.scenario import Phase, Scenario  # noqa: E402
from zjops.load.thresholds import share_of  # noqa: E402

AWAY_S = 3
"""What every refusal says of when to come back."""
Answer = Callable[[str, dict[str, str], bytes, int], tuple[int, Any]]


def accept(path: str, headers: dict[str, str], body: bytes, number: int) -> tuple[int, Any]:
    """What the platform says to whatever it likes."""
    if path.endswith(":batch"):
        jobs = len(msgspec.json.decode(body)["jobs"])
        items = [{"index": n, "status": 202, "job": job(f"job_{number}_{n}")} for n in range(jobs)]
        return 200, {"accepted": jobs, "refused": 0, "items": items}
    if headers.get("idempotency-key"):
        return 202, job(f"job_{number}")
    return 200, {"jobId": path.split("/")[3], "status": "completed", "progressPercent": 100, "updatedAt": "x"}


def job(name: str) -> dict[str, Any]:
    return {"jobId": name, "status": "pending", "submittedAt": "x", "estimatedCompletion": "x", "links": {"self": "/x"}}


class Api:
    """An HTTP server that answers by a function; it keeps every request that it saw."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.seen, self.opened = answer, list[tuple[str, dict[str, str]]](), 0
        self.server = StreamServer(("127.0.0.1", 0), self._handle)
        self.server.start()

    def _handle(self, socket: Any, _: Any) -> None:
        self.opened += 1
        data = b""
        while piece := socket.recv(65_536):
            data += piece
            while b"\r\n\r\n" in data:
                head, _, rest = data.partition(b"\r\n\r\n")
                line, *lines = head.decode().split("\r\n")
                headers = dict(one.split(": ", 1) for one in lines)
                size = int(headers.get("content-length", 0))
                if len(rest) < size:
                    break
                data = rest[size:]
                self.seen.append((line.split()[1], headers))
                status, said = self.answer(line.split()[1], headers, rest[:size], len(self.seen))
                content = msgspec.json.encode(said)
                away = "" if status < 400 else f"Retry-After: {AWAY_S}\r\n"
                head = f"HTTP/1.1 {status} x\r\n{away}content-length: {len(content)}\r\n\r\n"
                socket.sendall(head.encode() + content)


class Bench:
    """A generator, its API, and what it measured."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.deaf = folder, False
        self.apis: list[Api] = []

    def run(
        self, answer: Answer, *, rate: float = 100, duration_s: float = 0.5, in_ms: int = 30,
        tenants: tuple[str, ...] = ("t",), **changes: Any
    ) -> Measured:  # fmt: skip
        """Go through a schedule, and come back when all is over."""
        api = Api(answer)
        self.apis.append(api)
        if self.deaf:
            api.server.stop()
        phases = (Phase(name="p", duration_s=duration_s, rate=rate),)
        values = {"name": "x", "text": "x", "phases": phases, "arrivals": "fixed", "connections": 8, "timeout_s": 1.0}
        asked = Scenario(**values | changes)
        plan = Plan(
            scenario=asked, seed=5, api_url=f"http://127.0.0.1:{api.server.server_port}", token_url="http://x",
            clients=[ClientEntry(tenant=t, plan="e", client_id="c", client_secret="s", scopes=[]) for t in tenants],
            tenants=[],
            workers=1, began_ms=SystemClock().now_ms() + in_ms, folder=str(self.folder),
        )  # fmt: skip
        measured = Measured(asked)
        self.generator = Generator(
            decode(encode(plan)), 0,
            lambda ticks, lines: [measured.take(parse_line(line, "")) for line in lines.splitlines()] and None,
        )  # fmt: skip
        connections = [gevent.spawn(self.generator.connection) for _ in range(asked.connections)]
        self.generator.run()
        gevent.joinall(connections, timeout=5, raise_error=True)
        assert all(connection.dead for connection in connections)
        return measured

    @property
    def history(self) -> list[Any]:
        return list(read_history(self.folder / "history-0.jsonl"))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    def fetch(token: Token) -> None:
        token.value = f"token-{int(token.value[6:] or 0) + 1}"
        token._renew_at = token._now() + 900
        token._changed(token.value)

    monkeypatch.setattr(Token, "fetch", fetch)
    # For a process of its own; the test run has others' objects to collect.
    monkeypatch.setattr("loadtests.generator.gc.freeze", lambda: None)
    made = Bench(tmp_path)
    yield made
    for api in made.apis:
        api.server.stop(timeout=1)


def whole(measured: Measured) -> Tally:
    assert measured.whole
    return measured.phase(0)


def test_every_arrival_is_a_job_of_its_own_and_stands_in_the_history_once(bench: Bench) -> None:
    tally = whole(bench.run(accept))
    assert tally["offered"] == tally["started"] == tally["accepted"] == tally["jobs"] == 50
    assert tally.latency.total == tally.service.total == tally.lag.total == 50
    assert len({record.key for record in bench.history}) == len({record.job_id for record in bench.history}) == 50
    assert {(record.outcome, record.status, record.tenant) for record in bench.history} == {("ok", 202, "t")}


def test_a_flood_is_of_the_last_tenant_and_counted_apart(bench: Bench) -> None:
    phases = Phase(name="p", duration_s=0.5, rate=40), Phase(name="q", duration_s=0.5, rate=40, flood=200)
    measured = bench.run(accept, phases=phases, tenants=("calm", "flood"), connections=64)
    assert measured.whole
    calm, beside = (measured.phase(number, "submit") for number in (0, 1))
    flood = measured.phase(1, "flood")
    assert (calm["accepted"], beside["accepted"], flood["accepted"]) == (20, 20, 100)
    assert not measured.phase(0, "flood")["offered"]
    assert measured.phase(1)["offered"] == 120
    assert Counter(record.tenant for record in bench.history) == {"calm": 40, "flood": 100}


def test_nobody_answers_and_every_request_counts_at_its_timeout(bench: Bench) -> None:
    def hang(*_: Any) -> tuple[int, Any]:
        gevent.sleep(3)
        return 202, job("job_late")

    tally = whole(bench.run(hang, rate=20, timeout_s=0.1, connections=16))
    assert (tally["offered"], tally["timeouts"], tally["accepted"]) == (10, 10, 0)
    least = min(tally.latency.counts)
    assert least >= 99_000
    assert {record.outcome for record in bench.history} == {"unknown"}


def test_a_platform_that_stands_still_is_seen_by_all_who_came_meanwhile(bench: Bench) -> None:
    """Coordinated omission: one connection, and an answer that takes as long as twenty arrivals."""

    def stumble(path: str, headers: dict[str, str], body: bytes, number: int) -> tuple[int, Any]:
        gevent.sleep(0.2 if number == 1 else 0)
        return accept(path, headers, body, number)

    tally = whole(bench.run(stumble, connections=1))
    assert tally["accepted"] == 50
    # Of a closed loop one request in 50 would have been slow; here all that were due meanwhile have waited.
    assert tally.latency.beyond(50_000) >= 10
    assert tally.lag.beyond(50_000) >= 10


def test_what_waited_too_long_is_dropped_and_never_sent(bench: Bench) -> None:
    def stumble(path: str, headers: dict[str, str], body: bytes, number: int) -> tuple[int, Any]:
        gevent.sleep(0.3 if number == 1 else 0)
        return accept(path, headers, body, number)

    tally = whole(bench.run(stumble, connections=1, drop_after_s=0.1))
    assert tally["dropped"] > 5
    assert tally["offered"] == tally["dropped"] + tally["accepted"] == 50
    assert len(bench.apis[0].seen) == tally["accepted"]


def test_refusals_are_told_apart(bench: Bench) -> None:
    def refuse(path: str, headers: dict[str, str], body: bytes, number: int) -> tuple[int, Any]:
        status = (202, 429, 503, 500, 422)[number % 5]
        return (status, {"code": "x"}) if status != 202 else accept(path, headers, body, number)

    tally = whole(bench.run(refuse))
    assert (tally["accepted"], tally["shed"], tally["errors"], tally["server_errors"]) == (10, 20, 20, 20)
    assert tally.statuses == {"202": 10, "429": 10, "503": 10, "500": 10, "422": 10}
    assert sum(record.outcome == "ok" for record in bench.history) == 10
    assert sum(record.outcome == "fail" for record in bench.history) == 40


def test_a_connection_that_is_refused_is_a_fault_of_the_server_s(bench: Bench) -> None:
    bench.deaf = True
    tally = whole(bench.run(accept, rate=20))
    assert (tally["accepted"], tally["errors"], tally["server_errors"]) == (0, 10, 10)
    assert share_of(tally, "available") == 0.0


@pytest.mark.parametrize("mix", [{"submit": 1}, {"bulk": 1}], ids=["single", "bulk"])
def test_an_answer_that_names_no_job_accepts_none(bench: Bench, mix: dict[str, float]) -> None:
    tally = whole(bench.run(lambda *_: (200, {"hello": "world"}), rate=20, mix=mix, bulk=3))
    assert (tally["accepted"], tally["server_errors"], tally["jobs"]) == (0, 10, 0)
    assert not [record for record in bench.history if record.outcome == "ok"]


def test_a_token_that_was_refused_is_renewed_once_and_the_request_sent_again(bench: Bench) -> None:
    def expire(path: str, headers: dict[str, str], body: bytes, number: int) -> tuple[int, Any]:
        if headers["authorization"] == "Bearer token-1" and number > 20:
            return 401, {"code": "unauthorized"}
        return accept(path, headers, body, number)

    tally = whole(bench.run(expire))
    assert (tally["accepted"], tally["errors"]) == (50, 0)
    assert {headers["authorization"] for _, headers in bench.apis[0].seen} == {"Bearer token-1", "Bearer token-2"}


def test_jobs_are_polled_until_they_have_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtests.serve.POLL_FIRST_S", 0.05)
    polls: dict[str, int] = {}

    def slowly(path: str, headers: dict[str, str], body: bytes, number: int) -> tuple[int, Any]:
        if not path.endswith("/status"):
            return accept(path, headers, body, number)
        polls[path] = polls.get(path, 0) + 1
        return 200, {"jobId": path.split("/")[3], "status": "completed" if polls[path] == 3 else "processing"}

    measured = bench.run(slowly, rate=20, mix={"poll": 1})
    assert whole(measured)["accepted"] == 10
    assert measured.phase(0, "status")["accepted"] == sum(polls.values()) == 30
    assert sum(getattr(record, "status", "") == "completed" for record in bench.history) == 10


def test_bulk_in_a_closed_loop_has_a_key_for_each_job(bench: Bench) -> None:
    tally = whole(bench.run(accept, model="closed", mix={"bulk": 1}, bulk=7, connections=2, duration_s=3.0))
    assert tally["jobs"] == 7 * tally["accepted"] > 7
    keys = {headers["idempotency-key"] for _, headers in bench.apis[0].seen}
    wanted = {str(derived_uuid(uuid.UUID(key).bytes, str(index))) for key in keys for index in range(7)}
    assert {record.key for record in bench.history} == wanted


@pytest.mark.parametrize(("status", "rounds"), [(503, 1), (429, 1), (500, None)])
def test_who_is_told_when_to_come_back_stays_away_in_a_closed_loop(
    bench: Bench, status: int, rounds: int | None
) -> None:
    def refuse(path: str, headers: dict[str, str], body: bytes, number: int) -> tuple[int, Any]:
        return status, {}

    measured = bench.run(refuse, model="closed", mix={"bulk": 1}, bulk=7, connections=2, duration_s=0.9 * AWAY_S)
    asked = len(bench.apis[0].seen)
    assert asked == 2 * rounds if rounds else asked > 4
    assert whole(measured)["accepted"] == 0


def test_its_percentiles_are_those_of_its_own_timestamps_within_one_per_cent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loadtests.recorder import Recorder

    exact: list[float] = []
    done = Recorder.done

    def spy(recorder: Recorder, *args: Any, **times: Any) -> None:
        exact.append((times["end_s"] - times["due_s"]) * 1e6)
        done(recorder, *args, **times)

    monkeypatch.setattr(Recorder, "done", spy)

    def vary(path: str, headers: dict[str, str], body: bytes, number: int) -> tuple[int, Any]:
        gevent.sleep((number % 17) / 1000)
        return accept(path, headers, body, number)

    tally = whole(bench.run(vary, rate=300))
    assert len(exact) == tally["accepted"] == 150
    for percent in (50, 90, 95, 99, 100):
        reference = sorted(exact)[math.ceil(len(exact) * percent / 100) - 1]
        assert tally.latency.percentile(percent) == pytest.approx(reference, rel=0.01)


@pytest.mark.parametrize(("drop_after_s", "drops"), [(5.0, False), (0.05, True)], ids=["young", "old ones too"])
def test_a_run_that_is_ended_early_tells_what_was_under_way_and_takes_back_what_might_yet_have_been_sent(
    bench: Bench, drop_after_s: float, drops: bool
) -> None:
    def hang(*_: Any) -> tuple[int, Any]:
        gevent.sleep(5)
        return 202, job("job_late")

    gevent.spawn_later(0.2, lambda: bench.generator.end(whole=False))
    measured = bench.run(hang, duration_s=30, rate=50, connections=4, drop_after_s=drop_after_s)
    tally = measured.phase(0)
    assert not measured.whole
    assert 1 <= tally["started"] <= 4
    assert tally["accepted"] == 0
    assert tally["offered"] == tally["started"] + tally["dropped"]
    assert (tally["dropped"] > 0) == drops


def test_the_processor_is_looked_at_in_each_phase_of_its_own(bench: Bench) -> None:
    phases = tuple(Phase(name=name, duration_s=1.5, rate=20) for name in ("one", "two", "three"))
    measured = bench.run(accept, phases=phases)
    assert all(measured.cpu_share(phase) is not None for phase in range(3))


@pytest.mark.parametrize(("connected", "opened"), [(True, 8), (False, 1)])
def test_connections_are_opened_beforehand_where_the_scenario_says_so(
    bench: Bench, connected: bool, opened: int
) -> None:
    bench.run(accept, rate=10, in_ms=3_000, connected=connected)
    assert bench.apis[0].opened == opened
