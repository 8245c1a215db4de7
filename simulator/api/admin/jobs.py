"""What operators do to jobs of any tenant: cancel one, find its deliveries, deliver once more."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from simulator.api.admin.base import BODY, AdminPart, operation
from simulator.api.contract.inputs import read_body
from simulator.api.contract.operation import Operation
from simulator.api.deps import answer
from simulator.store.port import Row, Tx
from zjops.domain.errors import FieldError, Problem
from zjops.domain.events import OpsKind
from zjops.domain.ids import job_id, job_key
from zjops.domain.webhooks import WebhookType
from zjops.domain.wire import CancelAccepted
from zjops.domain.wire_admin import ActWhy, AdminDeliveries, AdminDelivery, DeliverySearch


class JobActRoutes(AdminPart):
    """Handlers of acts on jobs and their deliveries, across tenants."""

    def operations(self) -> list[Operation]:
        """The operations of this part."""
        return [
            operation("cancelAnyJob", "POST", "/jobs/{jobId}/cancel", self.cancel, CancelAccepted, *BODY, "not-found",
                      "job-not-cancellable", status=202, body=ActWhy),
            operation("findDeliveries", "POST", "/deliveries/search", self.find, AdminDeliveries, *BODY,
                      body=DeliverySearch),
            operation("redeliverAny", "POST", "/deliveries/{deliveryId}/redeliver", self.redeliver, AdminDelivery,
                      *BODY, "not-found", "conflict", status=202, body=ActWhy),
        ]  # fmt: skip

    async def cancel(self, request: Request) -> Response:
        """Ask for the end of a tenant's job, as its owner would (R13, C23), with who and why in the audit log."""
        asked, name = await read_body(request, ActWhy), request.path_params["jobId"]

        def note(tx: Tx, row: Row) -> None:
            self._record(tx, request, OpsKind.ACTION, "job.cancel", row["tenant"], asked.reason, job=name,
                         before=row["status"])  # fmt: skip

        await self._deps.intake.cancel(None, name, note)
        return answer(CancelAccepted(job_id=name), 202)

    async def find(self, request: Request) -> Response:
        """The webhook deliveries of up to a hundred jobs; a job that there is none of has none."""
        asked = await read_body(request, DeliverySearch)
        keys = [_key(index, name) for index, name in enumerate(asked.job_ids)]
        rows = await self._store.read(
            lambda tx: [row for key in dict.fromkeys(keys) for row in tx.all("deliveries_of_job", job=key)]
        )
        await self._looked(request, "delivery.list")
        return answer(AdminDeliveries(deliveries=[_view(row) for row in rows]))

    async def redeliver(self, request: Request) -> Response:
        """Deliver a tenant's webhook once more, with the same message id."""
        asked, name = await read_body(request, ActWhy), request.path_params["deliveryId"]

        def again(tx: Tx) -> AdminDelivery:
            owner = tx.one("delivery_tenant", id=name)
            if owner is None:
                raise Problem("not-found", "There is no such delivery.")
            if not tx.run("delivery_again", id=name, tenant=owner["tenant"], now=self._deps.clock.now_ms()):
                raise Problem("conflict", "The endpoint of this delivery was taken away.")
            row = tx.one("delivery_get", id=name, tenant=owner["tenant"])
            assert row is not None
            view = _view(row | {"gone": 0})
            self._record(tx, request, OpsKind.ACTION, "delivery.redeliver", view.tenant, asked.reason, delivery=name,
                         job=view.job_id)  # fmt: skip
            return view

        view = await self._store.transact(again)
        self._deps.wake()
        return answer(view, 202)


def _key(index: int, name: str) -> bytes:
    try:
        return job_key(name)
    except ValueError as exc:
        raise Problem(
            "validation-failed", f"jobIds: {exc}", errors=[FieldError(f"#/jobIds/{index}", str(exc))]
        ) from exc


def _view(row: Row) -> AdminDelivery:
    return AdminDelivery(
        tenant=row["tenant"], delivery_id=row["id"], endpoint_id=row["endpoint"], url=row["url"],
        job_id=job_id(row["job_id"]), type=WebhookType(row["type"]), state=row["state"], attempts=row["attempts"],
        gone=bool(row["gone"]),
    )  # fmt: skip
