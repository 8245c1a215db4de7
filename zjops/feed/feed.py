"""The feed itself: sources put in what they hear, at every tick it is recorded and told in one small message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from zjops.domain.clock import Clock
from zjops.domain.errors import FileUnavailable
from zjops.feed.messages import RECORDING, Pulse, Stale
from zjops.recording.changes import Changes
from zjops.recording.rows import Outage

TICK_S = 0.25
"""How often something is told, at most."""
HELD_MOST = 200_000
"""Job events that wait for a disk that refuses; beyond that their numbers are kept, and the jobs only where they are
held to be shown."""
EASY, RARELY = 5_000, 20
"""More rows than so many that wait for the disk are offered to it in every so many ticks only: each time costs."""
Post = Callable[[Pulse], None]


class Writer(Protocol):
    """Where changes are kept."""

    def write(self, changes: Changes, now_ms: int) -> None:
        """Keep them. Raises `FileUnavailable`."""
        ...

    def hold(self, changes: Changes, now_ms: int) -> None:
        """Show them meanwhile: they were refused, and will be written with what comes later."""
        ...

    def close(self) -> None:
        """Finish."""
        ...


class Intake:
    """What sources put in: changes, and whether they answer."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.changes = clock, Changes()
        self.stale_by: dict[str, Stale] = {}
        self.moment_ms: int | None = None
        self.ahead_ms = 0
        """By how much the platform's clock is ahead of ours."""
        self.ended = False

    def now_ms(self) -> int:
        """The moment that counts as now: by the platform's clock, or a recording's own while one is played."""
        return self.clock.now_ms() + self.ahead_ms if self.moment_ms is None else self.moment_ms

    def stale(self, source: str, reason: str, since_ms: int | None = None) -> None:
        """A source does not answer; the newest reason counts, and the first moment."""
        known = self.stale_by.get(source)
        if known is not None and known.reason == reason:
            return
        since = known.since_ms if known else self.now_ms() if since_ms is None else since_ms
        self.stale_by[source] = Stale(source, reason, since)
        self.changes.outages.append((Outage(source, since, reason), None))

    def fresh(self, source: str) -> None:
        """A source answers."""
        known = self.stale_by.pop(source, None)
        if known is not None:
            self.changes.outages.append((Outage(source, known.since_ms, known.reason), self.now_ms()))

    def take(self) -> Changes:
        """Everything since the last time."""
        taken, self.changes = self.changes, Changes()
        return taken


class Source(Protocol):
    """Something that is listened to, until it is cancelled or at its end."""

    async def run(self, intake: Intake) -> None:
        """Put in what comes; what goes wrong is told to the intake and tried again."""
        ...


class Feed:
    """Runs sources, of a platform that runs or of a recording, and posts a `Pulse` a tick.

    A tick's events are put together, never left out of the counts. Writing happens in a thread of its own; while it
    takes longer than a tick, what comes meanwhile is put together into the next one.
    """

    def __init__(
        self, sources: Sequence[Source], clock: Clock, post: Post, writer: Writer | None = None, *,
        every_s: float = TICK_S,
    ) -> None:  # fmt: skip
        self._sources, self._clock, self._post, self._writer, self._every_s = sources, clock, post, writer, every_s
        self.intake = Intake(clock)
        self._unwritten: Changes | None = None
        self._refused: str | None = None
        self._ticks = 0
        self._writing: asyncio.Future[str | None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recording")

    async def run(self) -> None:
        """Until it is cancelled; what came last is written then. Raises what went wrong first."""
        try:
            async with asyncio.TaskGroup() as group:
                for source in self._sources:
                    group.create_task(source.run(self.intake))
                while True:
                    await self._clock.sleep(self._every_s)
                    await self.tick()
        except ExceptionGroup as several:
            # Whoever hears of it knows one error by its type, and none in a group.
            raise several.exceptions[0] from several
        finally:
            await self._finish()

    async def _finish(self) -> None:
        """Write what came last; a write that a cancelled tick has begun ends before, for both use one connection."""
        if self._writer is not None:
            if self._writing is not None:
                await asyncio.wait([self._writing])
            self._write(self.intake.take(), self.intake.now_ms(), last=True)
            self._writer.close()
        self._thread.shutdown()

    async def tick(self) -> None:
        """Record what came, then tell of it."""
        changes, now_ms = self.intake.take(), self.intake.now_ms()
        if self._writer is not None:
            loop = asyncio.get_running_loop()
            self._writing = loop.run_in_executor(self._thread, self._write, changes, now_ms)
            failed = await asyncio.shield(self._writing)
            if failed is None:
                self.intake.fresh(RECORDING)
            else:
                self.intake.stale(RECORDING, failed)
        self._post(self._pulse(changes, now_ms))

    def _pulse(self, changes: Changes, now_ms: int) -> Pulse:
        newest = changes.newest_ms
        return Pulse(
            # Where the platform's clock is ahead of ours, what it has just told of has happened all the same.
            at_ms=now_ms if newest is None else max(now_ms, newest),
            events=changes.counts(),
            requests=sum(sums[0] for sums in changes.requests.values()),
            bad=sum(sums[3] for sums in changes.requests.values()),
            late_ms=None if newest is None else now_ms - newest,
            stale=tuple(sorted(self.intake.stale_by.values(), key=lambda one: one.source)),
            ended=self.intake.ended,
            ahead_ms=self.intake.ahead_ms,
        )  # fmt: skip

    def _write(self, changes: Changes, now_ms: int, *, last: bool = False) -> str | None:
        """Why it could not be written, which is tried again later; until then it is held, so that it can be seen."""
        assert self._writer is not None
        waiting = self._with_unwritten(changes)
        # Of jobs whose events were let go, the newest that is held will be written: this belongs to it.
        cut = waiting.cut
        if cut:
            self._writer.hold(changes, now_ms)
        self._ticks += 1
        due = last or waiting.rows() <= EASY or self._ticks % RARELY == 0 or self._refused is None
        if due and self._offer(waiting, now_ms):
            return None
        if not (cut or last):
            self._writer.hold(changes, now_ms)
        waiting.condense(HELD_MOST)
        self._unwritten = waiting
        return self._refused

    def _with_unwritten(self, changes: Changes) -> Changes:
        return changes if self._unwritten is None else self._unwritten.with_more(changes)

    def _offer(self, waiting: Changes, now_ms: int) -> bool:
        """Whether it was taken."""
        assert self._writer is not None
        try:
            self._writer.write(waiting, now_ms)
        except FileUnavailable as exc:
            self._refused = str(exc)
            return False
        self._unwritten = self._refused = None
        return True
