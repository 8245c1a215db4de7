"""What only operators read: jobs of all tenants, and the audit log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx2
import pytest

from tests.unit.zjops.client.test_clients import CLIENT, CONTEXT
from zjops.cli.main import main
from zjops.client.admin import Admin
from zjops.client.http import Http
from zjops.client.jobs import Jobs

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
    asked = serve("jobs", [page, page | {"next": None}])
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


def test_a_job_is_shown_with_its_attempts_in_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts = [
        {"attempt": 1, "outcome": "retried", "startedAt": "2026-11-26T08:00:01.000Z", "endedAt":
         "2026-11-26T08:00:02.000Z", "nextAt": "2026-11-26T08:00:03.000Z", "error": {"code": "boom", "message": "Oh."}},
        {"attempt": 2, "outcome": "running", "startedAt": "2026-11-26T08:00:03.000Z"},
    ]  # fmt: skip
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json=JOB | {"attempts": attempts}))
    client = Jobs(CONTEXT, CLIENT, http=Http("http://platform", transport=transport))
    monkeypatch.setattr("zjops.cli.jobs._open", lambda *_: client)
    assert main(["jobs", "get", "job_one"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-3:] == [
        ["attempt", "outcome", "started", "ended", "why"],
        ["1", "retried", "2026-11-26T08:00:01.000Z", "2026-11-26T08:00:02.000Z", "boom:", "Oh;", "again", "from",
         "2026-11-26T08:00:03.000Z"],
        ["2", "running", "2026-11-26T08:00:03.000Z"],
    ]  # fmt: skip
    assert main(["jobs", "get", "job_one", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["attempts"] == attempts


def _jobs(*names: str, after: str | None) -> dict[str, Any]:
    jobs = [{"tenant": "acme", "plan": "pro", "charge": "held", "job": JOB | {"jobId": name}} for name in names]
    return {"jobs": jobs, "next": after}


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_jobs_of_all_tenants_come_in_the_largest_pages_and_are_written_as_they_come(
    serve: Serve, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    written: list[int] = []

    def pages() -> Iterator[dict[str, Any]]:
        yield _jobs(*(f"job_{number}" for number in range(1_000)), after="aa" * 16)
        written.append(len(capsys.readouterr().out.splitlines()))
        yield _jobs(*(f"job_{number}" for number in range(1_000, 1_500)), after=None)

    asked = serve("jobs", pages())
    assert main(["jobs", "list", "--all", "--limit", "2500", "-o", form]) == 0
    said = capsys.readouterr()
    head = 1 if form == "csv" else 0
    assert (written, len(said.out.splitlines())) == ([1_000 + head], 500)
    assert said.err == "" or "the oldest 1,500" in said.err
    assert asked == [
        {"path": "/v1/admin/jobs", "limit": "1000"},
        {"path": "/v1/admin/jobs", "limit": "1000", "after": "aa" * 16},
    ]  # fmt: skip


def test_of_all_tenants_no_more_is_asked_for_than_is_wanted(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"job_{number}" for number in range(1_200)]
    asked = serve("jobs", [_jobs(*names[:1_000], after="aa" * 16), _jobs(*names[1_000:], after="bb" * 16)])
    assert main(["jobs", "list", "--all", "--limit", "1200", "-o", "json"]) == 0
    said = capsys.readouterr()
    assert [row["jobId"] for row in json.loads(said.out)["rows"]] == names
    assert said.err == "the oldest 1,200, there are more: --limit, or zjops top\n"
    assert [one["limit"] for one in asked] == ["1000", "200"]


def test_of_one_tenant_there_is_no_page_of_more_than_a_hundred(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "list", "--limit", "101"]) == 2
    assert capsys.readouterr().err.startswith("error: --limit is at most 100 for one tenant")


def test_what_goes_with_one_tenant_only_is_refused(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    serve("jobs", [])
    assert main(["jobs", "list", "--all", "--offset", "5"]) == 2
    assert capsys.readouterr().err == "error: --all goes with --status, --type and --limit only\n"


def _entry(number: int, action: str, at: str = "2026-11-26T08:00:00.000Z") -> dict[str, Any]:
    return {"number": number, "at": at, "actor": "ada", "action": action, "target": "platform", "reason": "drill",
            "details": {}}  # fmt: skip


def test_of_no_jobs_of_all_tenants_it_says_so_and_nothing_else(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    serve("jobs", [{"jobs": [], "next": None}])
    assert main(["jobs", "list", "--all", "--status", "pending"]) == 0
    said = capsys.readouterr()
    assert said.out + said.err == "nothing to show\n"


def _pages(newest: int, size: int) -> list[dict[str, Any]]:
    """Two pages of the audit log, newest first."""
    numbers = list(range(newest, newest - 2 * size, -1))
    return [
        {"entries": [_entry(number, "relayer.pause") for number in part], "next": part[-1]}
        for part in (numbers[:size], numbers[size:])
    ]


def test_of_the_audit_log_the_newest_are_asked_for_and_no_more(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = serve("auditlog", _pages(5_000, 1_000))
    assert main(["audit-log", "--actor", "ada", "--limit", "2000", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "zjops.audit-log/1"
    assert [row["number"] for row in document["rows"]] == list(range(3_001, 5_001))
    first = {"path": "/v1/admin/audit-log", "actor": "ada", "reads": "false", "sortOrder": "desc", "limit": "1000"}
    assert asked == [first, first | {"before": "4001"}]


@pytest.mark.parametrize(
    ("more", "wanted"),
    [([], {"reads": "false"}), (["--reads"], {}), (["--action", "job.list"], {"action": "job.list"}),
     (["--since", "2026-11-26T08:30:00Z"], {"reads": "false", "since": "2026-11-26T08:30:00.000Z"})],
    ids=["acts", "what only looked too", "an action as the platform gives it", "since a moment"],
)  # fmt: skip
def test_the_platform_leaves_out_of_the_audit_log_what_nobody_wants(
    serve: Serve, capsys: pytest.CaptureFixture[str], more: list[str], wanted: dict[str, str]
) -> None:  # fmt: skip
    asked = serve("auditlog", [{"entries": [_entry(2, "relayer.resume"), _entry(1, "relayer.pause")], "next": None}])
    assert main(["audit-log", "-o", "json", *more]) == 0
    assert [row["number"] for row in json.loads(capsys.readouterr().out)["rows"]] == [1, 2], "oldest first"
    assert asked == [{"path": "/v1/admin/audit-log", "sortOrder": "desc", "limit": "50"} | wanted]


def test_the_audit_log_as_a_table(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    serve("auditlog", [{"entries": [_entry(5, "tenant.suspend", "2026-11-26T09:00:00.000Z")], "next": 5}])
    assert main(["audit-log", "--limit", "1"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split() == [
        "2026-11-26", "09:00:00", "ada", "tenant.suspend", "platform", "drill",
    ]  # fmt: skip
    assert said.err == "the newest 1; --limit for more\n"
    retried = _entry(6, "dead-letter.retry") | {"target": "acme", "details": {"job": "job_one", "successor": "job_two"}}
    serve("auditlog", [{"entries": [retried], "next": None}])
    assert main(["audit-log"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[3:] == ["dead-letter.retry", "acme", "job_one", "drill"]


def test_a_moment_that_is_none_is_said(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    serve("auditlog", [])
    assert main(["audit-log", "--since", "yesterday"]) == 2
    assert "--since is a moment such as 14:05" in capsys.readouterr().err
