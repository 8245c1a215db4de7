"""Versions side by side, and pages that need nothing from elsewhere."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from simulator.api.contract.operation import Answer, Operation
from simulator.api.deps import answer
from simulator.gateway.versions import Major, Versions, announced, schedule
from tests.contract.stage import Stage, staged
from zjops.domain.clock import parse_rfc3339

T0 = parse_rfc3339("2027-01-15T00:00:00Z")
OLD = announced(1, T0, minor=2, successor=2)


class SecondMajor:
    """A `/v2` that answers jobs in another form."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def operations(self) -> list[Operation]:
        return [
            Operation(id="listJobs2", method="GET", path="/v2/jobs", call=self.list_jobs, tag="jobs",
                      scope="jobs:read", answers=(Answer(200, "Jobs.", dict[str, Any]),))
        ]  # fmt: skip

    async def list_jobs(self, request: Request) -> Response:
        """Jobs, as the second version has them."""
        return answer({"items": []})


@pytest.mark.parametrize(
    ("told", "deprecated", "gone"),
    [
        ("2027-01-15T08:00:00Z", "2027-07-15T08:00:00.000Z", "2028-01-15T08:00:00.000Z"),
        ("2027-08-31T00:00:00Z", "2028-03-01T00:00:00.000Z", "2028-08-31T00:00:00.000Z"),
        ("2028-02-29T12:00:00Z", "2028-08-29T12:00:00.000Z", "2029-03-01T00:00:00.000Z"),
    ],
    ids=["plain", "no such day in February", "a leap day"],
)
def test_six_months_pass_until_the_deprecation_and_twelve_until_the_end(told: str, deprecated: str, gone: str) -> None:
    major = announced(1, parse_rfc3339(told))
    moments = [parse_rfc3339(told), parse_rfc3339(deprecated), parse_rfc3339(gone)]
    assert [schedule(at, (major,))[0]["state"] for at in moments] == ["announced", "deprecated", "sunset"]
    [row] = schedule(0, (major,))
    assert (row["deprecation"], row["sunset"]) == (deprecated, gone)
    assert schedule(2**45, (Major(1),))[0]["state"] == "active"


async def test_two_majors_are_served_at_once_and_the_old_one_says_when_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from simulator.api import app as module

    versions = Versions((OLD, Major(2)))
    monkeypatch.setattr(module, "EXTRA", (SecondMajor,))
    async with staged(tmp_path) as stage:
        object.__setattr__(stage.deps, "versions", versions)
        fresh = module.Api(stage.deps)
        token = await stage.client("acme")
        stage.http._transport.app = fresh  # type: ignore[attr-defined]
        one, two = await stage.ask("GET", "/v1/jobs", token), await stage.ask("GET", "/v2/jobs", token)
        assert "jobs" in one.json()
        assert two.json() == {"items": []}
        assert one.headers["deprecation"] == "@1815609600"
        assert one.headers["sunset"] == "Sat, 15 Jan 2028 00:00:00 GMT"
        for part in ('rel="deprecation"', 'rel="sunset"', '</v2>; rel="successor-version"'):
            assert part in one.headers["link"]
        assert "deprecation" not in two.headers
        for asked, status in (("1", 200), ("1.0", 200), ("1.2", 200), ("1.3", 400), ("2", 400), ("x", 400)):
            reply = await stage.ask("GET", "/v1/jobs", token, Accept_Version=asked)
            assert reply.status_code == status, asked
            assert "Accept-Version" in reply.headers["vary"]


async def test_pages_load_nothing_from_elsewhere_with_the_network_cut_off(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.socket.connect

    def only_loopback(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else str(address)
        assert host.startswith(("127.", "::1", "/")), f"a socket to {host}"
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_loopback)
    page = (await stage.ask("GET", "/docs")).text
    wanted = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert wanted
    for address in wanted:
        if address.startswith("data:"):
            continue
        assert address.startswith("/"), address
        reply = await stage.ask("GET", address)
        assert reply.status_code == 200
        assert len(reply.content) > 100
    policy = (await stage.ask("GET", "/docs")).headers["content-security-policy"]
    assert "http" not in policy
    assert (await stage.ask("GET", "/docs/../app.py")).status_code in (401, 404)
