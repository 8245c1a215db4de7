"""A platform that begins with a synthetic month: one log of both parts, and proofs, quotas and invoices that go on."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.nats import eventually
from zjops.client.platform import stop_platform
from zjops.domain.errors import UnreachableError
from zjops.domain.synthetic import Last, synthetic_part

QUICK = ("--batch-seconds", "0.5", "--set", "block_time_s=0.25")
WORLD = ("--world", "2d", "--world-tenants", "12")
SMALL = ("--world", "1d", "--world-tenants", "10")


class Zjops:
    """The command line on a folder in which nothing runs yet."""

    def __init__(self, home: Path) -> None:
        self.home = home
        known = {name: value for name, value in os.environ.items() if not name.startswith("ZJOPS_")}
        self.env = known | {"ZJOPS_HOME": str(home), "XDG_CONFIG_HOME": str(home.parent / "config")}

    def __call__(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        argv = [sys.executable, "-m", "zjops", *arguments]
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, env=self.env, timeout=150, stdin=subprocess.DEVNULL
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout, done.stderr

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json")[0])

    def rows(self, sql: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self("query", sql, "--json")[0])["rows"]
        return found

    def confirmed(self) -> int:
        """How many jobs of the store are final on chain."""
        with contextlib.closing(sqlite3.connect(self.home / "store.sqlite", timeout=10)) as store:
            return int(store.execute("SELECT count(*) FROM jobs WHERE confirmed_at IS NOT NULL").fetchone()[0])

    @property
    def last(self) -> Last:
        made = synthetic_part(self.home / "log")
        assert made is not None
        return made.last


@pytest.fixture
def zjops(tmp_path: Path) -> Iterator[Zjops]:
    made = Zjops(tmp_path / "home")
    yield made
    with contextlib.suppress(UnreachableError):
        stop_platform(made.home)


def _holds(zjops: Zjops, jobs: int) -> dict[str, Any]:
    """The audit is fine and saw that many jobs at least, every month adds up, and no number of the log is missing."""
    report: dict[str, Any] = zjops.json("audit")
    assert report["ok"]
    assert report["accepted"] >= jobs
    assert all(tied["holds"] for tied in report["tie_out"])
    (log,) = zjops.rows(
        "SELECT count(*) AS rows, count(DISTINCT stream_seq) AS numbers, min(stream_seq) AS first, "
        "max(stream_seq) AS last, count(DISTINCT outbox_no) AS places FROM events"
    )
    assert log["first"] == 1
    assert log["rows"] == log["numbers"] == log["places"] == log["last"] > zjops.last.events
    return report


@pytest.mark.timeout(300)
async def test_a_world_is_loaded_and_the_platform_goes_on_from_it(zjops: Zjops) -> None:
    out, said = zjops("up", "-d", *WORLD, "--traffic", "10/s", *QUICK)
    assert "demo-enterprise" in out
    assert "a world of 2 days and 12 tenants was played" in said
    assert "played " in said
    last = zjops.last
    await eventually(lambda: zjops.confirmed() >= 30, within_s=60)
    first = _holds(zjops, 30)
    assert f"{_world_jobs(zjops):,} synthetic jobs of before are left out" in zjops("audit")[1]
    _check_own_part(zjops, last)
    _check_money(zjops)
    assert "a part of the log is synthetic from" in zjops("status")[1]

    zjops("down")
    assert "goes on from a world already" in zjops("up", "-d", *WORLD, *QUICK)[1]
    assert zjops.last == last
    job = zjops("jobs", "submit", "--tenant", "demo-pro", "--type", "ml_inference", "--parameters",
                '{"algorithm":"synthetic","duration_ms":5}')[0].strip()  # fmt: skip
    zjops("jobs", "watch", job, "--final", "--tenant", "demo-pro")
    zjops("jobs", "verify", job, "--tenant", "demo-pro")
    _holds(zjops, first["accepted"] + 1)
    proved = zjops.json("audit", "--world", str(zjops.home / "world"))
    assert proved["ok"]
    assert proved["accepted"] == _world_jobs(zjops)


def _world_jobs(zjops: Zjops) -> int:
    sql = "SELECT count(*) AS n FROM events WHERE type = 'submitted' AND stream_seq <= "
    return int(zjops.rows(sql + str(zjops.last.events))[0]["n"])


def _check_own_part(zjops: Zjops, last: Last) -> None:
    """Numbers go on behind the world's: of the stream, the outbox and the batches; the chain's begin with one."""
    (own,) = zjops.rows(
        "SELECT min(outbox_no) AS place, min(batch_id) AS batch, min(chain_sequence) AS number, "
        f"count(*) FILTER (NOT (tenant LIKE 'demo-%' OR tenant = 'prober')) AS strange "
        f"FROM events WHERE stream_seq > {last.events}"
    )
    assert own == {"place": last.outbox + 1, "batch": last.batches + 1, "number": 1, "strange": 0}


def _check_money(zjops: Zjops) -> None:
    """Tenants of both parts are there, with what they have used, and the month is billed as one."""
    tenants = {row["tenant"]: row for row in zjops.json("tenants", "list")["rows"]}
    used = {row["tenant"]: row["units_charged"] for row in zjops.json("usage", "--by", "tenant,month")["rows"]
            if row["month"] == tenants["demo-pro"]["month"]}  # fmt: skip
    world = set(used) - {"prober"} - {name for name in used if name.startswith("demo-")}
    assert len(set(tenants) - {"operations", "prober"}) == 12 + 4
    assert world
    assert all(tenants[name]["units"] == used[name] for name in world)
    bills = zjops.json("invoice", "--all")["invoices"]
    assert {"demo-pro", "demo-enterprise"} | world <= {bill["tenant"] for bill in bills}
    document = zjops.home.parent / "invoice.json"
    document.write_text(zjops("invoice", min(world), "--json")[0])
    assert "synthetic jobs are on no chain" in zjops("invoice", "verify", str(document))[0]


@pytest.mark.timeout(240)
async def test_a_start_that_is_killed_while_the_world_is_played_leaves_a_new_folder(zjops: Zjops) -> None:
    _kill_while_it_plays(zjops)
    assert (zjops.home / ".world-part").exists()
    assert "a world of 1 day" in zjops("up", "-d", *SMALL, "--traffic", "10/s", *QUICK)[1]
    assert not (zjops.home / ".world-part").exists()
    await eventually(lambda: zjops.confirmed() >= 5, within_s=60)
    _holds(zjops, 5)
    other = Zjops(zjops.home.parent / "other")
    assert "--world takes days such as 30d" in other("up", "-d", "--world", "soon", code=2)[1]
    assert "--traffic takes jobs a second" in other("up", "-d", "--traffic", "much", code=2)[1]


def _kill_while_it_plays(zjops: Zjops) -> None:
    argv = [sys.executable, "-m", "simulator", "up", "--home", str(zjops.home), "--world", "30d"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=zjops.env) as supervisor:
        assert supervisor.stdout is not None
        next(line for line in supervisor.stdout if b'"progress"' in line)
        players = psutil.Process(supervisor.pid).children(recursive=True)
        supervisor.kill()
    assert players
    assert psutil.wait_procs(players, timeout=20)[1] == []
