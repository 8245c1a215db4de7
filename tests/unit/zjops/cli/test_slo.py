"""`zjops slo`, `check`, `runbook` and what is exported for Prometheus and Grafana, as people run them."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from simulator.telemetry import COUNTERS
from tests.unit.zjops.slo.logs import START, Jobs, answers, probe, write_requests
from zjops.cli.main import COMMANDS, GROUPS, main
from zjops.domain.clock import rfc3339
from zjops.slo.alerts import SUMMARY
from zjops.slo.catalogue import objectives_of
from zjops.slo.runbooks import runbook

DAY = 1440


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZJOPS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def _month(log: Path, *, bad: int) -> str:
    """Thirty days of 1,000 answers an hour, of which some are bad at last."""
    rows = [answers(START + 60 * hour, 1_000) for hour in range(30 * 24)]
    write_requests(log, [*rows, answers(START + 30 * DAY - 1, bad, status=503)])
    return str(log)


def test_the_table_speaks_of_the_budget_in_words_and_says_as_of_when(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["slo", "--log", _month(tmp_path / "log", bad=144), "--plan", "pro"]) == 0
    told = capsys.readouterr()
    (line,) = [line for line in told.out.splitlines() if line.startswith("availability-pro")]
    assert re.split(r"  +", line) == [
        "availability-pro", "pro", "99.95 %", "60 % left = 216 bad requests; empty at 01:30 at this burn",
        "PAGE 14.4x 1h, 6x 6h, 3x 1d, 1x 3d", "healthy",
    ]  # fmt: skip
    assert "as of 2026-11-26T00:00Z, times in UTC" in told.err
    assert "minutes without a request or probe are unknown, neither good nor bad: 29 d 11 h" in told.err


def test_one_bad_request_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slo", "--log", _month(tmp_path / "log", bad=361), "--plan", "pro"]) == 99
    assert "overspent by 1 bad request  " in capsys.readouterr().out
    assert main(["slo", "--log", _month(tmp_path / "one", bad=359), "--plan", "pro"]) == 0
    assert "0 % left = 1 bad request; " in capsys.readouterr().out


def test_a_spent_budget_ends_with_99_and_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slo", "--log", _month(tmp_path / "log", bad=400), "--plan", "pro", "--json"]) == 99
    told = capsys.readouterr()
    row = json.loads(told.out)["rows"][0]
    assert (row["bad"], row["left"], row["policy"], row["outlook"]) == (400, -40, "full-freeze", "empty")
    assert row["action"].startswith("freeze everything")
    assert (row["allowed_seconds"], row["spent_seconds"]) == (1296, 30 * 86_400 * 400 // 720_400)
    assert "full-freeze: freeze everything" in told.err


@pytest.mark.parametrize("output", ["csv", "md", "jsonl"])
def test_the_same_in_other_formats(output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slo", "--log", _month(tmp_path / "log", bad=144), "--plan", "pro", "-q", "-o", output]) == 0
    out = capsys.readouterr().out
    if output == "csv":
        row = next(csv.DictReader(io.StringIO(out)))
        assert (row["left"], row["firing"]) == ("216", "burn-14x burn-6x burn-3x burn-1x")
    elif output == "md":
        assert "| availability-pro | pro | 99.95 % | 60 % left = 216 bad requests;" in out
    else:
        assert json.loads(out.splitlines()[0])["left"] == 216


def test_a_short_history_says_how_much_it_covers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_requests(tmp_path, [answers(START + minute, 10) for minute in range(150)])
    assert main(["slo", "--log", str(tmp_path), "--plan", "pro"]) == 0
    assert "none: 2 h 30 min of 30 d" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--plan", "gold"], "there is no objective for plan gold; there are some for all, free"),
        (["--at", "yesterday"], "--at takes a day"),
        (["--at", "2999-01-01"], "is still to come; the log reaches 2026-10-27T"),
        (["--slo-file", "none.yaml"], "none.yaml cannot be read"),
    ],
)
def test_what_cannot_be_told_is_refused_in_a_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_requests(tmp_path, [answers(START, 10)])
    assert main(["slo", "--log", str(tmp_path), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert main(["check", "slo", "--log", str(tmp_path), *arguments]) == 3, "Nagios calls wrong usage unknown"
    told = capsys.readouterr()
    assert told.out.startswith("SLO UNKNOWN - ")
    assert said in told.out


def test_an_empty_log_is_unreachable_and_for_nagios_critical(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").mkdir()
    assert main(["slo", "--log", str(tmp_path / "log")]) == 3
    assert main(["check", "slo", "--log", str(tmp_path / "log")]) == 2
    assert main(["check", "relayer"]) == 2, "no platform is critical"
    assert "RELAYER CRITICAL - no platform in" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["slo", "--bogus"], ["nonsense"], [], ["queue", "-w", "9", "-c", "1"], ["chain", "-w", "x"]]
)
def test_wrong_usage_of_a_check_is_unknown(arguments: list[str]) -> None:
    assert main(["check", *arguments]) == 3


def test_check_names_what_burns_with_the_command_that_opens_that_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = _month(tmp_path / "log", bad=144)
    assert main(["check", "slo", "--log", log, "--plan", "pro"]) == 2
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("SLO CRITICAL - SloBudgetBurn: availability-pro, plan pro, burns at 251.7 times")
    assert "zjops slo --plan pro --at 2026-11-26T00:00:00Z" in first
    assert "| 'availability-pro/pro left'=60%;50:;25:" in first
    opened = re.search(r"zjops (slo .*?Z)", first)
    assert opened is not None
    assert main([*opened[1].split(), "--log", log]) == 0, "the command works as it stands"


def test_a_log_in_which_only_failed_probes_are_is_never_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The API is silent: what the prober saw is all there is (C79)."""
    write_requests(tmp_path, [probe(START + n // 60, n % 60, status=0) for n in range(1800)])
    assert main(["slo", "--log", str(tmp_path), "--json", "-q"]) == 0
    rows = {(row["slo"], row["plan"]): row for row in json.loads(capsys.readouterr().out)["rows"]}
    for key in (("availability", "all"), ("availability-pro", "pro"), ("availability", "free")):
        assert (rows[key]["good"], rows[key]["bad"], rows[key]["unknown_minutes"]) == (0, 1800, 0)
        assert rows[key]["left_ppm"] < 0
    assert rows["latency-300ms", "pro"]["left_ppm"] is None, "of latency nothing is known"
    assert main(["check", "slo", "--log", str(tmp_path)]) == 2


def test_many_refused_tokens_and_a_tenant_that_surges_are_alerts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end = START + 8 * DAY
    write_requests(tmp_path, [
        answers(START, 1), *(answers(end - 5 + m, 601, status=401, plan="none") for m in range(5)),
    ])  # fmt: skip
    jobs = Jobs()
    for hour in range(7 * 24 + 23):
        jobs.add(3600 * hour, tenant="acme", completed=3600 * hour + 1)
        jobs.add(3600 * hour, tenant="busy", completed=3600 * hour + 1)
    for number in range(300):
        jobs.add(8 * 86_400 - 1800 + number, tenant="acme", processing=8 * 86_400 - 1700 + number)
    jobs.save(tmp_path)
    arguments = ["check", "slo", "--log", str(tmp_path), "--format", "json", "--at"]
    main([*arguments, rfc3339(end * 60_000)])
    alerts = {one["name"]: one for one in json.loads(capsys.readouterr().out)["alerts"]}
    assert alerts["AuthFailures"]["severity"] == "page"
    assert "3,005 requests" in alerts["AuthFailures"]["text"]
    assert alerts["SubmissionSurge"]["labels"] == {"tenant": "acme"}
    assert alerts["SubmissionSurge"]["text"] == (
        "tenant acme submitted 300 jobs in an hour, more than 10 times its usual 1"
    )
    main([*arguments, rfc3339((START + 6 * DAY) * 60_000)])
    assert "SubmissionSurge" not in capsys.readouterr().out, "before seven days nothing is usual"


def test_changes_are_posted_only_with_a_home_to_remember_them_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = _month(tmp_path / "log", bad=144)
    arguments = ["check", "slo", "--log", log, "--plan", "pro", "--notify", "http://127.0.0.1:9/"]
    assert main(arguments) == 3
    assert "name a folder with --home" in capsys.readouterr().out
    assert main([*arguments, "--home", str(tmp_path)]) == 2
    assert "took no alerts" in capsys.readouterr().out


@pytest.mark.parametrize("name", list(SUMMARY))
def test_every_alert_has_a_runbook_whose_commands_exist(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = runbook(name)
    assert page.startswith(f"# {name}: {SUMMARY[name]}")
    named = re.findall(r"^ {4,}(?:zjops .*?&& )?zjops (.+?)(?: {2,}#.*)?$|`zjops (.+?)`", page, re.MULTILINE)
    commands = [one or other for one, other in named]
    assert len(commands) >= 3
    for command in commands:
        words = command.split()
        known = [words[0], *([words[1]] if words[0] in GROUPS and len(words) > 1 else [])]
        assert words[0] in COMMANDS, command
        assert main([*known, "--help"]) == 0, command
        shown = capsys.readouterr().out
        for option in re.findall(r"(?<=\s)--?[a-z][a-z-]*", re.sub(r"'[^']*'|\"[^\"]*\"", "", command)):
            assert option in shown, f"{command}: {option}"


def test_a_runbook_is_found_by_any_spelling_and_a_wrong_name_is_told_the_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["runbook", "slobudgetburn"]) == 0
    assert capsys.readouterr().out.startswith("# SloBudgetBurn")
    assert main(["runbook", "SloBudgetBurns"]) == 2
    assert "did you mean SloBudgetBurn?" in capsys.readouterr().err
    assert main(["runbook"]) == 0
    assert "ChainConfirmationsFailing" in capsys.readouterr().out


def _rules(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert main(["export", "prometheus-rules"]) == 0
    return [rule for group in yaml.safe_load(capsys.readouterr().out)["groups"] for rule in group["rules"]]


def test_every_alerting_rule_has_severity_runbook_and_the_command_that_opens_its_minute(
    capsys: pytest.CaptureFixture[str],
) -> None:
    alerts = [rule for rule in _rules(capsys) if "alert" in rule]
    assert {rule["alert"] for rule in alerts} == set(SUMMARY)
    for rule in alerts:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["runbook"] == f"zjops runbook {rule['alert']}"
        assert rule["annotations"]["opens"].startswith("zjops slo ")


def test_rules_and_dashboard_use_only_metrics_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    rules = _rules(capsys)
    recorded = {rule["record"] for rule in rules if "record" in rule}
    used = {name for rule in rules for name in re.findall(r"[a-z_]+_total|slo:[a-z0-9_:]+", rule["expr"])}
    assert used - recorded <= set(COUNTERS)
    assert main(["export", "grafana"]) == 0
    board = json.loads(capsys.readouterr().out)
    shown = {name for panel in board["panels"] for target in panel["targets"]
             for name in re.findall(r"slo:[a-z0-9_:]+", target["expr"])}  # fmt: skip
    assert shown <= recorded
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    titles = " ".join(panel["title"] for panel in board["panels"])
    assert all(one.slo in titles for one in objectives_of())


def test_an_objective_that_only_the_log_counts_gets_no_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.unit.zjops.slo.test_catalogue import OWN

    (tmp_path / "own.yaml").write_text(OWN)
    assert main(["export", "prometheus-rules", "--slo-file", str(tmp_path / "own.yaml")]) == 2
    assert "start-10s is not in the metrics, only in the log" in capsys.readouterr().err
