"""Clients against a transport that answers as it is told: what is repeated, what is written down, what is said."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from zjops.client.chain import Block, ChainReader
from zjops.client.history import History, Read, Submitted, read_history
from zjops.client.http import Http, Outage
from zjops.client.jobs import Jobs
from zjops.client.oauth import ClientCredentials, fetch_token
from zjops.client.rpc import ACT_WITHIN_S, READ_WITHIN_S, Rpc, RpcRefused
from zjops.config import Context
from zjops.domain.clock import SystemClock
from zjops.domain.errors import ChainUnavailable, Problem, UnreachableError, UsageError
from zjops.domain.runfile import ClientEntry

CLIENT = ClientEntry(tenant="acme", plan="pro", client_id="c", client_secret="s", scopes=[])
CONTEXT = Context(
    api_url="http://api", token_url="http://api/token", issuer="i", rpc_url="http://rpc", contract="0x" + "11" * 20
)
ACCEPTED = {
    "jobId": "job_1", "status": "pending", "submittedAt": "2026-11-24T00:00:00Z",
    "estimatedCompletion": "2026-11-24T00:00:01Z", "links": {"self": "/v1/jobs/job_1"},
}  # fmt: skip
Answer = httpx2.Response | Exception


class Hasty(SystemClock):
    """Time that is not waited for, but counted."""

    def __init__(self) -> None:
        self.paused: list[float] = []

    def pause(self, seconds: float) -> None:
        self.paused.append(seconds)


class Server:
    """Answers in turn; the last answer stays."""

    def __init__(self, *answers: Answer) -> None:
        self._answers, self.asked = list(answers), list[httpx2.Request]()

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def reply(status: int = 200, body: Any = None, **headers: str) -> httpx2.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, content=msgspec.json.encode(body or {}), headers=names)


def problem(status: int, code: str, **headers: str) -> httpx2.Response:
    return reply(status, {"code": code, "detail": "why", "status": status, "trace_id": "t"}, **headers)


@pytest.fixture
def opened() -> Iterator[Callable[..., tuple[Http, Server, Hasty]]]:
    made: list[Http] = []

    def make(*answers: Answer, **options: Any) -> tuple[Http, Server, Hasty]:
        server, clock = Server(*answers), Hasty()
        made.append(Http("http://api", transport=httpx2.MockTransport(server), clock=clock, **options))
        return made[-1], server, clock

    yield make
    for http in made:
        http.close()


AWAY = httpx2.ConnectError("refused")


def test_a_reading_is_repeated_through_an_outage(opened: Any) -> None:
    http, server, _ = opened(AWAY, AWAY, reply(body={"x": 1}))
    assert http.get("/a") == {"x": 1}
    assert len(server.asked) == 3


def test_an_outage_that_lasts_is_said_with_what_to_do(opened: Any) -> None:
    http, server, _ = opened(AWAY)
    with pytest.raises(Outage, match=r"http://api does not answer \(refused\); is it up\? zjops status"):
        http.get("/a")
    assert len(server.asked) == 4


def test_a_node_that_hangs_is_asked_once_and_one_that_is_away_again(opened: Any) -> None:
    refused = httpx2.ConnectError("[Errno 111] Connection refused")
    for answer, asked, why in (
        (httpx2.ReadTimeout("x"), 1, "nothing came in time"), (refused, 4, "Connection refused"),
    ):  # fmt: skip
        http, server, _ = opened(answer, late_again=False)
        with pytest.raises(ChainUnavailable) as caught:
            ChainReader(CONTEXT, http).head()
        assert str(caught.value) == f"http://rpc does not answer as a chain ({why})"
        assert len(server.asked) == asked


def test_what_only_looks_at_a_node_waits_less_than_what_acts() -> None:
    asked: list[httpx2.Request] = []

    def server(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return reply(body={"result": "0x1"})

    with Http("", transport=httpx2.MockTransport(server), timeout_s=READ_WITHIN_S) as http:
        Rpc("http://rpc", http).ask("eth_chainId")
        Rpc("http://rpc", http).ask("devnet_mine", 1000, repeat=False)
    assert [request.extensions["timeout"]["read"] for request in asked] == [READ_WITHIN_S, ACT_WITHIN_S]


@pytest.mark.parametrize("act", ["get", "status", "result", "proof", "cancel"])
def test_a_job_that_is_not_found_says_whose_it_was_asked_to_be(opened: Any, act: str) -> None:
    http, _, _ = opened(problem(404, "not-found"))
    with pytest.raises(Problem, match="why") as caught:
        getattr(Jobs(CONTEXT, CLIENT, http=http), act)("job_1")
    assert caught.value.detail == "why It was asked for as tenant acme; name another with --tenant."


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rpc_url": "ftp://rpc"}, "no http:// or https:// address"), ({"rpc_url": "rpc:8545"}, "no http:// or"),
        ({"contract": "nope"}, "no contract's address"), ({"contract": "0x" + "1" * 39}, "no contract's address"),
        ({"contract": None}, "names no chain"),
    ],
)  # fmt: skip
def test_a_context_that_can_name_no_contract_is_wrong_usage(change: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        ChainReader(msgspec.structs.replace(CONTEXT, **change))


def test_a_writing_is_not_repeated_unless_asked(opened: Any) -> None:
    http, server, _ = opened(AWAY, reply())
    with pytest.raises(Outage):
        http.request("POST", "/a")
    assert len(server.asked) == 1


@pytest.mark.parametrize(("after", "waited"), [("3", 3.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0), ("", 1.0)])
def test_retry_after_is_obeyed(opened: Any, after: str, waited: float) -> None:
    http, _, clock = opened(problem(429, "rate-limit-exceeded", retry_after=after), reply(body=[1]))
    assert http.get("/a") == [1]
    assert clock.paused == [waited]


def test_a_wait_that_is_too_long_is_left_to_the_caller(opened: Any) -> None:
    http, server, clock = opened(problem(503, "unavailable", retry_after="86400"))
    with pytest.raises(Problem) as caught:
        http.get("/a")
    assert (caught.value.status, caught.value.kind.code, clock.paused) == (503, "unavailable", [])
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "code", "detail"),
    [
        (problem(404, "not-found"), "not-found", "why"),
        (reply(401, {"error": "invalid_client", "error_description": "no"}), "invalid_client", "no"),
        (httpx2.Response(500, text="oops"), "http-500", "oops"),
        (reply(400, ["odd"]), "http-400", '["odd"]'),
    ],
)
def test_whatever_an_error_answer_is_it_becomes_a_problem(
    opened: Any, answer: httpx2.Response, code: str, detail: str
) -> None:
    http, _, _ = opened(answer)
    with pytest.raises(Problem) as caught:
        http.get("/a")
    assert (caught.value.kind.code, caught.value.detail) == (code, detail)


def test_an_answer_of_another_version_is_said_to_be_one(opened: Any) -> None:
    from zjops.domain.wire import StatusView

    http, _, _ = opened(reply(body={"other": 1}))
    with pytest.raises(UnreachableError, match="another version"):
        http.get("/a", StatusView)


def _submissions(path: Path) -> list[Submitted]:
    return [record for record in read_history(path) if isinstance(record, Submitted)]


@pytest.fixture
def history(tmp_path: Path) -> Iterator[tuple[History, Path]]:
    made = History(tmp_path / "history.jsonl")
    yield made, tmp_path / "history.jsonl"
    made.close()


def test_every_submission_is_written_down_as_it_was_told(opened: Any, history: tuple[History, Path]) -> None:
    made, path = history
    http, server, _ = opened(
        reply(202, ACCEPTED), reply(202, ACCEPTED, idempotent_replayed="true"), problem(422, "validation-failed"),
        AWAY, AWAY, AWAY, AWAY, reply(202, ACCEPTED),
    )  # fmt: skip
    jobs = Jobs(CONTEXT, CLIENT, made, http)
    assert jobs.submit({}, "k").replayed is False
    assert jobs.submit({}, "k").replayed is True
    with pytest.raises(Problem):
        jobs.submit({}, "k2")
    with pytest.raises(Outage):
        jobs.submit({}, "k3")
    found = [(r.outcome, r.status, r.job_id, r.replayed, r.key) for r in _submissions(path)]
    assert found == [
        ("ok", 202, "job_1", False, "k"), ("ok", 202, "job_1", True, "k"), ("fail", 422, None, False, "k2"),
        ("unknown", None, None, False, "k3"),
    ]  # fmt: skip
    keys = {request.headers["idempotency-key"] for request in server.asked[3:7]}
    assert keys == {"k3"}, "an outage is repeated under the same key"


def test_what_readers_saw_is_written_down(opened: Any, history: tuple[History, Path]) -> None:
    made, path = history
    view = {"jobId": "job_1", "status": "processing", "progressPercent": 5, "updatedAt": "2026-11-24T00:00:00Z"}
    http, _, _ = opened(reply(body=view))
    Jobs(CONTEXT, CLIENT, made, http).status("job_1")
    (record,) = read_history(path)
    assert isinstance(record, Read)
    assert (record.job_id, record.status) == ("job_1", "processing")


def test_a_torn_last_line_is_left_out_and_a_broken_one_is_named(history: tuple[History, Path]) -> None:
    made, path = history
    made.add(Read(job_id="j", status="pending", start_ms=1, end_ms=2))
    with path.open("ab") as file:
        file.write(b'{"op":"read","job')
    assert len(list(read_history(path))) == 1
    path.write_bytes(b"nonsense\n" + path.read_bytes())
    with pytest.raises(UsageError, match="line 1"):
        list(read_history(path))


def test_a_token_is_fetched_once_and_anew_after_a_401() -> None:
    tokens = iter(["one", "two"])
    seen: list[str] = []

    def server(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/token":
            assert request.headers["authorization"].startswith("Basic ")
            return reply(body={"access_token": next(tokens), "expires_in": 900})
        seen.append(request.headers["authorization"])
        return reply(401 if seen.count("Bearer one") == 3 and seen[-1] == "Bearer one" else 200)

    auth = ClientCredentials("http://api/token", CLIENT)
    with Http("http://api", auth=auth, transport=httpx2.MockTransport(server)) as http:
        for _ in range(4):
            http.get("/a")
    assert seen == ["Bearer one"] * 3 + ["Bearer two"] * 2


def test_a_wrong_secret_is_said_once(opened: Any) -> None:
    answer = reply(401, {"error": "invalid_client", "error_description": "Unknown client or wrong secret."})
    server = Server(answer)
    auth = ClientCredentials("http://api/token", CLIENT)
    with (
        Http("http://api", auth=auth, transport=httpx2.MockTransport(server)) as http,
        pytest.raises(Problem, match="wrong secret"),
    ):
        http.get("/a")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [AWAY, reply(body={"result": None}), reply(body={"error": {"message": "no"}}), reply(body=["odd"]),
     httpx2.Response(200, text="<html>"), problem(500, "internal-error"), reply(400, {"error": {"code": -32600}}),
     reply(400, {"error": "no"}), reply(400, [{"error": "no"}])],
)  # fmt: skip
def test_whatever_is_not_a_chain_is_unavailable(opened: Any, answer: Answer) -> None:
    http, _, _ = opened(answer)
    with pytest.raises(ChainUnavailable, match="http://rpc"):
        ChainReader(CONTEXT, http).chain_id()


def test_a_node_that_refuses_by_http_too_is_heard_by_its_own_error(opened: Any) -> None:
    error = {"code": -32602, "message": "range is too wide"}
    http, _, _ = opened(reply(400, {"jsonrpc": "2.0", "id": 1, "error": error}))
    with pytest.raises(RpcRefused, match="http://rpc refuses eth_chainId: range is too wide") as caught:
        ChainReader(CONTEXT, http).chain_id()
    assert caught.value.code == -32602


def test_the_questions_to_the_contract_are_abi_encoded(opened: Any) -> None:
    http, server, _ = opened(reply(body={"result": "0x" + "00" * 31 + "2a"}))
    reader = ChainReader(CONTEXT, http)
    assert reader.next_sequence() == 42
    assert reader.root_of(7) == b"\0" * 31 + b"\x2a"
    calls = [msgspec.json.decode(request.content)["params"][0]["data"] for request in server.asked]
    assert calls[0] == "0x" + contracts_selector("nextSequence()")
    assert calls[1] == "0x" + contracts_selector("rootOf(uint64)") + f"{7:064x}"


def _logged(**other: Any) -> dict[str, Any]:
    data = "0x" + f"{5:064x}" + "ab" * 32 + f"{1_790_000_000:064x}"
    return {"blockNumber": "0x7", "transactionHash": "0x" + "11" * 32, "data": data} | other


def test_the_contracts_log_tells_how_many_jobs_a_batch_has_and_their_root(opened: Any) -> None:
    http, server, _ = opened(reply(body={"result": "0x9"}), reply(body={"result": [_logged()]}))
    found = ChainReader(CONTEXT, http).commit_of(3, 7)
    assert found == (7, "0x" + "11" * 32, 5, bytes.fromhex("ab" * 32))
    (asked,) = msgspec.json.decode(server.asked[1].content)["params"]
    assert asked["topics"] == ["0x" + _topic(), "0x" + f"{3:064x}"]


@pytest.mark.parametrize(
    "log",
    [{}, _logged(data="0x" + "00" * 95), _logged(data=None), _logged(data="0xzz"), _logged(blockNumber=None), "odd"],
    ids=["nothing", "too short", "no data", "no hex", "no block", "no object"],
)  # fmt: skip
def test_a_log_entry_that_is_none_of_the_contracts_is_strange(opened: Any, log: Any) -> None:
    http, _, _ = opened(reply(body={"result": "0x9"}), reply(body={"result": [log]}))
    with pytest.raises(ChainUnavailable, match="answers eth_getLogs strangely"):
        ChainReader(CONTEXT, http).commit_of(3, 7)


def _topic() -> str:
    from eth_utils.crypto import keccak

    return keccak(text="RootCommitted(uint64,uint32,bytes32,uint64)").hex()


def test_the_contract_is_asked_as_of_the_newest_block_or_of_one_that_is_named(opened: Any) -> None:
    http, server, _ = opened(reply(body={"result": "0x" + "00" * 32}))
    reader = ChainReader(CONTEXT, http)
    assert (reader.next_sequence(), reader.next_sequence(18)) == (0, 0)
    assert reader.root_of(7, 18) is None
    assert [msgspec.json.decode(request.content)["params"][1] for request in server.asked] == ["latest", "0x12", "0x12"]


def test_a_block_is_its_hash_and_its_transactions_or_none(opened: Any) -> None:
    shown = {"hash": "0xAB", "transactions": ["0xCD", "0xef"]}
    http, _, _ = opened(reply(body={"result": shown}), reply(body={"result": None}), reply(body={"result": {}}))
    reader = ChainReader(CONTEXT, http)
    assert reader.block(1) == Block("0xab", frozenset({"0xcd", "0xef"}))
    assert reader.block(2) is None
    with pytest.raises(ChainUnavailable, match="strangely"):
        reader.block(3)


def contracts_selector(signature: str) -> str:
    """The selector by the library that the platform uses, not by ours."""
    from eth_utils.abi import function_signature_to_4byte_selector

    return function_signature_to_4byte_selector(signature).hex()


def test_it_slows_down_before_the_limit_but_not_where_a_request_goes_once(opened: Any) -> None:
    near = {"x_ratelimit_limit": "10", "x_ratelimit_remaining": "1"}
    http, _, clock = opened(
        reply(body=[1], **near), reply(body=[1], **near), reply(body=[1], x_ratelimit_remaining="2")
    )
    http.get("/a")
    assert clock.paused == [0.1]
    http.request("POST", "/a")
    http.get("/a")
    assert clock.paused == [0.1]


def test_deprecation_and_units_that_run_out_are_passed_on(opened: Any) -> None:
    told: list[str] = []
    http, _, _ = opened(
        reply(body=[1], deprecation="@1", sunset="Sat, 15 Jan 2028 00:00:00 GMT", link='</docs>; rel="deprecation"'),
        reply(body=[1], x_computeunits_used="951", x_computeunits_remaining="95"),
        reply(body=[1], x_computeunits_used="950", x_computeunits_remaining="95"),
        notify=told.append,
    )
    for _ in range(3):
        http.get("/a")
    assert len(told) == 2
    assert "deprecated" in told[0]
    assert "15 Jan 2028" in told[0]
    assert told[1].startswith("95 compute units")


def test_a_refusal_for_want_of_units_is_not_tried_again(opened: Any) -> None:
    http, server, clock = opened(problem(402, "quota-exceeded"))
    with pytest.raises(Problem):
        http.request("POST", "/v1/jobs", repeat=True)
    assert (len(server.asked), clock.paused) == (1, [])


def test_an_issuer_that_hangs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the connection and never answers."""
    monkeypatch.setattr("zjops.client.http.Http", partial(Http, timeout_s=0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Outage, match=f"^{url} does not answer "):
            fetch_token(f"{url}/oauth/token", CLIENT)
