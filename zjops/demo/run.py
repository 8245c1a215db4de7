"""Runs the story on a fresh platform and ends with the table of its checks."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from zjops.client.platform import Platform
from zjops.demo.memory import PeakMemory
from zjops.demo.story import Story
from zjops.demo.talk import Talk
from zjops.demo.world import World
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UsageError

SCHEMA = "zjops.demo/1"
OPTIONS = ("--set", "batch_max_age_s=1", "--set", "prober=false")
"""Soon on chain, and with no jobs but the story's own, which its audit counts."""
Say = Callable[[str], None]
Watch = Callable[[Path, Story], None]
"""Shows the platform of a folder until somebody has had enough, and begins the story once there is something to see."""


def run(*, as_json: bool, keep: bool, step: bool, out: Path | None, watch: Watch | None = None) -> bool:
    """Play the demo; whether every check held. With `watch` it is played beside that, which then has the screen."""
    talk = Talk(SystemClock(), quiet=as_json)
    folder = Path(tempfile.mkdtemp(prefix="zjops-demo-"))
    home, evidence = folder / "home", out or folder / "evidence"
    try:
        evidence.mkdir(parents=True, exist_ok=True)
        if (evidence / "history.jsonl").exists():
            raise UsageError(f"{evidence} holds a former demo; name an empty folder")
    except OSError as exc:
        raise UsageError(f"{evidence} cannot be written ({exc.strerror})") from exc
    platform = Platform(home, OPTIONS)
    memory = PeakMemory()
    memory.start()
    world = World(home, evidence, talk.say)
    kept = False
    try:
        # What it says must not go to a screen that is somebody else's, nor end with us.
        _start(world, platform, home / "process-logs" / "supervisor.log" if keep or watch else None)
        if watch is None:
            Story(world).play(_wait_for_enter if step else lambda: None)
        else:
            _play_beside(watch, Story(world), talk)
        kept = keep
    finally:
        world.close()
        if not kept:
            platform.stop()
        memory.stop()
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
    return _finish(world, memory, talk.say, as_json, kept, out)


def _start(world: World, platform: Platform, log: Path | None) -> None:
    world.say("Starting a broker, a chain, an API and a backend, all on this machine")
    seconds = platform.start(log=log)
    world.check("the platform is up", True, f"{seconds:.1f} s, in {world.home}")


def _play_beside(watch: Watch, story: Story, talk: Talk) -> None:
    with talk.to_logs(story.world.home):
        watch(story.world.home, story)
    if not story.ended:
        talk.say("The terminal is closed, and the demo goes on")
    story.finish()


def _wait_for_enter() -> None:
    print("\n[Enter goes on]", end="", file=sys.stderr, flush=True)
    with contextlib.suppress(EOFError):
        input()


def _finish(world: World, memory: PeakMemory, say: Say, as_json: bool, kept: bool, out: Path | None) -> bool:
    passed, total = sum(check.ok for check in world.checks), len(world.checks)
    summary: dict[str, Any] = {
        "schema": SCHEMA, "ok": passed == total, "checks_passed": passed, "checks_total": total,
        "first_confirmation_s": _rounded(world.first_confirmation_s), "duration_s": _rounded(world.duration_s),
        "peak_pss_mb": round(memory.peak / 1e6), "audit": world.audit,
    }  # fmt: skip
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(summary), indent=2).decode())
    else:
        _table(world, summary, say)
    if out is not None:
        _page(world, summary, out)
        say(f"history, proof, invoice and audit are in {out}")
    if kept:
        _invite(world, say)
    return passed == total


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _table(world: World, summary: dict[str, Any], say: Say) -> None:
    width = max(len(check.name) for check in world.checks)
    say("\n" + "─" * (width + 30))
    for check in world.checks:
        say(f"{'✓ held  ' if check.ok else '✗ BROKEN'}  {check.name:<{width}}  {check.detail}")
    say("─" * (width + 30))
    say(
        f"{summary['checks_passed']} of {summary['checks_total']} checks held in {summary['duration_s']} s; first "
        f"confirmation after {summary['first_confirmation_s']} s; peak memory {summary['peak_pss_mb']} MB"
    )


def _page(world: World, summary: dict[str, Any], out: Path) -> None:
    """The evidence as one page of Markdown beside the raw files."""
    lines = ["# Demo", "", "| check | held | detail |", "|---|---|---|"]
    lines += [f"| {c.name} | {'yes' if c.ok else '**no**'} | {c.detail} |" for c in world.checks]
    lines += ["", "# Audit", "", "| member | value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in summary["audit"].items()]
    (out / "report.md").write_text("\n".join(lines) + "\n")
    (out / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary)))


def _invite(world: World, say: Say) -> None:
    say(f"\nThe platform stays up in {world.home}. Try:")
    say(f"  zjops tenants list --home {world.home}")
    say(f"  zjops jobs submit --home {world.home} --type compute_heavy "
        "--parameters '{\"algorithm\":\"prime_sieve\",\"limit\":5000000}' --wait")  # fmt: skip
    say(f"  zjops down --home {world.home}")
