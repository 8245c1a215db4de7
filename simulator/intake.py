"""Intake: validate, deduplicate, reserve quota and commit a submission; and take cancellations."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from simulator.blobs.port import Blobs
from simulator.job_events import job_event, work_message
from simulator.outbox import enqueue_event, enqueue_work
from simulator.store.port import Row, Store, Tx
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock, month_bounds_ms, rfc3339, utc_month
from zjops.domain.errors import FieldError, Problem
from zjops.domain.events import EventType, cancel_subject
from zjops.domain.ids import Ids, fingerprint, job_id, job_key
from zjops.domain.jobs import ACTIVE, CLAIM_CHECK_BYTES, Charge, JobState, JobType
from zjops.domain.plans import Plan, QuotaDecision, Verdict, compute_units, decide_quota
from zjops.domain.wire import JobAccepted, Links, SubmitRequest

SUBMIT_PATH = "/v1/jobs"
EXPECTED_S = {JobType.COMPUTE_HEAVY: 30, JobType.DATA_PROCESSING: 10, JobType.ML_INFERENCE: 5}
"""What `estimatedCompletion` adds to now, by type: an estimate until measured times replace it."""

Decode = Callable[[bytes], Any]
Validate = Callable[[str, dict[str, Any]], list[FieldError]]
Signal = Callable[[str], Awaitable[None]]


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


class _Submission(NamedTuple):
    """One submission on its way through the transaction."""

    tenant: Tenant
    request: SubmitRequest
    scope_hash: bytes
    key: uuid.UUID
    mark: bytes
    job: bytes
    payload_bytes: int
    units: int
    parameters: bytes
    parameters_sha256: str | None
    traceparent: str | None


def field_errors(body: dict[str, Any]) -> list[FieldError]:
    """Every field of a submission that is missing, unknown or wrong, each with its pointer."""
    found: list[FieldError] = []
    fields = {field.encode_name: field for field in msgspec.structs.fields(SubmitRequest)}
    for name, field in fields.items():
        if name not in body:
            if field.required:
                found.append(FieldError(f"#/{name}", "is required"))
            continue
        try:
            msgspec.convert(body[name], field.type)
        except msgspec.ValidationError as exc:
            found.append(FieldError(f"#/{name}", str(exc)))
    found.extend(FieldError(f"#/{name}", "is not a field of a submission") for name in body if name not in fields)
    return found


class Intake:
    """Turns request bodies into stored jobs; everything that must hold together is one transaction."""

    def __init__(
        self, store: Store, blobs: Blobs, clock: Clock, ids: Ids, telemetry: Telemetry, *,
        decode: Decode, validate: Validate, wake: Callable[[], None], signal: Signal, keep_s: int,
    ) -> None:  # fmt: skip
        self._store, self._blobs, self._clock, self._ids, self._telemetry = store, blobs, clock, ids, telemetry
        self._decode, self._validate, self._wake, self._signal = decode, validate, wake, signal
        self._keep_s = keep_s
        self._running: dict[bytes, None] = {}

    async def submit(self, tenant: Tenant, body: bytes, key: uuid.UUID, traceparent: str | None) -> Accepted:
        """Accept one job, or replay the answer to the same key and payload. Raises `Problem`."""
        scope_hash = fingerprint(tenant.tenant.encode(), SUBMIT_PATH.encode(), key.bytes)
        if scope_hash in self._running:
            raise Problem("idempotency-key-in-use", "A request with this key is still running.")
        self._running[scope_hash] = None
        try:
            accepted = await self._submit(tenant, body, key, scope_hash, traceparent)
        finally:
            del self._running[scope_hash]
        if not accepted.replayed:
            self._wake()
        return accepted

    async def _submit(
        self, tenant: Tenant, body: bytes, key: uuid.UUID, scope_hash: bytes, traceparent: str | None
    ) -> Accepted:
        mark = hashlib.sha256(body).digest()
        try:
            request = self._parse(body)
        except Problem:
            # A key that is known answers first, whatever is wrong with this body.
            seen = await self._store.read(lambda tx: self._seen(tx, scope_hash, mark))
            if seen:
                return seen
            raise
        parameters = msgspec.json.encode(request.parameters)
        digest = await self._blobs.put(parameters) if len(parameters) > CLAIM_CHECK_BYTES else None
        submission = _Submission(
            tenant, request, scope_hash, key, mark, self._ids.uuid().bytes, len(body),
            compute_units(len(body)), parameters, digest, traceparent,
        )  # fmt: skip
        accepted = await self._store.transact(lambda tx: self._accept(tx, submission))
        if not accepted.replayed:
            self._telemetry.count("jobs_submitted_total", job_type=request.job_type.value, plan=tenant.plan.name)
        return accepted

    def _parse(self, body: bytes) -> SubmitRequest:
        raw = self._decode(body)
        if not isinstance(raw, dict):
            raise Problem(
                "validation-failed", "The body is not an object.", errors=[FieldError("#", "is not an object")]
            )
        try:
            request = msgspec.convert(raw, SubmitRequest)
        except msgspec.ValidationError:
            # The library names the first fault only; a client wants them all.
            errors = field_errors(raw)
        else:
            errors = self._validate(request.job_type.value, request.parameters)
            if not errors:
                return request
        raise Problem("validation-failed", f"{len(errors)} field(s) are wrong.", errors=errors)

    def _seen(self, tx: Tx, scope_hash: bytes, mark: bytes) -> Accepted | None:
        row = tx.one("idempotency_get", scope_hash=scope_hash, now=self._clock.now_ms())
        if row is None:
            return None
        if row["fingerprint"] != mark:
            raise Problem("idempotency-key-reused", "This Idempotency-Key was used with another payload.")
        return Accepted(row["response"], job_id(row["job_id"]), True, None)

    def _accept(self, tx: Tx, new: _Submission) -> Accepted:
        """The transaction: known key, quota, job, key, event and work stand or fall together (R27, C13, C33)."""
        seen = self._seen(tx, new.scope_hash, new.mark)
        if seen:
            return seen
        now = self._clock.now_ms()
        self._check_active(tx, new.tenant)
        quota = self._reserve(tx, new, now)
        self._insert(tx, new, now)
        response = self._response(new, now)
        tx.run(
            "idempotency_put", scope_hash=new.scope_hash, job_id=new.job, idempotency_key=str(new.key),
            fingerprint=new.mark, response=response, expires_at=now + self._keep_s * 1000,
        )  # fmt: skip
        return Accepted(response, job_id(new.job), False, quota)

    def _check_active(self, tx: Tx, tenant: Tenant) -> None:
        row = tx.one("tenant_get", tenant=tenant.tenant)
        if row is None or row["status"] != "active":
            raise Problem("tenant-suspended", "This tenant may not submit jobs; ask an operator.")
        if row["active_jobs"] >= tenant.plan.active_jobs:
            raise Problem(
                "too-many-active-jobs",
                f"{tenant.plan.active_jobs} jobs of this tenant are active; wait until some have ended.",
                headers={"Retry-After": "1"},
            )

    def _reserve(self, tx: Tx, new: _Submission, now: int) -> QuotaState:
        month, plan = utc_month(now), new.tenant.plan
        row = tx.one("usage_get", tenant=new.tenant.tenant, month=month)
        used = row["held"] + row["charged"] if row else 0
        decision = decide_quota(plan, used, new.units)
        reset_ms = month_bounds_ms(month)[1]
        if not decision.allowed:
            raise _refusal(plan, decision, reset_ms, now)
        tx.run("usage_hold", tenant=new.tenant.tenant, month=month, units=new.units)
        return QuotaState(plan.compute_units, used + new.units, plan.buffer_units, reset_ms, decision.job_overage)

    def _insert(self, tx: Tx, new: _Submission, now: int) -> None:
        request, tenant = new.request, new.tenant
        tx.run(
            "job_insert", id=new.job, tenant=tenant.tenant, plan=tenant.plan.name, job_type=request.job_type.value,
            priority=request.priority, timeout_s=request.timeout_seconds, now=now, payload_bytes=new.payload_bytes,
            compute_units=new.units, parameters=None if new.parameters_sha256 else new.parameters,
            parameters_sha256=new.parameters_sha256, callback_url=request.callback_url,
            metadata=None if request.metadata is None else msgspec.json.encode(request.metadata),
            salt=self._ids.token(32), traceparent=new.traceparent,
        )  # fmt: skip
        tx.run("tenant_active", tenant=tenant.tenant, change=1)
        row = tx.one("job_get", id=new.job)
        assert row is not None
        event = job_event(row, status=JobState.PENDING.value)
        enqueue_event(tx, self._ids, EventType.SUBMITTED, event, now, new.traceparent)
        enqueue_work(tx, self._ids, work_message(row, 0), request.priority, now)

    def _response(self, new: _Submission, now: int) -> bytes:
        name = job_id(new.job)
        here = f"{SUBMIT_PATH}/{name}"
        estimate = rfc3339(now + EXPECTED_S[new.request.job_type] * 1000)
        links = Links(self_=here, status=f"{here}/status", cancel=f"{here}/cancel")
        return msgspec.json.encode(
            JobAccepted(
                job_id=name, status=JobState.PENDING, submitted_at=rfc3339(now), estimated_completion=estimate,
                links=links,
            )
        )  # fmt: skip

    async def cancel(self, tenant_id: str, public_id: str) -> None:
        """Cancel a job: at once while it is pending, by request while it runs (R13, C23). Raises `Problem`."""
        state = await self._store.transact(lambda tx: self._cancel(tx, tenant_id, public_id))
        self._wake()
        if state is JobState.PROCESSING or state is JobState.CANCELLED:
            await self._signal(cancel_subject(public_id))

    def _cancel(self, tx: Tx, tenant_id: str, public_id: str) -> JobState:
        row = find_job(tx, tenant_id, public_id)
        state, now = JobState(row["status"]), self._clock.now_ms()
        if state not in ACTIVE and state is not JobState.CANCELLED:
            raise Problem("job-not-cancellable", f"The job is already {state.value}.")
        if state is not JobState.CANCELLED:
            tx.run("job_cancel_requested", id=row["id"], now=now)
        if state is JobState.PENDING:
            cancel_now(tx, self._ids, row, Charge.RELEASED, now)
        return state


def find_job(tx: Tx, tenant_id: str, public_id: str) -> Row:
    """A tenant's job, or the `not-found` problem: another tenant's job is not told apart from none (R17)."""
    try:
        row = tx.one("job_get", id=job_key(public_id))
    except ValueError:
        row = None
    if row is None or row["tenant"] != tenant_id:
        raise Problem("not-found", "There is no such job.")
    return row


def settle_units(tx: Tx, row: Row, charge: Charge) -> None:
    """Charge or release a job's reservation, in the month of its acceptance (C76), and free its place."""
    units = row["compute_units"]
    charged = units if charge is Charge.CHARGED else 0
    tx.run(
        "usage_settle", tenant=row["tenant"], month=utc_month(row["accepted_at"]),
        charged=charged, released=units - charged,
    )  # fmt: skip
    tx.run("tenant_active", tenant=row["tenant"], change=-1)


