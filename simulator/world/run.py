"""Plays a world: fronts in processes of their own, the ledger here, and what came of it as one folder."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from simulator.process_death import die_with_parent
from simulator.world import front, ledger
from simulator.world.folder import MARK_LAST, clear, mark, open_folder
from simulator.world.limits import DAYS_MOST, JOBS_A_TENANT_DAY, JOBS_MOST, SEED_MOST, TENANTS_MOST, within
from simulator.world.population import TENANTS_LEAST, population
from simulator.world.shipping import Crate, Ended, Failed, Item, decode
from simulator.world.story import Span, Story, incident_of, tell
from zjops.domain.clock import Clock, rfc3339
from zjops.domain.errors import StoreUnavailable, UnreachableError, UsageError, ZjopsError

FRONTS = 2
"""Two, however many processors there are: the same seed must give the same world everywhere."""
TELL_EVERY_S = 0.25
INTERNAL = 70


class Asked(NamedTuple):
    """What is to be played. `start_ms` is Unix ms; `jobs` is about how many jobs are to be submitted in all."""

    days: int
    tenants: int
    seed: int
    start_ms: int
    jobs: int


class Progress(NamedTuple):
    """How far it is: the share that is played, accepted jobs, and seconds since the beginning."""

    share: float
    jobs: int
    seconds: float


class Played(NamedTuple):
    """A finished world."""

    report: dict[str, Any]
    kept: ledger.Kept


def asked(days: int, tenants: int, seed: int, start_ms: int, jobs: int | None = None) -> Asked:
    """A world that can be played. Raises `UsageError`."""
    within("--days", days, 1, DAYS_MOST)
    within("--tenants", tenants, TENANTS_LEAST, TENANTS_MOST)
    within("--seed", seed, 0, SEED_MOST)
    wanted = days * tenants * JOBS_A_TENANT_DAY if jobs is None else jobs
    if jobs is None and wanted > JOBS_MOST:
        raise UsageError(
            f"{days} days of {tenants:,} tenants are {wanted:,} jobs, more than {JOBS_MOST:,}; ask for less, or for "
            "so many with --jobs"
        )
    return Asked(days, tenants, seed, start_ms, within("--jobs", wanted, 1, JOBS_MOST))


def play(what: Asked, folder: Path, clock: Clock, heard: Callable[[Progress], None]) -> Played:
    """Play a world into an empty or absent folder. Raises `ZjopsError`; then nothing is left there."""
    made = open_folder(folder)
    try:
        return _play(what, folder, clock, heard)
    except OSError as exc:
        clear(folder, whole=made)
        raise StoreUnavailable(f"{folder}: {exc.strerror or exc}; free some space") from exc
    except BaseException:
        clear(folder, whole=made)
        raise


def _play(what: Asked, folder: Path, clock: Clock, heard: Callable[[Progress], None]) -> Played:
    began, told_at = clock.monotonic(), float("-inf")
    span = Span(what.start_ms, what.days)
    story = tell(population(what.seed, what.tenants, what.jobs / what.days), span)

    def reached(at_ms: int, told: Counter[str]) -> None:
        nonlocal told_at
        now = clock.monotonic()
        if now - told_at >= TELL_EVERY_S:
            told_at = now
            heard(Progress((at_ms - span.start_ms) / (span.end_ms - span.start_ms), told["accepted"], now - began))

    with _fronts(what, span, story, folder) as feeds:
        kept = ledger.keep(what.seed, span, folder, feeds, reached)
    heard(Progress(1.0, kept.told["accepted"], clock.monotonic() - began))
    mark(folder, {
        "kind": "simulated", "seed": what.seed, "days": what.days, "tenants": what.tenants,
        "from_ms": span.start_ms, "until_ms": span.end_ms, MARK_LAST: kept.numbers,
    })  # fmt: skip
    return Played(_report(what, span, story, kept, folder, clock.monotonic() - began), kept)


@contextlib.contextmanager
def _fronts(what: Asked, span: Span, story: Story, folder: Path) -> Iterator[list[Iterator[Item]]]:
    """The fronts as processes, each with what it tells; none of them outlives this."""
    context = multiprocessing.get_context("spawn")
    together = [story.cast["abuser"], story.cast["double"]]
    processes: list[BaseProcess] = []
    feeds: list[Iterator[Item]] = []
    try:
        for number, (companies, acts) in enumerate(front.split(story.companies, story.acts, FRONTS, together)):
            receiver, sender = context.Pipe(duplex=False)
            part = front.Part(what.seed, number, span, companies, acts)
            process: BaseProcess = context.Process(target=_front, args=(part, folder, sender, os.getpid()), daemon=True)
            process.start()
            sender.close()
            processes.append(process)
            feeds.append(_items(receiver, process))
        yield feeds
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _front(part: front.Part, folder: Path, sender: Connection, parent: int) -> None:
    """The main function of a front's process."""
    die_with_parent(parent)
    # Ctrl-C is for the parent, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        front.play(part, folder, sender.send_bytes)
    except ZjopsError as exc:
        _fail(sender, str(exc), exc.exit_code)
    except BrokenPipeError:
        return
    except Exception as exc:
        _fail(sender, f"front {part.number}: {exc!r}", INTERNAL)
        raise


def _fail(sender: Connection, text: str, exit_code: int) -> None:
    crate = Crate(sender.send_bytes)
    crate.add(Failed(0, text, exit_code))
    crate.go()


def _items(receiver: Connection, process: BaseProcess) -> Iterator[Item]:
    """What a front tells until it has ended or failed. Raises `UnreachableError` when it dies before."""
    last: Item | None = None
    # Whoever merges feeds looks one item ahead: behind the last one there is nothing to wait for.
    while not isinstance(last, Ended | Failed):
        try:
            items = decode(receiver.recv_bytes())
        except (EOFError, OSError) as exc:
            process.join()
            raise UnreachableError(f"a process of the simulation died ({process.exitcode})") from exc
        yield from items
        last = items[-1]


def _report(what: Asked, span: Span, story: Story, kept: ledger.Kept, folder: Path, seconds: float) -> dict[str, Any]:
    told, tables = kept.told, kept.tables
    away_ms, back_ms, working_ms = incident_of(span)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    plans = Counter(one.plan for one in story.companies)
    refused = {code: count for code, count in sorted(told.items()) if code != "accepted" and " " not in code}
    return {
        "schema": "zjops.world/1", "seed": what.seed, "from": rfc3339(span.start_ms), "to": rfc3339(span.end_ms),
        "jobs": told["accepted"], "refused": refused, "events": kept.numbers["EVENTS"],
        "requests": sum(count for code, count in told.items() if code.startswith("requests ")),
        "tenants": dict(sorted(plans.items())),
        "charged_units": sum(row["charged"] for row in tables["usage"]),
        "batches": kept.numbers["batches"], "story": story.cast,
        "incident": {"from": rfc3339(away_ms), "store_back": rfc3339(back_ms), "workers_back": rfc3339(working_ms)},
        "folder": str(folder), "files": len(files), "bytes": sum(path.stat().st_size for path in files),
        "sha256": tree_digest(folder), "seconds": round(seconds, 1),
    }  # fmt: skip


def tree_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of every file below a folder, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix().encode()
        digest.update(len(name).to_bytes(8, "big") + name + path.stat().st_size.to_bytes(8, "big"))
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()
