"""Replay of events (C85, S7): what the log holds is read back and published once more, beside the log."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from simulator.api.admin.base import BODY, AdminPart, operation
from simulator.api.contract.inputs import read_body
from simulator.api.contract.operation import Operation
from simulator.api.deps import ApiDeps, answer
from simulator.broker.port import Broker, Logged, Outgoing
from simulator.store.port import Tx
from zjops.domain.clock import parse_rfc3339
from zjops.domain.errors import FieldError, Problem
from zjops.domain.events import OpsKind, replay_subject
from zjops.domain.ids import base58
from zjops.domain.wire_admin import EventReplay, EventsReplayed

READ_AT_ONCE, READ_MOST = 500, 5_000
SEQUENCE_HEADER = "Zjops-Sequence"


class _Head(msgspec.Struct):
    """What a filter needs of an event."""

    source: str
    subject: str


class _Found(NamedTuple):
    """The events that match, how many were looked at, and the sequence to go on from; None at the end of the range."""

    events: list[Logged]
    read: int
    next: int | None


class EventRoutes(AdminPart):
    """Handlers of events."""

    def __init__(self, deps: ApiDeps) -> None:
        super().__init__(deps)
        self._broker = deps.broker

    def operations(self) -> list[Operation]:
        """The operations of this part."""
        return [operation("replayEvents", "POST", "/events/replay", self.replay, EventsReplayed, *BODY,
                          body=EventReplay)]  # fmt: skip

    async def replay(self, request: Request) -> Response:
        """Publish events of the log again, byte for byte, below `replay.<name>.` (C85, S7).

        The CloudEvents id stays, so that an idempotent consumer keeps one. Nothing goes back into a stream: who wants
        them listens by then. One call sends up to `limit` events of those it looks at, 5,000 at most; `next` and
        `toSequence` of the answer are where the next call goes on and where the range ends.
        """
        asked = await read_body(request, EventReplay)
        since, until = _moment("since", asked.since), _moment("until", asked.until)
        newest, _ = await self._broker.last(asked.stream)
        last = newest if asked.to_sequence is None else min(newest, asked.to_sequence)
        found = await find_events(self._broker, asked, last, since, until)
        name = asked.name or base58(self._deps.ids.token(8)).lower()

        def note(tx: Tx) -> None:
            self._record(
                tx, request, OpsKind.ACTION, "events.replay", asked.tenant or "platform", asked.reason, name=name,
                stream=asked.stream, first=found.events[0].sequence if found.events else None,
                last=found.events[-1].sequence if found.events else None, events=len(found.events),
            )  # fmt: skip

        # In the audit log first: what is sent cannot be taken back.
        await self._store.transact(note)
        self._deps.wake()
        await self._broker.announce([_again(name, event) for event in found.events])
        return answer(EventsReplayed(
            name=name, subject=replay_subject(name, ">"), stream=asked.stream, replayed=len(found.events),
            read=found.read, to_sequence=last, next=found.next,
        ))  # fmt: skip


async def find_events(
    broker: Broker, asked: EventReplay, last: int, since_ms: int | None, until_ms: int | None
) -> _Found:
    """The events of a range, up to the limits of one call."""
    events: list[Logged] = []
    read, position, begin_ms = 0, asked.from_sequence or 1, since_ms
    while position <= last and read < READ_MOST:
        part = await broker.read(asked.stream, READ_AT_ONCE, first=position, since_ms=begin_ms)
        begin_ms = None
        if not part:
            return _Found(events, read, None)
        for event in part:
            position, read = event.sequence + 1, read + 1
            if event.sequence > last or (until_ms is not None and event.timestamp_ms > until_ms):
                return _Found(events, read - 1, None)
            if _matches(asked, event):
                events.append(event)
            if len(events) >= asked.limit or read >= READ_MOST:
                return _Found(events, read, position if position <= last else None)
    return _Found(events, read, None)


def _matches(asked: EventReplay, event: Logged) -> bool:
    if asked.from_sequence is not None and event.sequence < asked.from_sequence:
        return False
    if asked.type is not None and event.subject.rpartition(".")[2] != asked.type:
        return False
    if asked.tenant is None and asked.job_id is None:
        return True
    try:
        head = msgspec.json.decode(event.data, type=_Head)
    except msgspec.MsgspecError:
        return False
    return (asked.tenant is None or head.source == f"/tenants/{asked.tenant}") and (
        asked.job_id is None or head.subject == asked.job_id
    )


def _again(name: str, event: Logged) -> Outgoing:
    headers = {**event.headers, SEQUENCE_HEADER: str(event.sequence)}
    return Outgoing(replay_subject(name, event.subject), event.data, None, headers)


def _moment(name: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_rfc3339(text)
    except (ValueError, OverflowError) as exc:
        raise _wrong(name, str(exc)) from exc


def _wrong(name: str, why: str) -> Problem:
    return Problem("validation-failed", why, errors=[FieldError(f"#/{name}", why)])
