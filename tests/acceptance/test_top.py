"""`zjops top` and `zjops record` on a real platform: in a real terminal, in a pipe, and over what was recorded."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.support.cli import Cli
from tests.support.nats import eventually, free_port
from tests.support.platform import WORK, Stage, running_platform
from tests.support.shown import breaches_at, shown
from tests.support.terminal import WITHIN_S, Terminal
from zjops.domain.clock import SystemClock
from zjops.domain.errors import ChainUnavailable
from zjops.feed.feed import Feed
from zjops.feed.jobdetail import verify_job
from zjops.feed.live import live_sources
from zjops.feed.messages import Pulse
from zjops.recording.reader import Recording
from zjops.recording.recorder import Recorder

COME_MS = 8_000
BY_CHANCE = ("workers failing", "job-success of ")
"""After so long everything that tells of an instant has come: the API's rollups wait as long as it is away."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with running_platform(tmp_path_factory.mktemp("top")) as stage:
        yield stage


@pytest.fixture
def zjops(stage: Stage, tmp_path: Path) -> Cli:
    return Cli(stage, tmp_path / "config")


def _submitted(stage: Stage, count: int) -> None:
    for thread in stage.submit_many(count, 2):
        thread.join()


def test_from_a_cold_start_to_a_job_and_through_an_outage(stage: Stage, tmp_path: Path) -> None:
    _submitted(stage, 20)
    terminal = Terminal({"ZJOPS_HOME": str(stage.home), "XDG_CONFIG_HOME": str(tmp_path)}, "top")
    try:
        terminal.until("LIVE")
        terminal.until(r"workers +[\d.]+ +\d+")
        terminal.press("2")
        terminal.until(r"[1-9]\d* jobs, newest first")
        terminal.until(r"job_\w{21} +crowd")
        terminal.press("\r")
        terminal.until(r"final +\+")
        terminal.press("v")
        terminal.until(r"verified: leaf \d+ of batch \d+ is under root 0x")
        terminal.press("6")
        terminal.until(r"relayer active")
        fault = stage.control.fault("api", "stop", lease_s=20)
        terminal.until(r"API stale for [^:]+: ")
        stage.control.heal(fault)
        terminal.until("events/s fresh")
        terminal.press("1")
        terminal.until("Pipeline")
    finally:
        code = terminal.close()
    assert code == 0
    newest = max((stage.home / "recordings").glob("*.zjrec"))
    recording = Recording(newest)
    recording.check()
    first, last = recording.span() or (0, 0)
    assert sum(second.submitted for second in recording.series(first // 1000, last // 1000)) >= 20
    assert recording.away_ms("API", first, last) > 0
    recording.close()


def test_hung_up_on_it_leaves_in_order(stage: Stage, tmp_path: Path) -> None:
    """As when a window is closed or a line breaks: the recording is one whole file."""
    terminal = Terminal({"ZJOPS_HOME": str(stage.home), "XDG_CONFIG_HOME": str(tmp_path)}, "top")
    terminal.until("LIVE")
    terminal.process.send_signal(signal.SIGHUP)
    assert terminal.close() == 130
    assert len(list((stage.home / "recordings").glob(f"*-{terminal.process.pid}.zjrec"))) == 1
    assert list((stage.home / "recordings").glob(f"*-{terminal.process.pid}.zjrec-*")) == []


def test_what_is_recorded_is_what_happened_and_plays_again(stage: Stage, zjops: Cli, tmp_path: Path) -> None:
    _submitted(stage, 30)
    stage.audit()
    file = tmp_path / "incident.zjrec"
    done = zjops.json("record", "--for", "3s", "--out", str(file))
    assert done["file"] == str(file)
    told = dict(stage.rows("SELECT 'jobs', count(*) FROM jobs"))["jobs"]
    recording = Recording(file)
    first, last = recording.span() or (0, 0)
    assert recording.count(last) == told
    sums = [sum(column) for column in zip(*(s[1:] for s in recording.series(first // 1000, last // 1000)), strict=True)]
    assert sum(sums) == done["events"]
    assert recording.states(last).get("pending", 0) == 0
    recording.close()

    status, out, err = zjops("top", "--plain", "--replay", str(file), "--speed", "1000", "--every", "100000")
    assert (status, err) == (0, "")
    (line,) = out.splitlines()
    assert re.search(r"jobs submitted [\d.]+/s, ended [\d.]+/s, \d+ failed, final [\d.]+/s", line)


def test_lines_for_a_pipe_end_with_ctrl_c_in_order(stage: Stage, tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("ZJOPS_")}
    env |= {"ZJOPS_HOME": str(stage.home), "XDG_CONFIG_HOME": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "zjops", "top", "--plain", "--every", "1"], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=env, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(2)]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, err) == (0, "")
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ; requests ", line) for line in lines), lines
    assert not any("\x1b" in line for line in lines)


class TestRefusals:
    """One clear line each."""

    def test_no_terminal(self, zjops: Cli) -> None:
        assert zjops("top") == (2, "", "error: this is no terminal; for a pipe: zjops top --plain\n")

    def test_a_recording_that_is_cut_off(self, stage: Stage, zjops: Cli, tmp_path: Path) -> None:
        file = tmp_path / "whole.zjrec"
        assert zjops("record", "--for", "1s", "--out", str(file), "-q")[0] == 0
        file.write_bytes(file.read_bytes()[:20_000])
        status, out, err = zjops("top", "--plain", "--replay", str(file))
        assert (status, out) == (2, "")
        assert "is cut off: 20,000 of " in err

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("top", "--plain", "--replay", "none.zjrec"), "recording none.zjrec cannot be read"),
            (("top", "--plain", "--at", "noon"), "--at is a moment such as 14:05"),
            (("top", "--plain", "--at", "2020-01-01T00:00:00Z"), "covers 2020-01-01T00:00:00.000Z"),
            (("top", "--plain", "--speed", "3"), "--speed goes with --replay FILE"),
            (("record", "--for", "a while"), "--for is a duration such as 90s"),
            (("record", "--out", "/dev/null"), "/dev/null exists"),
        ],
    )
    def test_of_what_cannot_be(self, zjops: Cli, arguments: tuple[str, ...], said: str) -> None:
        status, out, err = zjops(*arguments)
        assert (status, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1

    def test_no_platform(self, zjops: Cli, tmp_path: Path) -> None:
        status, _, err = zjops("top", "--plain", "--home", str(tmp_path / "nothing"))
        assert status == 3
        assert "start one with: zjops up" in err


def test_a_moment_that_was_recorded_is_shown(stage: Stage, zjops: Cli) -> None:
    """By its time alone: the recording that covers it is found."""
    assert zjops("record", "--for", "3s", "-q")[0] == 0
    newest = max((stage.home / "recordings").glob("*.zjrec"))
    recording = Recording(newest)
    began = recording.about()["began"]
    _, last = recording.span() or (0, 0)
    recording.close()
    status, out, err = zjops("top", "--plain", "--at", began, "--every", "1")
    assert (status, err) == (0, ""), json.dumps(err)
    assert out
    assert last > 0


def test_what_was_live_is_replayed_and_the_first_breach_is_the_outage(stage: Stage, tmp_path: Path) -> None:
    """Through the real broker, API, chain and logs: an instant once all of it has come, and again at the end."""
    path, seen = tmp_path / "outage.zjrec", dict[int, dict[str, object]]()
    clock, writer = SystemClock(), Recorder(tmp_path / "outage.zjrec", {"context": "local"})
    recording, away = Recording(path), list[str]()

    def heard(pulse: Pulse) -> None:
        away.extend(one.source for one in pulse.stale)
        # Every second: whoever is away is asked again after one, so that an outage holds one of them at least.
        at_ms = (pulse.at_ms - COME_MS) // 1_000 * 1_000
        if at_ms > began_ms:
            seen.setdefault(at_ms, shown(recording, at_ms, 60))

    async def main() -> None:
        feed = asyncio.create_task(Feed(live_sources(lambda: stage.context, clock), clock, heard, writer).run())
        await asyncio.to_thread(_submitted, stage, 60)
        await eventually(lambda: len(seen) >= 2, WITHIN_S)
        fault = await asyncio.to_thread(lambda: stage.control.fault("api", "stop", lease_s=60))
        await eventually(lambda: "API" in away, WITHIN_S)
        await asyncio.to_thread(stage.control.heal, fault)
        await asyncio.to_thread(_submitted, stage, 20)
        healed_ms = clock.now_ms()
        await eventually(lambda: max(seen) > healed_ms, WITHIN_S)
        feed.cancel()
        await asyncio.gather(feed, return_exceptions=True)

    began_ms = clock.now_ms()
    asyncio.run(main())
    for at_ms, told in seen.items():
        again = shown(recording, at_ms, 60)
        for view, value in told.items():
            assert again[view] == value, f"{view} at {at_ms}"
    assert len({told["count"] for told in seen.values()}) >= 2
    assert len({"API away" in str(told["overview"]) for told in seen.values()}) == 2, "before it and during it"
    # Jobs fail by chance, and a few of sixty may be more than the overview lets pass, or their budget.
    later = [one for one in breaches_at(recording) if one.at_ms > began_ms + 2_000]
    found = [one for one in later if not all(what.startswith(BY_CHANCE) for what in one.what)]
    assert found[0].what[0].startswith("API away: "), found
    recording.close()


def test_a_proof_that_does_not_hold_is_refused_and_a_chain_that_is_away_is_said(stage: Stage) -> None:
    client = stage.jobs()
    job = client.submit(WORK[1]).job.job_id
    for _ in client.follow([job], final=True, within_s=WITHIN_S):
        pass
    found = verify_job(stage.context, job)
    assert found.ok, found.words
    assert re.fullmatch(
        r"verified: leaf \d+ of batch \d+ is under root 0x\w+…\w+, in block \d+, \d+ confirmations, \d+ needed",
        found.words,
    )
    other = verify_job(msgspec.structs.replace(stage.context, chain_id=1), job)
    assert not other.ok
    assert other.words.startswith("REFUSED: chain: the node serves chain ")
    with pytest.raises(ChainUnavailable):
        verify_job(msgspec.structs.replace(stage.context, rpc_url=f"http://127.0.0.1:{free_port()}"), job)
    assert (
        verify_job(stage.context, "job_1111111111111111AAAAAA").words == "the platform does not know this job any more"
    )
    client.http.close()
