"""`make bench`, second part: a thousand jobs a second reach finality without a growing lag.

Real parts: a SQLite store that another process feeds with settled jobs, the relayer as a role process with its trees,
files and events, the eth-tester devnet as a role process, NATS. What is watched is the lag: jobs that are settled and
not final. A batch is a step of up to a thousand jobs, so the line through the samples after the warm-up may rise by
less than one batch over the whole time; with a lag that grows it rises by many.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import msgspec

from simulator.config import STORE_FILE
from simulator.supervisor.ports import listen
from tests.support.devnet import DevnetProcess
from tests.support.nats import PASSWORD, USER, NatsServer
from zjops.domain.runfile import read_run_file, write_run_file

BATCH = 1_000
FED_EVERY_S = 0.1
WARM_UP_S = 15
SECONDS_LEAST = 60
DRAINED_WITHIN_S = 60
READY_WITHIN_S = 60
INSERT = """INSERT INTO jobs (id, tenant, plan, job_type, priority, timeout_s, status, accepted_at, updated_at,
  completed_at, payload_bytes, compute_units, charge, salt, result_bytes, result_keccak, settled_no)
  VALUES (?, 'bench', 'pro', 'compute_heavy', 5, 3600, 'completed', ?, ?, ?, 200, 100, 'charged', ?, 51, ?, ?)"""


def feed(store: str, rate: int, seconds: int, stop: Event) -> None:
    """Settle jobs into the store at an even rate, by the clock and not by the time that it takes."""
    asyncio.run(_feed(Path(store), rate, seconds, stop))


async def _feed(path: Path, rate: int, seconds: int, stop: Event) -> None:
    from simulator.store.sqlite import SqliteStore
    from zjops.domain.clock import SystemClock
    from zjops.domain.ids import SystemIds

    clock, fed = SystemClock(), 0
    ids, store = SystemIds(clock), SqliteStore(path)
    await store.start()
    started = clock.monotonic()
    while fed < rate * seconds and not stop.is_set():
        due = min(rate * seconds, int((clock.monotonic() - started) * rate))
        now = clock.now_ms()
        rows = [(ids.key(), now, now, now, ids.token(32), ids.token(32), n + 1) for n in range(fed, due)]
        await store.transact(lambda tx, rows=rows: tx._connection.executemany(INSERT, rows).rowcount)
        fed = due
        await clock.sleep(FED_EVERY_S)
    await store.stop()


class Relayer:
    """The relayer as the supervisor starts it."""

    def __init__(self, home: Path) -> None:
        self.listener = listen(28_700)
        argv = [sys.executable, "-m", "simulator", "role", "relayer", "--roles", "relayer", "--home", str(home),
                "--parent", str(os.getpid()), "--fd", str(self.listener.fileno())]  # fmt: skip
        self.log = (home / "relayer.log").open("wb")
        self.process = subprocess.Popen(
            argv, pass_fds=[self.listener.fileno()], stdout=self.log, stderr=subprocess.STDOUT
        )

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(30)
        self.listener.close()
        self.log.close()


def processor_s(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def counts(path: Path) -> tuple[int, int]:
    """Jobs that are settled, and those of them that are final."""
    link = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        settled = link.execute("SELECT coalesce(max(settled_no), 0) FROM jobs").fetchone()[0]
        final = link.execute("SELECT coalesce(sum(count), 0) FROM batches WHERE state = 'final'").fetchone()[0]
        return int(settled), int(final)
    finally:
        link.close()


def _wait(what: str, within_s: float, condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} within {within_s:g} s: no")
        time.sleep(0.2)


def watch(store: Path, pids: dict[str, int], seconds: int) -> tuple[list[tuple[float, int]], dict[str, float]]:
    """The lag each second, a line each five, and the share of a processor that each process took."""
    started, before, samples = time.monotonic(), {n: processor_s(p) for n, p in pids.items()}, []
    for second in range(1, seconds + 1):
        time.sleep(max(0.0, started + second - time.monotonic()))
        settled, final = counts(store)
        samples.append((time.monotonic() - started, settled - final))
        if second % 5 == 0:
            print(f"{second:4} s  settled {settled:7,}  final {final:7,}  lag {settled - final:6,} jobs", flush=True)
    took = time.monotonic() - started
    return samples, {name: (processor_s(pid) - before[name]) / took for name, pid in pids.items()}


def judge(samples: list[tuple[float, int]]) -> tuple[float, float]:
    """The slope of the lag after the warm-up in jobs a second, and by how much it rose over that time."""
    later = [(at, lag) for at, lag in samples if at > WARM_UP_S]
    slope = statistics.linear_regression([at for at, _ in later], [lag for _, lag in later]).slope
    return slope, slope * (later[-1][0] - later[0][0])


def main() -> None:
    """Run it, print it, and end by the verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=1_000, help="jobs a second")
    parser.add_argument("--seconds", type=int, default=60)
    asked = parser.parse_args()
    if asked.seconds < SECONDS_LEAST:
        parser.error(f"--seconds must be at least {SECONDS_LEAST}: over less, a step of one batch hides the slope")
    with tempfile.TemporaryDirectory(prefix="zjops-bench-") as folder:
        raise SystemExit(_run(Path(folder), asked.rate, asked.seconds))


