"""The records that travel through intake."""

from __future__ import annotations

import uuid
from typing import NamedTuple

from zjops.domain.plans import Plan
from zjops.domain.wire import SubmitRequest

SUBMIT_PATH = "/v1/jobs"


class Tenant(NamedTuple):
    """The caller, with the plan that holds for it."""

    tenant: str
    plan: Plan
    status: str


class QuotaState(NamedTuple):
    """This month's units after the decision, for the headers."""

    limit: int
    used: int
    buffer: int
    reset_ms: int
    job_overage: int = 0


class Accepted(NamedTuple):
    """A stored 202: its exact bytes, and whether an earlier request had made it."""

    response: bytes
    job_id: str
    replayed: bool
    quota: QuotaState | None
    job_type: str = ""


class Submission(NamedTuple):
    """One submission on its way into the store."""

    tenant: Tenant
    request: SubmitRequest
    scope_hash: bytes
    key: uuid.UUID
    mark: bytes
    job: bytes
    salt: bytes
    event_id: str
    work_id: str
    payload_bytes: int
    units: int
    parameters: bytes
    parameters_sha256: str | None
    traceparent: str | None
