"""`make fuzz`: Schemathesis with all of its checks against the interface, from several seeds, until enough cases ran.

It runs as its own program, as anyone would run it against a deployment; only the target is ours.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.target import Target, running_target

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")
SKIPPED = ("rotateSigningKey", "exportPlatform")
"""Operations that a fuzzer may call, but not thousands of times: each adds a key, or reads the whole store."""


def run(target: Target, seed: int, examples: int, folder: Path) -> tuple[int, int, str]:
    """One run; returns its exit status, how many cases it sent, and what it said."""
    report = folder / f"{seed}.ndjson"
    argv = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG),
        "run", f"{target.url}/openapi.json",
        "--header", f"Authorization: Bearer {target.token}", "--checks", "all", "--mode", "all", "--seed", str(seed),
        "--max-examples", str(examples), "--phases", "examples,coverage,fuzzing,stateful", "--no-color",
        "--continue-on-failure",
        "--request-timeout", "10", "--report", "ndjson", "--report-ndjson-path", str(report),
        "--generation-database", "none", "--exclude-operation-id", "streamJob",
    ]  # fmt: skip
    for name in SKIPPED:
        argv += ["--exclude-operation-id", name]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, capture_output=True, text=True, cwd=folder, env=os.environ | hooks)
    return done.returncode, count_cases(report), done.stdout + done.stderr


def count_cases(report: Path) -> int:
    """How many requests a report tells of."""
    if not report.exists():
        return 0
    found = 0
    with report.open() as lines:
        for line in lines:
            event = json.loads(line)
            scenario = event.get("ScenarioFinished")
            if scenario:
                found += len(scenario.get("recorder", {}).get("interactions", {}))
    return found


def main() -> int:
    """Run all seeds; the last line says how many cases there were and how many runs found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--examples", type=int, default=140)
    parser.add_argument("--least", type=int, default=20_000, help="Cases that must have run, over all seeds.")
    asked = parser.parse_args()
    total, failed = 0, 0
    with tempfile.TemporaryDirectory() as name:
        for seed in asked.seeds:
            with running_target() as target:
                status, cases, said = run(target, seed, asked.examples, Path(name))
                total += cases
                bad = status != 0 or bool(target.errors)
                failed += bad
                print(f"seed {seed}: {cases} cases, {'findings' if bad else 'nothing found'}", flush=True)
                if bad:
                    print(said, "\n".join(target.errors), sep="\n", flush=True)
    print(f"{total} cases from {len(asked.seeds)} seeds, {failed} runs with findings")
    if total < asked.least:
        print(f"fewer than the {asked.least} cases that were asked for")
    return 1 if failed or total < asked.least else 0


if __name__ == "__main__":
    sys.exit(main())
