"""`zjops export focus` and `focus-check`: sums of invoices, formats, and what is refused."""

import csv
import io
import json
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.unit.zjops.analytics.money_log import shop
from zjops.cli.main import main

README = Path(__file__).parents[4] / "README.md"


@pytest.fixture(autouse=True)
def _shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = shop(tmp_path / "log")
    log.act(
        "credit.grant", "cy", "2026-06-20T00:00:00Z", kind="credit", microusd=5_000_000, creditId="c1", month="2026-06"
    )
    log.save()


def _export(*arguments: str) -> int:
    return main(["export", "focus", "--month", "2026-06", "--log", "log", *arguments])


def _invoices(capsys: pytest.CaptureFixture[str]) -> Any:
    assert main(["invoice", "--all", "--month", "2026-06", "--log", "log", "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)["invoices"]


def _csv(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(Path(name).read_text())))


@pytest.mark.parametrize("version", ["1.2", "1.4"])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_rows_of_each_invoice_add_up_to_its_total(
    version: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    totals = {f"DRAFT-2026-06-{one['tenant']}": Decimal(one["total_cents"]) / 100 for one in _invoices(capsys)}
    assert _export("-o", f"f.{form}", "--focus-version", version) == 0
    assert "rules checked" in capsys.readouterr().err
    rows = pl.read_parquet("f.parquet").to_dicts() if form == "parquet" else _csv("f.csv")
    sums = defaultdict[str, Decimal](Decimal)
    for row in rows:
        sums[row["InvoiceId"]] += Decimal(row["BilledCost"])
    assert dict(sums) == totals
    assert main(["export", "focus-check", f"f.{form}", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["version"], told["rows"]) == ("zjops.focus-check/1", version, len(rows))
    assert told["checked"] + told["not_checked"] == len(told["rules"])
    assert min(told["checked"], told["not_checked"]) > 10


def test_it_goes_to_the_standard_output_as_csv(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert _export("--tenant", "cy", "-q") == 0
    captured = capsysbinary.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out.decode())))
    assert [row["ChargeCategory"] for row in rows] == ["Purchase", "Usage", "Credit"]
    assert captured.err == b""


def test_a_file_that_breaks_a_rule_exits_1_and_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert _export("-o", "f.csv") == 0
    Path("f.csv").write_text(Path("f.csv").read_text().replace("Purchase", "Refund", 1))
    capsys.readouterr()
    assert main(["export", "focus-check", "f.csv"]) == 1
    captured = capsys.readouterr()
    assert "line 2: ChargeCategory is 'Refund'" in captured.out
    assert "1 broken" in captured.err
    assert main(["export", "focus-check", "f.csv", "--focus-version", "1.4"]) == 1
    assert "column HostProviderName is missing; column ServiceProviderName is missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["focus", "--month", "2026-13", "--log", "log"], 2, "YYYY-MM"), (["focus", "--log", "log"], 2, "--month"),
        (["focus", "--month", "2026-04", "--log", "log"], 3, "nothing of any tenant"),
        (["focus", "--month", "2026-06", "--log", "log", "-o", "nowhere/f.csv"], 2, "nowhere/f.csv cannot be written"),
        (["focus", "--month", "2026-06", "--log", "log", "--focus-version", "1.3"], 2, "1.3"),
        (["focus-check", "nowhere.csv"], 2, "nowhere.csv cannot be read"), (["focus-check", "ragged.csv"], 2, "line 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_said(
    arguments: list[str], code: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("ragged.csv").write_text("a,b\n1,2\n3\n")
    assert main(["export", *arguments]) == code
    captured = capsys.readouterr()
    assert why in captured.err
    assert "Traceback" not in captured.err


def test_help_says_what_there_is_of_1_4(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "focus", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "its other datasets are not written" in text
    assert "Example: zjops export focus --month 2026-10 -o focus.csv" in text


def test_the_readme_shows_what_the_command_says(capsys: pytest.CaptureFixture[str]) -> None:
    text = README.read_text()
    assert _export("-o", "focus.csv") == 0
    assert capsys.readouterr().err in text
    assert main(["export", "focus-check", "focus.csv"]) == 0
    assert capsys.readouterr().err in text
