"""`make bench`, fourth part: what `zjops top` costs, and how soon it draws and answers a key.

Real parts: NATS with the platform's streams, a process that publishes events as the relay does, `zjops top` in a
terminal. The API is away on purpose: all that it adds is three requests a second. Memory is that of the terminal over
recordings of 100,000 and of 1,000,000 jobs, going from one end of the list to the other.
"""

from __future__ import annotations

import argparse
import asyncio
import compileall
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import psutil
from nats.aio.client import Client
from nats.js import api

import zjops
from tests.support.nats import PASSWORD, USER, NatsServer, free_port
from tests.support.terminal import Terminal
from zjops.domain.events import STREAMS, EventType, JobEvent, envelope
from zjops.recording.changes import Changes
from zjops.recording.recorder import Recorder

PAINT_MS, KEY_P99_MS = 700, 100
SHARES = {1_000: 0.15, 5_000: 0.40}
FLAT = 0.10
PART_S = 0.05
SETTLE_S = 5.0
KEYS = 100
PRESSED, PRESS_EVERY_S = "2jjG1gb[[]L4567}{82ptL3-1", 0.1
LEAVE_S = 5.0
HOPS = (
    ("submitted", "pending"), ("processing", "processing"), ("completed", "completed"), ("confirmed", "confirmed")
)  # fmt: skip


def _event(number: int, status: str, at_ms: int) -> JobEvent:
    return JobEvent(
        tenant=f"tenant-{number % 50}", plan="pro", job_id=f"job_{number:021d}", job_type="ml_inference", status=status,
        accepted_at=at_ms, payload_bytes=200, compute_units=100, attempt=1, batch_id=number // 1_000,
        tx_hash="0x" + "ab" * 32, block_number=number // 1_000,
    )  # fmt: skip


def publish(url: str, per_s: int, seconds: float, done: Event) -> None:
    """Publish events evenly, in a process of its own."""
    asyncio.run(_publish(url, per_s, seconds))
    done.set()


