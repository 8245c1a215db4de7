"""Events, messages, and the one table of streams, subjects and durables.

Messages move work between roles. Events tell what the store has settled and are published by the outbox alone, as
structured CloudEvents 1.0 (`application/cloudevents+json`).
"""

from __future__ import annotations

import enum
import functools
from typing import Any, Literal, NamedTuple

import msgspec

from zjops.domain.clock import rfc3339
from zjops.domain.jobs import JobType, OutcomeKind, Priority


class EventType(enum.StrEnum):
    """What can happen to a job; the value is the last part of its subject (C32)."""

    SUBMITTED = "submitted"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CONFIRMED = "confirmed"

    subject: str
    """The NATS subject, e.g. `jobs.completed`."""
    cloud_type: str
    """The CloudEvents type, e.g. `ai.zama.jobs.job.completed.v1`."""

    def __init__(self, value: str) -> None:
        # Asked for with every event; composed anew, or looked up by the member, they cost more than writing it down.
        self.subject, self.cloud_type = f"jobs.{value}", f"ai.zama.jobs.job.{value}.v1"


ENDINGS = frozenset({EventType.COMPLETED, EventType.FAILED, EventType.CANCELLED})
"""Events that settle a reservation, exactly one a job."""


class OpsKind(enum.StrEnum):
    """What operators and policies do; the value is the last part of the OPS subject."""

    TENANT = "tenant"
    PLAN = "plan"
    CREDIT = "credit"
    ABUSE = "abuse"
    ACTION = "action"
    RELAYER = "relayer"


class StreamSpec(NamedTuple):
    """One JetStream stream: its subjects, how long and by which rule messages are kept, and its first number."""

    name: str
    subjects: tuple[str, ...]
    retention: Literal["limits", "workqueue", "interest"]
    max_age_s: int
    duplicate_window_s: int = 120
    first: int = 1


class DurableSpec(NamedTuple):
    """One reader of a stream with a single filter: a durable pull consumer with explicit acknowledgement.

    One that is `followed` keeps its own place in the stream and acknowledges nothing.
    """

    name: str
    stream: str
    filter: str
    ack_wait_s: float = 0.0
    max_ack_pending: int = 0
    followed: bool = False


DAY_S = 86_400
BRIEF_S = 10
"""For how long the broker keeps the ids of streams in which nothing hangs on them: events are chained, an outcome
counts once by its attempt. It keeps each in memory: two minutes of a thousand jobs a second are 700,000."""
WORK, RESULTS, EVENTS, OPS, TELEMETRY = "WORK", "RESULTS", "EVENTS", "OPS", "TELEMETRY"
WORK_ACK_WAIT_S = 6.0
"""A worker extends its claim every third of this (C84)."""

CONSUMER_ACK_WAIT_S = 10.0
"""How long what a killed settlement had taken stays hidden from its successor; it is done in about one."""

STREAMS: tuple[StreamSpec, ...] = (
    StreamSpec(WORK, ("jobs.work.*.*",), "workqueue", 45 * DAY_S, BRIEF_S),
    StreamSpec(RESULTS, ("jobs.results.*",), "workqueue", 45 * DAY_S, BRIEF_S),
    StreamSpec(EVENTS, tuple(kind.subject for kind in EventType), "limits", 45 * DAY_S, BRIEF_S),
    StreamSpec(OPS, tuple(f"ops.{kind.value}" for kind in OpsKind), "limits", 45 * DAY_S),
    StreamSpec(TELEMETRY, ("telemetry.http", "telemetry.roles"), "limits", DAY_S),
)


def work_durable(job_type: JobType, priority: Priority) -> str:
    """The name of the durable that all workers share for one type and band."""
    return f"work-{job_type.value}-{priority.value}"


DURABLES: tuple[DurableSpec, ...] = (
    *(
        DurableSpec(work_durable(t, p), WORK, f"jobs.work.{t.value}.{p.value}", WORK_ACK_WAIT_S, 2_000)
        for t in JobType
        for p in Priority
    ),
    DurableSpec("settlement", RESULTS, "jobs.results.*", CONSUMER_ACK_WAIT_S, 5_000),
    DurableSpec("meter-events", EVENTS, "jobs.*", followed=True),
    DurableSpec("meter-ops", OPS, "ops.*", followed=True),
    DurableSpec("meter-http", TELEMETRY, "telemetry.http", followed=True),
)

