"""Pages of jobs: by offset as designed, and by cursor, which is stable while jobs are added (R9, R10)."""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request

from simulator.api.views import job_view
from simulator.intake.records import SUBMIT_PATH
from simulator.store.port import Row, Tx
from zjops.domain.errors import FieldError, Problem
from zjops.domain.jobs import JobState
from zjops.domain.wire import JobPage, JobQuery, PageLinks, Pagination

COLUMNS = {"created_at": "accepted_at", "updated_at": "updated_at", "status": "status"}
NEWEST = 2**62
STATES = frozenset(JobState)


class Cursor(NamedTuple):
    """Where a page begins: after (or, going back, before) the job with this sort value and id."""

    back: bool
    value: int | str
    id: bytes

    def text(self, query: JobQuery) -> str:
        """As it stands in a link: bound to the sorting that it was made for."""
        parts = [int(self.back), self.value, self.id.hex(), query.sort_by, query.sort_order]
        return base64.urlsafe_b64encode(msgspec.json.encode(parts)).decode().rstrip("=")

    @classmethod
    def read(cls, query: JobQuery) -> Cursor:
        """The cursor of a query. Raises `Problem` (400) when it is not one of ours."""
        text = query.cursor or ""
        try:
            data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            kind: Any = tuple[int, str, str, str, str] if query.sort_by == "status" else tuple[int, int, str, str, str]
            back, value, key, sort_by, order = msgspec.json.decode(data, type=kind)
            found = cls(bool(back), value, bytes.fromhex(key))
        except (msgspec.MsgspecError, ValueError, binascii.Error) as exc:
            raise _bad("is not one of this list's") from exc
        if (sort_by, order) != (query.sort_by, query.sort_order):
            raise _bad("belongs to another sorting")
        if (isinstance(value, int) and not 0 <= value < NEWEST) or (isinstance(value, str) and value not in STATES):
            raise _bad("is not one of this list's")
        return found


def _bad(why: str) -> Problem:
    return Problem("invalid-parameter", f"cursor: {why}", errors=[FieldError("#/cursor", why)])


class Found(NamedTuple):
    """The rows of a page in order, how many match at all, and whether there are more on either side."""

    rows: list[Row]
    total: int
    more_after: bool
    more_before: bool


def read_page(
    tx: Tx, tenant: str, query: JobQuery, cursor: Cursor | None, since: int | None, until: int | None
) -> Found:
    """One page and the number of all."""
    filters: dict[str, Any] = {
        "tenant": tenant, "status": query.status.value if query.status else None,
        "job_type": query.job_type.value if query.job_type else None, "since": since, "until": until,
    }  # fmt: skip
    counted = tx.one("jobs_count", **filters)
    assert counted is not None
    back = cursor is not None and cursor.back
    descending = (query.sort_order == "desc") != back
    place = {"limit": query.limit + 1, "offset": 0 if cursor else query.offset}
    if query.sort_by == "created_at":
        start = cursor or Cursor(back, NEWEST if descending else -1, b"")
        rows = tx.all(
            "jobs_newest" if descending else "jobs_oldest", value=start.value, id=start.id, **filters, **place
        )
    else:
        at = {"sort": query.sort_by, "has": cursor is not None, "value": cursor.value if cursor else 0}
        name = "jobs_sorted_desc" if descending else "jobs_sorted_asc"
        rows = tx.all(name, id=cursor.id if cursor else b"", **at, **filters, **place)
    more = len(rows) > query.limit
    rows = rows[: query.limit]
    if back:
        return Found(rows[::-1], counted["total"], True, more)
    return Found(rows, counted["total"], more, cursor is not None or query.offset > 0)


def page_of(request: Request, query: JobQuery, found: Found) -> JobPage:
    """The document, with links that go on by cursor."""

    def link(row: Row, back: bool, offset: int) -> str:
        keep = [(k, v) for k, v in request.query_params.multi_items() if k not in ("limit", "offset", "cursor")]
        cursor = Cursor(back, row[COLUMNS[query.sort_by]], row["id"]).text(query)
        values = [*keep, ("limit", str(query.limit)), ("offset", str(max(0, offset))), ("cursor", cursor)]
        return f"{SUBMIT_PATH}?{urlencode(values)}"

    rows = found.rows
    following = link(rows[-1], False, query.offset + query.limit) if rows and found.more_after else None
    former = link(rows[0], True, query.offset - query.limit) if rows and found.more_before else None
    pagination = Pagination(total=found.total, limit=query.limit, offset=query.offset, has_more=following is not None)
    return JobPage(
        jobs=[job_view(row) for row in rows], pagination=pagination, links=PageLinks(next=following, previous=former)
    )
