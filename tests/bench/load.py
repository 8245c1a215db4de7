"""`make bench`, last part: the scenarios whose bars stand in the README, on a platform of their own, each a few times;
once each those that take long, which are the design's four stages and the search for the knee; a soak by `--only soak`.

How quick a machine is tells `tests.bench.accept_path`: its bare route took 7,800 requests a processor second where the
bars were set.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from zjops.client.platform import Platform

SCENARIOS = ("burst", "sustained", "throughput", "overload")
LONG = ("design", "knee")
"""They run once."""
ASKED_FOR = ("soak",)
"""Hours: it runs only where it is asked for."""
OPTIONS = ("--set", "prober=false")
FIGURES = ("accepted", "shed", "p50_ms", "p95_ms", "p99_ms", "lag_p99_ms", "final_within_s", "trusted", "verdict",
           "knee_rps", "limited_by")  # fmt: skip


def measured(scenario: str, home: Path, seed: int) -> dict[str, object]:
    """One run of a scenario, with its progress on this terminal."""
    argv = [sys.executable, "-m", "zjops", "load", "run", scenario, "--seed", str(seed), "--home", str(home), "--json"]
    # By its folder, whatever context is in use.
    own = {name: value for name, value in os.environ.items() if name not in ("ZJOPS_CONTEXT", "ZJOPS_HOME")}
    done = subprocess.run(argv, env=own, stdout=subprocess.PIPE, check=False)
    if not done.stdout:
        return {"verdict": f"exit {done.returncode}"}
    told: dict[str, object] = msgspec.json.decode(done.stdout)
    return {name: told[name] for name in FIGURES if name in told} | {"exit": done.returncode}


def on_its_own(scenario: str, number: int) -> dict[str, object]:
    """One run on a platform that is new: what the last one left is no part of the next."""
    with tempfile.TemporaryDirectory(prefix="zjops-bench-") as folder:
        platform = Platform(Path(folder) / "home", OPTIONS)
        platform.start()
        try:
            return measured(scenario, Path(folder) / "home", number)
        finally:
            platform.stop()


def main() -> int:
    """Run them; 1 when one did not pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help=f"how often each scenario runs; {', '.join(LONG)} once")
    parser.add_argument("--only", choices=(*SCENARIOS, *LONG, *ASKED_FOR), help="one scenario")
    asked = parser.parse_args()
    passed = True
    for scenario in [asked.only] if asked.only else [*SCENARIOS, *LONG]:
        times = asked.times if scenario in SCENARIOS else 1
        for number in range(1, times + 1):
            told = on_its_own(scenario, number)
            print(f"{scenario} {number}: " + ", ".join(f"{name} {value}" for name, value in told.items()), flush=True)
            passed = passed and told.get("exit") == 0
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
