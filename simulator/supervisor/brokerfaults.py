"""Faults of the broker that need its own program or its own files: a stream that is full, a tail that is lost."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from simulator.faults.catalogue import Kind
from simulator.supervisor.children import Child
from simulator.supervisor.faultkeepers import Fault, Repeating, release
from zjops.domain.clock import Clock
from zjops.domain.errors import Problem
from zjops.domain.events import EVENTS
from zjops.domain.runfile import RunFile

ASK_WITHIN_S = 5.0
GONE_WITHIN_S = 5.0
UNLIMITED = -1
AGAIN_S = 0.5
LIMIT = "limit of the stream"


class BrokerKeeper:
    """The event stream at its limit, or without its newest bytes."""

    def __init__(self, child: Child, home: Path, run: RunFile, clock: Clock) -> None:
        self._child, self._home, self._run, self._clock = child, home, run, clock
        self._repeating = Repeating(clock)

    def targets(self, kind: Kind) -> list[str]:
        return [self._child.spec.name]

    async def begin(self, fault: Fault) -> None:
        acts: Mapping[str, Callable[[Fault], Awaitable[None]]] = {
            "broker.full": self._fill, "broker.cut_tail": self._cut,
        }  # fmt: skip
        await acts[fault.fault](fault)

    async def end(self, fault: Fault, others: list[Fault]) -> None:
        if fault.fault == "broker.cut_tail":
            release(self._child, fault.target, others)
        elif all(other.fault != "broker.full" for other in others) and not await self._unlimited():
            # A broker that is down keeps the limit: it is taken away as soon as it is back.
            self._repeating.run(LIMIT, self._until_unlimited())

    async def _fill(self, fault: Fault) -> None:
        """The stream's own limit becomes what it holds, and what is new is refused and not what is old forgotten."""
        await self._repeating.end(LIMIT)
        await self._limit(full=True)

    async def _unlimited(self) -> bool:
        """Take the limit away; whether the broker was there to do it."""
        try:
            await self._limit(full=False)
        except Problem:
            return False
        return True

    async def _until_unlimited(self) -> None:
        while not await self._unlimited():
            await self._clock.sleep(AGAIN_S)

    async def _limit(self, *, full: bool) -> None:
        # Loaded only here: a supervisor that breaks nothing needs no client of the broker.
        import nats
        from nats.errors import Error
        from nats.js import api

        async def quiet(exc: Exception) -> None:
            """The error comes out of the call itself."""

        try:
            client = await nats.connect(
                self._run.nats_url, user=self._run.nats_user, password=self._run.nats_password, error_cb=quiet,
                allow_reconnect=False, max_reconnect_attempts=1, connect_timeout=2,
            )  # fmt: skip
            try:
                js = client.jetstream(timeout=ASK_WITHIN_S)
                info = await js.stream_info(EVENTS)
                most = max(1, info.state.bytes) if full else UNLIMITED
                discard = api.DiscardPolicy.NEW if full else api.DiscardPolicy.OLD
                await js.update_stream(replace(info.config, max_bytes=most, discard=discard))
            finally:
                await client.close()
        except (OSError, TimeoutError, Error, nats.errors.NoServersError) as exc:
            raise Problem("unavailable", f"The broker does not answer: {exc}") from exc

    async def _cut(self, fault: Fault) -> None:
        if not await self._child.put_down(GONE_WITHIN_S):
            raise Problem(
                "conflict", f"The broker did not end in {GONE_WITHIN_S:.0f} s; its files are left as they are."
            )
        files = sorted(self._home.glob(f"broker/jetstream/*/streams/{EVENTS}/msgs/*.blk"), key=_number)
        if not files:
            raise Problem("conflict", "The event stream has no file yet.")
        newest = files[-1]
        os.truncate(newest, max(0, newest.stat().st_size - int(fault.params["bytes"])))


def _number(path: Path) -> Any:
    return int(path.stem) if path.stem.isdigit() else -1
