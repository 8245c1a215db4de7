"""Child processes: started, watched, started again with back-off, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import IO

import psutil

from simulator.supervisor.spec import ChildSpec, Notice, Tell
from zjops.domain.clock import Clock
from zjops.domain.errors import UnreachableError
from zjops.domain.runfile import ProcessEntry

FIRST_DELAY_S, MOST_DELAY_S = 0.2, 5.0
HEALTHY_AFTER_S = 30.0
PROBE_EVERY_S = 0.05
READY_WITHIN_S = 60.0
FIRST_TRIES = 3
"""How often a process that has never been ready is started again."""
FRUGAL = {"MALLOC_ARENA_MAX": "2", "POLARS_MAX_THREADS": "2", "GOMEMLIMIT": "256MiB"}
"""Many processes share one machine: allocators and thread pools are told to be modest."""
ANSWERED = frozenset({"running", "unready"})
"""The states of a process that has been ready in this life."""
SPOKEN = frozenset({2, 3, 4})
"""Exit statuses by which a process says that starting it again will not help."""


class Child:
    """One supervised process: alive again after every end that nobody asked for."""

    def __init__(self, spec: ChildSpec, home: Path, clock: Clock, tell: Tell, changed: Callable[[], None]) -> None:
        self.spec, self._home, self._clock, self._tell, self._changed = spec, home, clock, tell, changed
        self.restarts = 0
        self.ready = False
        self.state = "stopped"
        self.started_at = 0.0
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._released = asyncio.Event()
        self._released.set()
        self._spawned = asyncio.Event()
        self._starting = asyncio.Lock()
        self._wanted = False
        self._ever_ready = False

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    def entry(self) -> ProcessEntry:
        """What the run file says of it."""
        return ProcessEntry(
            name=self.spec.name, pid=self.pid or 0, roles=list(self.spec.roles), port=self.spec.port,
            started_at=self.started_at, restarts=self.restarts,
        )  # fmt: skip

    async def start(self) -> None:
        """Start it and return when it is ready. Raises `UnreachableError` with its own last words."""
        self._wanted = True
        self._tell(Notice(event="starting", name=self.spec.name))
        await self._spawn()
        began = self._clock.monotonic()
        self._watcher = asyncio.create_task(self._watch(), name=f"watch {self.spec.name}")
        while not await self._probe():
            self._give_up_if_hopeless(began)
            await self._clock.sleep(PROBE_EVERY_S)
        self._tell(Notice(event="ready", name=self.spec.name, pid=self.pid))

    def _give_up_if_hopeless(self, began: float) -> None:
        if self.state == "failed" or self._clock.monotonic() - began > READY_WITHIN_S:
            raise UnreachableError(f"{self.spec.name} did not start: {self.last_words()}")

    async def _probe(self) -> bool:
        if self.pid is None or not await self.spec.ready():
            return False
        self.ready, self.state, self._ever_ready = True, "running", True
        self._changed()
        return True

    async def look(self) -> None:
        """See whether it is ready still: a process may live and yet answer no more. Once is no proof of that."""
        process = self._process
        if process is None or self.state not in ANSWERED:
            return
        answers = await self.spec.ready() or await self.spec.ready()
        # It may have ended, or begun another life, while it was asked.
        if process is self._process and process.returncode is None and self.state in ANSWERED:
            self.ready, self.state = answers, "running" if answers else "unready"

    @property
    def growing_logs(self) -> list[Path]:
        """The files that its output goes to, without one that it keeps to a size by itself."""
        said = [] if self.spec.keeps_log else [self._home / "log/app" / f"{self.spec.name}.jsonl"]
        return [*said, self._home / "process-logs" / f"{self.spec.name}.log"]

    def _log(self, folder: str, suffix: str) -> IO[bytes]:
        path = self._home / folder / f"{self.spec.name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "ab")

    def last_words(self) -> str:
        """The last error line of the process, or where its log is."""
        path = self._home / "process-logs" / f"{self.spec.name}.log"
        lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
        spoken = next((line for line in reversed(lines) if line.startswith("error: ")), None)
        return spoken.removeprefix("error: ") if spoken else f"see {path}"

    async def _spawn(self) -> None:
        listener = self.spec.listener
        handed = () if listener is None else (listener.fileno(),)
        with self._log("log/app", ".jsonl") as out, self._log("process-logs", ".log") as err:
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.argv, env=os.environ | FRUGAL, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=err,
                pass_fds=handed,
                start_new_session=True,
            )  # fmt: skip
        with contextlib.suppress(psutil.Error):
            self.started_at = psutil.Process(self._process.pid).create_time()
        self.state = "starting"
        begun, self._spawned = self._spawned, asyncio.Event()
        begun.set()
        self._changed()

    async def _watch(self) -> None:
        """See the end of each life, wait, begin the next."""
        delay_s = FIRST_DELAY_S
        while True:
            assert self._process is not None
            began = self._clock.monotonic()
            status = await self._process.wait()
            was_ready, self.ready = self.ready, False
            if not self._wanted:
                return
            if not was_ready and not self._ever_ready and (status in SPOKEN or self.restarts >= FIRST_TRIES):
                self.state = "failed"
                return
            self.state = "restarting"
            self._changed()
            delay_s = FIRST_DELAY_S if self._clock.monotonic() - began > HEALTHY_AFTER_S else delay_s
            await self._clock.sleep(delay_s)
            delay_s = min(delay_s * 2, MOST_DELAY_S)
            # Held again before this task had its turn, it is not released.
            while not self._released.is_set():
                await self._released.wait()
            self.restarts += 1
            self._tell(Notice(event="restarted", name=self.spec.name, restarts=self.restarts, exit=_reason(status)))
            async with self._starting:
                await self._spawn()
            self._restarted = asyncio.create_task(self._become_ready(), name=f"probe {self.spec.name}")

    async def _become_ready(self) -> None:
        while self._wanted and self.pid is not None and not await self._probe():
            await self._clock.sleep(PROBE_EVERY_S)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when it does not run."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def runs_as_another(self, former: int | None) -> int:
        """Wait until it runs, and not as that process; its process id."""
        while (pid := self.pid) is None or pid == former:
            await self._spawned.wait()
        return pid

    def hold(self) -> None:
        """Do not start it again until `release`."""
        self._released.clear()

    async def put_down(self, within_s: float) -> bool:
        """Kill and hold it, also one that is being started just then; whether no process of it is left by then."""
        self.hold()
        async with self._starting:
            self.signal(signal.SIGKILL)
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), within_s)
        return self.pid is None

    def release(self) -> None:
        """It may be started again."""
        self._released.set()

    async def stop(self) -> None:
        """End it: asked first, killed when it does not listen."""
        self._wanted = False
        watcher, self._watcher = self._watcher, None
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), self.spec.stop_within_s)
            except TimeoutError:
                self.signal(signal.SIGKILL)
                await self._process.wait()
            self._tell(Notice(event="stopped", name=self.spec.name))
        if watcher is not None:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
        self.state, self.ready = "stopped", False


def _reason(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"
