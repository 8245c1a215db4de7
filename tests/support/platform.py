"""A real platform for tests: its own folder and ports, real processes, ended by the fixture that started it."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from zjops.audit.findings import Report
from zjops.audit.run import audit
from zjops.client.admin import Admin
from zjops.client.chain import ChainReader
from zjops.client.control import Control
from zjops.client.history import History, read_history
from zjops.client.jobs import Jobs
from zjops.client.platform import Platform
from zjops.config import Context, local_context
from zjops.domain.clock import SystemClock
from zjops.domain.runfile import ClientEntry
from zjops.domain.wire import TenantCreate

QUICK = ("--set", "batch_max_age_s=0.5", "--set", "block_time_s=0.25", "--set", "prober=false")
"""Soon final, and with no jobs but a test's own."""
WORK: tuple[dict[str, Any], ...] = (
    {"jobType": "compute_heavy", "parameters": {"algorithm": "prime_sieve", "limit": 50_000}},
    {"jobType": "data_processing", "parameters": {"algorithm": "synthetic", "duration_ms": 20}},
    {
        "jobType": "ml_inference",
        "parameters": {"algorithm": "synthetic", "duration_ms": 5,
                       "failure": {"kind": "failed", "probability": 0.2}, "seed": 3},
    },
)  # fmt: skip


class Stage:
    """A running platform, what its clients were told, and its audit."""

    def __init__(self, home: Path, platform: Platform) -> None:
        self.home, self.platform, self.clock = home, platform, SystemClock()
        self.context: Context = local_context(home)
        self.history_file = home.parent / "history.jsonl"
        self.history = History(self.history_file)
        self.control = Control(self.context)
        admin = Admin(self.context)
        made = admin.add(
            TenantCreate(
                tenant_id="crowd", plan="enterprise",
                overrides={"requests_per_second": 5000, "active_jobs": 10_000, "compute_units": 1_000_000_000},
            )
        )  # fmt: skip
        admin.http.close()
        self.crowd = ClientEntry(
            tenant="crowd", plan="enterprise", client_id=made.client_id, client_secret=made.client_secret, scopes=[]
        )

    def close(self) -> None:
        """Let go of connections and files."""
        self.history.close()
        self.control.http.close()

    def jobs(self) -> Jobs:
        """A client of the crowd, with history."""
        return Jobs(self.context, self.crowd, self.history, timeout_s=10)

    def submit_many(self, count: int, threads: int = 4) -> list[threading.Thread]:
        """Begin to submit from several clients; join the threads to wait."""

        def work(share: int) -> None:
            client = self.jobs()
            for index in range(share):
                client.submit(WORK[index % len(WORK)])
            client.http.close()

        started = [threading.Thread(target=work, args=(count // threads,)) for _ in range(threads)]
        for thread in started:
            thread.start()
        return started

    def told(self) -> int:
        """How many submissions were answered so far."""
        return sum(1 for record in read_history(self.history_file) if getattr(record, "outcome", None) == "ok")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What the store holds, read beside the platform."""
        with closing(sqlite3.connect(self.home / "store.sqlite", timeout=10)) as connection:
            return connection.execute(sql).fetchall()

    def process(self, name: str) -> dict[str, Any]:
        """What the supervisor says of a process."""
        found: dict[str, Any] = next(p for p in self.control.status()["processes"] if p["name"] == name)
        return found

    def audit(self, wait_s: float = 60) -> Report:
        """The whole audit, every job ended and final."""
        admin, chain = Admin(self.context), ChainReader(self.context)
        with tempfile.TemporaryDirectory() as folder, closing(admin.http), closing(chain.http):
            target = Path(folder) / "export.jsonl"

            def take() -> Path:
                admin.export(target)
                return target

            return audit(
                list(read_history(self.history_file)), take, self.home / "log", chain,
                expect_settled=True, wait_s=wait_s, clock=self.clock,
            )  # fmt: skip


@contextlib.contextmanager
def running_platform(folder: Path, *options: str) -> Iterator[Stage]:
    """A started platform in a folder, stopped at the end whatever happens."""
    home = folder / "home"
    platform = Platform(home, [*QUICK, *options])
    try:
        platform.start()
        stage = Stage(home, platform)
        try:
            yield stage
        finally:
            stage.close()
    finally:
        platform.stop()