async def _publish(url: str, per_s: int, seconds: float) -> None:
    client = Client()
    await client.connect(url, user=USER, password=PASSWORD)
    js, begun, sent = client.jetstream(publish_async_max_pending=100_000), time.monotonic(), 0
    while (passed := time.monotonic() - begun) < seconds:
        for number in range(sent, int(passed * per_s)):
            kind, status = HOPS[number % 4]
            now_ms = time.time_ns() // 1_000_000
            data = envelope(
                f"{number}", "t", EventType(kind).cloud_type, "job", now_ms, _event(number // 4, status, now_ms), None
            )
            await js.publish_async(EventType(kind).subject, data)
            sent += 1
        await asyncio.sleep(PART_S)
    await client.close()


async def _streams(url: str) -> None:
    client = Client()
    await client.connect(url, user=USER, password=PASSWORD)
    for spec in STREAMS:
        await client.jetstream().add_stream(api.StreamConfig(name=spec.name, subjects=list(spec.subjects)))
    await client.close()


def _context(folder: Path, url: str) -> dict[str, str]:
    """The environment of a context that has a broker and whose API is away."""
    target = folder / "zjops" / "contexts.json"
    target.parent.mkdir()
    address = f"http://127.0.0.1:{free_port()}"
    entry = {
        "api_url": address, "token_url": address, "issuer": "i", "nats_url": url, "nats_user": USER,
        "nats_password": PASSWORD,
        "operator": {"tenant": "o", "plan": "enterprise", "client_id": "c", "client_secret": "s", "scopes": []},
    }  # fmt: skip
    target.write_text(json.dumps({"contexts": {"bench": entry}}))
    target.chmod(0o600)
    return {"XDG_CONFIG_HOME": str(folder), "ZJOPS_HOME": str(folder / "home"), "ZJOPS_CONTEXT": "bench"}


def _paint_ms(env: dict[str, str]) -> float:
    """From the start of the process to the first drawing, the median of five; compiled, as `make` installs it."""
    compileall.compile_dir(Path(zjops.__file__).parent, quiet=1)
    taken = []
    for _ in range(5):
        begun = time.monotonic()
        terminal = Terminal(env, "top")
        terminal.until("Pipeline")
        taken.append((time.monotonic() - begun) * 1000)
        terminal.close()
    return statistics.median(taken)


def _under_load(env: dict[str, str], url: str, per_s: int, seconds: float) -> tuple[float, float]:
    """The share of a core over the time, and the 99th percentile from a key to what it draws, in ms."""
    done = multiprocessing.Event()
    feeder = multiprocessing.Process(target=publish, args=(url, per_s, seconds + 2 * SETTLE_S + 30, done))
    feeder.start()
    terminal = Terminal(env, "top")
    try:
        terminal.until("LIVE")
        terminal.forget(SETTLE_S)
        process = psutil.Process(terminal.process.pid)
        before, begun = process.cpu_times(), time.monotonic()
        terminal.forget(seconds)
        after, passed = process.cpu_times(), time.monotonic() - begun
        share = (after.user + after.system - before.user - before.system) / passed
        turns = [("p", "FROZEN"), ("L", "LIVE")] * (KEYS // 2)
        answers = sorted(_key_ms(terminal, key, drawn) for key, drawn in turns)
    finally:
        terminal.close()
        feeder.terminate()
        feeder.join()
    return share, answers[int(len(answers) * 0.99) - 1]


def _leave_s(env: dict[str, str], url: str, per_s: int, seconds: float) -> float:
    """From `q` to the end of the process, in s, after so long under load with keys pressed all through."""
    done = multiprocessing.Event()
    feeder = multiprocessing.Process(target=publish, args=(url, per_s, seconds + 2 * SETTLE_S + 30, done))
    feeder.start()
    terminal = Terminal(env, "top")
    try:
        terminal.until("LIVE")
        end, pressed = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            terminal.press(PRESSED[pressed % len(PRESSED)])
            pressed += 1
            terminal.forget(PRESS_EVERY_S)
        begun = time.monotonic()
    finally:
        code = terminal.close()
        feeder.terminate()
        feeder.join()
    if code:
        raise SystemExit(f"zjops top ended with {code}")
    return time.monotonic() - begun


def _key_ms(terminal: Terminal, key: str, drawn: str) -> float:
    """From a key to what only this key draws."""
    terminal.drawn, begun = "", time.monotonic()
    terminal.press(key)
    terminal.until(drawn)
    return (time.monotonic() - begun) * 1000


def record_jobs(path: Path, jobs: int) -> None:
    """A recording of so many jobs that have all ended."""
    recorder, begun = Recorder(path, {"context": "bench"}), 1_795_680_000_000
    for first in range(0, jobs, 10_000):
        changes = Changes()
        for number in range(first, min(jobs, first + 10_000)):
            changes.event("confirmed", begun + number, _event(number, "confirmed", begun + number), None)
        recorder.write(changes, begun + first)
    recorder.close()


def _memory(env: dict[str, str], path: Path) -> int:
    """Proportional bytes of the terminal once it has been at both ends of the list, and filtered it."""
    terminal = Terminal(env, "top", "--replay", str(path), "--speed", "1000")
    try:
        terminal.until("Pipeline")
        terminal.press("2")
        terminal.until(r"\d jobs, newest first")
        for keys, drawn in (("G", r"tenant-0 "), ("g", r"tenant-49 "), ("/units>5\r", r"units>5"), ("G", r"tenant-0 ")):
            terminal.press(keys)
            terminal.until(drawn)
        terminal.forget(2)
        return int(psutil.Process(terminal.process.pid).memory_full_info().pss)
    finally:
        terminal.close()


def _judge(name: str, value: float, bar: float, show: Callable[[float], str]) -> bool:
    good = value <= bar
    print(f"{name:<48} {show(value):>10}   bar {show(bar):>8}   {'ok' if good else 'MISSED'}", flush=True)
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--pressed", type=float, default=60, help="Seconds of keys under the highest load.")
    parser.add_argument("--jobs", type=int, default=1_000_000)
    asked = parser.parse_args()
    good = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = NatsServer(folder)
        server.start()
        try:
            asyncio.run(_streams(server.url))
            env = _context(folder, server.url)
            good.append(_judge("start to first paint", _paint_ms(env), PAINT_MS, lambda ms: f"{ms:.0f} ms"))
            for per_s, bar in SHARES.items():
                share, key = _under_load(env, server.url, per_s, asked.seconds)
                good.append(_judge(f"core at {per_s:,} events/s", share, bar, lambda part: f"{part:.1%}"))
                good.append(
                    _judge(f"key to repaint, p99, at {per_s:,} events/s", key, KEY_P99_MS, lambda ms: f"{ms:.0f} ms")
                )
            left = _leave_s(env, server.url, max(SHARES), asked.pressed)
            name = f"q to the end, {asked.pressed:.0f} s of keys at {max(SHARES):,} events/s"
            good.append(_judge(name, left, LEAVE_S, lambda s: f"{s:.1f} s"))
        finally:
            server.stop()
        few, many = folder / "few.zjrec", folder / "many.zjrec"
        record_jobs(few, asked.jobs // 10)
        record_jobs(many, asked.jobs)
        small, large = _memory(env, few), _memory(env, many)
        name = f"memory of {asked.jobs:,} jobs over a tenth of them ({small / 1e6:.0f} MB)"
        good.append(_judge(name, large / small, 1 + FLAT, lambda ratio: f"{ratio:.2f}"))
    if not all(good):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
