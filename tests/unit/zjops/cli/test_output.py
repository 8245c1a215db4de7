"""What is printed: nothing that a terminal obeys, one header for a table that has no rows, what people see of rows."""

from __future__ import annotations

import json

import pytest

from zjops.cli.exits import say_error
from zjops.cli.output import Format, Out
from zjops.cli.text import plain, shortened
from zjops.domain.errors import FieldError, Problem, UsageError

EVIL = "job_\x1b[31m\x9b2J\u202e\n"


@pytest.mark.parametrize("form", [Format.TABLE, Format.JSON, Format.JSONL, Format.CSV, Format.MD])
def test_what_a_terminal_would_obey_is_spelled_out(form: Format, capsys: pytest.CaptureFixture[str]) -> None:
    out = Out(form)
    out.rows("s/1", [{"jobId": EVIL, "status": "x"}])
    out.record("s/1", {"jobId": EVIL})
    out.text(EVIL)
    out.say(EVIL)
    say_error(UsageError(EVIL))
    printed = "".join(capsys.readouterr())
    assert not set("\x1b\x9b\u202e") & set(printed)
    assert "[31m" in printed


def test_json_means_the_same_after_that(capsys: pytest.CaptureFixture[str]) -> None:
    Out(Format.JSONL).rows("s/1", [{"jobId": EVIL, "tab": "a\tb"}])
    assert json.loads(capsys.readouterr().out) == {"jobId": EVIL, "tab": "a\tb"}


def test_lines_and_letters_of_other_scripts_stay() -> None:
    assert plain("Grüße 漢字 🙂\n\tx") == "Grüße 漢字 🙂\n\tx"


def test_long_hashes_are_cut_for_people() -> None:
    word = "0x" + "0123456789abcdef" * 4
    assert shortened(f"root {word}, not 0x{'11' * 20}") == f"root 0x01234567…abcdef, not 0x{'11' * 20}"


@pytest.mark.parametrize(
    ("form", "columns", "expected"),
    [
        (Format.CSV, ["a", "b"], "a,b\n"), (Format.CSV, None, ""), (Format.MD, ["a", "b"], "| a | b |\n|---|---|\n"),
        (Format.MD, None, ""), (Format.JSONL, ["a"], ""), (Format.TABLE, ["a"], ""),
    ],
)  # fmt: skip
def test_a_table_without_rows_has_its_header_or_nothing(
    form: Format, columns: list[str] | None, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Out(form).rows("s/1", [], columns)
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (Format.TABLE, "no.\n1\n"), (Format.CSV, "id,hash\n1,0x1\n"),
        (Format.JSON, '{\n  "schema": "s/1",\n  "rows": [\n    {\n      "id": 1,\n      "hash": "0x1"\n    }\n  ],'
                      '\n  "next": 7\n}\n'),
    ],
)  # fmt: skip
def test_people_see_fewer_cells_and_programs_all(
    form: Format, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Out(form).rows("s/1", [{"id": 1, "hash": "0x1"}], people=[{"no.": 1}], next=7)
    assert capsys.readouterr().out == expected


def test_a_field_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    say_error(Problem("invalid-parameter", "state: is odd", errors=[FieldError("#/state", "is odd")]))
    say_error(Problem("validation-failed", "1 field(s) are wrong.", errors=[FieldError("#/priority", "is odd")]))
    assert capsys.readouterr().err.splitlines() == [
        "error: 400 invalid-parameter: state: is odd", "error: 422 validation-failed: 1 field(s) are wrong.",
        "  #/priority: is odd",
    ]  # fmt: skip
