"""The platform as a whole: state, export, relayer, keys, audit log; and jobs across tenants."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from typing import IO

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from simulator.api.admin.base import BODY, AdminPart, job_named, operation
from simulator.api.contract.inputs import moment, read_body, read_query
from simulator.api.contract.operation import Operation
from simulator.api.deps import answer
from simulator.api.views import job_view
from simulator.export import export_to
from simulator.gateway.directory import tenant_from
from simulator.gateway.versions import schedule
from simulator.relayer import PAUSED
from simulator.store.port import Row, Tx
from zjops.domain.clock import rfc3339
from zjops.domain.errors import Problem
from zjops.domain.events import OpsKind
from zjops.domain.ids import derived_uuid
from zjops.domain.jobs import Charge
from zjops.domain.wire import JobAccepted
from zjops.domain.wire_admin import (
    ActReason,
    AdminJob,
    AdminJobPage,
    AdminJobQuery,
    AfterQuery,
    AuditEntry,
    AuditPage,
    AuditQuery,
    KeyRotated,
    PlatformState,
    RelayerPause,
    RelayerState,
)

CHUNK = 1 << 16
CLOCKS_MS = 60_000
"""By how much a clock may have been set back, so that a later entry tells an earlier time."""
ENDLESS = 2**63 - 1
EXPORT = "application/x-ndjson"


class PlatformRoutes(AdminPart):
    """Handlers of the platform as a whole."""

    def operations(self) -> list[Operation]:
        """The operations of this part."""
        bad, dead = "invalid-parameter", "/dead-letters"
        return [
            operation("getPlatform", "GET", "/platform", self.state, PlatformState),
            operation("listAllJobs", "GET", "/jobs", self.jobs, AdminJobPage, bad, query=AdminJobQuery),
            operation("listDeadLetters", "GET", dead, self.dead_letters, AdminJobPage, bad, query=AfterQuery),
            operation("retryDeadLetter", "POST", dead + "/{jobId}/retry", self.retry, JobAccepted, *BODY, "not-found",
                      "conflict", "quota-exceeded", status=202, body=ActReason),
            operation("pauseRelayer", "POST", "/relayer", self.pause, RelayerState, *BODY, body=RelayerPause),
            operation("exportPlatform", "GET", "/export", self.export, None, media=EXPORT),
            operation("readAuditLog", "GET", "/audit-log", self.audit_log, AuditPage, bad, query=AuditQuery),
            operation("rotateSigningKey", "POST", "/signing-keys/rotate", self.rotate, KeyRotated, "conflict",
                      status=201),
        ]  # fmt: skip

    async def state(self, request: Request) -> Response:
        """Queue, outbox, batches and dead letters at a glance, and the schedule of versions."""

        def read(tx: Tx) -> tuple[Row, Row | None]:
            row = tx.one("platform_state")
            assert row is not None
            return row, tx.one("setting_get", name=PAUSED)

        row, paused = await self._store.read(read)
        await self._looked(request, "platform.read")
        oldest = None if row["oldest"] is None else max(0, self._deps.clock.now_ms() - row["oldest"])
        return answer(PlatformState(
            active_jobs=row["active_jobs"], unpublished=row["unpublished"], oldest_unpublished_ms=oldest,
            open_batches=row["open_batches"], dead_letters=row["dead_letters"],
            relayer_paused=_is_paused(paused), loop_lag_seconds=round(self._deps.watch.pressure.loop_lag_s, 6),
            versions=schedule(self._deps.clock.now_ms()),
        ))  # fmt: skip

    async def jobs(self, request: Request) -> Response:
        """Jobs across tenants, in keyset pages of up to a thousand."""
        query = read_query(request, AdminJobQuery)
        rows = await self._store.read(lambda tx: tx.all(
            "jobs_across", after=_after(query.after), tenant=query.tenant, most=query.limit,
            status=query.status.value if query.status else None,
            job_type=query.job_type.value if query.job_type else None,
            charge=query.charge.value if query.charge else None,
        ))  # fmt: skip
        await self._looked(request, "job.list", query.tenant or "platform")
        return answer(_page(rows, query.limit))

    async def dead_letters(self, request: Request) -> Response:
        """Jobs whose attempts are used up."""
        query = read_query(request, AfterQuery)
        rows = await self._store.read(lambda tx: tx.all("dead_letters", after=_after(query.after), most=query.limit))
        await self._looked(request, "dead-letter.list")
        return answer(_page(rows, query.limit))

    async def retry(self, request: Request) -> Response:
        """Submit a dead letter's work again as a new job (S7).

        The dead job keeps its end, which may be on chain already; its successor has an own id and an own bill, and
        asking twice makes one.
        """
        asked, name = await read_body(request, ActReason), request.path_params["jobId"]
        row = await self._store.read(lambda tx: _dead(tx, name))
        key: uuid.UUID = derived_uuid(row["id"], "dead-letter-retry")
        tenant = await self._store.read(lambda tx: tx.one("tenant_get", tenant=row["tenant"]))
        assert tenant is not None
        accepted = await self._deps.intake.resubmit(tenant_from(tenant), row, key)

        def note(tx: Tx) -> None:
            tx.run("dead_letter_resumed", id=row["id"])
            self._record(tx, request, OpsKind.ACTION, "dead-letter.retry", row["tenant"], asked.reason, job=name,
                         successor=accepted.job_id)  # fmt: skip

        await self._store.transact(note)
        self._deps.wake()
        return Response(accepted.response, 202, media_type="application/json")

    async def pause(self, request: Request) -> Response:
        """Hold confirmations back, or let them go on."""
        asked = await read_body(request, RelayerPause)

        def change(tx: Tx) -> Row:
            tx.run("setting_put", name=PAUSED, value=str(int(asked.paused)))
            action = "relayer.pause" if asked.paused else "relayer.resume"
            self._record(tx, request, OpsKind.RELAYER, action, "platform", asked.reason)
            row = tx.one("platform_state")
            assert row is not None
            return row

        row = await self._store.transact(change)
        self._deps.wake()
        return answer(RelayerState(paused=asked.paused, open_batches=row["open_batches"]))

    async def export(self, request: Request) -> Response:
        """The consistent export: one snapshot as JSON lines."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the stream that sends it
        await self._looked(request, "platform.export")
        await export_to(self._store, self._deps.clock, file)
        file.seek(0)
        return StreamingResponse(_chunks(file), media_type=EXPORT)

    async def audit_log(self, request: Request) -> Response:
        """The audit log, in order or newest first."""
        query = read_query(request, AuditQuery)
        since = moment("since", query.since)
        await self._looked(request, "audit-log.read")
        rows = await self._store.read(lambda tx: _audited(tx, query, since))
        entries = [
            AuditEntry(number=r["n"], at=rfc3339(r["at"]), actor=r["actor"], action=r["action"], target=r["target"],
                       reason=r["reason"], details=msgspec.json.decode(r["details"])) for r in rows
        ]  # fmt: skip
        return answer(AuditPage(entries=entries, next=entries[-1].number if len(entries) == query.limit else None))

    async def rotate(self, request: Request) -> Response:
        """A new signing key: published at once, signing after the lead, the old ones kept while tokens live (C21)."""
        issuer = self._deps.issuer
        if issuer is None:
            raise Problem("conflict", "Tokens come from an issuer elsewhere.")

        def turn(tx: Tx) -> str:
            kid = issuer.keys.rotate(tx)
            self._record(tx, request, OpsKind.ACTION, "signing-key.rotate", "platform", kid=kid)
            return kid

        kid = await self._store.transact(turn)
        await issuer.keys.refresh(force=True)
        return answer(KeyRotated(kid=kid, signs_in_seconds=self._deps.settings.key_lead_s), 201)


