"""Reading the platform and its chain again and again, each in its own time and in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from zjops.client.admin import BASE, PAGE, Admin
from zjops.client.control import Control
from zjops.client.http import Http, decode
from zjops.client.oauth import ClientCredentials
from zjops.client.rpc import Rpc
from zjops.config import Context
from zjops.domain.clock import Clock
from zjops.domain.errors import Problem, UnreachableError, UsageError
from zjops.domain.wire_admin import PlatformState
from zjops.domain.wire_chain import BatchPage, BatchView
from zjops.feed.feed import Intake
from zjops.feed.messages import API, CHAIN
from zjops.feed.readings import CHAIN_HEAD, PLATFORM, PROCESSES, RELAYER, TENANTS, ChainHead, ProcessSeen
from zjops.feed.skew import ahead_ms

WITHIN_S = 3.0
"""A platform that hangs for longer is away."""
BATCHES = 50
OPEN_STATES, FINAL = ("closed", "sent", "mined"), "final"
UNREADABLE = (msgspec.MsgspecError, LookupError, TypeError, ValueError)
"""What comes of an answer of another version, or of none that a platform would give."""


class Read(NamedTuple):
    """One question: its kind in the recording, the answer, or the batches that it tells of."""

    kind: str
    body: Any
    batches: BatchPage | None = None


CLOCK = "clock"
"""The kind of the answer to how far the platform's clock is ahead, in ms; it goes into no recording."""


def _quiet(text: str) -> None:
    """Warnings of the API have no place on a screen that is drawn."""


def connect(url: str, **options: Any) -> Http:
    """A client that gives up at once: whoever polls asks again anyway."""
    return Http(url, timeout_s=WITHIN_S, tries=1, notify=_quiet, **options)


def admin_of(context: Context) -> Admin:
    """The operators' door, asked once and not waited for."""
    return Admin(
        context, connect(context.api_url, auth=ClientCredentials(context.token_url, context.operations()))
    )  # fmt: skip


@dataclass
class Poll:
    """A source that is read every so often; a client is made anew, from a context asked for anew, after a failure."""

    name: str
    every_s: float
    context: Callable[[], Context]
    clock: Clock
    open: Callable[[Context], Any]
    ask: Callable[[Any], Sequence[Read]]

    async def run(self, intake: Intake) -> None:
        """Until it is cancelled."""
        client: Any = None
        try:
            while True:
                try:
                    if client is None:
                        client = await asyncio.to_thread(lambda: self.open(self.context()))
                    for read in await asyncio.to_thread(self.ask, client):
                        _put(read, intake)
                    intake.fresh(self.name)
                except (UnreachableError, UsageError, Problem) as exc:
                    intake.stale(self.name, _why(exc))
                    _close(client)
                    client = None
                except UNREADABLE as exc:
                    intake.stale(self.name, f"an answer cannot be read ({exc!r:.200})")
                await self.clock.sleep(self.every_s)
        finally:
            _close(client)


def _put(read: Read, intake: Intake) -> None:
    if read.kind == CLOCK:
        intake.ahead_ms = read.body
    elif read.batches is None:
        intake.changes.reading(read.kind, intake.now_ms(), read.body)
    else:
        for batch in read.batches.batches:
            intake.changes.batch(batch, intake.now_ms())


def _close(client: Any) -> None:
    if client is not None:
        client.http.close()


def _why(exc: Exception) -> str:
    return str(getattr(exc, "why", "") or exc)


class _Batches:
    """The newest batches, every one that is open, and every one that was when they were read last: what became of it
    would else be missed once it is not among the newest any more."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def read(self, admin: Admin, open_batches: int) -> BatchPage:
        """All of them; `open_batches` is how many the platform counts."""
        found = {one.batch_id: one for one in admin.batches(limit=BATCHES).batches}
        if open_batches > sum(one.state != FINAL for one in found.values()):
            for state in OPEN_STATES:
                found |= {one.batch_id: one for one in _all_in(admin, state)}
        missing = self._open - found.keys()
        while missing:
            newest = max(missing)
            size = min(PAGE, newest - min(missing) + 1)
            part = {one.batch_id: one for one in admin.batches(limit=size, before=newest + 1).batches}
            found |= {number: one for number, one in part.items() if number in missing}
            # One that is not there any more belongs to a platform that was before this one.
            missing = {number for number in missing - part.keys() if part and number < min(part)}
        self._open = {number for number, one in found.items() if one.state != FINAL}
        return BatchPage(batches=list(found.values()), next=None)


def _all_in(admin: Admin, state: str) -> Iterator[BatchView]:
    before: int | None = None
    while True:
        page = admin.batches(state=state, limit=PAGE, before=before)
        yield from page.batches
        if page.next is None:
            return
        before = page.next


class _Questions:
    """What is asked of the operators' door: state and relayer always, batches every other time, tenants every tenth."""

    def __init__(self, clock: Clock) -> None:
        self._times, self._clock, self._ahead_ms = 0, clock, 0
        self._batches = _Batches()

    def __call__(self, admin: Admin) -> list[Read]:
        found = self._platform(admin)
        # The schedule of versions and the loop's lag differ with every answer and are shown nowhere.
        steady = msgspec.structs.replace(found, versions=[], loop_lag_seconds=0.0)
        reads = [Read(CLOCK, self._ahead_ms), Read(PLATFORM, steady), Read(RELAYER, admin.relayer())]
        if self._times % 2 == 0:
            reads.append(Read("batches", None, self._batches.read(admin, found.open_batches)))
        if self._times % 10 == 0:
            reads.append(Read(TENANTS, admin.tenants()))
        self._times += 1
        return reads

    def _platform(self, admin: Admin) -> PlatformState:
        """The state, and from the same answer whose clock is ahead."""
        sent_ms = self._clock.now_ms()
        answer = admin.http.request("GET", f"{BASE}/platform")
        self._ahead_ms = ahead_ms(answer.headers.get("date"), sent_ms, self._clock.now_ms(), self._ahead_ms)
        found: PlatformState = decode(answer.content, PlatformState)
        return found


def api_poll(context: Callable[[], Context], clock: Clock) -> Poll:
    """The platform as its operators see it, every second."""
    return Poll(API, 1.0, context, clock, admin_of, _Questions(clock))


def chain_poll(context: Callable[[], Context], clock: Clock) -> Poll:
    """The newest block, every second."""

    def opened(found: Context) -> Rpc:
        if found.rpc_url is None:
            raise UsageError(f"context {found.name} names no chain (rpc_url)")
        return Rpc(found.rpc_url, connect(""))

    def ask(rpc: Rpc) -> list[Read]:
        head = rpc.block()
        return [Read(CHAIN_HEAD, ChainHead(
            height=int(head["number"], 16), made_s=int(head["timestamp"], 16),
            base_fee_wei=int(head.get("baseFeePerGas", "0x0"), 16),
        ))]  # fmt: skip

    return Poll(CHAIN, 1.0, context, clock, opened, ask)


def supervisor_poll(context: Callable[[], Context], clock: Clock) -> Poll:
    """The processes, of a platform that runs on this machine, every two seconds."""

    def opened(found: Context) -> Control:
        return Control(found, connect(found.control_url or ""))

    def ask(control: Control) -> list[Read]:
        return [Read(PROCESSES, msgspec.convert(control.status()["processes"], list[ProcessSeen]))]

    return Poll("supervisor", 2.0, context, clock, opened, ask)
