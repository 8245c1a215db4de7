"""Looking on from outside while an experiment runs: what the control API and the operators' door say."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import msgspec

from zjops.client.admin import BASE, Admin
from zjops.client.control import Control
from zjops.client.http import Http
from zjops.client.oauth import ClientCredentials
from zjops.config import Context
from zjops.domain.clock import SystemClock
from zjops.domain.errors import Problem, UnreachableError
from zjops.domain.wire_admin import PlatformState

EVERY_S = 0.25
WITHIN_S = 1.0


class Sample(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was seen at a moment (Unix ms): faults that hold, processes that do not answer, and what is on its way.

    `answered` is whether the operators' door did; without it nothing is known of the queues.
    """

    at_ms: int
    faults: tuple[str, ...] = ()
    away: tuple[str, ...] = ()
    answered: bool = False
    active_jobs: int = 0
    unpublished: int = 0
    oldest_unpublished_ms: int = 0
    open_batches: int = 0


def _name(fault: dict[str, Any]) -> str:
    return f"{fault['fault']} at {fault['target']}"


def _quiet(text: str) -> None:
    """Nobody is told of warnings: what cannot be read is not answered."""


class Watch:
    """Samples in a thread of its own, from `start` to `stop`; both are safe twice."""

    def __init__(self, context: Context, clock: SystemClock) -> None:
        assert context.control_url is not None
        self._clock = clock
        self._control, self._faults = (
            Control(context, Http(context.control_url, timeout_s=5, tries=1, notify=_quiet)) for _ in range(2)
        )
        auth = ClientCredentials(context.token_url, context.operations())
        self._admin = Admin(context, Http(context.api_url, auth=auth, timeout_s=WITHIN_S, tries=1, notify=_quiet))
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name="watch", daemon=True),
            threading.Thread(target=self._ask, name="watch the queues", daemon=True),
            threading.Thread(target=self._count, name="watch the faults", daemon=True),
        ]
        self._state: PlatformState | None = None
        self._started = False
        self._struck: dict[str, tuple[str, int]] = {}
        """By the fault's id, its name and how often it had struck when it was last seen."""
        self.samples: list[Sample] = []

    def start(self) -> None:
        """Begin."""
        if not self._started:
            self._started = True
            for thread in self._threads:
                thread.start()

    def stop(self) -> None:
        """End, when the last answer has come."""
        if self._started and not self._ended.is_set():
            self._ended.set()
            for thread in self._threads:
                thread.join()
            self._control.http.close()
            self._faults.http.close()
            self._admin.http.close()

    @property
    def struck(self) -> dict[str, int]:
        """How often faults have struck, of those that count it."""
        found: Counter[str] = Counter()
        for name, times in self._struck.values():
            found[name] += times
        return dict(found)

    def _run(self) -> None:
        while not self._ended.wait(EVERY_S):
            sample = self._look()
            if sample is not None:
                self.samples.append(sample)

    def _ask(self) -> None:
        """Ask for the queues beside the other thread: a door that hangs must not hide what the supervisor says."""
        while not self._ended.wait(EVERY_S):
            try:
                self._state = self._admin.http.get(f"{BASE}/platform", PlatformState)
            except (UnreachableError, Problem):
                self._state = None

    def _count(self) -> None:
        """Ask for the faults alone as well: for the rest every process is looked at, which may last longer than one."""
        while not self._ended.wait(EVERY_S):
            try:
                active = self._faults.faults()["active"]
            except (UnreachableError, Problem):
                continue
            told = {fault["id"]: (_name(fault), fault.get("struck")) for fault in active}
            self._struck |= {key: (name, times) for key, (name, times) in told.items() if times is not None}

    def _look(self) -> Sample | None:
        try:
            told: dict[str, Any] = self._control.status()
        except (UnreachableError, Problem):
            return None
        state = self._state
        seen = {} if state is None else {
            "active_jobs": state.active_jobs, "unpublished": state.unpublished, "open_batches": state.open_batches,
            "oldest_unpublished_ms": state.oldest_unpublished_ms or 0,
        }  # fmt: skip
        return Sample(
            self._clock.now_ms(), tuple(map(_name, told["faults"])),
            tuple(process["name"] for process in told["processes"] if not process["ready"]), state is not None, **seen,
        )  # fmt: skip
