"""Runs as they lie in their folders, compared from the command line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.unit.zjops.load.made import scenario, tick
from zjops.cli.main import main
from zjops.domain.errors import UsageError
from zjops.load.compare import doubts
from zjops.load.compared import side
from zjops.load.records import SCHEMA, Head, Tail
from zjops.load.runs import DETAIL, RECORDS, SCENARIO, write_json


def write(home: Path, name: str, began_ms: int, ms: float, *, trusted: bool = True) -> None:
    """A finished run whose requests all took about so long."""
    folder = home / "runs" / name
    folder.mkdir(parents=True)
    write_json(folder / SCENARIO, scenario())
    write_json(folder / DETAIL, {"began_ms": began_ms, "flaws": [] if trusted else [{"text": "lag"}]})
    ticks = [tick(second, phase=0 if second < 2 else 1, times_ms=[ms + n / 100 for n in range(50)])
             for second in range(12)]  # fmt: skip
    lines = [
        Head(schema=SCHEMA, began_ms=began_ms, workers=1, tenants=[]),
        *ticks,
        Tail(worker=0, ran_s=12, whole=True),
    ]
    (folder / RECORDS).write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Three runs before a change, and after three changes: of nothing, for the worse, and not to be trusted."""
    for number in range(3):
        write(tmp_path, f"before-{number}", 4 * number, 10)
        write(tmp_path, f"same-{number}", 4 * number + 1, 10)
        write(tmp_path, f"worse-{number}", 4 * number + 2, 15)
        write(tmp_path, f"lagging-{number}", 4 * number + 3, 10, trusted=False)
    return tmp_path


def test_runs_are_named_by_pattern_by_list_or_by_folder(home: Path) -> None:
    names = ["before-0", "before-1", "before-2"]
    assert [run.name for run in side("before-*", home)] == names
    assert [run.name for run in side("before-0,before-1, before-2", home)] == names
    assert [run.name for run in side(str(home / "runs" / "before-1"), home)] == ["before-1"]
    assert [run.name for run in side("before-0,before-*", home)] == names
    with pytest.raises(UsageError, match="there is no finished run after"):
        side("after-*", home)
    # No pattern, or from Python 3.13 on one that nothing matches.
    with pytest.raises(UsageError, match=r"\*\*before( is no pattern|, neither here)"):
        side("**before", home)


@pytest.mark.parametrize(
    ("second", "code", "verdict"),
    [
        ("same-*", 0, "same"), ("worse-*", 1, "regression"), ("lagging-*", 5, "cannot tell"),
        ("same-0", 5, "cannot tell"),
    ],
)  # fmt: skip
def test_the_verdict_is_the_exit_code(
    home: Path, capsys: pytest.CaptureFixture[str], second: str, code: int, verdict: str
) -> None:
    junit = home / "junit.xml"
    given = ["load", "compare", "before-*", second, "--home", str(home), "--json", "--junit", str(junit)]
    assert main(given) == code
    told = msgspec.json.decode(capsys.readouterr().out)
    assert (told["schema"], told["verdict"]) == ("zjops.load.compare/1", verdict)
    assert [row["percentile"] for row in told["rows"]] == ["p50", "p95", "p99"]
    assert bool(told["doubts"]) == (verdict == "cannot tell")
    assert ("<failure" in junit.read_text()) == (verdict == "regression")


def test_markdown_for_a_pull_request(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", "compare", "before-*", "worse-*", "--home", str(home), "-o", "md"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("| percentile | first_ms | second_ms | ratio | low | high | verdict |\n|---|")
    assert "| p99 | " in out
    assert out.endswith(" |\n\n**Verdict: regression**\n")
    assert "verdict: regression" in err
    assert main(["load", "compare", "before-*", "same-0", "--home", str(home), "-o", "md", "-q"]) == 5
    out, err = capsys.readouterr()
    assert "\n\n**Verdict: cannot tell**\n\n- doubtful: the second side has 1 runs; at least 3 are needed\n" in out
    assert err == ""


def test_a_damaged_run_is_named(home: Path) -> None:
    (home / "runs" / "before-0" / DETAIL).write_text("{")
    with pytest.raises(UsageError, match=r"before-0/detail\.json"):
        side("before-0", home)


@pytest.mark.parametrize("how", [{"interrupted": True}, {"gave_up": "p(99)<200"}], ids=["by hand", "without hope"])
def test_a_run_that_was_ended_early_is_compared_with_nothing(home: Path, how: dict[str, object]) -> None:
    write_json(home / "runs" / "same-1" / DETAIL, {"began_ms": 5, "flaws": []} | how)
    assert [run.whole for run in side("same-*", home)] == [True, False, True]
    assert "same-1 was ended early" in doubts(side("before-*", home), side("same-*", home))
