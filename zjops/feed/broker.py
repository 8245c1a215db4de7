"""The event stream as a source: job events, what operators did, and rollups of answered requests."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from zjops.client.events import Heard, Start, Tail
from zjops.config import Context
from zjops.domain.clock import SystemClock, parse_rfc3339
from zjops.domain.errors import UnreachableError, UsageError
from zjops.domain.events import EVENTS, OPS, TELEMETRY, JobEvent, OpsEvent
from zjops.domain.requests import TELEMETRY_HTTP, Rollup
from zjops.feed.feed import Intake
from zjops.feed.messages import BROKER
from zjops.recording.rows import Act

NEWEST = 5_000
"""How many of the newest messages of each stream are read first, so that a view is not empty."""
AGAIN_S = 1.0
MESSAGES = "messages"
"""The source that is away while messages come that cannot be read."""


class _Envelope(msgspec.Struct):
    """Of a CloudEvent what is needed here, with its data in one step."""

    time: str
    data: JobEvent
    traceparent: str | None = None


class _OpsEnvelope(msgspec.Struct):
    time: str
    data: OpsEvent


_job_event = msgspec.json.Decoder(_Envelope)
_ops_event = msgspec.json.Decoder(_OpsEnvelope)
_rollups = msgspec.json.Decoder(list[Rollup])


def put(heard: Heard, intake: Intake) -> None:
    """Put a message into the intake. Raises `msgspec.MsgspecError` or `ValueError` for one that means nothing."""
    changes = intake.changes
    root, _, kind = heard.subject.partition(".")
    if root == "jobs":
        told = _job_event.decode(heard.data)
        changes.event(kind, parse_rfc3339(told.time), told.data, told.traceparent)
    elif root == "ops":
        act = _ops_event.decode(heard.data)
        data = act.data
        changes.acts.append(
            Act(parse_rfc3339(act.time), data.kind, data.actor, data.action, data.tenant, data.reason)
        )  # fmt: skip
    elif heard.subject == TELEMETRY_HTTP:
        for row in _rollups.decode(heard.data):
            changes.rollup(row)


class EventSource:
    """Follows the streams without a gap; the context is asked for anew whenever the broker is away."""

    def __init__(self, context: Callable[[], Context], clock: SystemClock, newest: int = NEWEST) -> None:
        self._context, self._clock, self._newest = context, clock, newest
        self._known: dict[str, int] = {}

    async def run(self, intake: Intake) -> None:
        """Until it is cancelled."""
        while True:
            try:
                tail = Tail(
                    self._context(), self._clock, listening=lambda: intake.fresh(BROKER), known=self._known, tries=1
                )
                async for heard in tail.streams([EVENTS, OPS, TELEMETRY], Start(newest=self._newest)):
                    self._put(heard, intake)
            except (UnreachableError, UsageError) as exc:
                intake.stale(BROKER, str(exc))
            await self._clock.sleep(AGAIN_S)

    @staticmethod
    def _put(heard: Heard, intake: Intake) -> None:
        try:
            put(heard, intake)
            intake.fresh(MESSAGES)
        except (msgspec.MsgspecError, ValueError, KeyError) as exc:
            intake.stale(MESSAGES, f"message {heard.sequence} of {heard.stream} cannot be read ({exc})")
