"""Intake: validate, deduplicate, reserve quota and commit submissions; and take cancellations."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import msgspec

from simulator.blobs.port import Blobs
from simulator.intake.acceptance import Acceptance, known
from simulator.intake.endings import request_cancel
from simulator.intake.groups import Groups
from simulator.intake.parsing import Validate, submission_of
from simulator.intake.records import SUBMIT_PATH, Accepted, Submission, Tenant
from simulator.store.port import Row, Store, Tx
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock
from zjops.domain.errors import Problem
from zjops.domain.events import cancel_subject
from zjops.domain.ids import Ids, fingerprint
from zjops.domain.jobs import CLAIM_CHECK_BYTES, JobType
from zjops.domain.plans import compute_units
from zjops.domain.wire import SubmitRequest

Decode = Callable[[bytes], Any]
Signal = Callable[[str], Awaitable[None]]
Offload = Callable[..., Awaitable[Any]]
"""Runs a function where it does not hold the loop up."""


LARGE_BYTES = 256_000
"""From here on reading a body takes long enough for others to notice."""
_SUBMIT = SUBMIT_PATH.encode()
KEPT_BYTES = 16
"""How much of the digests of key and body is kept: 128 bits, against which no tenant finds a second body."""


class Intake:
    """Turns request bodies into stored jobs; everything that must hold together is one transaction."""

    def __init__(
        self, store: Store, blobs: Blobs, clock: Clock, ids: Ids, telemetry: Telemetry, *,
        decode: Decode, validate: Validate, wake: Callable[[], None], signal: Signal, keep_s: int, offload: Offload,
        lingers: bool = True,
    ) -> None:  # fmt: skip
        self._store, self._blobs, self._clock, self._ids, self._telemetry = store, blobs, clock, ids, telemetry
        self._decode, self._validate, self._wake, self._signal = decode, validate, wake, signal
        self._offload, self._keep_s = offload, keep_s
        self._groups = Groups(store, clock, keep_s, lingers=lingers)
        self._running: dict[bytes, None] = {}

    @property
    def crowded(self) -> bool:
        """Whether many requests are committed together."""
        return self._groups.crowded

    async def submit(self, tenant: Tenant, body: bytes, key: uuid.UUID, traceparent: str | None) -> Accepted:
        """Accept one job, or replay the answer to the same key and payload. Raises `Problem`."""
        scope_hash = self._claim(tenant, key)
        try:
            return await self._submit(tenant, body, key, scope_hash, traceparent)
        finally:
            del self._running[scope_hash]

    def _claim(self, tenant: Tenant, key: uuid.UUID) -> bytes:
        """Hold a key for the time that its request runs. Raises `Problem`."""
        scope_hash = fingerprint(tenant.tenant.encode(), _SUBMIT, key.bytes)[:KEPT_BYTES]
        if scope_hash in self._running:
            raise Problem("idempotency-key-in-use", "A request with this key is still running.")
        self._running[scope_hash] = None
        return scope_hash

    async def submit_all(
        self, tenant: Tenant, bodies: Sequence[tuple[bytes, Any]], keys: Sequence[uuid.UUID], traceparent: str | None
    ) -> list[Accepted | BaseException]:
        """Accept several jobs, each by itself: the answer to each, or its exception, in order.

        A body comes with what it says: whoever read all of them together has read it already.
        """
        ready: dict[int, Submission] = {}
        slow: dict[int, Coroutine[Any, Any, Accepted]] = {}
        try:
            for index, ((body, raw), key) in enumerate(zip(bodies, keys, strict=True)):
                made = self._at_once(tenant, body, raw, key, traceparent)
                if made is not None:
                    ready[index] = made
                else:
                    slow[index] = self.submit(tenant, body, key, traceparent)
            # One gathering for all: whoever goes away takes what has not been committed with him.
            quick, others = await asyncio.gather(
                self._accept_ready(tenant, list(ready.values())),
                asyncio.gather(*slow.values(), return_exceptions=True),
            )
        finally:
            for made in ready.values():
                del self._running[made.scope_hash]
        told: dict[int, Accepted | BaseException] = {**dict(zip(ready, quick, strict=True))}
        told |= zip(slow, others, strict=True)
        return [told[index] for index in range(len(keys))]

    async def _accept_ready(self, tenant: Tenant, new: list[Submission]) -> list[Accepted | Exception]:
        if not new:
            return []
        told = await self._groups.accept_all(new)
        for verdict in told:
            if isinstance(verdict, Accepted):
                self._note(tenant, verdict)
        return told

    def _at_once(
        self, tenant: Tenant, body: bytes, raw: Any, key: uuid.UUID, traceparent: str | None
    ) -> Submission | None:
        """A submission that needs to wait for nothing but its commit; None where it has to go the long way."""
        try:
            request = submission_of(raw, self._validate)
            parameters = msgspec.json.encode(request.parameters)
            if len(parameters) > CLAIM_CHECK_BYTES:
                return None
            scope_hash = self._claim(tenant, key)
        except Problem:
            # It is told there: whatever is wrong with it, a key that is known answers first.
            return None
        mark = hashlib.sha256(body).digest()[:KEPT_BYTES]
        return self._submission(tenant, request, scope_hash, key, mark, len(body), parameters, None, traceparent)

    async def _submit(
        self, tenant: Tenant, body: bytes, key: uuid.UUID, scope_hash: bytes, traceparent: str | None
    ) -> Accepted:
        mark = hashlib.sha256(body).digest()[:KEPT_BYTES]
        try:
            raw = await self._offload(self._decode, body) if len(body) > LARGE_BYTES else self._decode(body)
            request = submission_of(raw, self._validate)
        except Problem:
            # A key that is known answers first, whatever is wrong with this body.
            seen = await self._store.read(lambda tx: known(tx, scope_hash, mark, self._clock.now_ms()))
            if seen:
                return seen
            raise
        parameters, digest, size = msgspec.json.encode(request.parameters), None, len(body)
        if len(parameters) > CLAIM_CHECK_BYTES:
            # Nobody fills the disk with what will be refused: it is asked before, and decided in the transaction.
            seen = await self._store.read(lambda tx: self._foresee(tx, tenant, scope_hash, mark, compute_units(size)))
            if seen:
                return seen
            digest = await self._blobs.put(parameters)
        accepted = await self._groups.accept(
            self._submission(tenant, request, scope_hash, key, mark, size, parameters, digest, traceparent)
        )
        self._note(tenant, accepted)
        return accepted

    def _submission(
        self, tenant: Tenant, request: SubmitRequest, scope_hash: bytes, key: uuid.UUID, mark: bytes, size: int,
        parameters: bytes, digest: str | None, traceparent: str | None,
    ) -> Submission:  # fmt: skip
        ids = self._ids
        job, event, work = ids.key(), ids.name(), ids.name()
        return Submission(
            tenant, request, scope_hash, key, mark, job, ids.token(32), event, work, size, compute_units(size),
            parameters, digest, traceparent,
        )  # fmt: skip

    def _note(self, tenant: Tenant, accepted: Accepted) -> None:
        """Count a new job, and say that there is something to publish."""
        if not accepted.replayed:
            self._telemetry.count("jobs_submitted_total", job_type=accepted.job_type, plan=tenant.plan.name)
            self._wake()

    def _foresee(self, tx: Tx, tenant: Tenant, scope_hash: bytes, mark: bytes, units: int) -> Accepted | None:
        """The answer to a known key, or None when the job would be accepted now. Raises `Problem`."""
        now = self._clock.now_ms()
        seen = known(tx, scope_hash, mark, now)
        if seen is None:
            Acceptance(tx, now, self._keep_s).check(tenant, units)
        return seen

    async def resubmit(self, tenant: Tenant, row: Row, key: uuid.UUID) -> Accepted:
        """The work of an earlier job as a new one, under a key that an operator's act derives from it."""
        request = SubmitRequest(
            job_type=JobType(row["job_type"]), parameters={}, priority=row["priority"],
            timeout_seconds=row["timeout_s"], callback_url=row["callback_url"],
            metadata=None if row["metadata"] is None else msgspec.json.decode(row["metadata"]),
        )  # fmt: skip
        scope_hash = fingerprint(tenant.tenant.encode(), b"dead-letter", key.bytes)[:KEPT_BYTES]
        ids = self._ids
        accepted = await self._groups.accept(Submission(
            tenant, request, scope_hash, key, hashlib.sha256(row["id"]).digest()[:KEPT_BYTES], ids.key(),
            ids.token(32), ids.name(), ids.name(), row["payload_bytes"], row["compute_units"],
            row["parameters"] or b"{}",
            row["parameters_sha256"], row["traceparent"],
        ))  # fmt: skip
        self._wake()
        return accepted

    async def cancel(
        self, tenant_id: str | None, public_id: str, note: Callable[[Tx, Row], None] = lambda tx, row: None
    ) -> None:
        """Cancel a job: at once while it is pending, by request while it runs (R13, C23). Raises `Problem`.

        `note` gets the job as it was, in the transaction of the act.
        """
        now = self._clock.now_ms()

        def cancelled(tx: Tx) -> None:
            note(tx, request_cancel(tx, self._ids, tenant_id, public_id, now))

        await self._store.transact(cancelled)
        self._wake()
        # Of a pending job too: a worker may hold it already, or have begun it a moment ago.
        await self._signal(cancel_subject(public_id))
