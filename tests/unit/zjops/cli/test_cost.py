"""`zjops cost`: with and without a log, in every format, and what it refuses."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.zjops.analytics.money_log import MoneyLog
from zjops.cli.main import main

README = Path(__file__).parents[4] / "README.md"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZJOPS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def log(tmp_path: Path) -> str:
    made = MoneyLog(tmp_path / "log")
    for day in range(1, 21):
        made.job("acme", "pro", f"06-{day:02d}")
    made.batch()
    return str(made.save())


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["cost", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_without_a_log_the_cost_lines_speak_and_the_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost"]) == 0
    captured = capsys.readouterr()
    assert "no log here" in captured.err
    assert "$6,601.00" in captured.out
    assert "26,246 jobs a month" in captured.out


def test_the_log_gives_gas_rate_and_revenue(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = _json(capsys, "--log", log)
    assert (told["schema"], told["month"], told["inputs"]["jobs_per_month"]) == ("zjops.cost/1", "2026-06", 20)
    figures = {row["name"]: row for row in told["figures"]}
    assert figures["gas a job"]["amount"] == 54_500 * 1000 // 20
    assert figures["gas a job"]["formula"].startswith("measured")
    assert figures["jobs a batch"]["amount"] == 20_000, "as they were, not as the window would have it"
    (invoiced,) = [row for row in told["margins"] if row["who"] == "all, as invoiced in 2026-06"]
    assert invoiced["revenue_nanousd"] == 99 * 10**9 // 20
    assert invoiced["margin_nanousd"] == invoiced["revenue_nanousd"] - invoiced["cost_nanousd"]


def test_flags_go_before_the_log_and_a_window_asks_for_gas_by_batches(
    log: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = _json(capsys, "--log", log, "--window", "60", "--jobs-per-month", "2592000", "--gas-price", "2",
                 "--set", "stored_gb=500", "--spot", "40", "--coalesced", "5", "--hot-days", "7")  # fmt: skip
    figures = {row["name"]: row["amount"] for row in told["figures"]}
    assert (figures["jobs a batch"], figures["gas a job"]) == (61_000, round(54_500_000 / 61))
    inputs = told["inputs"]
    assert (inputs["stored_gb"], inputs["gas_price_wei"], inputs["gas_per_batch"]) == (500, 2 * 10**9, 54_500)
    assert (inputs["spot_percent"], inputs["coalesced_percent"], inputs["hot_days"]) == (40, 5, 7)
    assert _json(capsys, "--log", log, "--gas-per-job", "570.5")["figures"][2]["amount"] == 570_500


def test_rows_hold_one_table_and_name_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "-o", "csv"]) == 0
    captured = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert sum(int(row["design_microusd"]) for row in rows[:-1]) == int(rows[-1]["design_microusd"]) == 6_601_000_000
    assert "--table figures, margins, rates, promises" in captured.err
    assert main(["cost", "-o", "jsonl", "--table", "promises", "-q"]) == 0
    assert len([json.loads(line) for line in capsys.readouterr().out.splitlines()]) == 4
    assert main(["cost", "-o", "md", "-q"]) == 0
    assert capsys.readouterr().out.count("\n## ") == 4


def test_a_month_without_confirmed_jobs_is_said(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--log", log, "--month", "2026-05"]) == 0
    assert "no confirmed job of 2026-05" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["--set", "stored_gb"], 2, "--set takes name=number"), (["--set", "colour=1"], 2, "colour"),
        (["--gas-price", "inf"], 2, "--gas-price takes a number"), (["--gas-per-job", "inf"], 2, "takes a number"),
        (["--hot-days", "400"], 2, "400 days hot"), (["--costs", "nowhere.toml"], 2, "nowhere.toml cannot be read"),
        (["--log", "nowhere"], 3, "there is no log in nowhere"), (["--month", "2026-05"], 3, "no platform in"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_one_line(
    arguments: list[str], code: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cost", *arguments]) == code
    text = capsys.readouterr().err
    assert why in text
    assert "Traceback" not in text


def test_broken_cost_lines_are_named_with_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "costs.toml").write_text('version = "x"\n[inputs\n')
    assert main(["cost", "--costs", str(tmp_path / "costs.toml")]) == 2
    assert "costs.toml: " in (text := capsys.readouterr().err)
    assert "line 2" in text


def test_the_readme_shows_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    text = README.read_text()
    assert main(["cost", "--table", "figures", "--window", "60", "--jobs-per-month", "1000000", "-q"]) == 0
    assert capsys.readouterr().out in text
    assert main(["cost", "--table", "promises", "-o", "md", "-q"]) == 0
    for line in capsys.readouterr().out.splitlines()[2:]:
        assert " | ".join(line.split(" | ")[:4]) + " |\n" in text
