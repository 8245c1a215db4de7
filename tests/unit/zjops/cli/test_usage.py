"""usage: what may be asked, and what is said of what cannot be."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.unit.zjops.analytics.test_billing import Log
from zjops.cli.main import main


@pytest.fixture(autouse=True)
def _log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = Log(Path("world/log"))
    log.job("acme", "starter", "06-05", 100)
    log.read()


def _usage(*arguments: str) -> int:
    return main(["usage", "--log", "world/log", *arguments])


def test_type_is_short_for_job_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert _usage("--by", "tenant,type", "-o", "csv", "-q") == 0
    short = capsys.readouterr().out
    assert _usage("--by", "tenant,job_type", "-o", "csv", "-q") == 0
    assert short == capsys.readouterr().out
    assert short.startswith("tenant,job_type,jobs,")


def test_columns_are_the_same_where_there_is_no_row(capsys: pytest.CaptureFixture[str]) -> None:
    heads = []
    for tenant in ("acme", "nobody"):
        assert _usage("--tenant", tenant, "-o", "csv", "-q") == 0
        heads.append(next(csv.reader(capsys.readouterr().out.splitlines())))
    assert heads[0] == heads[1]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--since", "2026-06-03", "--until", "2026-06-01"], "the span is empty: --until is the first moment after it"),
        (["--by", "type,job_type"], "--by takes each of"),
        (["--log", "world"], "world is the folder around a log; give --log world/log"),
    ],
)
def test_what_cannot_be_answered_is_one_line(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _usage(*arguments) == 2
    assert why in capsys.readouterr().err


def test_an_invoice_that_is_not_there_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["invoice", "verify", "nowhere.json", "--log", "world/log", "--no-chain"]) == 2
    assert capsys.readouterr().err == "error: nowhere.json cannot be read: No such file or directory\n"
