"""What the abuse rules did, and how operators reverse it (R59, R64)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from simulator.abuse import pardon
from simulator.api.admin.base import BODY, AdminPart, done, operation
from simulator.api.contract.inputs import read_body
from simulator.api.contract.operation import Operation
from simulator.api.deps import answer
from simulator.policy.abuse import SignalKind
from simulator.store.port import Row, Tx
from zjops.domain.clock import rfc3339
from zjops.domain.errors import Problem
from zjops.domain.events import OpsKind
from zjops.domain.wire_admin import AbuseView, ActReason, BanCreate, BanView, CaseView, PaymentMethod


class AbuseRoutes(AdminPart):
    """Handlers of bans, cases and signals."""

    def operations(self) -> list[Operation]:
        """The operations of this part."""
        return [
            operation("getAbuse", "GET", "/abuse", self.view, AbuseView),
            operation("banAddress", "POST", "/abuse/bans", self.ban, AbuseView, *BODY, status=201, body=BanCreate),
            operation("liftBan", "DELETE", "/abuse/bans/{address}", self.lift, None, "not-found", status=204,
                      media=None),
            operation("pardonTenant", "POST", "/tenants/{tenantId}/pardon", self.pardon, AbuseView, *BODY,
                      "not-found", body=ActReason),
            operation("setPaymentMethod", "PUT", "/tenants/{tenantId}/payment-method", self.payment, AbuseView, *BODY,
                      "not-found", body=PaymentMethod),
        ]  # fmt: skip

    async def view(self, request: Request) -> Response:
        """Bans and tenants on the ladder."""
        await self._looked(request, "abuse.read")
        return answer(await self._view())

    async def _view(self) -> AbuseView:
        now = self._deps.clock.now_ms()
        bans, cases = await self._store.read(lambda tx: (tx.all("bans_now", now=now), tx.all("cases_all")))
        return AbuseView(
            bans=[BanView(address=r["address"], until=rfc3339(r["until"]), reason=r["reason"]) for r in bans],
            cases=[CaseView(tenant=r["tenant"], step=r["step"], reason=r["reason"], at=rfc3339(r["at"]),
                            account=r["account"]) for r in cases],
        )  # fmt: skip

    async def ban(self, request: Request) -> Response:
        """Refuse an address for a while."""
        asked = await read_body(request, BanCreate)
        until = self._deps.clock.now_ms() + asked.seconds * 1000

        def put(tx: Tx) -> None:
            tx.run("ban_put", address=asked.address, until=until, reason=asked.reason)
            self._record(tx, request, OpsKind.ABUSE, "address.ban", asked.address, asked.reason, seconds=asked.seconds)

        await self._store.transact(put)
        await self._deps.watch.refresh_soon()
        return answer(await self._view(), 201)

    async def lift(self, request: Request) -> Response:
        """Let an address in again."""
        address = request.path_params["address"]

        def drop(tx: Tx) -> None:
            if not tx.run("ban_drop", address=address):
                raise Problem("not-found", "This address is not banned.")
            self._record(tx, request, OpsKind.ABUSE, "address.lift", address)

        await self._store.transact(drop)
        await self._deps.watch.refresh_soon()
        return done()

    async def pardon(self, request: Request) -> Response:
        """Take a tenant off the ladder: active again, linked with nobody."""
        asked, tenant = await read_body(request, ActReason), request.path_params["tenantId"]

        def free(tx: Tx) -> None:
            _known(tx, tenant)
            pardon(tx, tenant)
            self._record(tx, request, OpsKind.ABUSE, "ladder.pardon", tenant, asked.reason)

        await self._store.transact(free)
        self._deps.abuse.forget(tenant)
        self._deps.directory.forget(tenant)
        return answer(await self._view())

    async def payment(self, request: Request) -> Response:
        """By which method a tenant pays: more than three tenants with one belong together (R62)."""
        asked, tenant = await read_body(request, PaymentMethod), request.path_params["tenantId"]
        row = await self._store.read(lambda tx: _known(tx, tenant))
        await self._deps.abuse.observe(tenant, row["plan"], SignalKind.PAYMENT, asked.payment_method)
        await self._store.transact(lambda tx: self._record(tx, request, OpsKind.TENANT, "tenant.payment", tenant))
        self._deps.directory.forget(tenant)
        return answer(await self._view())


def _known(tx: Tx, tenant: str) -> Row:
    row = tx.one("tenant_get", tenant=tenant)
    if row is None:
        raise Problem("not-found", f"There is no tenant {tenant}.")
    return row
