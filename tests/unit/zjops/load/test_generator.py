"""Starting the generator: where it is not installed, one line says what to do."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.zjops.load.made import run, steady
from zjops.domain.errors import UnreachableError, UntrustedError, UsageError
from zjops.load.generator import Generator, require_installed
from zjops.load.run import Ended, _unfinished
from zjops.load.runs import LOG


def test_the_command_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "locust" else found(name))
    with pytest.raises(UsageError, match="the load generator is not installed; install it with: make load"):
        require_installed()


def test_the_locustfile_is_found_without_being_imported() -> None:
    assert require_installed().name == "locustfile.py"
    assert "loadtests" not in sys.modules or "loadtests.locustfile" not in sys.modules


def test_nothing_of_locust_is_imported_by_the_toolkit() -> None:
    code = (
        "import sys; import zjops.cli.load, zjops.load.run, zjops.load.report, zjops.load.compared; "
        "sys.exit(any(name.split('.')[0] in ('locust', 'gevent', 'hdrh', 'loadtests') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("code", "log", "error", "why"),
    [
        pytest.param(
            3, "noise\nerror: the platform is away\n", UnreachableError, "the platform is away", id="in its words"
        ),
        pytest.param(2, "error: context x has no operator\n", UsageError, "has no operator", id="wrong usage"),
        pytest.param(1, "Traceback\n", UntrustedError, "the generator ended with 1; see", id="a crash"),
    ],
)
def test_how_the_generator_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, log: str, error: type[Exception], why: str
) -> None:
    generator = Generator(tmp_path, seed=1, workers=1, prefix="load-x", context=None, home=None)
    (tmp_path / LOG).write_text(log)

    class Ended:
        returncode = code

    ended: Any = Ended()
    monkeypatch.setattr(generator, "_process", ended)
    with pytest.raises(error, match=why):
        generator.check()


@pytest.mark.parametrize(
    ("whole", "interrupted", "gave_up", "said"),
    [
        (True, False, None, []), (False, False, None, ["not every process of the generator"]),
        (False, True, None, ["it was interrupted"]), (True, True, None, ["it was interrupted"]),
        (False, False, "p(99)<1", []),
    ],
    ids=["to its end", "a process died", "interrupted", "interrupted while its jobs were awaited", "without hope"],
)  # fmt: skip
def test_a_schedule_that_was_not_gone_through_is_doubted(
    whole: bool, interrupted: bool, gave_up: str | None, said: list[str]
) -> None:
    flaws = _unfinished(Ended(run(*steady(), whole=whole), interrupted, gave_up))
    assert [flaw.kind for flaw in flaws] == ["load"] * len(said)
    assert all(flaw.text.startswith(text) for flaw, text in zip(flaws, said, strict=True))
