"""Requests made ready before the run: what differs from one to the next is an idempotency key."""

from __future__ import annotations

import random
from itertools import cycle
from typing import Any

import msgspec

from loadtests.tokens import Token
from loadtests.wire import Target
from zjops.load.scenario import Job, Scenario

POOL = 32
"""So many bodies of each kind are made and used over and over."""
SUBMIT, BULK = "/v1/jobs", "/v1/jobs:batch"


class Bodies:
    """The bodies of a scenario, by chance of its seed; `hooked` are those that ask for a webhook."""

    def __init__(self, scenario: Scenario, seed: int, hook: str | None) -> None:
        chance = random.Random(seed)  # noqa: S311 - a load, no secret
        weights = [job.weight for job in scenario.jobs]

        def draw() -> dict[str, Any]:
            return _body(chance.choices(scenario.jobs, weights)[0])

        self.single = [_encoded(draw()) for _ in range(POOL)]
        self.bulk = [_encoded({"jobs": [draw() for _ in range(scenario.bulk)]}) for _ in range(POOL // 4)]
        self.hooked = [_encoded(draw() | {"callbackUrl": hook}) for _ in range(POOL // 4)] if hook else []


def _body(job: Job) -> dict[str, Any]:
    body = {"jobType": job.type, "parameters": job.parameters, "metadata": {"note": ""}}
    missing = job.payload_bytes - len(_encoded(body))
    return body | {"metadata": {"note": "x" * max(0, missing)}}


def _encoded(body: dict[str, Any]) -> bytes:
    return msgspec.json.encode(body)


class Caller:
    """One tenant's requests, with its token in them already."""

    def __init__(self, tenant: str, target: Target, bodies: Bodies, begin: int) -> None:
        self.tenant, self._target, self._bodies = tenant, target, bodies
        self.token: Token | None = None
        self._value = ""
        self._start = b""
        self._turn = {"single": begin, "bulk": begin, "hooked": begin}
        self._ready: dict[str, list[tuple[bytes, bytes]]] = {}

    def changed(self, token: str) -> None:
        """Put a new token into every request."""
        self._value = token
        self._start = f" HTTP/1.1\r\nhost: {self._target.authority}\r\nauthorization: Bearer {token}\r\n".encode()
        made = {
            "single": self._parts(SUBMIT, self._bodies.single), "bulk": self._parts(BULK, self._bodies.bulk),
            "hooked": self._parts(SUBMIT, self._bodies.hooked),
        }  # fmt: skip
        self._ready = made

    def _parts(self, path: str, bodies: list[bytes]) -> list[tuple[bytes, bytes]]:
        line = f"POST {self._target.base}{path}".encode() + self._start + b"content-type: application/json\r\n"
        return [
            (line + f"content-length: {len(body)}\r\nidempotency-key: ".encode(), b"\r\n\r\n" + body) for body in bodies
        ]

    def post(self, kind: str, key: str) -> bytes:
        """The next submission of a kind under a key."""
        parts = self._ready[kind]
        turn = self._turn[kind] = (self._turn[kind] + 1) % len(parts)
        head, tail = parts[turn]
        return head + key.encode() + tail

    def get(self, path: str, more: str = "") -> bytes:
        """A reading; `more` are further header lines, each with its end."""
        return f"GET {self._target.base}{path}".encode() + self._start + more.encode() + b"\r\n"

    def value(self) -> str:
        """The token itself."""
        return self._value

    def refused(self, value: str) -> None:
        """The token that a request carried was refused: have another before this comes back, unless there is one."""
        if self.token is not None:
            self.token.refused(value)


def order(mix: dict[str, float], seed: int) -> Any:
    """Kinds of requests in an order by chance, without end, by their weights; a single kind needs no chance."""
    wanted = {op: weight for op, weight in mix.items() if weight > 0}
    if len(wanted) == 1:
        return cycle(wanted)
    chance = random.Random(seed)  # noqa: S311 - a load, no secret
    return cycle(chance.choices(list(wanted), list(wanted.values()), k=10_007))
