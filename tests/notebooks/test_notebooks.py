"""Every notebook runs from top to bottom on the small world, and shows what its committed file shows."""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

# What runs notebooks is installed apart from the platform.
pytest.importorskip("nbclient", reason="what runs notebooks is not installed; install it with: make notebooks")
pytest.importorskip("vl_convert", reason="what draws charts is not installed; install it with: make notebooks")

import nbformat
from nbclient.exceptions import CellExecutionError

from notebooks.build import cells_of, run, sources, stale_cells, text_of

ALLOWED = {"zjops", "polars", "duckdb", "altair"}
SUBJECTS = {"usage_and_invoices", "unit_economics", "gas_and_batching", "slos_and_error_budgets", "incident"}
OUTPUT_MOST = 6_000
"""Characters of a text output; more is a dump."""

pytestmark = pytest.mark.timeout(300)


def _kept(source: Path) -> Any:
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def _outputs(source: Path, kind: str) -> list[str]:
    cells = [cell for cell in _kept(source).cells if cell.cell_type == "code"]
    found = [output.get("data", {}) for cell in cells for output in cell.outputs]
    return [data[kind] for data in found if kind in data]


@pytest.mark.parametrize("source", sources(), ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom_and_its_committed_outputs_are_fresh(source: Path, small: Path) -> None:
    made = run(source, small)
    assert stale_cells(made, _kept(source)) == [], "make them anew with: python notebooks/build.py"


def test_a_figure_that_changed_makes_a_committed_output_stale() -> None:
    source = sources()[0]
    made, kept = _kept(source), _kept(source)
    assert stale_cells(made, kept) == []
    charts = [cell for cell in kept.cells if "image/svg+xml" in str(cell.get("outputs"))]
    data = charts[0].outputs[0].data
    data["image/svg+xml"] = re.sub(r'aria-label="([^"]*?)\d', r'aria-label="\g<1>~', data["image/svg+xml"], count=1)
    kept.cells[-1].source += "\n"
    assert stale_cells(made, kept) == [
        f"{charts[0].id}: the output differs",
        f"{kept.cells[-1].id}: the source differs",
    ]


def test_a_notebook_stops_at_a_log_that_lacks_events(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "log")
    files = sorted((tmp_path / "log" / "events").rglob("*.parquet"))
    assert len(files) > 2
    files[len(files) // 2].unlink()
    with pytest.raises(CellExecutionError, match="InvariantError"):
        run(sources()[0], tmp_path / "log")


def test_there_is_one_on_each_subject() -> None:
    assert {path.stem.partition("_")[2] for path in sources()} == SUBJECTS
    assert sorted(path.stem for path in sources()) == sorted(
        path.stem for path in sources()[0].parent.glob("[0-9]*.ipynb")
    )


@pytest.mark.parametrize("source", sources(), ids=lambda path: path.stem)
def test_it_imports_nothing_of_the_platform_and_little_else(source: Path) -> None:
    code = "\n".join(content for kind, _, content in cells_of(source.read_text()) if kind == "code")
    named = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            named |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named.add(str(node.module).partition(".")[0])
    assert named - set(sys.stdlib_module_names) <= ALLOWED
    assert "zjops" in named


@pytest.mark.parametrize("source", sources(), ids=lambda path: path.stem)
def test_its_parameters_stand_at_the_top_and_its_figures_are_asserted(source: Path) -> None:
    cells = cells_of(source.read_text())
    assert cells[0][0] == "markdown"
    assert cells[0][2].startswith("# ")
    assert [tags for _, tags, _ in cells[:2]] == [[], ["parameters"]]
    assert 'os.environ.get("ZJOPS_LOG")' in cells[1][2]
    code = [ast.parse(content) for kind, _, content in cells if kind == "code"]
    asserting = [cell for cell in code if any(isinstance(node, ast.Assert) for node in ast.walk(cell))]
    charts = [cell for cell in code if "draw(" in ast.unparse(cell) and "draw =" not in ast.unparse(cell)]
    assert len(asserting) >= 6
    assert len(charts) >= 3
    assert len(_outputs(source, "image/svg+xml")) == len(charts), "every chart can be seen without running"


@pytest.mark.parametrize("source", sources(), ids=lambda path: path.stem)
def test_its_file_is_the_same_on_every_machine_and_needs_nothing_from_elsewhere(source: Path) -> None:
    text = source.with_suffix(".ipynb").read_text()
    assert text == text_of(nbformat.reads(text, as_version=4))
    assert set(re.findall(r"https?://[^\s\"'\\<>)]+", text)) <= {
        "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink",
    }  # fmt: skip
    assert "<script" not in text
    assert "<img" not in text
    raw = json.loads(text)
    assert set(raw["metadata"]) == {"kernelspec", "language_info"}
    assert all(cell.get("execution_count") is None for cell in raw["cells"])
    assert all("execution" not in cell["metadata"] for cell in raw["cells"])


@pytest.mark.parametrize("source", sources(), ids=lambda path: path.stem)
def test_it_shows_no_raw_dump(source: Path) -> None:
    shown = _outputs(source, "text/markdown")
    assert len(shown) >= 6
    assert max(map(len, shown)) < OUTPUT_MOST
    assert _outputs(source, "text/html") == [], "no frame is shown as it is"


def test_charts_can_be_written_as_png(small: Path, tmp_path: Path) -> None:
    import altair as alt
    import polars as pl

    from zjops.analytics.notebook import drawing

    draw = drawing(tmp_path / "pictures")
    chart = draw(alt.Chart(pl.DataFrame({"a": ["x", "y"], "b": [1, 2]})).mark_bar().encode(x="a:N", y="b:Q"), "two")
    assert (tmp_path / "pictures" / "two.png").read_bytes().startswith(b"\x89PNG")
    svg = chart._repr_mimebundle_()
    assert "b: 2" in str(svg)
