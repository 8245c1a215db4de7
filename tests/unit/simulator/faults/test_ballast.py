"""Ballast: up to a share of the process's own limit and no further, told while it is held, let go with its fault."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulator.faults.ballast import MB, PIECE, Ballast, Limit, Told, own_limit, read_told, teller, used_bytes
from simulator.faults.switchboard import ActiveFault, Switchboard
from zjops.domain.clock import ManualClock

ALONE = str(os.getpid())


def _board(limit_mb: float, lease_ms: int = 1_000) -> tuple[ManualClock, Switchboard]:
    clock = ManualClock(0)
    faults = Switchboard(clock)
    faults.replace([ActiveFault("a", "memory.ballast", {"share": 0.8, "limit_mb": limit_mb}, lease_ms)])
    return clock, faults


def test_ballast_fills_step_by_step_to_its_share_and_lets_go() -> None:
    limit_mb = (used_bytes() + 5 * PIECE) / MB / 0.8
    (clock, faults), ballast = _board(limit_mb), Ballast(limit=lambda: None)
    ballast.act(faults)
    assert ballast.held == PIECE
    for _ in range(20):
        ballast.act(faults)
    assert ballast.held > PIECE
    # Not by how many pieces: what the process held before may be taken out of memory meanwhile, or come back.
    assert used_bytes() <= 0.8 * limit_mb * MB + PIECE
    clock.advance(1)
    ballast.act(faults)
    assert ballast.held == 0


def test_a_limit_of_the_kernel_s_counts_and_the_parameter_does_not() -> None:
    held = list[int]()
    ballast = Ballast(limit=lambda: Limit(10 * PIECE, 4 * PIECE + sum(held)))
    _, faults = _board(limit_mb=1.0)
    for _ in range(9):
        held = [ballast.held]
        ballast.act(faults)
    assert ballast.held == 4 * PIECE


def test_what_is_held_is_told_when_it_changes_and_no_more_once_it_is_let_go(tmp_path: Path) -> None:
    said = list[tuple[Any, ...]]()
    (tmp_path / "faults").mkdir()
    tell = teller(tmp_path, "api", lambda level, text, **what: said.append((level, text, what["held_mb"])))
    told = list[Told | None]()
    ballast = Ballast(lambda one: (told.append(one), tell(one))[0], lambda: Limit(10 * PIECE, 6 * PIECE + ballast.held))
    clock, faults = _board(limit_mb=1.0)
    for _ in range(9):
        ballast.act(faults)
    assert read_told(tmp_path, "api") == Told("a", 16.0, 64.0, 80.0, full=True)
    assert [(one.held_mb, one.full) for one in told if one] == [(8.0, False), (16.0, False), (16.0, True)]
    assert said == [("warning", "ballast fills the process", 16.0)]
    clock.advance(1)
    ballast.act(faults)
    assert read_told(tmp_path, "api") is None


def test_a_process_that_is_so_large_already_says_that_it_holds_nothing(tmp_path: Path) -> None:
    said = list[str]()
    (tmp_path / "faults").mkdir()
    ballast = Ballast(teller(tmp_path, "api", lambda level, text, **what: said.append(text)), lambda: None)
    ballast.act(_board(limit_mb=32 if used_bytes() > 32 * MB else 1)[1])
    found = read_told(tmp_path, "api")
    assert found is not None
    assert found.vain
    assert said == ["there is no room for ballast"]


@pytest.mark.parametrize(
    ("most", "members", "limit"),
    [("536870912\n", f"{ALONE}\n", 536_870_912), ("max\n", f"{ALONE}\n", None), ("536870912\n", f"1\n{ALONE}\n", None)],
    ids=["its own", "none", "one that it shares"],
)  # fmt: skip
def test_only_a_limit_of_its_own_control_group_is_one(
    tmp_path: Path, most: str, members: str, limit: int | None
) -> None:
    folder = tmp_path / "jobs/api"
    folder.mkdir(parents=True)
    (tmp_path / "cgroup").write_text("4:memory:/elsewhere\n0::/jobs/api\n")
    (folder / "memory.max").write_text(most)
    (folder / "cgroup.procs").write_text(members)
    found = own_limit(tmp_path / "cgroup", tmp_path)
    assert (found and found.most) == limit


def test_a_limit_of_the_address_space_is_one() -> None:
    code = "from simulator.faults.ballast import own_limit; print(int(own_limit().most))"
    limit = 8_000_000_000
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    assert int(ran.stdout) == limit