def cancel_now(tx: Tx, ids: Ids, row: Row, charge: Charge, now: int) -> None:
    """End a job as cancelled: it never reaches the chain (C70)."""
    tx.run(
        "job_settled", id=row["id"], status=JobState.CANCELLED.value, charge=charge.value, attempt=row["attempt"],
        started_at=row["started_at"], completed_at=now, now=now, progress=row["progress"], result=None,
        result_sha256=None, result_bytes=None, result_keccak=None, processing_ms=None, error_code=None,
        error_message=None, dead_letter=0, settled_no=None,
    )  # fmt: skip
    settle_units(tx, row, charge)
    event = job_event(row, status=JobState.CANCELLED.value, charge=charge.value)
    enqueue_event(tx, ids, EventType.CANCELLED, event, now, row["traceparent"])


def _refusal(plan: Plan, decision: QuotaDecision, reset_ms: int, now: int) -> Problem:
    """402 when paying would help, 429 at the overage cap (C14)."""
    headers = {
        "X-ComputeUnits-Limit": str(plan.compute_units),
        "X-ComputeUnits-Used": str(decision.used),
        "X-ComputeUnits-Overage-Rate": f"{plan.overage_nanousd / 1e9:.9f}".rstrip("0"),
    }
    if decision.verdict is Verdict.CAP_REACHED:
        headers["Retry-After"] = str(max(1, -(-(reset_ms - now) // 1000)))
        return Problem("overage-limit-reached", "Maximum overage limit reached", headers=headers)
    details = {
        "limit": plan.compute_units, "used": decision.used, "overage_enabled": plan.overage_enabled,
        "upgrade_url": "https://zama.ai/plans",
    }  # fmt: skip
    text = f"This job needs {decision.needed} compute units; the month's allowance is used up."
    return Problem("quota-exceeded", text, headers=headers, extra={"quota_details": details})
