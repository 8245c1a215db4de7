"""`/v1/jobs`: submit one or many, read, list, result, proof, cancel."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from simulator.api.contract.inputs import check_json, decoded, moment, read_query, whole_body
from simulator.api.contract.operation import Answer, Header, Operation
from simulator.api.deps import ApiDeps, Whole, answer, conditional
from simulator.api.keys import KEY_PROBLEMS, REPLAYED, key_header, key_of
from simulator.api.pages import Cursor, page_of, read_page
from simulator.api.proofs import proof_view, read_proof, refuse_cancelled
from simulator.api.views import attempts_of, job_view, status_view
from simulator.api.waiting import APPLIED, PREFER, applied, preferred_wait, wait_for_end
from simulator.gateway.context import RequestContext, context_of, tenant_of
from simulator.gateway.headers import unit_headers
from simulator.gateway.problems import as_problem
from simulator.intake.endings import find_job
from simulator.intake.parsing import convert
from simulator.intake.records import SUBMIT_PATH, Accepted, Tenant
from simulator.store.port import Row, Tx
from zjops.domain.errors import Problem
from zjops.domain.ids import derived_uuid, job_key
from zjops.domain.jobs import TERMINAL, JobState
from zjops.domain.wire import (
    BatchItem,
    BatchReply,
    BatchRequest,
    CancelAccepted,
    JobAccepted,
    JobPage,
    JobQuery,
    JobView,
    ProofView,
    StatusView,
    SubmitRequest,
)

POLL_AFTER_S = 5
POLL_LATER = (b"retry-after", b"%d" % POLL_AFTER_S)
BATCH_PATH = SUBMIT_PATH + ":batch"
KEY = key_header("kept for 24 hours. A repeat is answered as before.")
LOCATION = Header("Location", "Where the job is.", {"type": "string"}, required=True)
POLL = Header("Retry-After", "Seconds after which to ask again.", {"type": "integer"})
ETAG = Header("ETag", "Names this state of the document.", {"type": "string"}, required=True)
IF_NONE_MATCH = Header("If-None-Match", "An ETag; the same state is answered by 304.", {"type": "string"})
UNCHANGED = Answer(304, "Nothing has changed.", None, None, (ETAG,))


class RawBatch(msgspec.Struct):
    """A bulk body with each job as its own bytes, which are what is measured and billed (C74)."""

    jobs: list[msgspec.Raw]


class _Item(BatchItem, frozen=True, kw_only=True):
    """A `BatchItem` whose job is the answer's own bytes, as they were made."""

    job: msgspec.Raw | None = None  # type: ignore[assignment]


class _Reply(BatchReply, frozen=True, kw_only=True, omit_defaults=False):
    items: list[_Item]  # type: ignore[assignment]


