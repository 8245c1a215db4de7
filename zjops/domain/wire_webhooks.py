"""Models of the webhook resource (S3)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from zjops.domain.jobs import JobState
from zjops.domain.webhooks import WebhookType
from zjops.domain.wire import URL_PATTERN, JobError, Wire

Url = Annotated[str, Meta(max_length=2048, pattern=URL_PATTERN, extra_json_schema={"format": "uri"})]
EVERY = list(WebhookType)


class EndpointCreate(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new webhook endpoint; without `events` it hears of all."""

    url: Url
    events: Annotated[list[WebhookType], Meta(min_length=1, max_length=4)] | None = None
    description: Annotated[str, Meta(max_length=200)] | None = None


class EndpointChange(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of an endpoint; what is left out stays. `active` also takes a failed one into service again."""

    url: Url | None = None
    events: Annotated[list[WebhookType], Meta(min_length=1, max_length=4)] | None = None
    description: Annotated[str, Meta(max_length=200)] | None = None
    status: Literal["active", "paused"] | None = None


class EndpointView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A webhook endpoint. `failures` counts deliveries given up in a row."""

    endpoint_id: str
    url: str
    events: list[WebhookType]
    description: str | None
    status: Literal["active", "paused", "failed"]
    failures: int
    created_at: str
    updated_at: str


class EndpointCreated(EndpointView, frozen=True, kw_only=True):
    """A new endpoint with its signing secret."""

    secret: str


class EndpointList(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """All endpoints of the tenant."""

    endpoints: list[EndpointView]


class SecretView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A signing secret; after a rotation the former one signs too until `formerUntil`."""

    secret: str
    former_until: str | None


class AttemptView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """One attempt of a delivery: HTTP status or what went wrong, and how long it took."""

    attempt: int
    at: str
    status: int | None
    error: str | None
    milliseconds: int


class DeliveryView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """One delivery with its attempts."""

    delivery_id: str
    endpoint_id: str | None
    url: str
    job_id: str
    type: WebhookType
    state: Literal["pending", "delivered", "failed"]
    created_at: str
    next_attempt_at: str | None
    attempts: list[AttemptView]


class DeliveryPage(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """Deliveries, newest first; `next` continues where there are more."""

    deliveries: list[DeliveryView]
    next: str | None


class DeliveryQuery(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which deliveries."""

    endpoint_id: Annotated[str, Meta(max_length=64)] | None = None
    state: Literal["pending", "delivered", "failed"] | None = None
    before: Annotated[str, Meta(max_length=64)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class DeliveredResult(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a job took and gave: `output` while it is small, else `resultUrl` (R91, C25). Times in milliseconds."""

    compute_units_used: int
    processing_time: int | None
    output: Any = None
    result_url: str | None = None


class DeliveredConfirmation(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the outcome stands on chain."""

    tx_hash: str
    block_number: int


class WebhookBody(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a delivery (R91, C24): completed says nothing of the chain, confirmed does."""

    type: WebhookType
    timestamp: str
    job_id: str
    status: JobState
    completed_at: str | None
    result: DeliveredResult | None = None
    error: JobError | None = None
    blockchain_confirmation: DeliveredConfirmation | None = None


class Ticket(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A one-time ticket for the WebSocket: `GET /v1/jobs/subscribe?ticket=…` within `expiresIn` seconds (C28)."""

    ticket: str
    expires_in: int


class SubscribeQuery(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a WebSocket may identify itself where no header can be set."""

    ticket: Annotated[str, Meta(max_length=100)] | None = None
