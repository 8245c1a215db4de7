"""A run as Locust sees it: who leads makes the tenants and says when it begins, every worker generates its share."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any

import gevent
import msgspec
from gevent.event import Event
from gevent.pywsgi import WSGIServer
from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner

from loadtests.generator import Generator
from loadtests.plan import Plan, decode, encode
from loadtests.webpage import show
from zjops.config import resolve
from zjops.domain.clock import SystemClock
from zjops.domain.errors import ZjopsError
from zjops.domain.ids import SystemIds
from zjops.domain.loopback import on_loopback
from zjops.domain.processors import beside, in_short_turns, keep_to, mine
from zjops.domain.webhooks import ZAMA_JOB
from zjops.load.records import SCHEMA, Head, Line, Tick, Webhook
from zjops.load.scenario import Scenario, changed, find
from zjops.load.tenants import make

GO, NEWS, ENDED, STOP = "zjops-go", "zjops-news", "zjops-ended", "zjops-stop"
BEGIN_IN_MS = 1_500
"""So long after everything is ready, for every process to get its tokens."""
LAST_WORDS_S = 3.0
RECORDS = "records.jsonl"


class Run:
    """One per process; the local and the leading one also write what all of them tell."""

    def __init__(self, environment: Any, pid: int) -> None:
        self.environment, self.runner = environment, environment.runner
        self._options, self._pid = environment.parsed_options, pid
        self._clock = SystemClock()
        self.generator: Generator | None = None
        self._going = Event()
        self._waiting: set[str] = set()
        self._drafted: Plan | None = None
        self._plan: Plan | None = None
        self._file: int | None = None
        self._hooks: list[Line] = []
        self._server: Any = None
        self._listen()

    def _listen(self) -> None:
        events, runner = self.environment.events, self.runner
        events.quitting.add_listener(lambda **_: self.stop())
        if isinstance(runner, WorkerRunner):
            runner.register_message(GO, lambda msg, **_: self._go(decode(msg.data["plan"]), msg.data["index"]))
            runner.register_message(STOP, lambda **_: self._leave())
            # On the web page there may be several tests, one after another: each begins with nothing of the last.
            events.test_start.add_listener(lambda **_: self._leave())
            events.test_stop.add_listener(lambda **_: self._leave())
            if self._options.parent:
                gevent.spawn(self._end_with, os.getppid())
            return
        events.test_start.add_listener(lambda **_: self._start())
        events.test_stop.add_listener(lambda **_: self._stopped())
        events.spawning_complete.add_listener(lambda **_: gevent.spawn(self._begin))
        if isinstance(runner, MasterRunner):
            runner.register_message(NEWS, self._heard)
            runner.register_message(ENDED, self._ended)
        if self._options.parent:
            gevent.spawn(self._end_with, self._options.parent)

    @functools.cached_property
    def scenario(self) -> Scenario:
        """What was asked for on the command line, or on the web page. Raises `UsageError`."""
        asked = self._options
        return changed(
            find(asked.scenario), duration_s=asked.duration_s or None, rate=asked.rate or None,
            arrivals=asked.arrivals or None,
        )  # fmt: skip

    @property
    def connections(self) -> int:
        """Of all processes together."""
        return self.scenario.connections * max(1, getattr(self.runner, "worker_count", 1))

    @property
    def over(self) -> bool:
        """Whether every process is through, or gone: what is missing then is missing in what was measured."""
        there = self._waiting
        if isinstance(self.runner, MasterRunner):
            there = there & {client.id for client in self.runner.clients.all if client.state != STATE_MISSING}
        return self._plan is not None and not there

    def _start(self) -> None:
        """A test begins; on the web page there may be several, one after another."""
        self._drafted = self._plan = None
        self.__dict__.pop("scenario", None)
        try:
            self._prepare()
        except ZjopsError as exc:
            print(f"error: {exc}", file=sys.stderr, flush=True)
            self.environment.process_exit_code = exc.exit_code
            gevent.spawn(self.runner.quit)

    def _prepare(self) -> None:
        asked, scenario = self._options, self.scenario
        context = resolve(asked.context or None, Path(asked.home) if asked.home else None)
        prefix = asked.tenant_prefix or f"load-{SystemIds(self._clock).token(4).hex()}"
        clients, made = make(context, scenario.tenants, prefix, more=int(scenario.flooded))
        hook = self._open_hook() if scenario.webhook_every else None
        self._drafted = Plan(
            scenario=scenario, seed=asked.load_seed, api_url=context.api_url, token_url=context.token_url,
            clients=clients, tenants=made, workers=1, began_ms=0, hook=hook, folder=asked.records or None,
        )  # fmt: skip
        if asked.records and self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._file = os.open(Path(asked.records) / RECORDS, flags, 0o600)

    def _begin(self) -> None:
        """All connections are there: say when the first arrival is due."""
        if self._drafted is None or self._plan is not None:
            return
        workers = list(self.runner.clients) if isinstance(self.runner, MasterRunner) else []
        plan = msgspec.structs.replace(
            self._drafted, workers=max(1, len(workers)), began_ms=self._clock.now_ms() + BEGIN_IN_MS
        )
        self._waiting = set(workers) or {"here"}
        self._plan = plan
        self._write([Head(schema=SCHEMA, began_ms=plan.began_ms, workers=plan.workers, tenants=plan.tenants)])
        for index, client in enumerate(workers):
            self.runner.send_message(GO, {"plan": encode(plan), "index": index}, client)
        if not workers:
            self._go(plan, 0)

    def _go(self, plan: Plan, index: int) -> None:
        # What measures must not be late by what runs beside it, nor be in the way of what is measured.
        in_short_turns()
        if on_loopback(plan.api_url):
            keep_to(beside(mine()), os.getpid())
        self.generator = Generator(plan, index, self._tell)
        self._going.set()
        gevent.spawn(self._generate, self.generator)

    def _generate(self, generator: Generator) -> None:
        try:
            generator.run()
        except SystemExit as exc:
            print(exc, file=sys.stderr, flush=True)
            self.environment.process_exit_code = 3
        finally:
            self._finished(generator)

    def _finished(self, generator: Generator) -> None:
        """One is through. What an older one was still about is no part of the test that runs now."""
        if generator is not self.generator:
            return
        if isinstance(self.runner, WorkerRunner):
            self.runner.send_message(ENDED, {"began_ms": generator.plan.began_ms})
        else:
            self._waiting.clear()

    def _ended(self, msg: Any, **_: Any) -> None:
        """A worker is through, if it is with this test and not with the last."""
        if self._plan is not None and msg.data["began_ms"] == self._plan.began_ms:
            self._waiting.discard(msg.node_id)

    def connection(self) -> None:
        """The work of one user."""
        self._going.wait()
        if self.generator is not None:
            self.generator.connection()

    def _tell(self, ticks: list[Tick], lines: bytes) -> None:
        show(self.environment.stats, ticks, self._clock.now_ms() // 1000)
        if isinstance(self.runner, WorkerRunner):
            self.runner.send_message(NEWS, {"lines": lines.decode()})
        else:
            self._append(lines)
            self._write_hooks()

    def _heard(self, msg: Any, **_: Any) -> None:
        self._append(msg.data["lines"].encode())
        self._write_hooks()

    def _append(self, data: bytes) -> None:
        if self._file is not None:
            os.write(self._file, data)

    def _write(self, lines: list[Line]) -> None:
        self._append(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))

    def _write_hooks(self) -> None:
        lines, self._hooks = self._hooks, []
        self._write(lines)

    def _open_hook(self) -> str:
        """A receiver of webhooks on loopback; it notes when each comes, and for which job."""
        if self._server is None:
            self._server = WSGIServer(("127.0.0.1", 0), self._hooked, log=None, error_log=None)
            self._server.start()
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    def _hooked(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        job_id = environ.get("HTTP_" + ZAMA_JOB.upper().replace("-", "_"))
        environ["wsgi.input"].read()
        if job_id:
            self._hooks.append(Webhook(job_id=job_id, at_ms=self._clock.now_ms()))
        start_response("204 No Content", [])
        return []

    def stop(self) -> None:
        """Stop early: have every process write its last lines. Safe when all is over."""
        if isinstance(self.runner, MasterRunner) and self._waiting:
            for client in list(self._waiting):
                self.runner.send_message(STOP, {}, client)
            with gevent.Timeout(LAST_WORDS_S, False):
                while self._waiting:
                    gevent.sleep(0.05)
        self._stop_generator()
        self._write_hooks()
        self._going.clear()

    def _stopped(self) -> None:
        """A test has ended; the next one begins with nothing of it."""
        self.stop()
        self._plan = self.generator = None
        self.__dict__.pop("scenario", None)

    def _stop_generator(self) -> None:
        if self.generator is not None:
            self.generator.end(whole=False)

    def _leave(self) -> None:
        """A worker's part is over, maybe before its end: last lines first. Users that come now wait for the next GO."""
        self._going.clear()
        self._stop_generator()
        if self.generator is not None:
            self._finished(self.generator)
            self.generator = None

    def _end_with(self, parent: int) -> None:
        """Whoever started us is gone, even by `kill -9`: so are we."""
        while os.getppid() == parent:
            gevent.sleep(1)
        self.stop()
        os._exit(130)