class JobRoutes:
    """Handlers of the job resource."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        self._store = deps.store

    def operations(self) -> list[Operation]:
        """The operations of this resource."""
        one = SUBMIT_PATH + "/{jobId}"
        return [
            Operation(
                id="submitJob", method="POST", path=SUBMIT_PATH, call=self.submit, tag="jobs", scope="jobs:submit",
                body=SubmitRequest, headers=(KEY, PREFER),
                answers=(
                    Answer(202, "Accepted.", JobAccepted, headers=(LOCATION, POLL, REPLAYED, APPLIED)),
                    Answer(200, "Ended within the time that `Prefer: wait` gave it.", JobView,
                           headers=(LOCATION, REPLAYED, APPLIED)),
                ),
                problems=(
                    *KEY_PROBLEMS, "unsupported-media-type", "validation-failed", "idempotency-key-in-use",
                    "idempotency-key-reused", "quota-exceeded", "overage-limit-reached", "too-many-active-jobs",
                ),
            ),
            Operation(
                id="submitJobs", method="POST", path=BATCH_PATH, call=self.submit_many, tag="jobs",
                scope="jobs:submit", body=BatchRequest, headers=(KEY,),
                answers=(Answer(200, "One answer a job, in order.", BatchReply),),
                problems=(*KEY_PROBLEMS, "unsupported-media-type", "validation-failed"),
            ),
            Operation(
                id="listJobs", method="GET", path=SUBMIT_PATH, call=self.list_jobs, tag="jobs", scope="jobs:read",
                query=JobQuery, answers=(Answer(200, "A page.", JobPage),), problems=("invalid-parameter",),
            ),
            Operation(
                id="getJob", method="GET", path=one, call=self.get, tag="jobs", scope="jobs:read",
                headers=(IF_NONE_MATCH,), answers=(Answer(200, "The job.", JobView, headers=(ETAG,)), UNCHANGED),
                problems=("not-found",),
            ),
            Operation(
                id="getJobStatus", method="GET", path=one + "/status", call=self.status, tag="jobs", scope="jobs:read",
                headers=(IF_NONE_MATCH, PREFER),
                answers=(Answer(200, "The status.", StatusView, headers=(ETAG, POLL, APPLIED)), UNCHANGED),
                problems=("not-found",),
            ),
            Operation(
                id="getJobResult", method="GET", path=one + "/result", call=self.result, tag="jobs",
                scope="jobs:outputs", headers=(IF_NONE_MATCH,),
                answers=(Answer(200, "The exact bytes that the chain's digest covers.", msgspec.Raw, headers=(ETAG,)),
                         UNCHANGED),
                problems=("not-found", "not-final", "conflict"),
            ),
            Operation(
                id="getJobProof", method="GET", path=one + "/proof", call=self.proof, tag="jobs", scope="jobs:read",
                answers=(Answer(200, "The proof.", ProofView),), problems=("not-found", "not-final", "conflict"),
            ),
            Operation(
                id="cancelJob", method="POST", path=one + "/cancel", call=self.cancel, tag="jobs", scope="jobs:cancel",
                answers=(Answer(202, "The job will end, or has.", CancelAccepted),),
                problems=("not-found", "job-not-cancellable"),
            ),
        ]  # fmt: skip

    async def submit(self, request: Request) -> Response:
        """Submit a job (R2).

        It is accepted once it is stored: a job that was answered with 202 is never lost, and the same
        `Idempotency-Key` never makes a second one. With `Prefer: wait=N` a job that ends within N seconds is answered
        whole by 200.
        """
        context, tenant = context_of(request.scope), tenant_of(request.scope)
        key = key_of(context)
        check_json(request)
        accepted = await self._deps.intake.submit(tenant, await whole_body(request), key, context.traceparent)
        if not accepted.replayed:
            context.jobs = 1
        _tell_units(context, tenant, accepted)
        if b"prefer" in context.given:
            return await self._preferred(request, accepted)
        headers = [(b"location", f"{SUBMIT_PATH}/{accepted.job_id}".encode()), POLL_LATER]
        if accepted.replayed:
            headers.append((b"idempotent-replayed", b"true"))
        return Whole(accepted.response, 202, headers)

    async def _preferred(self, request: Request, accepted: Accepted) -> Response:
        """The answer to a submission whose caller said how it would like it."""
        headers = {"Location": f"{SUBMIT_PATH}/{accepted.job_id}", "Retry-After": str(POLL_AFTER_S)}
        if accepted.replayed:
            headers["Idempotent-Replayed"] = "true"
        row = await self._wait(request, job_key(accepted.job_id), headers)
        if row is None or JobState(row["status"]) not in TERMINAL:
            return Response(accepted.response, 202, headers, "application/json")
        del headers["Retry-After"]
        found = row
        attempts = await self._store.read(lambda tx: attempts_of(tx, found))
        return answer(job_view(row, attempts), 200, headers)

    async def _wait(self, request: Request, key: bytes, headers: dict[str, str]) -> Row | None:
        """Wait as long as the caller prefers; returns the job as it then is, None when nobody wished to wait."""
        deps = self._deps
        wait_s = preferred_wait(request, deps.settings.prefer_wait_most_s)
        headers |= applied(request, wait_s)
        if not wait_s:
            return None
        began = deps.clock.monotonic()
        await wait_for_end(deps.hub, deps.clock, tenant_of(request.scope).tenant, key, wait_s)
        context_of(request.scope).waited_s += deps.clock.monotonic() - began
        return await self._store.read(lambda tx: tx.one("job_get", id=key))

    async def submit_many(self, request: Request) -> Response:
        """Submit up to 100 jobs (S4).

        Each stands by itself under the key UUIDv5(Idempotency-Key, its index), so a repeat makes no second job; each
        is measured by its own JSON bytes.
        """
        context, tenant = context_of(request.scope), tenant_of(request.scope)
        key = key_of(context)
        check_json(request)
        body = await request.body()
        asked = convert(await decoded(body), BatchRequest)
        jobs = [bytes(raw) for raw in msgspec.json.decode(body, type=RawBatch).jobs]
        keys = [derived_uuid(key.bytes, str(index)) for index in range(len(jobs))]
        bodies = list(zip(jobs, asked.jobs, strict=True))
        told = await self._deps.intake.submit_all(tenant, bodies, keys, context.traceparent)
        newest = next((one for one in reversed(told) if isinstance(one, Accepted) and one.quota is not None), None)
        if newest is not None:
            _tell_units(context, tenant, newest)
        items = [_item(index, verdict, context, request.url.path) for index, verdict in enumerate(told)]
        good = sum(item.status == 202 for item in items)
        again = sum(isinstance(one, Accepted) and one.replayed for one in told)
        context.jobs = good - again
        return answer(_Reply(accepted=good, refused=len(items) - good, items=items))

    async def _find(self, request: Request) -> Row:
        tenant, name = tenant_of(request.scope).tenant, request.path_params["jobId"]
        return await self._store.read(lambda tx: find_job(tx, tenant, name))

    async def get(self, request: Request) -> Response:
        """One job (R11), with its attempts."""
        tenant, name = tenant_of(request.scope).tenant, request.path_params["jobId"]

        def read(tx: Tx) -> JobView:
            row = find_job(tx, tenant, name)
            return job_view(row, attempts_of(tx, row))

        return conditional(request, msgspec.json.encode(await self._store.read(read)))

    async def status(self, request: Request) -> Response:
        """The status of a job, for polling (R12); `Prefer: wait=N` answers when it has ended, or after N seconds."""
        row, headers = await self._find(request), dict[str, str]()
        row = await self._wait(request, row["id"], headers) or row
        if JobState(row["status"]) not in TERMINAL:
            headers["Retry-After"] = str(POLL_AFTER_S)
        return conditional(request, msgspec.json.encode(status_view(row)), headers)

    async def result(self, request: Request) -> Response:
        """The result of a job (S5): the exact bytes that the chain's digest covers."""
        row = await self._find(request)
        if row["result_keccak"] is None:
            refuse_cancelled(row, "result")
            raise Problem("not-final", f"The job is {row['status']} and has no result.")
        data = row["result"] if row["result"] is not None else await self._deps.blobs.get(row["result_sha256"])
        return conditional(request, data)

    async def cancel(self, request: Request) -> Response:
        """Ask for a job's end (R13, C23): at once while it is pending, as soon as it hears of it while it runs."""
        name = request.path_params["jobId"]
        await self._deps.intake.cancel(tenant_of(request.scope).tenant, name)
        return answer(CancelAccepted(job_id=name), 202)

    async def list_jobs(self, request: Request) -> Response:
        """A page of the tenant's jobs (R8-R10).

        The links go on by cursor: jobs that are submitted meanwhile neither repeat nor hide others.
        """
        query = read_query(request, JobQuery)
        cursor = None if query.cursor is None else Cursor.read(query)
        since, until = moment("fromDate", query.from_date), moment("toDate", query.to_date)
        tenant = tenant_of(request.scope).tenant
        found = await self._store.read(lambda tx: read_page(tx, tenant, query, cursor, since, until))
        return answer(page_of(request, query, found))

    async def proof(self, request: Request) -> Response:
        """Everything that checks a job against the chain without trusting this API (C72)."""
        tenant, name = tenant_of(request.scope).tenant, request.path_params["jobId"]
        found = await self._store.read(lambda tx: read_proof(tx, tenant, name))
        return answer(proof_view(found, name, self._deps.chain()))


def _tell_units(context: RequestContext, tenant: Tenant, accepted: Accepted) -> None:
    if accepted.quota is not None:
        context.headers |= unit_headers(tenant.plan, accepted.quota.used, accepted.quota.reset_ms)


def _item(index: int, verdict: Accepted | BaseException, context: RequestContext, path: str) -> _Item:
    if isinstance(verdict, Accepted):
        return _Item(index=index, status=202, job=msgspec.Raw(verdict.response), replayed=verdict.replayed)
    if not isinstance(verdict, Exception):
        raise verdict
    problem = as_problem(verdict)
    return _Item(index=index, status=problem.status, problem=problem.document(f"{path}#{index}", context.trace_id))
