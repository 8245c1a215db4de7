"""`zjops invoice diff`: files and the log, its formats, and what it refuses."""

import json
from pathlib import Path

import pytest

from tests.unit.zjops.analytics.money_log import cheaper, shop
from zjops.cli.main import main

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def _shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZJOPS_HOME", str(tmp_path / "home"))
    shop(tmp_path / "log").save()
    (tmp_path / "new.toml").write_text(cheaper((ROOT / "zjops/domain/prices.toml").read_text()))


def _file(name: str, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["invoice", "bob", "--month", "2026-06", "--log", "log", "-o", "json", *arguments]) == 0
    Path(name).write_text(capsys.readouterr().out)
    return name


def test_files_and_months_of_the_log_can_be_compared(capsys: pytest.CaptureFixture[str]) -> None:
    old, new = _file("old.json", capsys), _file("new.json", capsys, "--prices", "new.toml")
    assert main(["invoice", "diff", old, new, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "zjops.invoice-diff/1"
    assert (told["volume_cents"], told["mix_cents"], told["price_cents"], told["change_cents"]) == (0, 0, -4_00, -4_00)
    assert (told["before"]["price_book"], told["after"]["price_book"]) == ("2026-01", "2026-07")
    assert main(["invoice", "diff", "bob:2026-05", old, "--log", "log"]) == 0
    assert (
        capsys.readouterr().err
        == "bob 2026-05 $29.00 to bob 2026-06 $29.75: $0.75 = volume $0.75 + mix $0.00 + price $0.00\n"
    )


def test_the_readme_shows_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["invoice", "diff", "eve:2026-05", "eve:2026-06", "--log", "log"]) == 0
    captured, text = capsys.readouterr(), (ROOT / "README.md").read_text()
    assert captured.out in text
    assert captured.err in text


def test_the_verb_and_the_command_each_have_their_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["invoice", "diff", "--help"]) == 0
    assert "zjops invoice diff demo-pro:2026-10" in capsys.readouterr().out
    assert main(["invoice", "--help"]) == 0
    assert "zjops invoice diff" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "code", "why"),
    [
        ("nowhere.json", 2, "nowhere.json is neither a file nor TENANT:YYYY-MM"),
        ("new.toml", 2, "new.toml is no invoice"),
        ("bob:2026-99", 2, "a month is written YYYY-MM"), ("nobody:2026-06", 3, "nothing of tenant nobody"),
        ("month.json", 2, "month.json: a month is written YYYY-MM"), ("sum.json", 2, "do not add up to its total"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_one_line(
    before: str, code: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good = json.loads(Path(_file("good.json", capsys)).read_text())
    Path("month.json").write_text(json.dumps(good | {"month": "soon"}))
    Path("sum.json").write_text(json.dumps(good | {"total_cents": 1}))
    assert main(["invoice", "diff", before, "good.json", "--log", "log"]) == code
    text = capsys.readouterr().err
    assert why in text
    assert len(text.strip().splitlines()) == 1
