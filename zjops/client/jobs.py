"""Jobs as a tenant handles them: submit, read, cancel, prove, wait."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from zjops.client.history import History, Read, Submitted
from zjops.client.http import Http, Outage, decode
from zjops.client.oauth import ClientCredentials, fetch_token
from zjops.client.stream import Streams, Update
from zjops.config import Context
from zjops.domain.clock import SystemClock
from zjops.domain.errors import Problem, UnreachableError
from zjops.domain.ids import SystemIds
from zjops.domain.jobs import TERMINAL, JobState
from zjops.domain.runfile import ClientEntry
from zjops.domain.wire import BatchReply, CancelAccepted, JobAccepted, JobPage, JobView, ProofView, StatusView

POLL_FIRST_S, POLL_FACTOR, POLL_MOST_S = 1.0, 1.5, 30.0


class Accepted(msgspec.Struct, frozen=True):
    """An accepted job; `replayed` when the same key had been accepted before."""

    job: JobAccepted
    replayed: bool
    key: str


class Jobs:
    """The jobs of one tenant. Every submission and reading goes into the history, when there is one."""

    def __init__(
        self, context: Context, client: ClientEntry, history: History | None = None, http: Http | None = None,
        timeout_s: float = 30.0,
    ) -> None:  # fmt: skip
        self._clock = SystemClock()
        self._ids = SystemIds(self._clock)
        self.tenant, self._history = client.tenant, history
        self.auth = ClientCredentials(context.token_url, client)
        self.http = http or Http(context.api_url, auth=self.auth, timeout_s=timeout_s)
        self.streams = Streams(
            self.http, context.api_url, lambda: fetch_token(context.token_url, client), saw=self._saw
        )  # fmt: skip

    def new_key(self) -> str:
        """A fresh idempotency key."""
        return str(uuid.UUID(bytes=self._ids.token(16), version=4))

    def submit(self, body: dict[str, Any] | bytes, key: str | None = None, *, repeat: bool = True) -> Accepted:
        """Submit a job; an outage is repeated with the same key, so that it becomes one job. Raises `Problem`."""
        key = key or self.new_key()
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        start = self._clock.now_ms()
        try:
            response = self.http.request("POST", "/v1/jobs", content=content, headers=headers, repeat=repeat)
        except Problem as problem:
            self._told(key, start, "fail", problem.status)
            raise
        except Outage:
            self._told(key, start, "unknown")
            raise
        job = decode(response.content, JobAccepted)
        replayed = response.headers.get("idempotent-replayed") == "true"
        self._told(key, start, "ok", response.status_code, job.job_id, replayed)
        return Accepted(job, replayed, key)

    def _told(
        self, key: str, start: int, outcome: Any, status: int | None = None, job_id: str | None = None,
        replayed: bool = False,
    ) -> None:  # fmt: skip
        if self._history is not None:
            self._history.add(
                Submitted(
                    key=key,
                    start_ms=start,
                    end_ms=self._clock.now_ms(),
                    outcome=outcome,
                    status=status,
                    job_id=job_id,
                    replayed=replayed,
                    tenant=self.tenant,
                )
            )

    def _saw(self, job_id: str, status: JobState, start: int) -> None:
        if self._history is not None:
            end = self._clock.now_ms()
            self._history.add(Read(job_id=job_id, status=status.value, start_ms=min(start, end), end_ms=end))

    @contextmanager
    def _mine(self) -> Iterator[None]:
        """Say by whose credentials a job was not found: another tenant's is none at all to this one."""
        try:
            yield
        except Problem as problem:
            if problem.kind.code == "not-found":
                problem.detail += f" It was asked for as tenant {self.tenant}; name another with --tenant."
            raise

    def get(self, job_id: str) -> JobView:
        """One job."""
        start = self._clock.now_ms()
        with self._mine():
            view: JobView = self.http.get(f"/v1/jobs/{job_id}", JobView)
        self._saw(job_id, view.status, start)
        return view

    def status(self, job_id: str) -> StatusView:
        """The short form."""
        start = self._clock.now_ms()
        with self._mine():
            view: StatusView = self.http.get(f"/v1/jobs/{job_id}/status", StatusView)
        self._saw(job_id, view.status, start)
        return view

    def list(self, **filters: Any) -> JobPage:
        """A page of jobs, by the filters of the API."""
        params = {name: value for name, value in filters.items() if value is not None}
        page: JobPage = self.http.get("/v1/jobs", JobPage, params=params)
        return page

    def every(self, **filters: Any) -> Iterator[JobView]:
        """All jobs that match, page after page by the links, which stay true while jobs are added."""
        page = self.list(**filters)
        while True:
            yield from page.jobs
            if page.links.next is None:
                return
            page = self.http.get(page.links.next, JobPage)

    def submit_many(self, bodies: Sequence[dict[str, Any]], key: str | None = None) -> BatchReply:
        """Up to a hundred jobs at once, each with an answer of its own (S4)."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": key or self.new_key()}
        content = msgspec.json.encode({"jobs": bodies})
        response = self.http.request("POST", "/v1/jobs:batch", content=content, headers=headers, repeat=True)
        reply: BatchReply = decode(response.content, BatchReply)
        return reply

    def cancel(self, job_id: str) -> CancelAccepted:
        """Ask for a job's end."""
        with self._mine():
            content = self.http.request("POST", f"/v1/jobs/{job_id}/cancel").content
        reply: CancelAccepted = decode(content, CancelAccepted)
        return reply

    def result(self, job_id: str) -> bytes:
        """The exact bytes of the result."""
        with self._mine():
            return self.http.request("GET", f"/v1/jobs/{job_id}/result").content

    def proof(self, job_id: str) -> ProofView:
        """What anyone needs to check a confirmed job against the chain."""
        with self._mine():
            view: ProofView = self.http.get(f"/v1/jobs/{job_id}/proof", ProofView)
        return view

    def follow(
        self, job_ids: Sequence[str], *, final: bool, within_s: float, idle: Callable[[], None] = lambda: None
    ) -> Iterator[Update]:  # fmt: skip
        """Every change of each job; see `Streams.follow`."""
        with self._mine():
            yield from self.streams.follow(job_ids, final=final, within_s=within_s, idle=idle)

    def watch(self, job_id: str, *, final: bool, within_s: float, most_s: float = POLL_MOST_S) -> Iterator[JobView]:
        """The job at every change, until it has ended or, if asked, is final on chain. Raises `UnreachableError`."""
        deadline, wait_s, last = self._clock.monotonic() + within_s, POLL_FIRST_S, None
        while True:
            view = self.get(job_id)
            seen = (view.status, view.attempt, view.blockchain_confirmation is not None)
            if seen != last:
                last, wait_s = seen, POLL_FIRST_S
                yield view
            if is_done(view, final=final):
                return
            if self._clock.monotonic() >= deadline:
                raise UnreachableError(
                    f"job {job_id} is still {view.status.value} after {within_s:g} s; watch it again"
                )
            self._clock.pause(min(wait_s, most_s))
            wait_s *= POLL_FACTOR


def is_done(view: JobView, *, final: bool) -> bool:
    """Whether a job has ended; with `final`, whether nothing about it will change any more."""
    if view.status not in TERMINAL:
        return False
    return not final or view.status is JobState.CANCELLED or view.blockchain_confirmation is not None


Opener = Callable[[str | None], Jobs]
