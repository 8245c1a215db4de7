"""The supervisor itself: order of start, the run file, the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from simulator.chain.deployment import load_deployment
from simulator.config import Settings, load_settings
from simulator.faults.catalogue import Scope
from simulator.faults.proxy import TcpProxy
from simulator.faults.switchboard import forget_faults
from simulator.service import Service, Stack
from simulator.supervisor import ports, runs
from simulator.supervisor.anvil import anvil_binary, anvil_spec, check_home
from simulator.supervisor.asking import Ask, asking
from simulator.supervisor.broker import broker_spec
from simulator.supervisor.children import Child
from simulator.supervisor.control import Control
from simulator.supervisor.discovery import ProbeCounts, write_targets
from simulator.supervisor.faultkeepers import Keeper
from simulator.supervisor.faults import Faults, keepers
from simulator.supervisor.links import APART, links, through
from simulator.supervisor.logs import LogKeeper
from simulator.supervisor.placing import Placing
from simulator.supervisor.probelog import ProbeLog
from simulator.supervisor.prober import Prober
from simulator.supervisor.readiness import http_ready
from simulator.supervisor.spec import ChildSpec, Notice, Tell, role_argv
from simulator.supervisor.traffic import Traffic
from simulator.supervisor.worlds import World, bring
from simulator.web import WebServer
from zjops.domain.clock import Clock
from zjops.domain.errors import StoreUnavailable
from zjops.domain.ids import Ids
from zjops.domain.processors import mine
from zjops.domain.requests import Rollup
from zjops.domain.runfile import RunFile, write_run_file

API_PORT, RPC_PORT, NATS_PORT, CONTROL_PORT, HEALTH_PORT = 8080, 8545, 4222, 8090, 8091
BACKEND = ("settlement", "relayer", "meter", "worker")
TOGETHER: dict[str, tuple[str, ...]] = {"backend": BACKEND}
SPREAD: dict[str, tuple[str, ...]] = {role: (role,) for role in ("outbox", *BACKEND)}
"""Which processes host the roles behind the API: one for all of them, or one for each."""


@dataclass(frozen=True)
class Options:
    """How `up` was asked."""

    home: Path
    workers: int = 1
    apis: int = 1
    api_port: int | None = None
    settings: dict[str, str] | None = None
    spread: bool = False
    world: World | None = None
    traffic: float | None = None


class Supervisor:
    """Runs one platform in one folder until it is told to stop."""

    def __init__(self, options: Options, clock: Clock, ids: Ids, tell: Tell) -> None:
        self._options, self._home, self._clock, self._ids, self._tell = options, options.home, clock, ids, tell
        self._children: dict[str, Child] = {}
        self._proxies: dict[str, TcpProxy] = {}
        self._keepers: dict[Scope, Keeper] = {}
        self._faults = Faults(self._keepers, clock, ids, tell)
        self._listeners: dict[str, socket.socket] = {}
        self._run: RunFile | None = None
        self._state = "starting"
        self._asked_to_end = asyncio.Event()
        self._control: WebServer | None = None
        self._keeper: Service | None = None
        self._callers: Service | None = None
        self._placing: Service | None = None
        self._probes = ProbeCounts()

    async def run(self) -> None:
        """Start everything, wait for the end, stop everything. Raises `ZjopsError` when it cannot start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._asked_to_end.set)
        with runs.lock_home(self._home):
            try:
                await self._start_or_leave()
                await self._asked_to_end.wait()
            except OSError as exc:
                raise StoreUnavailable(
                    f"folder {self._home}: {exc.strerror or exc}; free some space or rights"
                ) from exc
            finally:
                await self._stop()

    async def _start_or_leave(self) -> None:
        """Start; a request to end in the meantime ends the start too."""
        start = asyncio.create_task(self._start())
        end = asyncio.create_task(self._asked_to_end.wait())
        await asyncio.wait({start, end}, return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        if not start.done():
            start.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await start
            return
        await start

    async def _start(self) -> None:
        settings = self._settings()
        self._prepare(settings)
        assert self._run is not None
        specs = self._specs(self._run, settings)
        for spec in specs:
            self._children[spec.name] = Child(spec, self._home, self._clock, self._tell, self._save)
        self._save()
        await self._break_nothing()
        await self._keep_logs(settings)
        control = Control(
            self._children, self._faults, self._run.control_token, lambda: self._state, self._end,
            self._probes.metrics_text,
        )  # fmt: skip
        self._control = WebServer(control.app, self._listeners["control"])
        await self._control.start()
        await bring(self._home, self._options.world, self._clock, self._tell)
        began = self._clock.monotonic()
        # The broker is there in a moment; the others load their code while the chain comes up.
        await self._children["broker"].start()
        await _all(self._children[spec.name].start() for spec in specs if spec.name != "broker")
        self._state = "ready"
        self._save()
        if settings.api_apart:
            # Not before: while all of them load their code, none has a processor to spare.
            self._placing = Placing(self._children, self._clock)
            await self._placing.start()
        await self._call(settings)
        self._tell(Notice(event="up", seconds=round(self._clock.monotonic() - began, 2)))

    async def _break_nothing(self) -> None:
        """What a killed supervisor had broken is whole again; from now on things can be broken anew."""
        assert self._run is not None
        forget_faults(self._home)
        self._keepers |= keepers(self._children, self._proxies, self._home, self._run, self._clock)
        for proxy in self._proxies.values():
            await proxy.start()

    async def _keep_logs(self, settings: Settings) -> None:
        """Keep what processes say to a size, this one's own words among it."""
        paths = [path for child in self._children.values() for path in child.growing_logs]
        self._keeper = LogKeeper(
            [*paths, self._home / "process-logs" / "supervisor.log"], self._clock, self._tell,
            most_bytes=settings.log_bytes, keep=settings.logs_kept,
        )  # fmt: skip
        await self._keeper.start()

    async def _call(self, settings: Settings) -> None:
        """Ask the API from outside from now on, unless it takes no tokens of ours."""
        assert self._run is not None
        callers: list[Service] = []
        ask = asking(int(self._run.api_url.rpartition(":")[2]))
        if settings.external_issuer:
            if self._options.traffic:
                self._tell(Notice(event="note", message="no traffic: its tokens would have to come from elsewhere"))
            return
        if settings.prober:
            callers += self._probing(settings, ask)
        if self._options.traffic:
            callers.append(Traffic(self._run, ask, self._clock, self._ids, self._tell, rate=self._options.traffic))
        self._callers = Stack(*callers)
        await self._callers.start()

    def _probing(self, settings: Settings, ask: Ask) -> list[Service]:
        """The prober, and the log and the counts of what it sees."""
        assert self._run is not None
        log = ProbeLog(self._home / "log", self._tell)

        def note(row: Rollup) -> None:
            log.note(row)
            self._probes.note(row)

        prober = Prober(
            self._run, ask, self._clock, self._ids, note, read_s=settings.prober_read_s, job_s=settings.prober_job_s
        )
        return [log, prober]

    def _end(self) -> None:
        self._asked_to_end.set()

    def _settings(self) -> Settings:
        """What this home is set to, with what was asked now; kept for the roles to read."""
        asked: dict[str, Any] = dict(self._options.settings or {})
        chosen = load_settings(self._home, None, **asked)
        # What cannot be is refused before it is remembered.
        check_home(self._home, chosen.chain)
        if chosen.chain == "anvil":
            anvil_binary(chosen.anvil_binary)
        path = self._home / "settings.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(chosen), indent=2))
        return chosen

    def _prepare(self, settings: Settings) -> None:
        """Ports, secrets, and whatever a killed supervisor left."""
        former = runs.former_run(self._home)
        if former is not None and (ended := runs.end_leftovers(former)):
            self._tell(Notice(event="note", message=f"ended {ended} processes of a killed supervisor"))
        asked = self._options.api_port
        # What clients are told stands on the usual port: the API, or the proxy before it.
        front, behind = ("front", {"api": API_PORT + APART}) if settings.proxies else ("api", {})
        names = {front: asked or API_PORT, **behind, "chain": RPC_PORT, "control": CONTROL_PORT}
        names |= dict.fromkeys(self._hosts(), HEALTH_PORT)
        for name, preferred in names.items():
            self._listeners[name] = ports.listen(preferred, exactly=name == front and asked is not None)
        # Away from where another platform that starts at this moment looks: its API has another port already.
        at_api = ports.port_of(self._listeners["api"])
        nats = NATS_PORT + max(0, at_api - API_PORT) % 1_000
        self._at = runs.Addresses(
            api=at_api, control=ports.port_of(self._listeners["control"]),
            nats=ports.free(nats), rpc=ports.port_of(self._listeners["chain"]),
        )  # fmt: skip
        self._run = runs.new_run(
            self._home, former, self._at, settings.chain_id, settings.final_by.text, self._clock, self._ids,
            prober=settings.prober, traffic=self._options.traffic is not None,
        )  # fmt: skip
        if settings.proxies:
            self._proxies |= links(self._at, self._listeners["front"], self._clock)
            self._run = through(self._run, self._proxies)

    def _specs(self, run: RunFile, settings: Settings) -> list[ChildSpec]:
        specs = [broker_spec(self._home, run, self._at.nats), self._chain(run, settings)]
        for number in range(1, self._options.apis + 1):
            name = "api" if number == 1 else f"api-{number}"
            roles = ("api",) if self._options.spread else ("api", "outbox")
            specs.append(self._role(name, roles, self._listeners["api"]))
        return specs + [self._role(name, roles, self._listeners[name]) for name, roles in self._hosts().items()]

    def _chain(self, run: RunFile, settings: Settings) -> ChildSpec:
        """The node: the devnet on the listener that is held for it, or anvil, which must open its port by itself."""
        if settings.chain == "devnet":
            return self._role("chain", ("chain",), self._listeners["chain"])
        self._listeners.pop("chain").close()
        return anvil_spec(self._home, settings, self._at.rpc)

    def _hosts(self) -> dict[str, tuple[str, ...]]:
        """The processes behind the API and their roles."""
        more: dict[str, tuple[str, ...]] = {f"worker-{n}": ("worker",) for n in range(2, self._options.workers + 1)}
        return (SPREAD if self._options.spread else TOGETHER) | more

    def _role(self, name: str, roles: tuple[str, ...], listener: socket.socket) -> ChildSpec:
        port = ports.port_of(listener)
        where = ("--processors", ",".join(map(str, sorted(mine()))))
        argv = role_argv(name, roles, self._home, os.getpid(), "--fd", str(listener.fileno()), *where)
        return ChildSpec(name, roles, argv, partial(http_ready, port), port, listener, keeps_log=True)

    def _save(self) -> None:
        """Write down what is known now; readers never see half of it."""
        assert self._run is not None
        deployment = load_deployment(self._home)
        changes: dict[str, Any] = {"state": self._state, "processes": [c.entry() for c in self._children.values()]}
        if deployment is not None:
            changes |= {"contract": deployment.contract, "code_hash": deployment.code_hash}
        self._run = msgspec.structs.replace(self._run, **changes)
        write_run_file(self._home, self._run)
        write_targets(self._home, self._run.processes, int(self._run.control_url.rpartition(":")[2]))

    async def _stop(self) -> None:
        """Heal, then stop in reverse order of start; the folder stays."""
        self._state = "stopping"
        if self._callers is not None:
            await self._callers.stop()
        if self._placing is not None:
            await self._placing.stop()
        await self._faults.stop()
        for child in reversed(self._children.values()):
            await child.stop()
        for proxy in self._proxies.values():
            await proxy.stop()
        if self._control is not None:
            await self._control.stop()
        if self._keeper is not None:
            await self._keeper.stop()
        for listener in self._listeners.values():
            listener.close()
        if self._run is not None:
            self._state = "stopped"
            with contextlib.suppress(OSError):
                self._save()
        self._tell(Notice(event="down"))


async def _all(starts: Any) -> None:
    """Run starts at once; the first that fails ends the others."""
    async with asyncio.TaskGroup() as group:
        for start in starts:
            group.create_task(start)
