"""What every page of zjops top --web runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from zjops.cli.top import _only_reads, top
from zjops.cli.topweb import terminal_argv
from zjops.web.terminal import environment

BEGIN = [sys.executable, "-m", "zjops", "top", "--read-only"]


def test_it_is_the_same_terminal_without_actions() -> None:
    argv = terminal_argv(None, None, 1.0, "light", 12.0, 500, Path("here"), "staging")
    assert argv[:5] == BEGIN
    assert dict(zip(argv[5::2], argv[6::2], strict=True)) == {
        "--theme": "light", "--hours": "12.0", "--megabytes": "500", "--home": "here", "--context": "staging",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "said"),
    [(environment({}), "a browser only reads; acts are in a terminal"),
     ({"TERM_PROGRAM": "WezTerm"}, "this terminal only reads (--read-only)"),
     ({}, "this terminal only reads (--read-only)")],
    ids=["a page", "a terminal with a name", "a terminal"],
)  # fmt: skip
def test_a_page_does_not_name_an_option_that_nobody_gave(environ: dict[str, str], said: str) -> None:
    assert _only_reads(environ) == said


def test_a_moment_is_the_same_one_for_every_page() -> None:
    argv = terminal_argv(Path("a.zjrec"), 1_795_680_000_000, 10.0, None, 24.0, 2_000, None, None)
    assert argv[:11] == [*BEGIN, "--replay", "a.zjrec", "--speed", "10.0", "--at", "2026-11-26T08:00:00.000Z"]


def test_every_option_of_it_is_one_of_top() -> None:
    app = typer.Typer()
    app.command()(top)
    given = terminal_argv(Path("a"), 0, 2.0, "dark", 1.0, 1, Path("b"), "c")[4:]
    told = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    assert [name for name in given if name.startswith("--") and name not in told] == []
