"""What is printed: nothing that a terminal obeys, one header for a table that has no rows, what people see of rows."""

from __future__ import annotations

import io
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


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _shown(monkeypatch: pytest.MonkeyPatch, *rows: dict[str, object]) -> list[str]:
    """The lines of a table on a terminal of forty columns that knows no colours."""
    made = _Terminal()
    for name, value in (("COLUMNS", "40"), ("LINES", "20"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", made)
    Out().rows("s/1", rows)
    return [line.rstrip() for line in made.getvalue().splitlines()]


def test_a_table_too_wide_for_the_terminal_goes_on_beneath_with_whose_row_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = {"tenant": "acme", "units_reserved": "154,155", "fee": "$5,000.00", "event_id": f"0x{'a' * 28}"}
    shown = _shown(monkeypatch, row, row | {"tenant": "beta", "fee": "$29.00"})
    assert [line for line in shown if "─" not in line] == [
        "        units_", "tenant  reserved  fee", "acme    154,155   $5,000.00", "beta    154,155   $29.00", "",
        "tenant  event_id", f"acme    0x{'a' * 28}", f"beta    0x{'a' * 28}",
    ]  # fmt: skip


def test_ids_too_long_for_the_terminal_are_folded_and_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = "".join(_shown(monkeypatch, {"event_id": "A" * 34, "job_id": "B" * 50}))
    assert (shown.count("A"), shown.count("B")) == (34, 50)


def test_sentences_are_folded_where_the_terminal_is_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "the usage of 210 jobs in 20 batches is what the contract was told"
    shown = _shown(monkeypatch, {"name": "chain", "ok": True, "text": text})
    assert len(shown) > 3
    assert max(map(len, shown)) <= 40
    assert " ".join(" ".join(line[11:].strip() for line in shown[2:]).split()) == text


def test_a_field_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    say_error(Problem("invalid-parameter", "state: is odd", errors=[FieldError("#/state", "is odd")]))
    say_error(Problem("validation-failed", "1 field(s) are wrong.", errors=[FieldError("#/priority", "is odd")]))
    assert capsys.readouterr().err.splitlines() == [
        "error: 400 invalid-parameter: state: is odd", "error: 422 validation-failed: 1 field(s) are wrong.",
        "  #/priority: is odd",
    ]  # fmt: skip
