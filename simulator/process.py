"""One role process: reads the run file, composes its roles, serves its health, ends on a signal or on a broken loop."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from simulator.config import Settings, load_settings
from simulator.processor import Elsewhere, go_last
from simulator.rotation import RotatingLog
from simulator.service import OFTEN, Service, Stack, settle_memory
from simulator.store.sharing import Sharing
from simulator.telemetry import Telemetry
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UnreachableError, UsageError, ZjopsError
from zjops.domain.runfile import RunFile, read_run_file

AT_ONCE = frozenset({"api", "outbox"})
"""Roles that somebody waits for. All others yield the processor to them: work can wait, an answer cannot."""
YIELDS = 10
STANDS_S = 0.01
"""The API's loop does nothing else for so long while it waits for the store's lock."""
QUICK_S = 0.005
"""Commits of the others happen in their loops while the disk takes no longer: the lock is held meanwhile."""
CRASHED = 70
"""The exit status of a process one of whose loops broke (EX_SOFTWARE)."""


def sharing_of(roles: Sequence[str], settings: Settings, processors: frozenset[int]) -> Sharing:
    """How a process of these roles shares the store, on these processors of the whole platform.

    The API is waited for: its commits fold no log, and it makes room for whoever holds the store's lock.
    """
    if "api" in roles:
        return Sharing(stands_s=STANDS_S, folds=True)
    hurry: AbstractContextManager[None] = Elsewhere(processors) if settings.api_apart else nullcontext()
    return Sharing(hurry, quick_s=QUICK_S)


class RoleProcess:
    """Hosts roles until told to stop; its exit status says why it ended."""

    def __init__(
        self, name: str, roles: Sequence[str], home: Path, listener: socket.socket, processors: frozenset[int]
    ) -> None:
        """`processors` are those of the whole platform, of which this process may be kept to some."""
        self._name, self._roles, self._home, self._listener = name, tuple(roles), home, listener
        self._settings, self._processors = load_settings(home), processors
        log = RotatingLog(
            home / "log/app" / f"{name}.jsonl", self._settings.log_bytes, self._settings.logs_kept
        )  # fmt: skip
        self._telemetry = Telemetry(name, SystemClock(), log, process=True)
        self._ended = asyncio.Event()
        self._status = 0

    async def run(self) -> int:
        """Serve; returns the exit status."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._broken)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        run = read_run_file(self._home)
        services = await self._compose(run, self._settings)
        try:
            await services.start()
            settle_memory(OFTEN)
            self._telemetry.log("info", "ready", roles=list(self._roles))
            await self._ended.wait()
        finally:
            await services.stop()
        return self._status

    def _broken(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A loop that ended by an error takes the process down: a half-dead role would look alive."""
        error = context.get("exception")
        self._telemetry.log("critical", context.get("message", "broken"), reason=repr(error))
        if isinstance(context.get("task"), asyncio.Task) and isinstance(error, Exception):
            self._status = CRASHED
            self._ended.set()

    async def _compose(self, run: RunFile, settings: Settings) -> Service:
        from simulator import environment
        from simulator.web import WebServer, health_app

        if "chain" in self._roles:
            node = environment.devnet(self._home, settings)
            return Stack(node, WebServer(node.app, self._listener))

        faults, watch = environment.faults_of(self._home, self._name, self._telemetry)
        platform = await environment.local(
            self._home, run, self._roles, settings, self._telemetry, faults,
            sharing_of(self._roles, settings, self._processors),
        )  # fmt: skip
        extra = [platform.sampler()] if "settlement" in self._roles else []
        if "api" not in self._roles:
            health = health_app(self._telemetry, platform.readiness, platform.behind)
            return Stack(watch, platform, *extra, WebServer(health, self._listener))
        return Stack(watch, _Interface(platform, run, self._listener, self._home))


class _Interface:
    """The API on its platform; the application is made once the store is open."""

    def __init__(self, platform: Any, run: RunFile, listener: socket.socket, home: Path) -> None:
        self._platform, self._run, self._listener, self._home = platform, run, listener, home
        self._server: Service | None = None

    async def start(self) -> None:
        from simulator.environment import seed_clients
        from simulator.web import WebServer

        await self._platform.start()
        ports = self._platform.ports
        await ports.store.transact(seed_clients(self._run, ports.ids, ports.clock.now_ms()))
        processes = sum("api" in entry.roles for entry in self._run.processes) or 1
        interface = await self._platform.api(self._run.api_url, processes=processes, chain=self._chain)
        self._server = Stack(
            interface, WebServer(interface.app, self._listener, websockets=True, refusal=interface.door.refusal)
        )
        await self._server.start()

    def _chain(self) -> Any:
        from simulator.chain.deployment import load_deployment

        identity = load_deployment(self._home)
        if identity is None:
            raise UnreachableError("the contract is not deployed yet")
        return identity

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop()
        await self._platform.stop()


def run_roles(
    name: str, roles: Sequence[str], home: Path, *, fd: int | None, processors: frozenset[int] = frozenset()
) -> int:
    """Run a role process to its end; an error of ours is one line on the error stream, and the exit status."""
    import uvloop

    if not AT_ONCE & set(roles):
        go_last(YIELDS)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            if fd is None:
                raise UsageError("a role needs the listening socket that its supervisor hands down (--fd)")
            with socket.socket(fileno=fd) as listener:
                return runner.run(RoleProcess(name, roles, home, listener, processors).run())
    except ZjopsError as exc:
        print(f"error: {exc}", file=sys.stderr, flush=True)
        return exc.exit_code
