"""The only request and response models of the REST interface. JSON names are camelCase; times RFC 3339 UTC."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from zjops.domain.jobs import (
    DEFAULT_PRIORITY,
    DEFAULT_TIMEOUT_S,
    MAX_TIMEOUT_S,
    MIN_TIMEOUT_S,
    JobState,
    JobType,
)
from zjops.domain.plans import negotiable, price_book

URL_PORT = ":([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
URL_PATTERN = f"^https?://[A-Za-z0-9.-]+({URL_PORT})?(/([A-Za-z0-9/_.?=&-]|%[0-9A-Fa-f]{{2}})*)?$"
"""Addresses that a webhook may be sent to: a name or IPv4 address, a port, a plain path and query."""


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of every model: frozen, keyword-only, camelCase on the wire."""


class SubmitRequest(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """The body of `POST /v1/jobs` (R3-R6)."""

    job_type: JobType
    parameters: dict[str, Any]
    priority: Annotated[int, Meta(ge=0, le=10)] = DEFAULT_PRIORITY
    timeout_seconds: Annotated[int, Meta(ge=MIN_TIMEOUT_S, le=MAX_TIMEOUT_S)] = DEFAULT_TIMEOUT_S
    callback_url: Annotated[str, Meta(max_length=2048, pattern=URL_PATTERN)] | None = None
    metadata: dict[str, Any] | None = None


class Links(Wire, frozen=True, kw_only=True):
    """Where a job and its parts are, as paths."""

    self_: str = msgspec.field(name="self")
    status: str | None = None
    proof: str | None = None
    cancel: str | None = None


class JobAccepted(Wire, frozen=True, kw_only=True):
    """The body of a 202 (R2)."""

    job_id: str
    status: JobState
    submitted_at: str
    estimated_completion: str
    links: Links


class Confirmation(Wire, frozen=True, kw_only=True):
    """Where a job's outcome stands on chain (R76)."""

    tx_hash: str
    block_number: int
    confirmed_at: str


class JobError(Wire, frozen=True, kw_only=True):
    """Why a job failed."""

    code: str
    message: str


class JobAttempt(Wire, frozen=True, kw_only=True):
    """One attempt of a job: when a worker began and ended it, and what became of it.

    `running` has not ended; after one that was `retried` another follows, from `nextAt` on. Of one that is `lost` no
    word came, since its worker died or was cut off: it ended before the next one began. A moment that is not known is
    left out; `error` says why it failed.
    """

    attempt: int
    outcome: Literal["running", "retried", "lost", "completed", "failed", "cancelled"]
    started_at: str | None = None
    ended_at: str | None = None
    next_at: str | None = None
    error: JobError | None = None


class JobView(Wire, frozen=True, kw_only=True):
    """One job as its tenant sees it (R11). `attempts`, oldest first, stand where one job is asked for, not in lists."""

    job_id: str
    status: JobState
    job_type: JobType
    priority: int
    submitted_at: str
    updated_at: str
    compute_units: int
    attempt: int = 0
    attempts: list[JobAttempt] | None = None
    started_at: str | None = None
    completed_at: str | None = None
    cancel_requested_at: str | None = None
    blockchain_confirmation: Confirmation | None = None
    result: Any = None
    result_url: str | None = None
    error: JobError | None = None
    metadata: dict[str, Any] | None = None
    links: Links


class StatusView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """The short form for polling (R12)."""

    job_id: str
    status: JobState
    progress_percent: int
    updated_at: str


class CancelAccepted(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """The body of an accepted cancellation (R13, C23)."""

    job_id: str
    status: str = "cancellation_requested"


class BatchItem(Wire, frozen=True, kw_only=True):
    """The answer to one job of a bulk submission: what a single one would have had (C90)."""

    index: int
    status: int
    job: JobAccepted | None = None
    replayed: bool = False
    problem: dict[str, Any] | None = None


class BatchReply(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """One answer a job, in the order of the request."""

    accepted: int
    refused: int
    items: list[BatchItem]


class BatchRequest(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/jobs:batch`: each job as `POST /v1/jobs` takes it (S4)."""

    jobs: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=100)]


class JobQuery(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters and place of a list of jobs (R8, R9)."""

    status: JobState | None = None
    job_type: JobType | None = None
    from_date: Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | None = None
    to_date: Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    offset: Annotated[int, Meta(ge=0, le=2**53)] = 0
    sort_by: Literal["created_at", "updated_at", "status"] = "created_at"
    sort_order: Literal["asc", "desc"] = "desc"
    cursor: Annotated[str, Meta(max_length=200, pattern="^[A-Za-z0-9_-]+$")] | None = None


class Pagination(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """Where a page stands in the whole list."""

    total: int
    limit: int
    offset: int
    has_more: bool


class PageLinks(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """Addresses of the neighbouring pages."""

    next: str | None = None
    previous: str | None = None


class JobPage(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A page of jobs (R10)."""

    jobs: list[JobView]
    pagination: Pagination
    links: PageLinks


class ProofLeaf(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """The leaf's fields; digests are 0x-prefixed hex of 32 bytes (C72)."""

    sequence: int
    job_key: str
    result_digest: str
    usage_digest: str
    status: int


class ProofUsage(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """What was billed, as it went into the usage digest."""

    payload_bytes: int
    compute_units: int
    accepted_at_unix_ms: int


class ProofBatch(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """The batch that committed the leaf."""

    id: int
    first_sequence: int
    count: int
    root: str


class ProofTransaction(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """The transaction that committed the batch."""

    hash: str
    block_number: int
    gas_used: int


class ProofView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """Everything that anyone needs to check a job against the chain without trusting the API."""

    schema: str = "zjops.proof/1"
    job_id: str
    tenant_id: str
    status: JobState
    leaf: ProofLeaf
    salt: str
    usage: ProofUsage
    proof: list[str]
    batch: ProofBatch
    transaction: ProofTransaction
    chain_id: int
    contract: str


class TokenReply(msgspec.Struct, frozen=True):
    """The token endpoint's answer (RFC 6749 section 5.1)."""

    access_token: str
    expires_in: int
    scope: str
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme


Why = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"\S")]
"""Why an operator does something, for the audit log: blanks alone say nothing."""
PlanName = Annotated[str, Meta(extra_json_schema={"enum": list(price_book().plans)})]
Overrides = Annotated[
    dict[str, Any],
    Meta(extra_json_schema={"properties": negotiable(), "additionalProperties": False}),
]
"""Negotiated values of a plan, by the names of its fields."""


class TenantCreate(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator says of a new tenant. `overrides` are negotiated values of the plan."""

    tenant_id: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,39}$")]
    plan: PlanName
    name: Annotated[str, Meta(max_length=100)] | None = None
    overrides: Overrides = {}


class TenantChange(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator changes of a tenant; what is left out stays."""

    plan: PlanName | None = None
    status: Literal["active", "suspended"] | None = None
    overrides: Overrides | None = None
    reason: Annotated[str, Meta(max_length=500)] | None = None


class TenantView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A tenant with its plan, state and this month's units; `nextPlan` is a downgrade that waits for its month."""

    tenant_id: str
    name: str | None
    plan: str
    status: str
    overrides: dict[str, Any]
    client_id: str
    created_at: str
    month: str
    compute_units_limit: int
    compute_units_held: int
    compute_units_charged: int
    active_jobs: int
    next_plan: str | None = None
    next_plan_from: str | None = None


class TenantCreated(TenantView, frozen=True, kw_only=True):
    """A new tenant with the secret of its client, shown this once."""

    client_secret: str


Hash32 = Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{64}$")]
"""32 bytes in hex."""
Whole = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Numbered = Annotated[int, Meta(ge=1, le=2**63 - 1)]
"""What is counted from nought, and from one."""


class ExportRow(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """One job of the consistent export that the audit reads."""

    job_id: str
    tenant: str
    plan: str
    job_type: str
    status: JobState
    idempotency_key: str | None
    accepted_at: Whole
    payload_bytes: Whole
    compute_units: Whole
    charge: str
    attempt: Whole
    error_code: str | None
    salt: Hash32
    result_sha3: Hash32 | None
    batch_id: int | None
    chain_sequence: Numbered | None
    leaf_index: Whole | None
    tx_hash: str | None
    confirmed_at: int | None
    submitted_outbox: int | None = None


class ExportRepair(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """What a batch was before it was anchored again; `final_at` (Unix ms) stands where its jobs were told of that."""

    at: int
    actor: str
    act: str
    first_sequence: Numbered
    root: Hash32
    tx_hash: Hash32 | None
    block_number: Whole | None
    block_hash: Hash32 | None
    gas_used: Whole | None
    final_at: int | None


class ExportBatch(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """One batch of the consistent export: where it is on the chain, and where it was before each repair."""

    batch_id: int
    first_sequence: Numbered
    count: Numbered
    root: Hash32
    state: str
    tx_hash: Hash32 | None
    gas_used: Whole | None
    block_number: Whole | None = None
    block_hash: Hash32 | None = None
    repairs: list[ExportRepair] = []


class ExportHead(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """First line of the export: what it is and how far the outbox had got."""

    schema: Literal["zjops.export/1"] = "zjops.export/1"
    at_ms: int
    jobs: int
    batches: int
    outbox_last: int
    outbox_unpublished: int
