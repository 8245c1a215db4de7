"""Models of the operators' resource (C85)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from zjops.domain.jobs import Charge, JobState, JobType
from zjops.domain.webhooks import WebhookType
from zjops.domain.wire import JobView, TenantView, Why, Wire

Reason = Annotated[str, Meta(max_length=500)]
JobKey = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
"""A place in a list of jobs: the 16 bytes of an id."""
Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,39}$")]

Sequence = Annotated[int, Meta(ge=1, le=2**53 - 1)]
"""The number of an event in its stream."""


class TenantList(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """All tenants with this month's units."""

    tenants: list[TenantView]


class TenantDetail(TenantView, frozen=True, kw_only=True):
    """A tenant with what it holds, its place on the ladder, its links, and its bucket and breaker.

    Bucket and breaker are those of the process that answers, one of `apiProcesses`; each grants its share of the
    plan's requests. `bucketTokens` is null where that process has not heard of the tenant yet.
    """

    account: str | None
    ladder: str
    bucket_tokens: float | None
    api_processes: int
    breaker: str
    released: int


class PlanView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A plan of the price book as data."""

    name: str
    values: dict[str, Any]


class PlanList(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """The price book."""

    version: str
    plans: list[PlanView]


class ClientCreate(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new client of a tenant: a role (S14) and, for private_key_jwt, the public keys."""

    role: Literal["viewer", "developer"]
    jwks: dict[str, Any] | None = None


class ClientView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A client of a tenant."""

    client_id: str
    scopes: list[str]
    created_at: str
    has_keys: bool


class ClientCreated(ClientView, frozen=True, kw_only=True):
    """A new client with its secret, shown this once."""

    client_secret: str


class ClientList(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """The clients of a tenant."""

    clients: list[ClientView]


class RelayerPause(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the relayer should pause, and why."""

    paused: bool
    reason: Reason | None = None


class RelayerState(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """Whether confirmations are held back, and how many batches are not final."""

    paused: bool
    open_batches: int


class AdminJobQuery(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Jobs across tenants: filters, and the key after which to go on. `charge=held` finds the open reservations."""

    tenant: Name | None = None
    status: JobState | None = None
    job_type: JobType | None = None
    charge: Charge | None = None
    after: JobKey | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000


class AdminJob(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A job with its tenant, the plan that it was accepted on, and what became of its reservation (C70)."""

    tenant: str
    plan: str
    charge: Charge
    job: JobView


class AdminJobPage(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """Jobs in the order of their ids; `next` is the key to go on from."""

    jobs: list[AdminJob]
    next: str | None


class AfterQuery(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A keyset page of jobs."""

    after: JobKey | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000


class ActReason(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an operator does something."""

    reason: Reason | None = None


class ActWhy(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an operator does something to a tenant's own; it must be said."""

    reason: Why


class DeliverySearch(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The jobs whose deliveries are looked for."""

    job_ids: Annotated[list[Annotated[str, Meta(max_length=40)]], Meta(min_length=1, max_length=100)]


class AdminDelivery(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A delivery of any tenant. `gone` says that its endpoint was taken away: it cannot be delivered again."""

    tenant: str
    delivery_id: str
    endpoint_id: str | None
    url: str
    job_id: str
    type: WebhookType
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    gone: bool


class AdminDeliveries(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """The deliveries of some jobs, in the order of the jobs as asked and then of time."""

    deliveries: list[AdminDelivery]


Moment = Annotated[str, Meta(max_length=40, extra_json_schema={"format": "date-time"})]


Happening = Literal[
    "submitted", "processing", "completed", "failed", "cancelled", "confirmed",
    "tenant", "plan", "credit", "abuse", "action", "relayer",
]  # fmt: skip
"""What EVENTS and OPS tell of: the values of `EventType` and `OpsKind`."""


class EventReplay(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events of the log to publish again, and why, both ends of the range included.

    It begins at a sequence or a moment (RFC 3339), at the later of the two when both are given, and with the log when
    none is. `type` is the last part of an event's subject; the times are those at which the log stored the events.
    """

    reason: Why
    stream: Literal["EVENTS", "OPS"] = "EVENTS"
    name: Name | None = None
    from_sequence: Sequence | None = None
    to_sequence: Sequence | None = None
    since: Moment | None = None
    until: Moment | None = None
    type: Happening | None = None
    tenant: Name | None = None
    job_id: Annotated[str, Meta(max_length=40)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 500


class EventsReplayed(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """What was sent, the subject to hear it on, and where to go on; `next` is null at the end of the range."""

    name: str
    subject: str
    stream: str
    replayed: int
    read: int
    to_sequence: int
    next: int | None


class AuditQuery(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Entries of the audit log between two numbers and from a moment on, in order or newest first.

    `reads=false` leaves out what only read, and renewed tokens.
    """

    after: Annotated[int, Meta(ge=0, le=2**53)] = 0
    before: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    since: Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | None = None
    reads: bool = True
    sort_order: Literal["asc", "desc"] = "asc"
    actor: Annotated[str, Meta(max_length=100)] | None = None
    action: Annotated[str, Meta(max_length=100)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class AuditEntry(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """Who did what to whom, when and why."""

    number: int
    at: str
    actor: str
    action: str
    target: str | None
    reason: str | None
    details: dict[str, Any]


class AuditPage(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """Entries as asked for; `next` is what to go on from: as `after`, or as `before` where the newest are first."""

    entries: list[AuditEntry]
    next: int | None


class BanView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """An address that is refused for a while."""

    address: str
    until: str
    reason: str


class CaseView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A tenant on the ladder of actions (R64)."""

    tenant: str
    step: str
    reason: str
    at: str
    account: str | None


class AbuseView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """What the abuse rules hold at the moment."""

    bans: list[BanView]
    cases: list[CaseView]


class BanCreate(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address to refuse."""

    address: Annotated[str, Meta(max_length=45, pattern="^[0-9a-fA-F:.]+$")]
    seconds: Annotated[int, Meta(ge=1, le=2_592_000)]
    reason: Reason


class PaymentMethod(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The id that a payment provider gave a method; kept as a digest (R61)."""

    payment_method: Annotated[str, Meta(min_length=1, max_length=100)]


class KeyRotated(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A new signing key: published now, signing later."""

    kid: str
    signs_in_seconds: int


class PlatformState(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """The platform as operators see it at a glance."""

    active_jobs: int
    unpublished: int
    oldest_unpublished_ms: int | None
    open_batches: int
    dead_letters: int
    relayer_paused: bool
    loop_lag_seconds: float
    versions: list[dict[str, Any]]


class Deleted(msgspec.Struct, frozen=True):
    """Nothing: the model of an answer without a body."""
