"""The transaction of acceptance: submissions that arrive together share one, and each stands or falls by itself.

Known keys, quota, job, key, event and work of a submission are one unit (R27, C13, C33). A group claims all its keys
with one statement, reads each tenant and month once, decides in order, and writes with one statement a table.
"""

from __future__ import annotations

from typing import Any

import msgspec

from simulator.intake.records import SUBMIT_PATH, Accepted, QuotaState, Submission, Tenant
from simulator.linked import linked_usage
from simulator.outbox import OutboxRow, event_row, work_row
from simulator.store.port import Tx
from zjops.domain.clock import month_bounds_ms, rfc3339, utc_date, utc_month
from zjops.domain.errors import Problem
from zjops.domain.events import EventType, JobEvent, Work
from zjops.domain.ids import job_id
from zjops.domain.jobs import JobState, JobType
from zjops.domain.plans import Plan, QuotaDecision, Verdict, decide_quota

EXPECTED_S = {JobType.COMPUTE_HEAVY: 30, JobType.DATA_PROCESSING: 10, JobType.ML_INFERENCE: 5}
"""What `estimatedCompletion` adds to now, by type: an estimate until measured times replace it."""
UPGRADE_URL = "https://zama.ai/plans"

Verdictlike = Accepted | Problem
_PENDING = JobState.PENDING.value


class _Account:
    """One tenant within one group: what it may still do, and what the group adds."""

    def __init__(self, tx: Tx, tenant: str, month: str) -> None:
        row = tx.one("tenant_get", tenant=tenant)
        self.active = row is not None and row["status"] == "active"
        self.jobs = row["active_jobs"] if row else 0
        self.used = linked_usage(tx, tenant, month)
        self.added_jobs = self.added_units = 0

    def check(self, plan: Plan) -> None:
        """Raises `Problem` when the tenant may not submit at all."""
        if not self.active:
            raise Problem("tenant-suspended", "This tenant may not submit jobs; ask an operator.")
        if self.jobs + self.added_jobs >= plan.active_jobs:
            raise Problem(
                "too-many-active-jobs",
                f"{plan.active_jobs} jobs of this tenant are active; wait until some have ended.",
                headers={"Retry-After": "1"}, extra={"violated-policies": ["concurrent"]},
            )  # fmt: skip


class Acceptance:
    """One group of submissions inside one transaction."""

    def __init__(self, tx: Tx, now: int, keep_s: int) -> None:
        self._tx, self._now, self._keep_ms = tx, now, keep_s * 1000
        self._month = utc_month(now)
        self._reset_ms = month_bounds_ms(self._month)[1]
        self._accounts: dict[str, _Account] = {}
        self._made: dict[bytes, tuple[bytes, Accepted]] = {}
        self._jobs: list[tuple[Any, ...]] = []
        self._refused: list[tuple[bytes, bytes]] = []
        self._outbox: list[OutboxRow] = []

    def take(self, group: list[Submission]) -> list[Verdictlike]:
        """The verdict of each, in order; all that were accepted are written."""
        told: list[Verdictlike] = []
        mine = self._claim(group)
        for new in group:
            try:
                told.append(self._one(new) if mine is None or new.job in mine else self._again(new))
            except Problem as problem:
                told.append(problem)
        self._write()
        return told

    def _claim(self, group: list[Submission]) -> set[bytes] | None:
        """Claim every key for its submission; None when all were free, else the jobs that hold theirs now."""
        until, now = self._now + self._keep_ms, self._now
        rows = [(new.scope_hash, new.job, new.mark, until, now) for new in group]
        if self._tx.many("idempotency_claim", rows) == len(rows):
            return None
        # Some key was held before, or stands twice in this group: the store says by whom each is held.
        held = (self._tx.one("idempotency_holder", scope_hash=new.scope_hash) for new in group)
        return {row["job_id"] for row in held if row is not None}

    def _one(self, new: Submission) -> Accepted:
        try:
            return self._accept(new)
        except Problem:
            self._refused.append((new.scope_hash, new.job))
            raise

    def _again(self, new: Submission) -> Accepted:
        """The answer to a key that another submission holds: an earlier one, or one of this very group."""
        made = self._made.get(new.scope_hash)
        if made is not None:
            return _replay(made[0], new.mark, made[1].response, made[1].job_id)
        seen = known(self._tx, new.scope_hash, new.mark, self._now)
        if seen is None:
            raise Problem("idempotency-key-in-use", "A request with this key is still running.")
        return seen

    def _accept(self, new: Submission) -> Accepted:
        account = self._account(new.tenant.tenant)
        account.check(new.tenant.plan)
        quota = self._reserve(account, new.tenant.plan, new.units)
        name = job_id(new.job)
        response = accepted_body(name, new.request.job_type, self._now)
        self._note(new, name)
        account.added_jobs += 1
        account.added_units += new.units
        accepted = Accepted(response, name, False, quota, new.request.job_type.value)
        self._made[new.scope_hash] = (new.mark, accepted)
        return accepted

    def _account(self, tenant: str) -> _Account:
        if tenant not in self._accounts:
            self._accounts[tenant] = _Account(self._tx, tenant, self._month)
        return self._accounts[tenant]

    def check(self, tenant: Tenant, units: int) -> None:
        """Whether a submission of so many units would be accepted now. Raises `Problem`."""
        account = self._account(tenant.tenant)
        account.check(tenant.plan)
        self._reserve(account, tenant.plan, units)

    def _reserve(self, account: _Account, plan: Plan, units: int) -> QuotaState:
        decision = decide_quota(plan, account.used + account.added_units, units)
        if not decision.allowed:
            raise refusal(plan, decision, self._reset_ms, self._now)
        used = decision.used + units
        return QuotaState(plan.compute_units, used, plan.buffer_units, self._reset_ms, decision.job_overage)

    def _note(self, new: Submission, name: str) -> None:
        now = self._now
        kind = new.request.job_type.value
        self._jobs.append(_job_row(new, kind, now))
        event, work = _submitted(new, name, kind, now), _work(new, name, kind)
        self._outbox.append(event_row(new.event_id, EventType.SUBMITTED, event, now, new.traceparent))
        self._outbox.append(work_row(new.work_id, work, new.request.priority, now))

    def _write(self) -> None:
        if self._refused:
            self._tx.many("idempotency_drop", self._refused)
        if not self._jobs:
            return
        self._tx.many("job_insert", self._jobs)
        self._tx.many("outbox_put", self._outbox)
        day = utc_date(self._now)
        for tenant, account in self._accounts.items():
            if account.added_jobs:
                self._tx.run("usage_hold", tenant=tenant, month=self._month, units=account.added_units)
                self._tx.run(
                    "usage_day_hold", tenant=tenant, day=day, jobs=account.added_jobs, units=account.added_units
                )
                self._tx.run("tenant_active", tenant=tenant, change=account.added_jobs)