def _is_paused(row: Row | None) -> bool:
    return row is not None and row["value"] == "1"


def _after(text: str | None) -> bytes:
    return b"" if text is None else bytes.fromhex(text)


def _dead(tx: Tx, name: str) -> Row:
    row = job_named(tx, name)
    if not row["dead_letter"]:
        raise Problem("conflict", "The job is not a dead letter.")
    return row


def _audited(tx: Tx, query: AuditQuery, since: int | None) -> list[Row]:
    """A page of the audit log. A moment becomes a number first, so that nothing before it is looked at."""
    after = query.after
    if since is not None:
        first = tx.one("audit_from", since=since, back=CLOCKS_MS)
        if first is None or first["n"] is None:
            return []
        after = max(after, first["n"] - 1)
    return tx.all(
        "audit_newest" if query.sort_order == "desc" else "audit_page", after=after,
        before=ENDLESS if query.before is None else query.before, since=0 if since is None else since,
        actor=query.actor, action=query.action, reads=int(query.reads), most=query.limit,
    )  # fmt: skip


def _page(rows: list[Row], limit: int) -> AdminJobPage:
    jobs = [
        AdminJob(tenant=row["tenant"], plan=row["plan"], charge=Charge(row["charge"]), job=job_view(row))
        for row in rows
    ]
    return AdminJobPage(jobs=jobs, next=rows[-1]["id"].hex() if len(rows) == limit else None)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk
