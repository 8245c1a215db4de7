"""zjops notebook without JupyterLab: what it lists, chooses, copies and refuses."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from zjops.cli import notebook as command
from zjops.cli.main import main
from zjops.cli.output import Out

NAMES = [
    "01_usage_and_invoices",
    "02_unit_economics",
    "03_gas_and_batching",
    "04_slos_and_error_budgets",
    "05_incident",
]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No context of the machine may leak in."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("ZJOPS_CONTEXT", raising=False)
    monkeypatch.setenv("ZJOPS_HOME", str(tmp_path / "home"))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """JupyterLab is there, and what would be started is written down in its place."""
    seen: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(command, "_run", lambda argv, folder, environ: seen.append((argv, environ)))
    return seen


def test_the_list_says_what_each_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notebook", "--list", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "zjops.notebooks/1"
    assert [row["name"] for row in told["rows"]] == NAMES
    assert all(row["title"] and row["about"].endswith(".") for row in told["rows"])
    assert all("#" not in row["title"] and "\n" not in row["about"] for row in told["rows"])


@pytest.mark.parametrize(
    ("asked", "found"),
    [("03", NAMES[2]), ("gas-and-batching", NAMES[2]), ("Incident", NAMES[4]), ("02_unit_economics.ipynb", NAMES[1])],
)
def test_a_part_of_a_name_is_enough(asked: str, found: str) -> None:
    assert [path.stem for path in command.choose(asked, command.shipped())] == [found]


@pytest.mark.parametrize(("asked", "why"), [("profit", "is no notebook"), ("and", "may be 01_usage_and_invoices, 03")])
def test_a_name_of_none_or_of_several_is_refused(asked: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notebook", asked]) == 2
    told = capsys.readouterr().err
    assert why in told
    assert "zjops notebook --list" in told


def test_without_jupyterlab_it_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["notebook", "--log", str(tmp_path)]) == 2
    assert "make notebooks" in capsys.readouterr().err
    assert not (tmp_path / "home").exists(), "nothing was copied"


def test_without_a_log_it_says_so_and_copies_nothing(
    tmp_path: Path, started: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["notebook", "--log", str(tmp_path / "nowhere")]) == 3
    assert "zjops notebook --small" in capsys.readouterr().err
    assert main(["notebook"]) == 3, "no platform has run in this home"
    assert started == []
    assert not (tmp_path / "home" / "notebooks").exists()


def test_it_opens_a_copy_with_the_log_as_the_parameter(tmp_path: Path, started: list[Any]) -> None:
    (tmp_path / "log").mkdir()
    before = command.shipped()[0].read_bytes()
    assert main(["notebook", "usage", "--log", str(tmp_path / "log"), "--no-browser"]) == 0
    (argv, environ) = started[0]
    copy = tmp_path / "home" / "notebooks" / f"{NAMES[0]}.ipynb"
    assert environ["ZJOPS_LOG"] == str(tmp_path / "log")
    assert argv[-1] == str(copy) or str(copy) in argv
    assert "--ServerApp.ip=127.0.0.1" in argv
    assert "--no-browser" in argv
    copy.write_text("changed")
    assert command.shipped()[0].read_bytes() == before, "the shipped one is another file"


def test_a_copy_is_kept_until_a_fresh_one_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen, folder = command.choose("gas", command.shipped()), tmp_path / "copies"
    (copy,) = command.copy_to(folder, chosen, False, Out())
    assert capsys.readouterr().err == ""
    copy.write_text("my own work")
    command.copy_to(folder, chosen, False, Out())
    assert copy.read_text() == "my own work"
    assert "--fresh" in capsys.readouterr().err
    command.copy_to(folder, chosen, True, Out())
    assert copy.read_bytes() == chosen[0].read_bytes()
    assert copy.with_suffix(".ipynb.bak").read_text() == "my own work"


def test_outside_of_a_checkout_it_says_where_the_notebooks_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command.zjops, "__file__", str(tmp_path / "site-packages" / "zjops" / "__init__.py"))
    assert main(["notebook", "--list"]) == 2
    assert "checkout" in capsys.readouterr().err
