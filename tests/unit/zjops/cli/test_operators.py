"""What only operators read: jobs of all tenants, and the audit log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import httpx2
import pytest

from tests.unit.zjops.client.test_clients import CONTEXT
from zjops.cli.main import main
from zjops.client.admin import Admin
from zjops.client.http import Http

JOB: dict[str, Any] = {
    "jobId": "job_one", "status": "pending", "jobType": "compute_heavy", "priority": 5, "computeUnits": 3,
    "submittedAt": "2026-11-26T08:00:00.000Z", "updatedAt": "2026-11-26T08:00:00.000Z",
    "links": {"self": "/v1/jobs/job_one"},
}  # fmt: skip
Serve = Callable[[str, Iterable[dict[str, Any]]], list[dict[str, str]]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """The operators' door, with these pages; returns what it is asked."""

    def serving(module: str, pages: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
        asked, rest = list[dict[str, str]](), iter(pages)

        def answer(request: httpx2.Request) -> httpx2.Response:
            asked.append({"path": request.url.path} | dict(request.url.params))
            return httpx2.Response(200, json=next(rest))

        door = Admin(CONTEXT, Http("http://platform", transport=httpx2.MockTransport(answer)))
        monkeypatch.setattr(f"zjops.cli.{module}.resolve", lambda *_: CONTEXT)
        monkeypatch.setattr(f"zjops.cli.{module}.Admin", lambda _: door)
        return asked

    return serving


def test_jobs_of_all_tenants_are_listed_with_whose_they_are(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    page = {"jobs": [{"tenant": name, "plan": "pro", "charge": "held", "job": JOB} for name in ("acme", "globex")],
            "next": "ff" * 16}  # fmt: skip
    asked = serve("jobs", [page, page])
    assert main(["jobs", "list", "--all", "--status", "pending", "--limit", "2"]) == 0
    said = capsys.readouterr()
    assert [line.split()[:3] for line in said.out.splitlines()[1:]] == [
        ["acme", "job_one", "pending"], ["globex", "job_one", "pending"],
    ]  # fmt: skip
    assert said.err == "the oldest 2, there are more: --limit, or zjops top\n"
    assert asked == [{"path": "/v1/admin/jobs", "status": "pending", "limit": "2"}]
    assert main(["jobs", "list", "--all", "-o", "jsonl", "-q"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["tenant"], row["charge"], row["jobId"]) for row in rows] == [
        ("acme", "held", "job_one"), ("globex", "held", "job_one"),
    ]  # fmt: skip


def test_what_goes_with_one_tenant_only_is_refused(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    serve("jobs", [])
    assert main(["jobs", "list", "--all", "--offset", "5"]) == 2
    assert capsys.readouterr().err == "error: --all goes with --status, --type and --limit only\n"


def _entry(number: int, action: str, at: str = "2026-11-26T08:00:00.000Z") -> dict[str, Any]:
    return {"number": number, "at": at, "actor": "ada", "action": action, "target": "platform", "reason": "drill",
            "details": {}}  # fmt: skip


PAGES = [
    {
        "entries": [
            _entry(1, "relayer.pause"),
            _entry(2, "job.list"),
            _entry(3, "token.refresh"),
            _entry(4, "relayer.resume"),
        ],
        "next": 4,
    },
    {"entries": [_entry(5, "tenant.suspend", "2026-11-26T09:00:00.000Z")], "next": None},
]


@pytest.mark.parametrize(
    ("more", "numbers"),
    [([], [1, 4, 5]), (["--reads"], [1, 2, 3, 4, 5]), (["--limit", "2"], [4, 5]),
     (["--since", "2026-11-26T08:30:00Z"], [5]), (["--action", "job.list"], [1, 2, 3, 4, 5])],
    ids=["acts", "what only looked too", "the newest", "since a moment", "an action as the platform gives it"],
)  # fmt: skip
def test_the_audit_log_is_read_page_by_page(
    serve: Serve, capsys: pytest.CaptureFixture[str], more: list[str], numbers: list[int]
) -> None:  # fmt: skip
    asked = serve("auditlog", PAGES)
    assert main(["audit-log", "--actor", "ada", "-o", "json", *more]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "zjops.audit-log/1"
    assert [row["number"] for row in document["rows"]] == numbers
    assert [(one["path"], one["actor"], one["after"]) for one in asked] == [
        ("/v1/admin/audit-log", "ada", "0"), ("/v1/admin/audit-log", "ada", "4"),
    ]  # fmt: skip


def test_the_audit_log_as_a_table(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    serve("auditlog", PAGES)
    assert main(["audit-log", "--limit", "1"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split() == [
        "2026-11-26", "09:00:00", "ada", "tenant.suspend", "platform", "drill",
    ]  # fmt: skip
    assert said.err == "the newest 1; --limit for more\n"


def test_a_moment_that_is_none_is_said(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    serve("auditlog", [])
    assert main(["audit-log", "--since", "yesterday"]) == 2
    assert "--since is a moment such as 14:05" in capsys.readouterr().err
