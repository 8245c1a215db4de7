"""`zjops whatif`: its tables and formats, and what it refuses."""

import csv
import io
import json
from pathlib import Path

import pytest

from tests.unit.zjops.analytics.money_log import cheaper, shop
from zjops.cli.main import main

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def _shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shop(tmp_path / "log").save()
    (tmp_path / "new.toml").write_text(cheaper((ROOT / "zjops/domain/prices.toml").read_text()))


def _whatif(*arguments: str) -> int:
    return main(["whatif", "--log", "log", "--prices", "new.toml", *arguments])


def test_the_readme_shows_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert _whatif("--table", "tenants", "-q") == 0
    assert capsys.readouterr().out in (ROOT / "README.md").read_text()


def test_several_books_are_compared_with_the_base(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = (tmp_path / "new.toml").read_text()
    (tmp_path / "third.toml").write_text(text.replace("fee_microusd = 25_000_000", "fee_microusd = 30_000_000"))
    assert _whatif("--prices", "third.toml", "--month", "2026-06", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["base"], told["months"]) == ("zjops.whatif/1", "shipped", ["2026-06"])
    assert [row["book"] for row in told["books"]] == ["shipped", "new.toml", "third.toml"]
    assert {row["book"] for row in told["tenants"]} == {"new.toml", "third.toml"}
    for row in told["books"]:
        changed = [one["change_cents"] for one in told["tenants"] if one["book"] == row["book"]]
        assert sum(changed) == row["change_cents"]
    assert _whatif("--base", "third.toml", "--json") == 0
    assert json.loads(capsys.readouterr().out)["base"] == "third.toml"


def test_rows_hold_one_table_and_a_span_of_months_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    totals = []
    for span in (["--since", "2026-05", "--until", "2026-07"], ["--month", "2026-05"], ["--month", "2026-06"]):
        assert _whatif(*span, "-o", "csv") == 0
        captured = capsys.readouterr()
        assert "--table tenants, quota" in captured.err
        totals.append([int(row["revenue_cents"]) for row in csv.DictReader(io.StringIO(captured.out))])
    assert totals[0] == [a + b for a, b in zip(totals[1], totals[2], strict=True)]


def test_gas_is_priced_as_asked(capsys: pytest.CaptureFixture[str]) -> None:
    chains = []
    for price in ("1", "3"):
        assert _whatif("--gas-price", price, "--json") == 0
        chains.append(json.loads(capsys.readouterr().out)["books"][0]["chain_microusd"])
    assert chains[1] == 3 * chains[0] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["--month", "2026-13"], 2, "a month is written YYYY-MM"),
        (["--month", "2026-04"], 3, "holds nothing of any tenant"),
        (["--month", "2999-01"], 2, "has not begun"),
        (["--month", "2026-06", "--since", "2026-05"], 2, "either --month"),
        (["--since", "2026-06-02"], 2, "whole months"), (["--prices", "new.toml"], 2, "named once"),
        (["--prices", "nowhere.toml"], 2, "nowhere.toml cannot be read"), (["--prices", "bad.toml"], 2, "line 2"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_one_line(
    arguments: list[str], code: int, why: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bad.toml").write_text('version = "x"\nfee = ?\n')
    assert _whatif(*arguments) == code
    text = capsys.readouterr().err
    assert why in text
    assert len(text.strip().splitlines()) == 1


def test_without_a_book_it_says_what_to_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["whatif", "--log", "log"]) == 2
    assert "--prices new.toml" in capsys.readouterr().err


def test_the_sql_behind_it_can_be_asked_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert _whatif("--show-sql") == 0
    text = capsys.readouterr().out
    assert "FROM events_once" in text
    assert "$" not in text, "every parameter is written out"
    of_the_new_book = [part for part in text.split(";\n\n") if "limit_units" in part][-1]
    assert main(["query", "--log", "log", "--json", "--", of_the_new_book.strip().removesuffix(";")]) == 0
    assert [row["tenant"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["ada"]
