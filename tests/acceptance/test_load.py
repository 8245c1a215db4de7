"""`zjops load` against a real platform: what it measures, what it leaves behind, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from tests.support.cli import Cli
from tests.support.nats import eventually, free_port
from tests.support.platform import running_platform
from zjops.client.history import read_history
from zjops.load.generator import several
from zjops.load.measured import Measured
from zjops.load.records import read
from zjops.load.run import scenario_of

# Looked for and not imported: it would patch the standard library of the whole test run.
if importlib.util.find_spec("locust") is None:
    pytest.skip("the load generator is not installed", allow_module_level=True)

ROOT = Path(__file__).parents[2]
FILES = {
    "summary.json", "detail.json", "report.html", "junit.xml", "latency.hgrm", "latency.txt", "history.jsonl",
    "records.jsonl", "scenario.json", "generator.log",
}  # fmt: skip
MIXED = """
name = "mixed"
text = "Every kind of request, followed both ways."
connections = 16
subscribe_by = "{by}"
webhook_every = 4
final_within_s = 30
timeout_s = 45
drop_after_s = 20
slos = ["availability"]
mix = {{ submit = 3, poll = 2, subscribe = 2, read = 1, list = 1, bulk = 0.2 }}
bulk = 5
thresholds = ["errors<1%", "told:p(100)<100000", "final:within(30000)>=99%", {more}]

[[phases]]
name = "only"
duration_s = 3
rate = 30
"""
SEARCH = """
name = "climb"
text = "Two steps."
connections = 8
final_within_s = 30
slos = []
thresholds = ["{threshold}"]
search_to = {most}
arrivals = "fixed"

[[phases]]
name = "step"
duration_s = 2
rate = {rate}
"""
FLOOD = """
name = "flood"
text = "Too much."
connections = 800
final_within_s = 60
timeout_s = 20
drop_after_s = 20
slos = []
thresholds = ["healthy_within_s<60"]

