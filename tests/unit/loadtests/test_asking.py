"""What the generator asks with: keys, bodies, tokens."""

from __future__ import annotations

import os
import random
import uuid
from collections import Counter
from itertools import islice

import msgspec
import pytest

gevent = pytest.importorskip("gevent")

from loadtests import tokens  # noqa: E402
from loadtests.bodies import Bodies, Caller, order  # noqa: E402
from loadtests.keys import keys  # noqa: E402
from loadtests.tokens import Token  # noqa: E402
from loadtests.wire import Target  # noqa: E402
from tests.unit.zjops.load.made import scenario  # noqa: E402
from zjops.domain.errors import UnreachableError  # noqa: E402
from zjops.domain.jobs import JobType  # noqa: E402
from zjops.domain.runfile import ClientEntry  # noqa: E402
from zjops.load.scenario import Job  # noqa: E402

CLIENT = ClientEntry(tenant="t", plan="enterprise", client_id="c", client_secret="s", scopes=[])
TARGET = Target.of("http://127.0.0.1:8080/base")


def test_keys_are_uuids_of_version_4_and_never_the_same() -> None:
    made = list(islice(keys(os.urandom), 2_000))
    assert len(set(made)) == 2_000
    assert all(str(uuid.UUID(key)) == key and uuid.UUID(key).version == 4 for key in made)


def test_bodies_are_jobs_of_the_asked_size_and_kinds() -> None:
    sieve = {"algorithm": "prime_sieve", "limit": 9}
    asked = scenario(jobs=(Job(weight=3, payload_bytes=500), Job(type=JobType.COMPUTE_HEAVY, parameters=sieve)))
    made = Bodies(asked, 1, "http://127.0.0.1:1/hook")
    decoded = [msgspec.json.decode(body) for body in made.single]
    assert {len(body) for body in made.single} == {500, 200}
    assert {body["jobType"] for body in decoded} == {"ml_inference", "compute_heavy"}
    assert all(len(msgspec.json.decode(body)["jobs"]) == 100 for body in made.bulk)
    assert all("callbackUrl" in msgspec.json.decode(body) for body in made.hooked)
    assert Bodies(asked, 1, None).single == made.single
    assert Bodies(asked, 1, None).hooked == []


def test_a_request_is_whole_and_carries_the_newest_token() -> None:
    caller = Caller("t", TARGET, Bodies(scenario(), 1, None), 0)
    for token in ("first", "second"):
        caller.changed(token)
        head, _, body = caller.post("single", "the-key").partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[0] == "POST /base/v1/jobs HTTP/1.1"
        fields = dict(line.split(": ", 1) for line in lines[1:])
        assert fields == {
            "host": "127.0.0.1:8080", "authorization": f"Bearer {token}", "content-type": "application/json",
            "content-length": str(len(body)), "idempotency-key": "the-key",
        }  # fmt: skip
    assert caller.get("/v1/jobs").startswith(b"GET /base/v1/jobs HTTP/1.1\r\n")
    assert caller.get("/v1/jobs").endswith(b"\r\n\r\n")


def test_kinds_of_requests_come_by_their_weights() -> None:
    seen = Counter(islice(order({"submit": 3, "list": 1, "read": 0}, 1), 10_000))
    assert set(seen) == {"submit", "list"}
    assert seen["submit"] == pytest.approx(7_500, abs=300)
    assert set(islice(order({"bulk": 2}, 1), 10)) == {"bulk"}


class TestTokens:
    """As a real client keeps them."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """A token endpoint that takes a while; tells every request for a token."""
        made: list[str] = []

        def fetch(token: Token) -> None:
            gevent.sleep(0.01)
            made.append(f"token-{len(made)}")
            token._renew_at = token._now() + 900
            token.value = made[-1]

        monkeypatch.setattr(Token, "fetch", fetch)
        return made

    def test_however_many_are_refused_one_asks_for_another(self, asked: list[str]) -> None:
        token = Token("http://x", CLIENT, lambda: 0.0, lambda value: None)
        token.close()
        token.fetch()
        waiting = [gevent.spawn(token.refused, "token-0") for _ in range(50)]
        gevent.joinall(waiting, timeout=5, raise_error=True)
        assert asked == ["token-0", "token-1"]
        assert token.value == "token-1"

    def test_a_token_endpoint_that_is_away_is_asked_again_and_the_old_token_kept(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = Token("http://x", CLIENT, lambda: 50.0, lambda value: None)
        token.close()
        token.value = "old"

        def fail(_: Token) -> None:
            raise UnreachableError("away")

        monkeypatch.setattr(Token, "fetch", fail)
        token.refused("old")
        assert token.value == "old"
        assert token._renew_at == 50.0 + tokens.AGAIN_S

    def test_it_is_renewed_well_before_it_ends_and_not_by_all_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Reply:
            content = b'{"access_token": "t", "expires_in": 900, "scope": ""}'

        class Http:
            def __init__(self, *_: object, **__: object) -> None: ...
            def request(self, *_: object, **__: object) -> Reply:
                return Reply()

        monkeypatch.setattr(tokens, "Http", Http)
        random.seed(1)
        ends = []
        for _ in range(20):
            token = Token("http://x", CLIENT, lambda: 0.0, lambda value: None)
            token.fetch()
            ends.append(token._renew_at)
        assert all(900 - tokens.EARLY_S - tokens.SPREAD_S <= end <= 900 - tokens.EARLY_S for end in ends)
        assert max(ends) - min(ends) > tokens.SPREAD_S / 3
