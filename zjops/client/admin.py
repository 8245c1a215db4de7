"""The operators' door of a platform (C85)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from zjops.client.http import Http, decode
from zjops.client.oauth import ClientCredentials
from zjops.config import Context
from zjops.domain.errors import UsageError
from zjops.domain.ids import job_key
from zjops.domain.wire import JobAccepted, TenantChange, TenantCreate, TenantCreated, TenantView
from zjops.domain.wire_admin import (
    AdminDeliveries,
    AdminDelivery,
    AdminJob,
    AdminJobPage,
    AuditEntry,
    AuditPage,
    EventsReplayed,
)
from zjops.domain.wire_billing import CreditGrant, CreditPage, CreditView
from zjops.domain.wire_chain import BatchDetail, BatchPage, ReanchorView, RelayerView

BASE = "/v1/admin"
PAGE = 1_000
SEARCHED_AT_ONCE = 100


class _Tenants(msgspec.Struct):
    tenants: list[TenantView]


class Admin:
    """What an operator may do."""

    def __init__(self, context: Context, http: Http | None = None) -> None:
        self.http = http or Http(
            context.api_url, auth=ClientCredentials(context.token_url, context.operations())
        )  # fmt: skip

    def tenants(self) -> list[TenantView]:
        """Every tenant with this month's units."""
        found: _Tenants = self.http.get(f"{BASE}/tenants", _Tenants)
        return found.tenants

    def tenant(self, name: str) -> TenantView:
        """One tenant."""
        view: TenantView = self.http.get(f"{BASE}/tenants/{name}", TenantView)
        return view

    def add(self, asked: TenantCreate) -> TenantCreated:
        """A new tenant; its secret is in this answer and nowhere else."""
        made: TenantCreated = decode(self._send("POST", f"{BASE}/tenants", asked), TenantCreated)
        return made

    def change(self, name: str, asked: TenantChange) -> TenantView:
        """Another plan, state or negotiated value."""
        view: TenantView = decode(self._send("PATCH", f"{BASE}/tenants/{name}", asked), TenantView)
        return view

    def grant_credit(self, tenant: str, asked: CreditGrant, key: str) -> CreditView:
        """Grant a credit under a key that is its id; an outage is repeated with it, so that it becomes one credit."""
        made: CreditView = decode(
            self._send("POST", f"{BASE}/tenants/{tenant}/credits", asked, {"Idempotency-Key": key}), CreditView
        )
        return made

    def credits(self, tenant: str, month: str | None = None) -> list[CreditView]:
        """Every credit of a tenant, or of one month, in the order of their grants."""
        found: list[CreditView] = []
        after: int | None = 0
        while after is not None:
            params = {"after": after, "limit": PAGE} | ({"month": month} if month else {})
            page: CreditPage = self.http.get(f"{BASE}/tenants/{tenant}/credits", CreditPage, params=params)
            found, after = found + page.credits, page.next
        return found

    def job(self, job_id: str) -> AdminJob | None:
        """A job of any tenant, found in the list of all jobs just behind the key before its own."""
        try:
            before = (int.from_bytes(job_key(job_id), "big") - 1).to_bytes(16, "big")
        except (ValueError, OverflowError):
            return None
        page: AdminJobPage = self.http.get(f"{BASE}/jobs", AdminJobPage, params={"after": before.hex(), "limit": 1})
        return next((one for one in page.jobs if one.job.job_id == job_id), None)

    def jobs(self, most: int, *, status: str | None = None, job_type: str | None = None) -> Iterator[AdminJobPage]:
        """The oldest jobs of all tenants, up to so many, in pages as large as the API gives them."""
        asked = {"status": status, "jobType": job_type}
        params: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        while most > 0:
            page: AdminJobPage = self.http.get(f"{BASE}/jobs", AdminJobPage, params=params | {"limit": min(most, PAGE)})
            yield page
            if page.next is None:
                return
            most -= len(page.jobs)
            params["after"] = page.next

    def cancel_job(self, job_id: str, reason: str) -> None:
        """Ask for the end of any tenant's job; asked twice is asked once, so an outage is repeated."""
        self._send("POST", f"{BASE}/jobs/{job_id}/cancel", {"reason": reason}, {})

    def retry_dead_letter(self, job_id: str, reason: str) -> str:
        """Submit a dead letter's work again; returns the id of its successor, which stays the same when repeated."""
        made: JobAccepted = decode(
            self._send("POST", f"{BASE}/dead-letters/{job_id}/retry", {"reason": reason}, {}), JobAccepted
        )
        return made.job_id

    def redeliver(self, delivery_id: str, reason: str) -> None:
        """Deliver a webhook of any tenant once more."""
        self._send("POST", f"{BASE}/deliveries/{delivery_id}/redeliver", {"reason": reason})

    def deliveries_of(self, job_ids: Sequence[str]) -> list[AdminDelivery]:
        """The webhook deliveries of these jobs, whosever they are."""
        found: list[AdminDelivery] = []
        for start in range(0, len(job_ids), SEARCHED_AT_ONCE):
            asked = {"jobIds": list(job_ids[start : start + SEARCHED_AT_ONCE])}
            found += decode(self._send("POST", f"{BASE}/deliveries/search", asked, {}), AdminDeliveries).deliveries
        return found

    def pause_relayer(self, paused: bool, reason: str | None = None) -> None:
        """Hold confirmations back, or let them go on."""
        self._send("POST", f"{BASE}/relayer", {"paused": paused, "reason": reason})

    def relayer(self) -> RelayerView:
        """Who sends batches, how that goes, and what waits."""
        view: RelayerView = self.http.get(f"{BASE}/relayer", RelayerView)
        return view

    def reanchor(self, batch: int | None, reason: str | None = None) -> ReanchorView:
        """Have the relayer anchor a batch again that a reorganisation took away, or all of them."""
        asked = {"batch": batch, "reason": reason}
        view: ReanchorView = decode(self._send("POST", f"{BASE}/relayer/reanchor", asked), ReanchorView)
        return view

    def batches(self, *, state: str | None = None, limit: int = 20, before: int | None = None) -> BatchPage:
        """Batches, newest first."""
        asked = {"state": state, "limit": limit, "before": before}
        params = {name: value for name, value in asked.items() if value is not None}
        page: BatchPage = self.http.get(f"{BASE}/batches", BatchPage, params=params)
        return page

    def batch(self, number: int) -> BatchDetail:
        """One batch with its leaves."""
        view: BatchDetail = self.http.get(f"{BASE}/batches/{number}", BatchDetail)
        return view

    def dead_letters(self) -> Iterator[AdminJob]:
        """Jobs whose attempts are used up and that nobody has retried."""
        after: str | None = ""
        while after is not None:
            params = {"limit": PAGE} | ({"after": after} if after else {})
            page: AdminJobPage = self.http.get(f"{BASE}/dead-letters", AdminJobPage, params=params)
            yield from page.jobs
            after = page.next

    def dead_letter_ids(self) -> frozenset[str]:
        """The ids of these."""
        return frozenset(one.job.job_id for one in self.dead_letters())

    def audit_log(
        self, most: int, *, actor: str | None = None, action: str | None = None, since: str | None = None,
        reads: bool = True,
    ) -> Iterator[AuditEntry]:  # fmt: skip
        """The newest entries of the audit log, up to so many, newest first: of an actor, of an action, from a moment
        on (RFC 3339), or without what only read."""
        asked = {"actor": actor, "action": action, "since": since, "reads": None if reads else "false"}
        params: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        params["sortOrder"] = "desc"
        while most > 0:
            asking = params | {"limit": min(most, PAGE)}
            page: AuditPage = self.http.get(f"{BASE}/audit-log", AuditPage, params=asking)
            yield from page.entries
            if page.next is None:
                return
            most -= len(page.entries)
            params["before"] = page.next

    def replay(self, asked: dict[str, Any]) -> Iterator[EventsReplayed]:
        """Have events published again, call after call to the end of the range, under one name."""
        while True:
            part: EventsReplayed = decode(self._send("POST", f"{BASE}/events/replay", asked), EventsReplayed)
            yield part
            if part.next is None:
                return
            asked = {name: value for name, value in asked.items() if name != "since"}
            asked |= {"name": part.name, "fromSequence": part.next, "toSequence": part.to_sequence}

    def export(self, path: Path) -> None:
        """Write the consistent export to a file."""
        try:
            with self.http.stream(f"{BASE}/export") as response, path.open("wb") as file:
                for part in response.iter_bytes():
                    file.write(part)
        except OSError as exc:
            raise UsageError(f"{path} cannot be written ({exc.strerror})") from exc

    def _send(self, method: str, path: str, value: Any, more: dict[str, str] | None = None) -> bytes:
        """Send a document; given headers of its own, such as an idempotency key, it may be sent again."""
        headers = {"Content-Type": "application/json"} | (more or {})
        content, repeat = msgspec.json.encode(value), more is not None
        return self.http.request(method, path, content=content, headers=headers, repeat=repeat).content
