"""`/v1/jobs`: submit, read, list, result, proof, cancel."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from simulator.api.deps import ApiDeps, answer
from simulator.api.views import job_view, status_view
from simulator.gateway.context import context_of
from simulator.gateway.headers import unit_headers
from simulator.intake.endings import find_job
from simulator.intake.records import SUBMIT_PATH, Tenant
from simulator.relayer import leaf_of, tree_of
from simulator.store.port import Row, Tx
from zjops.domain.clock import parse_rfc3339
from zjops.domain.errors import FieldError, Problem
from zjops.domain.ids import parse_uuid4
from zjops.domain.jobs import TERMINAL, JobState, JobType
from zjops.domain.wire import (
    CancelAccepted,
    JobPage,
    PageLinks,
    Pagination,
    ProofBatch,
    ProofLeaf,
    ProofTransaction,
    ProofUsage,
    ProofView,
)

POLL_AFTER_S = 5


def _tenant(request: Request) -> Tenant:
    tenant = context_of(request.scope).tenant
    assert tenant is not None
    return tenant


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _moment(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError as exc:
        raise Problem("invalid-parameter", f"{name}: {exc}", errors=[FieldError(f"#/{name}", str(exc))]) from exc


class JobRoutes:
    """Handlers of the job resource."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        self._store = deps.store

    def router(self) -> APIRouter:
        """The routes of this resource."""
        router = APIRouter(tags=["jobs"])
        router.add_api_route(SUBMIT_PATH, self.submit, methods=["POST"], status_code=202)
        router.add_api_route(SUBMIT_PATH, self.list_jobs, methods=["GET"])
        router.add_api_route(SUBMIT_PATH + "/{job_id}", self.get, methods=["GET"])
        router.add_api_route(SUBMIT_PATH + "/{job_id}/status", self.status, methods=["GET"])
        router.add_api_route(SUBMIT_PATH + "/{job_id}/result", self.result, methods=["GET"])
        router.add_api_route(SUBMIT_PATH + "/{job_id}/proof", self.proof, methods=["GET"])
        router.add_api_route(SUBMIT_PATH + "/{job_id}/cancel", self.cancel, methods=["POST"], status_code=202)
        return router

    async def submit(self, request: Request) -> Response:
        """Accept a job (R2). `Idempotency-Key` is required; a repeat returns the stored answer."""
        given = request.headers.get("idempotency-key")
        if given is None:
            raise Problem("idempotency-key-missing", "Send a UUID version 4 as Idempotency-Key.")
        try:
            key = parse_uuid4(given)
        except ValueError as exc:
            raise Problem("idempotency-key-malformed", "Idempotency-Key must be a UUID version 4.") from exc
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Problem("unsupported-media-type", "Send application/json.")
        context, tenant = context_of(request.scope), _tenant(request)
        accepted = await self._deps.intake.submit(tenant, await request.body(), key, context.traceparent)
        if accepted.quota is not None:
            context.headers |= unit_headers(tenant.plan, accepted.quota.used, accepted.quota.reset_ms)
        headers = {"Location": f"{SUBMIT_PATH}/{accepted.job_id}", "Retry-After": str(POLL_AFTER_S)}
        if accepted.replayed:
            headers["Idempotent-Replayed"] = "true"
        return Response(accepted.response, 202, headers, "application/json")

    async def _find(self, request: Request, job_id: str) -> Row:
        tenant = _tenant(request).tenant
        return await self._store.read(lambda tx: find_job(tx, tenant, job_id))

    async def get(self, request: Request, job_id: str) -> Response:
        """One job (R11)."""
        return answer(job_view(await self._find(request, job_id)))

    async def status(self, request: Request, job_id: str) -> Response:
        """The short form for polling (R12)."""
        row = await self._find(request, job_id)
        waiting = JobState(row["status"]) not in TERMINAL
        return answer(status_view(row), headers={"Retry-After": str(POLL_AFTER_S)} if waiting else None)

    async def result(self, request: Request, job_id: str) -> Response:
        """The exact bytes that the chain's digest covers."""
        row = await self._find(request, job_id)
        if row["result_keccak"] is None:
            raise Problem("not-final", f"The job is {row['status']} and has no result.")
        data = row["result"] if row["result"] is not None else await self._deps.blobs.get(row["result_sha256"])
        return Response(data, media_type="application/json")

    async def cancel(self, request: Request, job_id: str) -> Response:
        """Ask for a job's end (R13, C23)."""
        await self._deps.intake.cancel(_tenant(request).tenant, job_id)
        return answer(CancelAccepted(job_id=job_id), 202)

    async def list_jobs(
        self,
        request: Request,
        status: JobState | None = None,
        job_type: Annotated[JobType | None, Query(alias="jobType")] = None,
        from_date: Annotated[str | None, Query(alias="fromDate")] = None,
        to_date: Annotated[str | None, Query(alias="toDate")] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
        sort_by: Annotated[Literal["created_at", "updated_at", "status"], Query(alias="sortBy")] = "created_at",
        sort_order: Annotated[Literal["asc", "desc"], Query(alias="sortOrder")] = "desc",
    ) -> Response:
        """A page of the tenant's jobs (R8-R10)."""
        filters = {
            "tenant": _tenant(request).tenant, "status": status.value if status else None,
            "job_type": job_type.value if job_type else None, "since": _moment("fromDate", from_date),
            "until": _moment("toDate", to_date),
        }  # fmt: skip
        newest = (sort_by, sort_order) == ("created_at", "desc")
        query = "jobs_newest" if newest else f"jobs_sorted_{sort_order}"
        extra = {"limit": limit, "offset": offset} | ({} if newest else {"sort": sort_by})

        def read(tx: Tx) -> tuple[list[Row], int]:
            total = tx.one("jobs_count", **filters)
            assert total is not None
            return tx.all(query, **filters, **extra), total["total"]

        rows, total = await self._store.read(read)
        return answer(_page(request, rows, total, limit, offset))

    async def proof(self, request: Request, job_id: str) -> Response:
        """Everything that checks a job against the chain (C72)."""
        tenant = _tenant(request).tenant

        def read(tx: Tx) -> tuple[Row, Row | None, list[Row]]:
            row = find_job(tx, tenant, job_id)
            if row["confirmed_at"] is None:
                return row, None, []
            return row, tx.one("batch_get", id=row["batch_id"]), tx.all("batch_jobs", batch_id=row["batch_id"])

        row, batch, rows = await self._store.read(read)
        if batch is None:
            raise Problem(
                "not-final", f"The job is {row['status']}; a proof exists once its outcome is final on chain."
            )
        return answer(self._proof_view(row, batch, rows, job_id))

    def _proof_view(self, row: Row, batch: Row, rows: list[Row], job_id: str) -> ProofView:
        leaf = leaf_of(row, row["chain_sequence"])
        path = tree_of(rows, batch["first_sequence"]).proof(row["leaf_index"])
        chain = self._deps.chain()
        return ProofView(
            job_id=job_id, tenant_id=row["tenant"], status=JobState(row["status"]), salt=_hex(row["salt"]),
            leaf=ProofLeaf(
                sequence=leaf.sequence, job_key=_hex(leaf.job_key), result_digest=_hex(leaf.result_digest),
                usage_digest=_hex(leaf.usage_digest), status=leaf.status,
            ),
            usage=ProofUsage(
                payload_bytes=row["payload_bytes"], compute_units=row["compute_units"],
                accepted_at_unix_ms=row["accepted_at"],
            ),
            proof=[_hex(node) for node in path],
            batch=ProofBatch(
                id=batch["id"], first_sequence=batch["first_sequence"], count=batch["count"], root=_hex(batch["root"])
            ),
            transaction=ProofTransaction(
                hash=batch["tx_hash"], block_number=batch["block_number"], gas_used=batch["gas_used"]
            ),
            chain_id=chain.chain_id, contract=chain.contract,
        )  # fmt: skip


def _page(request: Request, rows: list[Row], total: int, limit: int, offset: int) -> JobPage:
    def link(to: int) -> str:
        values = [(k, v) for k, v in request.query_params.multi_items() if k not in ("limit", "offset")]
        return f"{SUBMIT_PATH}?{urlencode([*values, ('limit', str(limit)), ('offset', str(to))])}"

    more = offset + len(rows) < total
    links = PageLinks(
        next=link(offset + limit) if more else None, previous=link(max(0, offset - limit)) if offset else None
    )
    pagination = Pagination(total=total, limit=limit, offset=offset, has_more=more)
    return JobPage(jobs=[job_view(row) for row in rows], pagination=pagination, links=links)
