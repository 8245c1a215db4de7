"""What the acts play on: the platform's folder, its clients, the history, and the checks that have been made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from zjops.client.admin import Admin
from zjops.client.control import Control
from zjops.client.history import History
from zjops.client.jobs import Jobs
from zjops.config import Context, local_context
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UnreachableError
from zjops.domain.runfile import ClientEntry

PATIENCE_S = 45.0
LOOK_EVERY_S = 0.2


class Check(NamedTuple):
    """Something that had to hold."""

    name: str
    ok: bool
    detail: str


class World:
    """Shared by all acts."""

    def __init__(self, home: Path, evidence: Path, say: Callable[[str], None]) -> None:
        self.home, self.evidence, self.say = home, evidence, say
        self.clock = SystemClock()
        self.began = self.clock.monotonic()
        self.history_file = evidence / "history.jsonl"
        self.history = History(self.history_file)
        self.checks: list[Check] = []
        self.tenants: dict[str, Jobs] = {}
        self.accepted: dict[str, list[str]] = {}
        self.first_confirmation_s: float | None = None
        self.duration_s: float | None = None
        self.audit: dict[str, Any] = {}
        self._context: Context | None = None
        self._control: Control | None = None

    @property
    def context(self) -> Context:
        """The platform, once it is up."""
        if self._context is None:
            self._context = local_context(self.home)
        return self._context

    def admin(self) -> Admin:
        """The operators' door."""
        return Admin(self.context)

    def control(self) -> Control:
        """The supervisor."""
        if self._control is None:
            self._control = Control(self.context)
        return self._control

    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return self.clock.monotonic() - self.began

    def check(self, name: str, ok: bool, detail: str) -> bool:
        """Write a check down and say how it went."""
        self.checks.append(Check(name, ok, detail))
        self.say(f"  {'✓' if ok else '✗'} {name}: {detail}")
        return ok

    def open(self, client: ClientEntry) -> None:
        """Play a tenant from now on."""
        self.tenants[client.tenant] = Jobs(self.context, client, self.history)
        self.accepted[client.tenant] = []

    def submit(self, tenant: str, body: dict[str, Any], key: str | None = None) -> str:
        """Submit a job and remember it."""
        job = self.tenants[tenant].submit(body, key)
        if job.job.job_id not in self.accepted[tenant]:
            self.accepted[tenant].append(job.job.job_id)
        return job.job.job_id

    def until(self, what: str, holds: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
        """Look until something holds. Raises `UnreachableError` when it does not in time."""
        deadline = self.clock.monotonic() + within_s
        while not holds():
            if self.clock.monotonic() >= deadline:
                raise UnreachableError(f"{what}: not within {within_s:g} s")
            self.clock.pause(LOOK_EVERY_S)

    def keep(self, name: str, value: Any) -> None:
        """Put something to the evidence, as JSON."""
        (self.evidence / name).write_bytes(msgspec.json.format(msgspec.json.encode(value)))

    def close(self) -> None:
        """Let go of connections and files."""
        for jobs in self.tenants.values():
            jobs.http.close()
        if self._control is not None:
            self._control.http.close()
        self.history.close()
