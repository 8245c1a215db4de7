"""`up --world`: a synthetic month that ends now, played before anything starts, and there whole or not at all.

A process of its own plays it into a folder beside, and gives its memory back. A file says when everything is there;
from then on it is moved to its places, and whoever starts next in this folder goes on with that where it ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec

from simulator.config import STORE_FILE
from simulator.supervisor.spec import Notice, Tell
from simulator.world.limits import DAYS_MOST, JOBS_A_TENANT_DAY, JOBS_MOST, SEED_MOST, TENANTS_MOST, within
from simulator.world.population import TENANTS_LEAST
from zjops.domain.clock import Clock
from zjops.domain.errors import UnreachableError, UsageError, ZjopsError
from zjops.domain.synthetic import synthetic_part

PART, WHOLE = ".world-part", "WHOLE"
"""The folder beside, and the file in it that says that nothing is missing."""
WORLD = "world"
"""Where the platform keeps what proves the world: its export and its chain."""
PROOF = ("export.jsonl", "chain.jsonl")
HELD = (STORE_FILE, "log/events", "log/ops", "log/requests", "log/batches", "broker/jetstream/*/streams/*")
"""What a folder holds in which a platform has run."""
MINUTE_MS = 60_000
STOP_WITHIN_S = 30.0
_SPAN = re.compile(r"([0-9]{1,4})d")


class World(NamedTuple):
    """What is to be played."""

    days: int
    tenants: int = 40
    seed: int = 7


class _NotPlayed(ZjopsError):
    """It could not be played; the reason and the exit code are the program's own."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class _Report(msgspec.Struct, frozen=True):
    """As much as is told of a finished world: its jobs, and the seconds that it took."""

    jobs: int
    seconds: float


class _Line(msgspec.Struct, frozen=True):
    """One line of the program that plays it."""

    event: str
    share: float = 0.0
    seconds: float = 0.0
    jobs: int = 0
    report: _Report | None = None
    message: str = ""
    exit_code: int = UnreachableError.exit_code


def world_of(span: str | None, tenants: int | None = None, seed: int | None = None) -> World | None:
    """The world that is asked for, its span as `30d`; none without a span. Raises `UsageError`."""
    if span is None:
        if (tenants, seed) != (None, None):
            raise UsageError("--world-tenants and --world-seed say more of --world; give that too, such as --world 30d")
        return None
    found = _SPAN.fullmatch(span)
    if found is None or not 1 <= (days := int(found[1])) <= DAYS_MOST:
        raise UsageError(f"--world takes days such as 30d, from 1d to {DAYS_MOST}d, not {span!r:.40}")
    usual = World(days)
    tenants, seed = usual.tenants if tenants is None else tenants, usual.seed if seed is None else seed
    within("--world-tenants", tenants, TENANTS_LEAST, TENANTS_MOST)
    within("--world-seed", seed, 0, SEED_MOST)
    if (jobs := days * tenants * JOBS_A_TENANT_DAY) > JOBS_MOST:
        raise UsageError(f"--world {span} of {tenants} tenants is {jobs:,} jobs, more than {JOBS_MOST:,}; ask for less")
    return World(days, tenants, seed)


async def bring(home: Path, world: World | None, clock: Clock, tell: Tell) -> None:
    """Put in order what a killed start left, then play a world if one is asked for that is not there yet.

    Raises `ZjopsError`; then, and when it is cancelled, the folder is as it was.
    """
    settle(home)
    if world is None:
        return
    there = synthetic_part(home / "log")
    if there is not None:
        tell(Notice(event="note", message=f"this platform goes on from a world already: {there.text}"))
        return
    if _is_used(home):
        raise UsageError(f"{home} holds a platform, and --world is for a new folder; name one with --home")
    try:
        played = await _play(home, world, clock.now_ms() // MINUTE_MS * MINUTE_MS, tell)
        (home / PART / WHOLE).touch()
    except BaseException:
        shutil.rmtree(home / PART, ignore_errors=True)
        raise
    settle(home)
    days = "1 day" if world.days == 1 else f"{world.days} days"
    tell(Notice(event="note", message=(
        f"a world of {days} and {world.tenants} tenants was played: {played.jobs:,} jobs in {played.seconds:.0f} s, "
        f"seed {world.seed}; all of it is synthetic"
    )))  # fmt: skip


def _is_used(home: Path) -> bool:
    return any(any(home.glob(name)) for name in HELD)


def settle(home: Path) -> None:
    """Move a world that is whole to its places, each part in one step, and clear one that is not."""
    part = home / PART
    if (part / WHOLE).exists():
        for source, target in _moves(home, part):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
    if part.exists():
        shutil.rmtree(part)


def _moves(home: Path, part: Path) -> list[tuple[Path, Path]]:
    """What has not been moved yet, and where to."""
    moves = [(part / STORE_FILE, home / STORE_FILE), *((part / name, home / WORLD / name) for name in PROOF)]
    moves += [(path, home / "log" / path.name) for path in sorted((part / "log").glob("*"))]
    return [(source, target) for source, target in moves if source.exists()]


async def _play(home: Path, world: World, until_ms: int, tell: Tell) -> _Report:
    """Have it played, and tell how far it is. Raises `ZjopsError`."""
    argv = (
        sys.executable, "-m", "simulator", "simulate", "--out", str(home / PART), "--days", str(world.days),
        "--tenants", str(world.tenants), "--seed", str(world.seed), "--until-ms", str(until_ms), "--store",
        "--parent", str(os.getpid()),
    )  # fmt: skip
    log = home / "process-logs" / "world.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=err, start_new_session=True
        )
    assert process.stdout is not None
    report: _Report | None = None
    try:
        async for line in process.stdout:
            said = msgspec.json.decode(line, type=_Line)
            if said.event == "error":
                raise _NotPlayed(said.message, said.exit_code)
            if said.event == "progress":
                tell(Notice(event="progress", share=said.share, jobs=said.jobs, seconds=said.seconds))
            report = said.report or report
        if await process.wait() or report is None:
            raise UnreachableError(f"the world could not be played ({process.returncode}); see {log}")
    finally:
        await _end(process)
    return report


async def _end(process: asyncio.subprocess.Process) -> None:
    """See it to its end: asked first, killed when it does not listen."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_WITHIN_S)
        except TimeoutError:
            process.kill()
            await process.wait()
