"""What was broken on purpose while a load ran, as the supervisor tells it: a chart that dips should say why."""

from __future__ import annotations

from typing import NamedTuple

from zjops.client.control import Control
from zjops.client.http import Http
from zjops.config import Context
from zjops.domain.clock import SystemClock
from zjops.domain.errors import Problem, UnreachableError

EVERY_S = 1.0
PATIENCE_S = 0.5
"""Whoever watches a load waits no longer for an answer about faults."""


class Broken(NamedTuple):
    """A fault, and between which looks it was there, Unix ms."""

    name: str
    from_ms: int
    to_ms: int


class FaultWatch:
    """Looks again and again, once a second at most; sees nothing where there is no supervisor, or it is silent."""

    def __init__(self, context: Context, clock: SystemClock, http: Http | None = None) -> None:
        url = context.control_url
        self._control = Control(context, http or Http(url, timeout_s=PATIENCE_S, tries=1)) if url else None
        self._clock, self._due = clock, 0.0
        self._seen: dict[str, Broken] = {}
        self._active: set[str] = set()

    def look(self) -> None:
        """Take in what is broken now."""
        if self._control is None or self._clock.monotonic() < self._due:
            return
        self._due = self._clock.monotonic() + EVERY_S
        try:
            active = self._control.faults()["active"]
        except (UnreachableError, Problem):
            return
        now_ms = self._clock.now_ms()
        for fault in active:
            self._seen.setdefault(fault["id"], Broken(f"{fault['fault']} at {fault['target']}", now_ms, now_ms))
        there = {fault["id"] for fault in active}
        for name in self._active | there:
            self._seen[name] = self._seen[name]._replace(to_ms=now_ms)
        self._active = there

    def faults(self) -> tuple[Broken, ...]:
        """What was seen, the first that began first."""
        return tuple(self._seen.values())

    def close(self) -> None:
        """Let go of the connection."""
        if self._control is not None:
            self._control.http.close()
