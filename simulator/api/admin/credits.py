"""Credits: money that is given back, for faults found after an invoice was issued and for outages (S11, C70)."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from simulator.api.admin.base import BODY, AdminPart, operation
from simulator.api.contract.inputs import read_body, read_query
from simulator.api.contract.operation import Operation
from simulator.api.deps import answer
from simulator.api.keys import KEY_PROBLEMS, REPLAYED, key_header, key_of
from simulator.gateway.context import context_of
from simulator.store.port import Row, Tx
from zjops.domain.clock import rfc3339, utc_month
from zjops.domain.errors import FieldError, Problem
from zjops.domain.events import OpsKind
from zjops.domain.ids import job_id, job_key
from zjops.domain.requests import UNBILLED
from zjops.domain.wire_billing import CreditGrant, CreditPage, CreditQuery, CreditView

KEY = key_header("it is the credit's own id, so that a repeat, however late, is the same credit.")


class Grant(NamedTuple):
    """What is to be written: the credit's id, whose it is, and what was asked."""

    credit_id: str
    tenant: str
    asked: CreditGrant


class CreditRoutes(AdminPart):
    """Handlers of credits."""

    def operations(self) -> list[Operation]:
        """The operations of this part."""
        path = "/tenants/{tenantId}/credits"
        return [
            operation("grantCredit", "POST", path, self.grant, CreditView, *BODY, *KEY_PROBLEMS, "not-found",
                      "idempotency-key-reused", status=201, body=CreditGrant, headers=(KEY,), told=(REPLAYED,)),
            operation("listCredits", "GET", path, self.credits, CreditPage, "invalid-parameter", "not-found",
                      query=CreditQuery),
        ]  # fmt: skip

    async def grant(self, request: Request) -> Response:
        """Grant a tenant a credit (S11).

        The key of the request is the credit's id: a repeat is answered as before and grants nothing more, another
        credit under it is refused.
        """
        key = key_of(context_of(request.scope))
        wanted = Grant(str(key), request.path_params["tenantId"], await read_body(request, CreditGrant))
        row, replayed = await self._store.transact(lambda tx: self._grant(tx, request, wanted))
        self._deps.wake()
        return answer(_view(row), 201, {"Idempotent-Replayed": "true"} if replayed else None)

    def _grant(self, tx: Tx, request: Request, wanted: Grant) -> tuple[Row, bool]:
        former = tx.one("credit_get", credit_id=wanted.credit_id)
        if former is not None:
            self._repeat(tx, request, wanted, former)
            return former, True
        asked, actor, job = wanted.asked, self._actor(request), self._check(tx, wanted)
        tx.run(
            "credit_put", credit_id=wanted.credit_id, tenant=wanted.tenant, microusd=asked.amount_microusd,
            month=asked.month, reason=asked.reason, job_id=job, granted_by=actor, now=self._deps.clock.now_ms(),
        )  # fmt: skip
        values: dict[str, Any] = {"microusd": asked.amount_microusd, "month": asked.month}
        values |= {"creditId": wanted.credit_id} | ({"job": asked.job_id} if job else {})
        self._record(tx, request, OpsKind.CREDIT, "credit.grant", wanted.tenant, asked.reason, **values)
        row = tx.one("credit_get", credit_id=wanted.credit_id)
        assert row is not None
        return row, False

    def _repeat(self, tx: Tx, request: Request, wanted: Grant, former: Row) -> None:
        """The same request again is noted and does nothing. Raises `Problem` when it is another one."""
        found = _view(former)
        same = CreditGrant(
            amount_microusd=found.amount_microusd, month=found.month, reason=found.reason, job_id=found.job_id
        )
        if (found.tenant_id, same) != (wanted.tenant, wanted.asked):
            raise Problem("idempotency-key-reused", "Another credit was granted under this key.")
        details = msgspec.json.encode({"creditId": wanted.credit_id}).decode()
        tx.run(
            "audit_put", now=self._deps.clock.now_ms(), actor=self._actor(request), action="credit.repeat",
            target=wanted.tenant, reason=wanted.asked.reason, details=details,
        )  # fmt: skip

    def _check(self, tx: Tx, wanted: Grant) -> bytes | None:
        """Whether there can be such a credit; returns the key of the job that it is for. Raises `Problem`."""
        tenant, asked = tx.one("tenant_get", tenant=wanted.tenant), wanted.asked
        if tenant is None:
            raise Problem("not-found", f"There is no tenant {wanted.tenant}.")
        if wanted.tenant in UNBILLED:
            raise _wrong("month", f"The tenant {wanted.tenant} is the platform's own and has no invoices.")
        first, now = utc_month(tenant["created_at"]), utc_month(self._deps.clock.now_ms())
        if not first <= asked.month <= now:
            raise _wrong("month", f"The tenant has invoices of {first} to {now}, and none of {asked.month}.")
        return None if asked.job_id is None else _job(tx, wanted.tenant, asked.job_id)

    async def credits(self, request: Request) -> Response:
        """The credits of a tenant, in the order in which they were granted."""
        query, tenant = read_query(request, CreditQuery), request.path_params["tenantId"]

        def read(tx: Tx) -> list[Row] | None:
            if tx.one("tenant_exists", tenant=tenant) is None:
                return None
            return tx.all("credits_of", tenant=tenant, month=query.month, after=query.after, most=query.limit)

        rows = await self._store.read(read)
        if rows is None:
            raise Problem("not-found", f"There is no tenant {tenant}.")
        await self._looked(request, "credit.list", tenant)
        more = rows[-1]["n"] if len(rows) == query.limit else None
        return answer(CreditPage(credits=[_view(row) for row in rows], next=more))


def _job(tx: Tx, tenant: str, name: str) -> bytes:
    try:
        key = job_key(name)
        row = tx.one("job_get", id=key)
    except ValueError:
        row = None
    if row is None or row["tenant"] != tenant:
        raise Problem("not-found", f"The tenant {tenant} has no job {name}.")
    return key


def _wrong(field: str, why: str) -> Problem:
    return Problem("validation-failed", why, errors=[FieldError(f"#/{field}", why)])


def _view(row: Row) -> CreditView:
    return CreditView(
        number=row["n"], credit_id=row["credit_id"], tenant_id=row["tenant"], amount_microusd=row["microusd"],
        month=row["month"], reason=row["reason"], job_id=None if row["job_id"] is None else job_id(row["job_id"]),
        granted_by=row["granted_by"], granted_at=rfc3339(row["granted_at"]),
    )  # fmt: skip
