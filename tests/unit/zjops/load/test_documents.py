"""What a run leaves behind: its page, its summary, JUnit, and its folder."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html import escape
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.zjops.load.made import run, scenario, steady, tick
from zjops.cli.load import _explain, exit_code, knee_code, seconds_of
from zjops.cli.output import Out
from zjops.domain.errors import UsageError
from zjops.load import report, runs
from zjops.load.faults import Broken
from zjops.load.gate import Flaw
from zjops.load.histogram import Histogram
from zjops.load.knee import GENERATOR, INTERRUPTION, PLATFORM, Found
from zjops.load.outcome import Outcome, summary
from zjops.load.roles import Cost, Usage, costs
from zjops.load.thresholds import judge, parse

AUDIT = {
    "ok": True, "client_accepted": 1, "unknown": 0, "accepted": 1, "lost": 0, "doubled": 0, "double_billed": 0,
    "double_confirmed": 0, "findings": [], "counterexample": None,
}  # fmt: skip
LOST = AUDIT | {
    "ok": False, "lost": 1, "findings": [{"kind": "lost", "job_id": "job_1", "text": "the store has no <such> job"}],
    "counterexample": {"job_id": "job_1", "steps": [], "wrong": ["the store has no <such> job"]},
}  # fmt: skip
STORY = ("the story of job_1:", "  must not be: the store has no <such> job")
MEMBERS = [
    "schema", "scenario", "offered_rps", "achieved_rps", "accepted", "shed", "errors", "timeouts", "dropped", "p50_ms",
    "p95_ms", "p99_ms", "p999_ms", "max_ms", "service_p99_ms", "lag_p99_ms", "trusted", "verdict", "final_within_s",
    "audit",
]  # fmt: skip


def outcome(**changes: Any) -> Outcome:
    measured = changes.pop("measured", run(*steady()))
    judged = judge([parse("p(99)<200"), parse("list:p(50)<1", 1)], measured, None)
    made = Outcome(
        measured, judged, [], "pass", 3.2, 100.0, {"final": Histogram.of([7_000_000] * 5)},
        [Cost("api", ("api", "outbox"), 1.5, 250.0, 0.4, 90_000_000)], dict(AUDIT), 7,
        "zjops load run made --seed 7", False, None, 1_795_689_472_504,
    )  # fmt: skip
    return made._replace(**changes)


def test_the_summary_has_exactly_its_members() -> None:
    told = summary(outcome())
    assert list(told) == MEMBERS
    assert (told["offered_rps"], told["achieved_rps"], told["accepted"]) == (100.0, 100.0, 1_000)
    assert (told["verdict"], told["trusted"], told["final_within_s"]) == ("pass", True, 3.2)


def test_a_run_that_measured_nothing_can_be_told() -> None:
    told = summary(outcome(measured=run(of=scenario()), audit=None, final_within_s=None))
    assert (told["p50_ms"], told["offered_rps"], told["audit"]) == (None, 0.0, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    spoiled = scenario(name="made", text="<script>alert(1)</script> & more")
    measured = run(*steady(), tick(4, accepted=90, shed=10, statuses={"202": 90, "503": 10}), of=spoiled)
    report.write(
        outcome(
            measured=measured, flaws=[Flaw("main", "speed", "slow <&>")], verdict="not_trusted",
            faults=(Broken("store frozen <30 s>", 1_004_000, 1_009_000), Broken("over before", 1_000, 2_000)),
        ),
        tmp_path,
    )  # fmt: skip
    return tmp_path


def test_the_page_is_whole_and_loads_nothing(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    assert "://" not in text
    assert not re.search(r"<(script|link|iframe|img)|@import|url\(", text)
    assert text.count("<svg") == text.count("</svg>") == 4
    assert "slow &lt;&amp;&gt;" in text
    assert text.count(">store frozen &lt;30 s&gt;</text>") == 3
    assert "over before" not in text
    assert "zjops load run made --seed 7" in text
    for svg in re.findall(r"<svg.*?</svg>", text):
        ET.fromstring(svg)


def test_junit_tells_what_cannot_be_told_from_what_failed(folder: Path) -> None:
    suite = ET.parse(folder / "junit.xml").getroot()
    cases = {case.get("name"): case for case in suite}
    assert suite.get("errors") == "2"
    assert cases["threshold p(99)<200 (scenario)"].find("error") is None
    assert cases["threshold list:p(50)<1 in phase main (scenario)"].find("error") is not None
    assert cases["trusted in phase main"].find("error") is not None
    assert cases["audit"].find("failure") is None


def test_the_detail_has_every_phase_request_and_cost(folder: Path) -> None:
    told = msgspec.json.decode((folder / "detail.json").read_bytes())
    assert [phase["phase"] for phase in told["phases"]] == ["warm-up", "main"]
    assert told["operations"][0]["statuses"] == {"202": 90, "503": 10}
    assert told["hops"][0]["hop"] == "final"
    assert told["costs"][0]["roles"] == ["api", "outbox"]
    assert told["generator"]["cpu_us_a_request"] > 0
    assert told["faults"][0] == {"name": "store frozen <30 s>", "from_ms": 1_004_000, "to_ms": 1_009_000}
    assert told["tenants"][0]["values"] == {"active_jobs": 7}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({}, 0, id="a pass"),
        pytest.param({"verdict": "fail"}, 99, id="a threshold is breached"),
        pytest.param({"verdict": "not_trusted"}, 5, id="it cannot be told"),
        pytest.param({"verdict": "fail", "audit": LOST}, 4, id="the audit counts before a threshold"),
        pytest.param({"interrupted": True, "verdict": "fail"}, 130, id="it was interrupted"),
    ],
)
def test_how_the_command_ends(changes: dict[str, Any], code: int) -> None:
    assert exit_code(outcome(**changes)) == code


def test_a_lost_job_is_told_on_every_page_and_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = outcome(verdict="fail", audit=LOST, story=STORY)
    report.write(broken, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "<title>Load made: ✗ fail</title>" in page
    assert "The audit found that not every job came out right." in page
    assert f"<pre>{escape(chr(10).join(STORY))}</pre>" in page
    told = msgspec.json.decode((tmp_path / "summary.json").read_bytes())
    assert (told["verdict"], told["audit"]["counterexample"]["job_id"]) == ("fail", "job_1")
    audit = ET.parse(tmp_path / "junit.xml").getroot().find("testcase[@name='audit']/failure")
    assert audit is not None
    assert audit.get("message") == "lost: job_1 the store has no <such> job"
    _explain(broken, Out())
    assert "\n".join(STORY) in capsys.readouterr().err


STEP = {"rate": 500.0, "verdict": "pass"}
FOUND = Found("knee", 1_795_689_472_504, 7, "zjops load run knee", (STEP,), 500.0, PLATFORM)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({}, 0, id="a rate held"),
        pytest.param({"knee_rps": None}, 99, id="the platform held none"),
        pytest.param({"knee_rps": None, "limited_by": GENERATOR}, 5, id="the generator held none"),
        pytest.param({"broken": True}, 4, id="a job was lost on the way"),
        pytest.param({"limited_by": INTERRUPTION}, 130, id="it was interrupted"),
    ],
)
def test_how_a_search_ends(changes: dict[str, Any], code: int) -> None:
    assert knee_code(FOUND._replace(**changes)) == code


def test_folders_are_named_by_time_and_latest_leads_to_the_newest(tmp_path: Path) -> None:
    first = runs.new_folder(tmp_path, "smoke", 1_795_689_472_504)
    second = runs.new_folder(tmp_path, "smoke", 1_795_689_472_900)
    assert first.name == "20261126T103752-smoke"
    assert second.name == "20261126T103752-smoke-2"
    assert (tmp_path / "runs" / "latest").resolve() == second
    (first / "x").touch()
    with pytest.raises(UsageError, match="is not empty"):
        runs.new_folder(tmp_path, "smoke", 1, first)


def test_latest_leads_to_a_folder_that_somebody_named_only_where_it_lies_among_the_runs(tmp_path: Path) -> None:
    mine = runs.new_folder(tmp_path, "smoke", 1, tmp_path / "runs" / "mine")
    for elsewhere in (tmp_path / "elsewhere", mine / "beneath"):
        runs.new_folder(tmp_path, "smoke", 1, elsewhere)
        assert (tmp_path / "runs" / "latest").resolve() == mine
        assert not (elsewhere.parent / "latest").is_symlink() or elsewhere.parent == mine.parent


def test_a_torn_line_of_one_process_does_not_spoil_the_history(tmp_path: Path) -> None:
    (tmp_path / "history-0.jsonl").write_bytes(b'{"a":1}\n{"tor')
    (tmp_path / "history-1.jsonl").write_bytes(b'{"b":2}\n')
    (tmp_path / "history-2.jsonl").write_bytes(b"")
    assert runs.join_history(tmp_path).read_bytes() == b'{"a":1}\n{"b":2}\n'
    assert not list(tmp_path.glob("history-*"))


def test_what_a_job_costs_is_not_told_of_a_process_that_was_started_anew() -> None:
    before = {"api": Usage(5, ("api",), 10.0, 1), "backend": Usage(6, ("worker",), 4.0, 1)}
    after = {"api": Usage(5, ("api",), 13.0, 2), "backend": Usage(9, ("worker",), 1.0, 2)}
    api, backend = costs(before, after, 1_000, 10.0)
    assert (api.us_a_job, api.core) == (3_000.0, 0.3)
    assert backend.us_a_job is None


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("30s", 30), ("1.5m", 90), ("1h", 3_600)])
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "5x", "-5s", "m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="write it as 30s"):
        seconds_of(text)
