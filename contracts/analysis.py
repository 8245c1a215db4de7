"""Runs Slither over the platform's contract: what it finds is answered in the source, at the line, or fails the run.

    python -m contracts.analysis

Slither lives in an environment of its own (`make slither` makes it), because it wants other versions of web3 than the
platform. It gets the same standard JSON as the build, with its sources beside it: given a `.sol` file and a compiler
behind a wrapper it says "0 contracts analyzed" and passes, so a run that saw no contract fails.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from contracts.build import BUILD, NoCompiler, asked, compiler

CONTRACT = "JobRegistry"
SLITHER = BUILD / "slither/bin/slither"
INPUT = "input.json"


def lay_out(folder: Path) -> None:
    """Write the compiler's input, and each source where the input names it: Slither looks for both."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wanted = asked(CONTRACT)
    for name, source in wanted["sources"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source["content"])
    # Slither asks for the outputs that it needs, unless the input says which.
    del wanted["settings"]["outputSelection"]
    (folder / INPUT).write_text(json.dumps(wanted))


def analyzed(said: str) -> int:
    """How many contracts Slither says that it saw."""
    found = re.search(r"analyzed \((\d+) contracts", said)
    return int(found[1]) if found else 0


def analyse(program: Path = SLITHER, folder: Path = BUILD / "analysis") -> tuple[int, str]:
    """Slither's exit status, 1 also when it saw no contract, and what it said. Raises `NoCompiler`."""
    solc = compiler()
    lay_out(folder)
    argv = [
        str(program), INPUT, "--compile-force-framework", "solc-json", "--solc", str(solc),
        # What OpenZeppelin's own files hold is OpenZeppelin's to answer.
        "--filter-paths", "@openzeppelin", "--fail-pedantic",
    ]  # fmt: skip
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    return done.returncode or int(analyzed(said) == 0), said


def main() -> int:
    """Run the command line; returns the exit status."""
    if not SLITHER.exists():
        print("error: Slither is missing; run: make slither", file=sys.stderr)
        return 2
    try:
        status, said = analyse()
    except NoCompiler as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    print(said.strip())
    if not analyzed(said):
        print("error: Slither saw no contract, so that it found nothing means nothing", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
