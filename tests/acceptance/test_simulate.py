"""A synthetic month by the command line: played, proved, the same for the same seed, and refused where it must be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import polars as pl
import pytest

from tests.support.nats import eventually
from zjops.domain.ids import job_id

pytestmark = pytest.mark.timeout(300)
SMALL = ("--days", "3", "--tenants", "12", "--seed", "11")


def zjops(*args: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zjops", *map(str, args)], capture_output=True, text=True, check=False,
        env=os.environ | environ,
    )  # fmt: skip


class World(NamedTuple):
    folder: Path
    report: dict[str, Any]

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect() as db:
            for name in ("events", "ops", "requests"):
                files = f"{self.folder}/log/{name}/**/*.parquet"
                db.execute(f"CREATE VIEW {name} AS FROM read_parquet('{files}', hive_partitioning = false)")
            return db.execute(sql).fetchall()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("simulate") / "world"
    done = zjops("simulate", *SMALL, "--out", folder, "-o", "json", "-q", PYTHONHASHSEED="1")
    assert done.returncode == 0, done.stderr
    return World(folder, json.loads(done.stdout))


def test_every_outcome_is_final_and_the_audit_finds_nothing(world: World) -> None:
    done = zjops("audit", "--world", world.folder, "-o", "json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"], told["findings"]) == (0, True, [])
    assert told["accepted"] == told["settled"] == told["confirmed"] == world.report["jobs"] > 500
    assert [month["holds"] for month in told["tie_out"]] == [True]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_world(world: World, tmp_path: Path) -> None:
    shas = {}
    for seed in ("11", "12"):
        more = ("--days", "3", "--tenants", "12", "--seed", seed, "--out", tmp_path / seed, "-o", "json", "-q")
        done = zjops("simulate", *more, PYTHONHASHSEED="2")
        assert done.returncode == 0, done.stderr
        shas[seed] = json.loads(done.stdout)["sha256"]
    assert shas["11"] == world.report["sha256"] != shas["12"]


def test_its_story_stands_in_the_log(world: World) -> None:
    cast, plans = world.report["story"], world.report["tenants"]
    assert set(plans) == {"free", "starter", "pro", "enterprise"}
    assert sum(plans.values()) == 12
    by_plan = world.ask(
        "SELECT plan FROM events WHERE tenant = $$" + cast["upgrade"] + "$$ GROUP BY 1 ORDER BY min(time)"
    )
    assert [plan for (plan,) in by_plan] == ["starter", "pro"]
    assert world.report["refused"]["tenant-suspended"] > 0, "the abuser is stopped"
    acts = dict(world.ask("SELECT kind, count(*) FROM ops GROUP BY 1"))
    assert acts["tenant"] == 12
    assert acts["credit"] == 1
    assert acts["abuse"] >= 1
    ((unavailable,),) = world.ask("SELECT sum(errors_5xx) FROM requests")
    assert unavailable == sum(n for code, n in world.report["refused"].items() if code == "unavailable")
    away, working = world.report["incident"]["from"], world.report["incident"]["workers_back"]
    ((started,),) = world.ask(
        f"SELECT count(*) FROM events WHERE type = 'processing' AND time > epoch_ms(TIMESTAMPTZ '{away}') + 60000 "
        f"AND time < epoch_ms(TIMESTAMPTZ '{working}')"
    )
    assert started == 0, "nobody works while the workers are away"


def test_it_says_that_it_is_synthetic_and_what_its_last_numbers_are(world: World) -> None:
    said = json.loads((world.folder / "log" / "SYNTHETIC.json").read_text())
    assert (said["synthetic"], said["seed"], said["days"], said["tenants"]) == (True, 11, 3, 12)
    assert (said["from"], said["to"]) == ("2026-09-01T00:00:00.000Z", "2026-09-04T00:00:00.000Z")
    ((last,),) = world.ask("SELECT max(stream_seq) FROM events")
    assert said["last"]["EVENTS"] == last == world.report["events"]


def _events_file(folder: Path) -> Path:
    return sorted(folder.glob("log/events/date=*/*.parquet"))[1]


def test_an_event_that_is_taken_out_or_altered_is_named(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    subprocess.run(["cp", "-a", world.folder, folder], check=True)
    path = _events_file(folder)
    frame = pl.read_parquet(path, hive_partitioning=False)
    place = frame["type"].to_list().index("completed")
    pl.concat([frame[:place], frame[place + 1 :]]).write_parquet(path)
    done = zjops("audit", "--world", folder, "-o", "json")
    assert done.returncode == 4
    findings = json.loads(done.stdout)["findings"]
    number, job = frame["stream_seq"][place], job_id(frame["job_id"][place])
    (gap,) = [f["text"] for f in findings if f["kind"] == "gap"]
    assert gap == f"event {number} of the stream is not in the log"
    missing = [(f["job_id"], f["text"]) for f in findings if f["kind"] == "event_missing"]
    assert missing == [(job, "no event completed")]
    assert {f["job_id"] for f in findings} == {job, "-"}, "nobody else is accused"
    altered = frame.with_columns(
        pl.when(pl.int_range(pl.len()) == place).then(pl.col("compute_units") + 1).otherwise("compute_units")
        .alias("compute_units")
    )  # fmt: skip
    altered.write_parquet(path)
    done = zjops("audit", "--world", folder, "-o", "json")
    assert done.returncode == 4
    altered_ones = [f for f in json.loads(done.stdout)["findings"] if "number" in f["text"]]
    assert {f["job_id"] for f in altered_ones} == {job}
    assert all(f"number {number}" in f["text"] for f in altered_ones)


def test_a_chain_that_holds_another_root_is_found(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    subprocess.run(["cp", "-a", world.folder, folder], check=True)
    lines = [json.loads(line) for line in (folder / "chain.jsonl").read_text().splitlines()]
    lines[3]["root"] = lines[2]["root"]
    (folder / "chain.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = zjops("audit", "--world", folder, "-o", "json")
    assert done.returncode == 4
    assert [f["kind"] for f in json.loads(done.stdout)["findings"]] == ["wrong_root"]
    (folder / "chain.jsonl").write_text('{"first": 1}\n')
    done = zjops("audit", "--world", folder)
    assert done.returncode == 2
    assert "chain.jsonl, line 1" in done.stderr


def test_invoices_are_priced_from_it_and_tie_out(world: World) -> None:
    log = world.folder / "log"
    done = zjops("invoice", "--all", "--month", "2026-09", "--log", log, "-o", "json")
    assert done.returncode == 0, done.stderr
    done = zjops("query", "SELECT count(*) AS n FROM events_once", "--log", log, "-o", "json")
    assert json.loads(done.stdout)["rows"] == [{"n": world.report["events"]}]


def test_its_month_can_be_closed_and_an_issued_invoice_holds_against_its_chain(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    subprocess.run(["cp", "-a", world.folder, folder], check=True)
    done = zjops("close", "2026-09", "--log", folder / "log", "-q")
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob(f"billing/2026-09/invoices/*-{world.report['story']['credit']}.json")
    done = zjops("invoice", "verify", path, "--world", folder, "-o", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    checks = {check["name"]: check["ok"] for check in json.loads(done.stdout)["rows"]}
    assert checks == {"sum": True, "usage": True, "issued": True, "chain": True}
    # One unit more in one billed event: neither the lines nor what the contract was told agree with it any more.
    tenant = world.report["story"]["credit"]
    for events in sorted(folder.glob("log/events/date=*/*.parquet")):
        frame = pl.read_parquet(events, hive_partitioning=False)
        frame.with_columns(
            pl.when(pl.col("tenant") == tenant).then(pl.col("compute_units") + 1).otherwise("compute_units")
            .alias("compute_units")
        ).write_parquet(events)  # fmt: skip
    done = zjops("invoice", "verify", path, "--world", folder, "-o", "json")
    assert done.returncode == 4
    checks = {check["name"]: check["ok"] for check in json.loads(done.stdout)["rows"]}
    assert (checks["usage"], checks["chain"]) == (False, False)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--days", "0"), "--days goes from 1 to 400"),
        (("--tenants", "3"), "--tenants goes from 10"),
        (("--seed", "-1"), "--seed goes from 0"),
        (("--from", "2026-13-01"), "--from is a day"),
        (("--from", "yesterday"), "--from is a day"),
        (("--from", "2999-12-31", "--days", "2"), "--from and --days go past the year 2999"),
        (("--from", "-1"), "--from is a day"),
        (("--days", "400", "--tenants", "2000"), "more than 5,000,000"),
        (("--volume", "-5M"), "--volume goes from 1K"),
        (("--jobs", "0"), "--jobs goes from 1"),
        (("--volume", "much"), "--volume is a number of events such as 100M"),
        (("--volume", "1M", "--jobs", "5"), "leave --jobs out"),
    ],
)
def test_what_cannot_be_played_is_refused_and_leaves_nothing(tmp_path: Path, asked: tuple[str, ...], said: str) -> None:
    done = zjops("simulate", "--out", tmp_path / "out", *asked)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    done = zjops("simulate", *SMALL, "--out", tmp_path)
    assert done.returncode == 2
    assert f"{tmp_path} is not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_disk_that_is_full_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    # The log still fits, the export does not.
    argv = [sys.executable, "-m", "zjops", "simulate", *SMALL, "-q", "--out", str(tmp_path / "out")]
    done = subprocess.run(["prlimit", "--fsize=300000", *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "File too large; free some space" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def _playing(folder: Path) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "zjops", "simulate", "--days", "60", "--tenants", "100", "--out", str(folder)]
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)


async def test_ctrl_c_leaves_nothing_half_made(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    playing = _playing(folder)
    await eventually(lambda: any(folder.glob("log/events/*")), 60)
    playing.send_signal(signal.SIGINT)
    _, said = playing.communicate(timeout=60)
    assert playing.returncode == 130
    assert b"Traceback" not in said
    assert not folder.exists()


async def test_one_that_was_killed_is_known_as_unfinished(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    playing = _playing(folder)
    await eventually(lambda: any(folder.glob("log/events/*")), 60)
    playing.kill()
    playing.communicate(timeout=60)
    done = zjops("audit", "--world", folder)
    assert done.returncode == 3
    assert "was not finished" in done.stderr
    done = zjops("simulate", *SMALL, "--out", folder)
    assert done.returncode == 2
    assert "a world that was not finished" in done.stderr


def test_a_folder_without_a_world_is_named(tmp_path: Path) -> None:
    done = zjops("audit", "--world", tmp_path)
    assert done.returncode == 3
    assert f"there is no world in {tmp_path}" in done.stderr