def _run(home: Path, rate: int, seconds: int) -> int:
    (home / "nats").mkdir()
    spawn, store = multiprocessing.get_context("spawn"), home / STORE_FILE
    # Whatever one of them does when it ends, the others are ended too.
    with contextlib.ExitStack() as ending:
        nats, devnet, stop = NatsServer(home / "nats"), DevnetProcess(home, block_time_s=1.0), spawn.Event()
        ending.callback(devnet.stop)
        nats.start()
        ending.callback(nats.kill)
        devnet.start()
        login = {"nats_url": nats.url, "nats_user": USER, "nats_password": PASSWORD}
        write_run_file(home, msgspec.structs.replace(read_run_file(home), **login))
        relayer = Relayer(home)
        ending.callback(relayer.stop)
        _wait("the contract is deployed", READY_WITHIN_S, (home / "chain" / "contract.json").exists)
        _wait("the store is open", READY_WITHIN_S, store.exists)
        time.sleep(1)
        feeder = spawn.Process(target=feed, args=(str(store), rate, seconds + WARM_UP_S, stop), daemon=True)
        feeder.start()
        ending.callback(feeder.join, 20)
        ending.callback(stop.set)
        _wait("the first jobs are settled", READY_WITHIN_S, lambda: counts(store)[0] > 0)
        samples, shares = watch(store, {"relayer": relayer.process.pid, "devnet": devnet.pid}, seconds)
        stop.set()
        return _tell(store, samples, shares, rate)


def _tell(store: Path, samples: list[tuple[float, int]], shares: dict[str, float], rate: int) -> int:
    drained = time.monotonic()
    _wait("everything is final", DRAINED_WITHIN_S, lambda: len(set(counts(store))) == 1)
    link = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    gas, jobs, batches = link.execute("SELECT sum(gas_used), sum(count), count(*) FROM batches").fetchone()
    (confirmed,) = link.execute("SELECT count(*) FROM jobs WHERE confirmed_at IS NOT NULL").fetchone()
    link.close()
    slope, rise = judge(samples)
    fed = counts(store)[0]
    arrived = fed / (samples[-1][0] or 1)
    holds = rise < BATCH and confirmed == fed == jobs
    print(json.dumps({
        "schema": "zjops.bench-finality/1", "rate": rate, "fed": fed, "fed_per_second": round(arrived, 1),
        "confirmed": confirmed, "batches": batches, "gas_per_job": round(gas / jobs, 2),
        "lag_median": statistics.median(lag for at, lag in samples if at > WARM_UP_S),
        "slope_jobs_per_second": round(slope, 2), "rise_jobs": round(rise),
        "processor_share": {name: round(share, 3) for name, share in shares.items()},
        "drained_after_s": round(time.monotonic() - drained, 1), "holds": holds,
    }))  # fmt: skip
    print(f"lag {'does not grow' if holds else 'GROWS'}: {slope:+.1f} jobs/s, {rise:+,.0f} jobs, a batch is {BATCH:,}")
    return 0 if holds else 1


if __name__ == "__main__":
    main()