RESULT_STARTED = "jobs.results.started"
RESULT_PROGRESS = "jobs.results.progress"
RESULT_DONE = "jobs.results.done"
OUTBOX_WAKE = "outbox.wake"
CONTROL_DRAIN = "control.drain"
CONTROL_CANCEL = "control.cancel.*"


REPLAY = "replay.>"
"""What operators have published again: core NATS, on no stream, so that the log holds each event once (C85)."""


def replay_subject(name: str, subject: str) -> str:
    """Where an event of a named replay is heard, e.g. `replay.repair.jobs.completed`."""
    return f"replay.{name}.{subject}"


def cancel_subject(job_id: str) -> str:
    """The core subject on which a running job is told to stop."""
    return f"control.cancel.{job_id}"


@functools.cache
def work_subject(job_type: str, priority: Priority) -> str:
    """Where the work of a type and band is queued (C37, C88)."""
    return f"jobs.work.{job_type}.{priority.value}"


class JobEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The data of a job event: one row of the metering log.

    Times are Unix ms; sizes bytes; `gas_share` is in gas units; hashes are 0x-prefixed hex.
    """

    tenant: str
    plan: str
    job_id: str
    job_type: str
    status: str
    accepted_at: int
    payload_bytes: int
    compute_units: int
    charge: str = "held"
    error_code: str | None = None
    attempt: int = 0
    processing_ms: int | None = None
    batch_id: int | None = None
    chain_sequence: int | None = None
    leaf_index: int | None = None
    tx_hash: str | None = None
    block_number: int | None = None
    block_hash: str | None = None
    gas_share: int | None = None


class CloudEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The CloudEvents 1.0.2 envelope, structured JSON mode. `id` is a UUID, `time` RFC 3339 UTC."""

    specversion: str = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str = "application/json"
    traceparent: str | None = None
    data: msgspec.Raw


class OpsEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The data of an OPS event: who did what to whom, and why."""

    kind: str
    actor: str
    action: str
    tenant: str | None = None
    reason: str | None = None
    values: dict[str, Any] = {}


class Work(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A work message: one dispatch of a job. `attempt_base` counts the claims used by earlier dispatches."""

    job_id: str
    tenant: str
    job_type: str
    timeout_s: int
    attempt_base: int = 0
    parameters: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parameters_sha256: str | None = None
    traceparent: str | None = None


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How one attempt ended; times are Unix ms of the worker. Small results travel inline as text."""

    job_id: str
    attempt: int
    kind: OutcomeKind
    started_at: int
    ended_at: int
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    result_sha256: str | None = None
    result_bytes: int = 0
    error_code: str | None = None
    error_message: str | None = None
    traceparent: str | None = None


class Started(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A job that still runs after 200 ms."""

    job_id: str
    attempt: int
    started_at: int


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a running job is, 0 to 100 percent."""

    job_id: str
    attempt: int
    percent: int
    at: int


class _Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A `CloudEvent` as it is written: with the version, which the format requires, and its data in one step."""

    specversion: str = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str = "application/json"
    traceparent: str | msgspec.UnsetType = msgspec.UNSET
    data: msgspec.Struct


def envelope(
    event_id: str, tenant: str, cloud_type: str, subject: str, at_ms: int, data: msgspec.Struct, traceparent: str | None
) -> bytes:
    """An event as the bytes that are stored in the outbox and published."""
    return msgspec.json.encode(_Envelope(
        id=event_id, source=f"/tenants/{tenant}", type=cloud_type, subject=subject, time=rfc3339(at_ms),
        traceparent=traceparent or msgspec.UNSET, data=data,
    ))  # fmt: skip


def open_envelope(payload: bytes) -> tuple[CloudEvent, JobEvent]:
    """The envelope and the job event of a message on EVENTS. Raises `msgspec.MsgspecError` when malformed."""
    cloud = msgspec.json.decode(payload, type=CloudEvent)
    return cloud, msgspec.json.decode(cloud.data, type=JobEvent)


def delivery(reply: str) -> list[str]:
    """What the reply subject of a message of a stream says (NATS ADR-15): stream, consumer, how often it was delivered,
    its number in the stream and for the consumer, when it was stored in ns, how many more wait.
    """
    # $JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>[.<token>]
    parts = reply.split(".")
    return parts[2:9] if len(parts) == 9 else parts[4:11]
