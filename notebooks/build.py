"""Makes the notebooks of their sources: `python notebooks/build.py` plays the small world and runs each on its log.

A source is a `.py` file of cells, which people can review and linters read: `# %%` begins code, `# %% [markdown]` text.
The `.ipynb` beside it is what such a run gave, without anything that differs from one run to the next, so that the same
log gives the same bytes. `--check` writes nothing and names what is stale.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import zmq
from nbclient import NotebookClient
from traitlets.config import Config

from zjops.analytics.notebook import play_small_world

HERE = Path(__file__).parent
CELL = re.compile(r"^# %%(?P<markdown> \[markdown\])?(?: tags=\[(?P<tags>[^\]]*)\])?$")
TIMEOUT_S = 120


def sources() -> list[Path]:
    """The notebooks' sources, in the order in which they are read."""
    return sorted(path for path in HERE.glob("[0-9]*.py"))


def cells_of(text: str) -> list[tuple[str, list[str], str]]:
    """The cells of a source: kind (`code` or `markdown`), tags, content."""
    found: list[tuple[str, list[str], list[str]]] = []
    for line in text.splitlines():
        begun = CELL.match(line)
        if begun:
            tags = re.findall(r'"([^"]+)"', begun["tags"] or "")
            found.append(("markdown" if begun["markdown"] else "code", tags, []))
        elif found:
            found[-1][2].append(re.sub(r"^# ?", "", line) if found[-1][0] == "markdown" else line)
    return [(kind, tags, "\n".join(lines).strip("\n")) for kind, tags, lines in found]


def unrun(source: Path) -> Any:
    """A notebook of a source, without outputs."""
    node = nbformat.v4.new_notebook()
    node.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    })  # fmt: skip
    for number, (kind, tags, content) in enumerate(cells_of(source.read_text()), 1):
        cell = nbformat.v4.new_code_cell(content) if kind == "code" else nbformat.v4.new_markdown_cell(content)
        cell.id = f"cell-{number:02d}"
        if tags:
            cell.metadata["tags"] = tags
        node.cells.append(cell)
    return node


def run(source: Path, log: Path) -> Any:
    """The notebook of a source, run from top to bottom on a log, and cleaned. Raises what a cell raises."""
    node = unrun(source)
    with tempfile.TemporaryDirectory(prefix="zjops-notebook-") as scratch:
        apart = {"IPYTHONDIR": scratch, "ZJOPS_LOG": str(log.absolute())}
        told = Config({"KernelManager": {"transport_encryption": "auto" if zmq.has("curve") else "disabled"}})
        client = NotebookClient(node, timeout=TIMEOUT_S, config=told, resources={"metadata": {"path": scratch}})
        client.execute(env=os.environ | apart)
    return clean(node)


def clean(node: Any) -> Any:
    """Take away what differs between runs. Raises `ValueError` for a notebook that says something on stderr."""
    for cell in node.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                raise ValueError(f"a notebook is silent on stderr, not: {output.text}")
            if "execution_count" in output:
                output.execution_count = None
    return node


def stale_cells(made: Any, kept: Any) -> list[str]:
    """The cells in which a kept notebook differs from what a run made: in what they say, or what they show."""
    found = [
        f"{mine.id}: {what} differs"
        for mine, theirs in zip(made.cells, kept.cells, strict=False)
        for what, look in (("the source", _source), ("the output", _shown))
        if look(mine) != look(theirs)
    ]
    count = abs(len(made.cells) - len(kept.cells))
    return found + ([f"{count} cells too few or too many"] if count else [])


def _source(cell: Any) -> Any:
    return cell.cell_type, cell.source, cell.metadata.get("tags")


def _shown(cell: Any) -> Any:
    data = [
        {kind: _content(kind, held) for kind, held in one.get("data", {}).items()} for one in cell.get("outputs", [])
    ]
    return [(one.output_type, one.get("text"), held) for one, held in zip(cell.get("outputs", []), data, strict=True)]


def _content(kind: str, value: str) -> Any:
    """Of a picture its words and its shapes. Where they are put follows from the widths of a machine's fonts."""
    return (
        re.findall(r'>([^<]+)</text>| aria-label="([^"]*)"| d="([^"]*)"', value) if kind == "image/svg+xml" else value
    )


def text_of(node: Any) -> str:
    """A notebook as its file holds it."""
    nbformat.validate(node)
    return str(nbformat.writes(node, version=4)) + "\n"


@contextlib.contextmanager
def _log(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="zjops-world-") as folder:
        yield play_small_world(Path(folder) / "world")


def main(argv: Sequence[str] | None = None) -> int:
    """Make all notebooks, or those that are named. Returns 1 when one was stale and `--check` was given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="some of the notebooks only, such as 03")
    parser.add_argument("--log", type=Path, help="a log to run on, in place of the small world's")
    parser.add_argument("--check", action="store_true", help="write nothing, name what is stale")
    given = parser.parse_args(argv)
    chosen = [path for path in sources() if not given.names or any(name in path.name for name in given.names)]
    changed = []
    with _log(given.log) as log:
        for source in chosen:
            target, made = source.with_suffix(".ipynb"), run(source, log)
            text = text_of(made)
            if given.check:
                kept = nbformat.read(target, as_version=4) if target.exists() else nbformat.v4.new_notebook()
                changed += [f"{target.name}, {cell}" for cell in stale_cells(made, kept)]
            elif not target.exists() or target.read_text() != text:
                target.write_text(text)
                changed.append(target.name)
    print(f"{'stale' if given.check else 'written'}: {'; '.join(changed) or 'none'}")
    return 1 if changed and given.check else 0


if __name__ == "__main__":
    sys.exit(main())