[[phases]]
name = "only"
duration_s = 3
rate = 1500
"""


@pytest.fixture(scope="module")
def zjops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    folder = tmp_path_factory.mktemp("load")
    with running_platform(folder) as stage:
        yield Cli(stage, folder / "config")


def test_smoke_judges_and_leaves_its_evidence(zjops: Cli) -> None:
    status, out, err = zjops("load", "run", "smoke", "--seed", "3", "-q", "--json")
    told = msgspec.json.decode(out)
    folder = zjops.stage.home / "runs" / "latest"
    assert (told["schema"], told["scenario"]) == ("zjops.load/1", "smoke")
    # How quick a machine is that others use too, is not what is tested.
    assert status == {"pass": 0, "not_trusted": 5, "fail": 99}[told["verdict"]], err
    assert msgspec.json.decode((folder / "summary.json").read_bytes()) == told
    assert {file.name for file in folder.iterdir()} == FILES
    assert told["audit"]["ok"]
    assert told["dropped"] == told["timeouts"] == told["errors"] == 0
    detail = msgspec.json.decode((folder / "detail.json").read_bytes())
    assert detail["command"] == "zjops load run smoke --seed 3 --workers 1"
    assert {hop["hop"] for hop in detail["hops"]} == {"started", "completed", "mined", "final", "webhook"}
    assert {cost["process"] for cost in detail["costs"]} == {"broker", "chain", "api", "backend"}
    assert all(cost["us_a_job"] > 0 for cost in detail["costs"])
    assert all(tenant["values"]["active_jobs"] == 10_000_000 for tenant in detail["tenants"])
    assert "://" not in (folder / "report.html").read_text()
    assert int(ET.parse(folder / "junit.xml").getroot().get("tests", "0")) == len(detail["thresholds"]) + 2


def test_its_figures_are_those_of_its_records_and_its_history(zjops: Cli) -> None:
    """What is told adds up from what was written down, and each job that was accepted is in the history once."""
    folder = zjops.stage.home / "runs" / "latest"
    measured = Measured(scenario_of(folder)).read(read(folder / "records.jsonl"))
    assert measured.whole
    accepted = sum(tally["jobs"] for (_, op), tally in measured.ops.items() if op)
    jobs = {
        record.job_id for record in read_history(folder / "history.jsonl") if getattr(record, "outcome", "") == "ok"
    }
    assert len(jobs) == accepted > 100
    told = msgspec.json.decode((folder / "summary.json").read_bytes())
    assert told["audit"]["client_accepted"] == accepted


@pytest.mark.parametrize("by", ["sse", "websocket"])
def test_every_kind_of_request_by_two_processes(zjops: Cli, tmp_path: Path, by: str) -> None:
    scenario, out = tmp_path / "mixed.toml", tmp_path / "out"
    scenario.write_text(MIXED.format(by=by, more='"p(100)<40000"'))
    status, stdout, err = zjops("load", "run", str(scenario), "--workers", "2", "--out", str(out), "-q", "--json")
    told = msgspec.json.decode(stdout)
    # On a machine that stalls, an arrival may be sent too late to be trusted.
    assert status in (0, 5), err
    detail = msgspec.json.decode((out / "detail.json").read_bytes())
    rows = {row["operation"]: row for row in detail["operations"]}
    assert set(rows) == {"submit", "bulk", "list", "read", "status", "told"}
    assert all(row["errors"] == row["timeouts"] == 0 for row in rows.values())
    assert rows["bulk"]["jobs"] == 5 * rows["bulk"]["accepted"]
    assert detail["generator"]["processes"] == 2
    assert told["audit"]["ok"]


def test_a_breached_threshold_ends_with_99(zjops: Cli, tmp_path: Path) -> None:
    scenario = tmp_path / "mixed.toml"
    scenario.write_text(MIXED.format(by="sse", more='"final:p(50)<1"'))
    status, out, err = zjops("load", "run", str(scenario), "--out", str(tmp_path / "out"), "--no-audit")
    assert status == 99, err
    assert "breached: final:p(50)<1 (scenario)" in err
    assert "verdict" in out
    assert 'failures="1"' in (tmp_path / "out" / "junit.xml").read_text()


def test_a_search_leaves_its_steps_in_a_folder_of_its_own(zjops: Cli, tmp_path: Path) -> None:
    scenario = tmp_path / "climb.toml"
    scenario.write_text(SEARCH.format(threshold="errors<1%", rate=20, most=30))
    status, out, err = zjops("load", "run", str(scenario), "--json")
    told, folder = msgspec.json.decode(out), zjops.stage.home / "runs" / "latest"
    # On a machine that stalls, a step may not be trusted; then it goes down from there.
    assert status == (0 if told["knee_rps"] else 5), err
    assert told["limited_by"] in ("the search's own end", "the generator")
    known = msgspec.json.decode((folder / "knee.json").read_bytes())
    assert {name: known[name] for name in told} == told
    assert known["knee_rps"] == max((row["rate"] for row in known["rows"] if row["verdict"] == "pass"), default=None)
    steps = [f"step-{number}" for number in range(1, len(told["rows"]) + 1)]
    assert {file.name for file in folder.iterdir()} == {"knee.json", "knee.html", "scenario.json", *steps}
    assert {file.name for file in (folder / "step-1").iterdir()} == FILES
    page = (folder / "knee.html").read_text()
    assert "://" not in page
    assert 'href="step-1/report.html"' in page


def test_where_no_rate_holds_the_platform_the_search_ends_with_99(zjops: Cli, tmp_path: Path) -> None:
    scenario, out = tmp_path / "climb.toml", tmp_path / "out"
    scenario.write_text(SEARCH.format(threshold="final:p(50)<1", rate=1, most=1))
    status, _, err = zjops("load", "run", str(scenario), "--out", str(out), "--no-audit")
    assert "the knee: no rate held; what ends it is the platform" in err
    assert status == 99, err
    assert msgspec.json.decode((out / "knee.json").read_bytes())["knee_rps"] is None


def test_a_run_without_hope_is_ended_early(zjops: Cli, tmp_path: Path) -> None:
    """Nobody answers within a microsecond: of 20,000 planned for an hour no more than 1 may be slower."""
    scenario = tmp_path / "hopeless.toml"
    scenario.write_text('name = "hopeless"\ntext = "x"\nslos = []\nthresholds = ["max<0.001"]\n'
                        '[[phases]]\nname = "p"\nduration_s = 3600\nrate = 20\n')  # fmt: skip
    status, _, err = zjops("load", "run", str(scenario), "--out", str(tmp_path / "out"), "--no-audit")
    assert status in (5, 99), err
    assert "ended early: max<0.001 could not hold any more" in err


async def test_ctrl_c_ends_with_what_was_measured(zjops: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    env = {name: value for name, value in os.environ.items() if not name.startswith("ZJOPS_")}
    env |= {"ZJOPS_HOME": str(zjops.stage.home), "XDG_CONFIG_HOME": str(zjops.config)}
    argv = ["-m", "zjops", "load", "run", "soak", "--rate", "20", "--out", str(out), "--json"]
    pipe = asyncio.subprocess.PIPE
    running = await asyncio.create_subprocess_exec(sys.executable, *argv, stdout=pipe, stderr=pipe, env=env)
    await eventually(lambda: (out / "records.jsonl").exists() and b'"tick"' in (out / "records.jsonl").read_bytes(), 60)
    running.send_signal(signal.SIGINT)
    stdout, stderr = await asyncio.wait_for(running.communicate(), 60)
    assert running.returncode == 130, stderr
    assert b"Traceback" not in stderr
    assert msgspec.json.decode(stdout)["scenario"] == "soak"
    measured = Measured(scenario_of(out)).read(read(out / "records.jsonl"))
    assert measured.phase(0)["accepted"] > 0
    assert not measured.whole


def test_locust_runs_by_itself_and_distributed(zjops: Cli, tmp_path: Path) -> None:
    argv = [
        sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py"), "--headless",
        *several(2), "--scenario", "smoke", "--duration-s", "3", "--rate", "30", "--home", str(zjops.stage.home),
        "--json-file", str(tmp_path / "stats"),
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=100, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    stats = {row["name"]: row for row in msgspec.json.decode((tmp_path / "stats.json").read_bytes())}
    assert stats["/v1/jobs"]["num_requests"] > 5
    assert all(row["num_failures"] == 0 for row in stats.values())


class WebPage:
    """Locust with its web page, as somebody uses it who presses its buttons."""

    def __init__(self, home: Path, log: Path, *options: str) -> None:
        port = free_port()
        argv = [
            sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py"), "--web-host", "127.0.0.1",
            "--web-port", str(port), "--scenario", "smoke", "--duration-s", "2", "--rate", "40", "--home", str(home),
            "--parent", str(os.getpid()), *options,
        ]  # fmt: skip
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False)
        with log.open("wb") as out:
            self.process = subprocess.Popen(argv, stdout=out, stderr=out, cwd=ROOT, start_new_session=True)

    def press(self, button: str) -> None:
        asked = {"user_count": "1", "spawn_rate": "1"} if button == "swarm" else {}
        assert self.http.post(f"/{button}", data=asked).json()["success"]

    def seen(self) -> dict[str, Any]:
        with contextlib.suppress(httpx2.HTTPError):
            found: dict[str, Any] = self.http.get("/stats/requests").json()
            return found
        return {"state": "not there", "workers": [], "stats": []}

    def ready(self) -> int:
        """Processes that wait for a test."""
        return sum(worker["state"] == "ready" for worker in self.seen().get("workers", []))

    def sent(self) -> tuple[int, int]:
        """Requests of the test that is shown, and how many of them failed."""
        rows = [row for row in self.seen()["stats"] if row["name"] != "Aggregated"]
        return sum(row["num_requests"] for row in rows), sum(row["num_failures"] for row in rows)

    def close(self) -> None:
        self.http.close()
        self.process.terminate()
        try:
            self.process.wait(20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


@pytest.fixture(params=[0, 2], ids=["alone", "two processes"])
def web_page(zjops: Cli, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[WebPage]:
    processes = request.param
    made = WebPage(zjops.stage.home, tmp_path / "log", *(several(processes) if processes else []))
    try:
        yield made
    finally:
        made.close()


async def test_each_test_of_the_web_page_sends_its_load(web_page: WebPage, request: pytest.FixtureRequest) -> None:
    """A test, one that is stopped in its midst, and one right after that."""
    processes = request.node.callspec.params["web_page"]
    await eventually(lambda: web_page.seen()["state"] == "ready", 30)
    for stopped in (False, True, False):
        # Locust begins nothing while its workers are not ready, and does not try again.
        await eventually(lambda: web_page.ready() == processes, 30)
        web_page.press("swarm")
        await eventually(lambda: web_page.seen()["state"] == "running", 20)
        await eventually(lambda: web_page.sent()[0] > 0, 20)
        if stopped:
            web_page.press("stop")
        else:
            await eventually(lambda: web_page.seen()["state"] == "stopped", 30)
            # About seventy were due. Workers tell their last figures up to three seconds later.
            await eventually(lambda: web_page.sent()[0] > 40, 15)
            assert web_page.sent()[1] == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["run"], "Missing argument"), (["run", "brust"], "there is no scenario brust; there are burst"),
        (["run", "no.toml"], "no.toml cannot be read"), (["run", "smoke", "--duration", "5x"], "write it as 30s, 5m"),
        (["run", "smoke", "--rate", "0"], "--rate"), (["run", "smoke", "--workers", "0"], "--workers"),
        (["run", "smoke", "--arrivals", "uniform"], "--arrivals"),
        (["run", "throughput", "--rate", "5"], "has no rate"),
        (["compare", "a"], "Missing argument"), (["compare", "a", "b"], "there is no finished run a"),
        (["run", "smoke", "--context", "nowhere"], "there is no context nowhere"), (["dance"], "No such command"),
    ],
)  # fmt: skip
def test_wrong_usage_is_refused(zjops: Cli, arguments: list[str], why: str) -> None:
    status, out, err = zjops("load", *arguments)
    assert (status, out) == (2, "")
    assert why in err


def test_a_folder_that_holds_something_is_not_written_into(zjops: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    status, _, err = zjops("load", "run", "smoke", "--out", str(tmp_path))
    assert status == 2
    assert "is not empty" in err


def test_a_platform_that_is_not_there(zjops: Cli, tmp_path: Path) -> None:
    status, _, err = zjops("load", "run", "smoke", "--home", str(tmp_path))
    assert status == 3
    assert err.count("\n") == 1
    assert "start one with: zjops up" in err


def test_far_above_what_it_can_do_it_sheds_loses_nothing_and_is_healthy_again(zjops: Cli, tmp_path: Path) -> None:
    """A store that takes its time makes a rate far too high on any machine."""
    scenario = tmp_path / "flood.toml"
    scenario.write_text(FLOOD)
    zjops.stage.control.fault("api", "store.delay", 30.0, {"ms": 250})
    status, out, err = zjops("load", "run", str(scenario), "--out", str(tmp_path / "out"), "-q", "--json")
    zjops.stage.control.heal_all()
    told = msgspec.json.decode(out)
    assert status in (0, 5, 99), err
    assert told["shed"] > 0
    assert told["accepted"] > 0
    # Whoever is refused is told so by 503 and nothing else, and on the same connection goes on.
    (operation,) = msgspec.json.decode((tmp_path / "out" / "detail.json").read_bytes())["operations"]
    assert set(operation["statuses"]) <= {"202", "503", "0"}
    assert told["errors"] == told["dropped"] == 0
    assert told["audit"]["ok"]
    thresholds = msgspec.json.decode((tmp_path / "out" / "detail.json").read_bytes())["thresholds"]
    (healthy,) = [one for one in thresholds if one["threshold"].startswith("healthy")]
    assert healthy["value"] is not None
    # The page says what was broken meanwhile.
    assert ">store.delay at api</text>" in (tmp_path / "out" / "report.html").read_text()


def test_the_scenarios_are_listed_with_nothing_running(zjops: Cli) -> None:
    status, out, _ = zjops("load", "list", "-o", "json", local=False)
    assert status == 0
    assert {row["name"] for row in msgspec.json.decode(out)["rows"]} >= {"smoke", "burst", "sustained", "soak"}


def test_a_platform_that_dies_under_load_leaves_what_was_measured(tmp_path: Path) -> None:
    with running_platform(tmp_path) as stage:
        zjops, out, died = Cli(stage, tmp_path / "config"), tmp_path / "out", []

        def kill() -> None:
            records = out / "records.jsonl"
            while not (records.exists() and b'"tick"' in records.read_bytes()):
                stage.clock.pause(0.1)
            stage.platform.stop()
            died.append(True)

        killer = threading.Thread(target=kill)
        killer.start()
        scenario = tmp_path / "mixed.toml"
        scenario.write_text(MIXED.format(by="sse", more="").replace("duration_s = 3", "duration_s = 8")
                            .replace("final_within_s = 30", "final_within_s = 1"))  # fmt: skip
        status, stdout, err = zjops("load", "run", str(scenario), "--out", str(out), "--json")
        killer.join()
    assert died
    assert status in (5, 99), err
    told = msgspec.json.decode(stdout)
    assert told["accepted"] > 0
    assert told["errors"] + told["timeouts"] > 0
    assert told["audit"] is None
    assert "doubtful: the audit could not be made" in err
    assert {file.name for file in out.iterdir()} == FILES