def known(tx: Tx, scope_hash: bytes, mark: bytes, now: int) -> Accepted | None:
    """The stored answer to a key, if there is one. Raises `Problem` when the payload was another."""
    row = tx.one("idempotency_get", scope_hash=scope_hash, now=now)
    if row is None:
        return None
    name = job_id(row["job_id"])
    response = accepted_body(name, JobType(row["job_type"]), row["accepted_at"])
    return _replay(row["fingerprint"], mark, response, name)


def _replay(stored: bytes, mark: bytes, response: bytes, job: str) -> Accepted:
    if stored != mark:
        raise Problem("idempotency-key-reused", "This Idempotency-Key was used with another payload.")
    return Accepted(response, job, True, None)


def _job_row(new: Submission, kind: str, now: int) -> tuple[Any, ...]:
    """In the order of `job_insert`'s places."""
    request, tenant = new.request, new.tenant
    return (
        new.job, new.key.bytes, tenant.tenant, tenant.plan.name, kind, request.priority,
        request.timeout_seconds, now, now, new.payload_bytes, new.units,
        None if new.parameters_sha256 else new.parameters, new.parameters_sha256, request.callback_url,
        None if request.metadata is None else msgspec.json.encode(request.metadata), new.salt, new.traceparent,
    )  # fmt: skip


def _submitted(new: Submission, name: str, kind: str, now: int) -> JobEvent:
    tenant = new.tenant
    return JobEvent(
        tenant=tenant.tenant, plan=tenant.plan.name, job_id=name, job_type=kind,
        status=_PENDING, accepted_at=now, payload_bytes=new.payload_bytes, compute_units=new.units,
    )  # fmt: skip


def _work(new: Submission, name: str, kind: str) -> Work:
    return Work(
        job_id=name, tenant=new.tenant.tenant, job_type=kind,
        timeout_s=new.request.timeout_seconds, parameters_sha256=new.parameters_sha256, traceparent=new.traceparent,
        parameters=msgspec.UNSET if new.parameters_sha256 else msgspec.Raw(new.parameters),
    )  # fmt: skip


def accepted_body(name: str, job_type: JobType, now: int) -> bytes:
    """The exact bytes of a 202 (`JobAccepted`), the same again for the same job.

    None of its values needs an escape, so they are put into their places: a test holds it against the model.
    """
    here = f"{SUBMIT_PATH}/{name}"
    return (
        f'{{"jobId":"{name}","status":"pending","submittedAt":"{rfc3339(now)}",'
        f'"estimatedCompletion":"{rfc3339(now + EXPECTED_S[job_type] * 1000)}",'
        f'"links":{{"self":"{here}","status":"{here}/status","cancel":"{here}/cancel"}}}}'
    ).encode()


def refusal(plan: Plan, decision: QuotaDecision, reset_ms: int, now: int) -> Problem:
    """402 when paying would help, 429 at the overage cap (C14)."""
    headers = {
        "X-ComputeUnits-Limit": str(plan.compute_units),
        "X-ComputeUnits-Used": str(decision.used),
        "X-ComputeUnits-Overage-Rate": f"{plan.overage_nanousd / 1e9:.9f}",
    }
    extra: dict[str, Any] = {"violated-policies": ["cu"]}
    if decision.verdict is Verdict.CAP_REACHED:
        headers["Retry-After"] = str(max(1, -(-(reset_ms - now) // 1000)))
        return Problem("overage-limit-reached", "Maximum overage limit reached", headers=headers, extra=extra)
    extra["quota_details"] = {
        "limit": plan.compute_units, "used": decision.used, "overage_enabled": plan.overage_enabled,
        "upgrade_url": UPGRADE_URL,
    }  # fmt: skip
    text = f"This job needs {decision.needed} compute units; the month's allowance is used up."
    return Problem("quota-exceeded", text, headers=headers, extra=extra)
