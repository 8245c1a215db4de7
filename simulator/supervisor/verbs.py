"""What `python -m simulator` can be asked, apart from hosting a role."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil

from simulator.supervisor.spec import Notice
from simulator.supervisor.supervisor import Options, Supervisor
from simulator.supervisor.traffic import rate_of
from simulator.supervisor.worlds import world_of
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UnreachableError, UsageError, ZjopsError
from zjops.domain.ids import SystemIds
from zjops.domain.runfile import RunFile, read_run_file

GONE_WITHIN_S = 60.0


def tell(notice: Notice) -> None:
    """Say it as a JSON line; nobody listening any more is no reason to stop."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write(msgspec.json.encode(notice) + b"\n")
        sys.stdout.buffer.flush()


def tell_error(error: ZjopsError) -> None:
    """Say why it ends."""
    tell(Notice(event="error", message=str(error), exit_code=error.exit_code))


def up(home: Path, args: argparse.Namespace, settings: dict[str, str]) -> int:
    """Run the platform until it is told to stop."""
    asyncio.run(_supervise(_options(home, args, settings), SystemClock()))
    return 0


def _options(home: Path, args: argparse.Namespace, settings: dict[str, str]) -> Options:
    """What was asked for. Raises `UsageError`."""
    if not (1 <= args.workers <= 64 and 1 <= args.apis <= 64):
        raise UsageError("--workers and --apis go from 1 to 64")
    if args.api_port is not None and not 1 <= args.api_port <= 65535:
        raise UsageError("--api-port goes from 1 to 65535")
    return Options(
        home, args.workers, args.apis, args.api_port, settings, args.spread,
        world_of(args.world, args.world_tenants, args.world_seed),
        None if args.traffic is None else rate_of(args.traffic),
    )  # fmt: skip


async def _supervise(options: Options, clock: SystemClock) -> None:
    try:
        await Supervisor(options, clock, SystemIds(clock), tell).run()
    except* ZjopsError as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


def devnet(home: Path, settings: dict[str, str], parent: int | None) -> int:
    """Run the development chain alone until it is told to stop."""
    from simulator.process_death import die_with_parent
    from simulator.supervisor.devnet import serve

    if parent is not None:
        die_with_parent(parent)
    home.mkdir(parents=True, exist_ok=True)
    asyncio.run(serve(home, settings, tell))
    return 0


def alive(run: RunFile) -> psutil.Process | None:
    """The supervisor of a run while it lives; a recycled pid is not mistaken for it."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(run.supervisor_pid)
        if abs(process.create_time() - run.supervisor_started_at) < 1.0:
            return process
    return None


def _down(home: Path, args: argparse.Namespace) -> int:
    supervisor = alive(read_run_file(home))
    if supervisor is None:
        raise UnreachableError(f"no platform runs in {home}; start one with: zjops up")
    os.kill(supervisor.pid, signal.SIGTERM)
    try:
        supervisor.wait(GONE_WITHIN_S)
    except psutil.TimeoutExpired as exc:
        raise UnreachableError(f"the supervisor {supervisor.pid} does not end; see {home}/process-logs") from exc
    tell(Notice(event="down"))
    return 0


def _status(home: Path, args: argparse.Namespace) -> int:
    run = read_run_file(home)
    state = run.state if alive(run) else "dead" if run.state != "stopped" else "stopped"
    line = {"schema": "zjops.status/1", "state": state, "home": run.home, "api_url": run.api_url,
            "rpc_url": run.rpc_url, "nats_url": run.nats_url, "processes": run.processes}  # fmt: skip
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    return 0 if state == "ready" else UnreachableError.exit_code


def _export(home: Path, args: argparse.Namespace) -> int:
    from simulator.environment import export_home

    with contextlib.ExitStack() as stack:
        try:
            out = stack.enter_context(args.output.open("wb")) if args.output else sys.stdout.buffer
        except OSError as exc:
            raise UsageError(f"{args.output} cannot be written ({exc.strerror})") from exc
        asyncio.run(export_home(home, out))
    return 0


VERBS: dict[str, Callable[[Path, argparse.Namespace], int]] = {"down": _down, "status": _status, "export": _export}
