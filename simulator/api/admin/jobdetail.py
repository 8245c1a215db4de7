"""One job of any tenant as an operator sees it whole: state, result, deliveries and proof."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from simulator.api.admin.base import AdminPart, job_named, operation
from simulator.api.contract.operation import Operation
from simulator.api.deps import answer
from simulator.api.proofs import Found, proof_view, read_proof
from simulator.api.views import attempts_of, job_view
from simulator.api.webhooks import delivery_view
from simulator.store.port import Row, Tx
from zjops.domain.errors import Problem
from zjops.domain.jobs import Charge
from zjops.domain.wire import JobAttempt
from zjops.domain.wire_jobdetail import AdminJobDetail
from zjops.domain.wire_webhooks import DeliveryView

DELIVERIES_MOST = 100


class JobDetailRoutes(AdminPart):
    """The handler of one job."""

    def operations(self) -> list[Operation]:
        """The operations of this part."""
        return [operation("getAnyJob", "GET", "/jobs/{jobId}", self.job, AdminJobDetail, "not-found")]

    async def job(self, request: Request) -> Response:
        """One job of any tenant, with what became of its webhooks and, once it is final, its proof."""
        name = request.path_params["jobId"]
        row, attempts, deliveries, proved = await self._store.read(lambda tx: _read(tx, name))
        await self._looked(request, "job.read", row["tenant"])
        keccak = row["result_keccak"]
        return answer(AdminJobDetail(
            tenant=row["tenant"], plan=row["plan"], charge=Charge(row["charge"]), dead_letter=bool(row["dead_letter"]),
            job=job_view(row, attempts), result_keccak256=None if keccak is None else "0x" + keccak.hex(),
            proof=None if proved is None else proof_view(proved, name, self._deps.chain()), deliveries=deliveries,
        ))  # fmt: skip


def _read(tx: Tx, name: str) -> tuple[Row, list[JobAttempt], list[DeliveryView], Found | None]:
    row = job_named(tx, name)
    found = tx.all("job_deliveries", job=row["id"], most=DELIVERIES_MOST)
    views = [delivery_view(one, tx.all("attempts_of", delivery=one["id"])) for one in reversed(found)]
    return row, attempts_of(tx, row), views, _proved(tx, row["tenant"], name)


def _proved(tx: Tx, tenant: str, name: str) -> Found | None:
    """What a proof is made of; None while there is none, and for a job that will never have one."""
    try:
        return read_proof(tx, tenant, name)
    except Problem:
        return None
