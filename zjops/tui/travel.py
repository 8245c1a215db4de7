"""Going through time in the terminal: by steps, to a moment that was typed, to the first breach."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from zjops.domain.errors import UsageError
from zjops.tui import breaches
from zjops.tui.moment import TimeMachine

if TYPE_CHECKING:
    from zjops.tui.app import TopApp

Moments = Callable[[str, int, str], int]
"""A moment that somebody typed, with what counts as now and what to call it. Raises `UsageError`."""


class Travel:
    """Moves the time machine; `arrived` is called once all panels stand at another instant."""

    def __init__(self, app: TopApp, machine: TimeMachine, moments: Moments, arrived: Callable[[], None]) -> None:
        self._app, self._machine, self._moments, self._arrived = app, machine, moments, arrived
        self._breach_ms: int | None = None

    def freeze(self) -> None:
        """Stand still, or go on."""
        self._machine.freeze()
        self._arrived()

    def live(self) -> None:
        """Follow what is new."""
        self._machine.live()
        self._arrived()

    def widen(self, by: int) -> None:
        """Another window."""
        self._machine.widen(by)
        self._arrived()

    def step(self, by: int) -> None:
        """Back or forth, not before what was recorded. Raises `UsageError` for a damaged recording."""
        span = self._app.station.recording.span()
        self._machine.step(by, None if span is None else span[0])
        self._arrived()

    def to(self, text: str) -> None:
        """To a moment that was typed: back from now, or a time of day, the last that there is. Raises `UsageError`."""
        machine = self._machine
        machine.go(self._moments(text, machine.now_ms if text.startswith("-") else machine.last_ms, "at"))
        self._arrived()

    def to_breach(self) -> None:
        """To the first moment at which something began to be wrong; from there to the next one."""
        self._app.say("looking for the first breach …")
        self._app.run_worker(self._seek(), group="breach", exclusive=True)

    async def _seek(self) -> None:
        instant, recording = self._machine.instant, self._app.station.recording
        standing = instant.at_ms == self._breach_ms and not instant.live
        try:
            choice, words = await asyncio.to_thread(
                breaches.seek, recording, instant, self._machine.last_ms, standing
            )  # fmt: skip
        except UsageError as exc:
            self._app.say(str(exc))
            return
        if choice.breach is not None:
            self._breach_ms = choice.breach.at_ms
            self._machine.go(self._breach_ms)
            self._arrived()
        self._app.say(words)
