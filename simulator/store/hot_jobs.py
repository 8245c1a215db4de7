"""The jobs of the store in memory that are not final, as plain values.

Every job passes a dozen statements within moments, and each of them turns every column from one form into another.
Here those statements are methods on dictionaries, each with the meaning of the one in `queries/*.sql` whose name it
bears; a test holds one against the other. Whatever else is asked goes to SQLite, which is brought up to date before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from simulator.store.port import Row
from simulator.store.queries import columns_of
from zjops.domain.jobs import JobState

EVICT_ROWS = 512
"""So many final jobs are handed to SQLite at once."""
_PENDING, _PROCESSING = JobState.PENDING.value, JobState.PROCESSING.value
_LIVE = (
    "SELECT * FROM jobs WHERE status IN ('pending', 'processing') OR retry_at IS NOT NULL"
    " OR (batch_id IS NOT NULL AND confirmed_at IS NULL)"
)
_TO_ANCHOR = " OR (settled_no IS NOT NULL AND batch_id IS NULL)"
_Params = Sequence[tuple[Any, ...]]


class HotJobs:
    """Jobs until they are final, by their id, and the orders in which they are looked for.

    A job is final once it has ended and stands in no order. Without `anchors` nothing waits for a batch.
    """

    def __init__(self, connection: sqlite3.Connection, *, anchors: bool = True) -> None:
        self._connection, self._anchors = connection, anchors
        self._live = _LIVE + _TO_ANCHOR if anchors else _LIVE
        self._columns, self._defaults = columns_of(connection, "jobs")
        self._rows: dict[bytes, Row] = {}
        self._dirty: dict[bytes, None] = {}
        self._undo: dict[bytes, Row | None] = {}
        self._open = self._detached = False
        """Whether a transaction runs, and whether what it changes are rows that it has read anew."""
        self._saved: tuple[dict[bytes, Row], dict[bytes, None]] | None = None
        self._to_anchor: dict[bytes, None] = {}
        self._to_retry: dict[bytes, None] = {}
        self._to_cancel: dict[bytes, None] = {}
        self._in_batch: dict[int, list[bytes]] = {}
        self._begun: set[int] = set()
        """Batches of which some job was confirmed: the others of them are not all there is."""
        self._final: dict[bytes, None] = {}
        self.reads: dict[str, Callable[..., Any]] = {
            "job_get": self._get, "jobs_to_settle": self._settle_rows, "jobs_to_retry": self._retry_rows,
            "jobs_to_cancel": self._cancel_rows, "anchor_due": self._due, "anchor_next": self._anchor_rows,
            "anchor_places": self._places, "batch_outcomes": self._outcomes, "tenants_told": self._told,
        }  # fmt: skip
        self.runs: dict[str, Callable[..., int]] = {
            "job_cancel_requested": self._cancel_requested, "job_dispatched": self._dispatched,
        }  # fmt: skip
        self.many: dict[str, Callable[[_Params], int]] = {
            "job_insert": self._insert, "job_started": self._started, "job_progress": self._progress,
            "job_settled": self._settled, "job_retry_later": self._retry_later, "job_batched": self._batched,
            "job_confirmed": self._confirmed,
        }  # fmt: skip

    def begin(self) -> None:
        """A transaction begins; between two of them what is final leaves."""
        if len(self._final) >= EVICT_ROWS:
            self.flush()
            for key in self._final:
                del self._rows[key]
            self._final.clear()
        self._undo.clear()
        self._open, self._detached, self._saved = True, False, None

    def commit(self) -> None:
        """The transaction holds."""
        self._open, self._saved = False, None

    def roll_back(self) -> None:
        """Undo what was done since, after SQLite has."""
        if self._saved is not None:
            self._rows, self._dirty = self._saved
        for key, row in self._undo.items():
            if row is None:
                self._rows.pop(key, None)
                self._dirty.pop(key, None)
            else:
                self._rows[key] = row
        self.commit()
        self._order()

    def flush(self) -> None:
        """Make the table what stands here."""
        if self._open and self._saved is None:
            # A rollback takes back what is written here too, so that all of it has to be written again.
            self._saved = dict(self._rows), dict(self._dirty)
        places = ", ".join(f":{name}" for name in self._columns)
        self._connection.executemany(
            f"INSERT OR REPLACE INTO jobs VALUES ({places})", [self._rows[key] for key in self._dirty]  # noqa: S608
        )  # fmt: skip
        self._dirty.clear()

    def reload(self) -> None:
        """Read anew what is not final: somebody has changed the table."""
        self._detached = True
        self._rows = {}
        for values in self._connection.execute(self._live).fetchall():
            row = dict(zip(self._columns, values, strict=True))
            self._rows[row["id"]] = row
        self._order()

    def _order(self) -> None:
        for part in (self._to_anchor, self._to_retry, self._to_cancel, self._in_batch, self._final):
            part.clear()
        for row in self._rows.values():
            self._enter(row)

    def _adopt(self, values: tuple[Any, ...]) -> Row:
        row = dict(zip(self._columns, values, strict=True))
        self._rows[row["id"]] = row
        self._enter(row)
        return row

    def _find(self, key: bytes | None) -> Row | None:
        """A job, also one that has left."""
        if key is None:
            return None
        row = self._rows.get(key)
        if row is not None:
            return row
        values = self._connection.execute("SELECT * FROM jobs WHERE id = ?", (key,)).fetchone()
        return None if values is None else self._adopt(values)

    def _own(self, key: bytes) -> Row | None:
        """A job that is about to be changed."""
        row = self._find(key)
        if row is not None:
            if not self._detached and key not in self._undo:
                self._undo[key] = dict(row)
            self._leave(row)
            self._dirty[key] = None
        return row

    def _enter(self, row: Row) -> None:
        """Put a job into the orders that it belongs to."""
        key, batch, status, waits = row["id"], row["batch_id"], row["status"], row["retry_at"] is not None
        if waits:
            self._to_retry[key] = None
        if batch is not None:
            if row["confirmed_at"] is None:
                self._in_batch.setdefault(batch, []).append(key)
                waits = True
            else:
                self._begun.add(batch)
        elif row["settled_no"] is not None and self._anchors:
            self._to_anchor[key] = None
            waits = True
        if row["cancel_requested_at"] is not None and status == _PROCESSING:
            self._to_cancel[key] = None
        if not waits and status not in (_PENDING, _PROCESSING):
            self._final[key] = None

    def _leave(self, row: Row) -> None:
        key, batch = row["id"], row["batch_id"]
        self._to_anchor.pop(key, None)
        self._to_retry.pop(key, None)
        self._to_cancel.pop(key, None)
        self._final.pop(key, None)
        if batch is not None and row["confirmed_at"] is None:
            members = self._in_batch[batch]
            # Mostly all of a batch leave in their order.
            members.pop(0) if members[0] == key else members.remove(key)
            if not members:
                del self._in_batch[batch]

    def _change(self, key: bytes, started_at: int | None = None, /, **values: Any) -> int:
        """Change a job; `started_at` counts only for one that had not started before."""
        row = self._own(key)
        if row is None:
            return 0
        if started_at is not None and row["started_at"] is None:
            row["started_at"] = started_at
        row.update(values)
        self._enter(row)
        return 1

    def _insert(self, rows: _Params) -> int:
        for values in rows:
            (
                key, idempotency_key, tenant, plan, job_type, priority, timeout_s, accepted_at, updated_at,
                payload_bytes, compute_units, parameters, parameters_sha256, callback_url, metadata, salt, traceparent,
            ) = values  # fmt: skip
            # One that has left is not looked for: 74 random bits within a millisecond do not come twice.
            if key in self._rows:
                raise sqlite3.IntegrityError("UNIQUE constraint failed: jobs.id")
            self._rows[key] = row = dict(self._defaults)
            row.update(
                id=key, idempotency_key=idempotency_key, tenant=tenant, plan=plan, job_type=job_type,
                priority=priority, timeout_s=timeout_s, status=_PENDING, accepted_at=accepted_at,
                updated_at=updated_at, payload_bytes=payload_bytes, compute_units=compute_units,
                parameters=parameters, parameters_sha256=parameters_sha256, callback_url=callback_url,
                metadata=metadata, salt=salt, traceparent=traceparent,
            )  # fmt: skip
            if not self._detached:
                self._undo[key] = None
            self._dirty[key] = None
        return len(rows)

    def _get(self, id: bytes) -> list[Row]:
        row = self._find(id)
        return [] if row is None else [dict(row)]

    def _settle_rows(self, **places: bytes | None) -> list[Row]:
        found = (self._find(key) for key in places.values())
        return [dict(row) for row in found if row is not None]

    def _started(self, rows: _Params) -> int:
        return sum(
            self._change(key, started_at, status=_PROCESSING, attempt=attempt, updated_at=now)
            for started_at, attempt, now, key in rows
        )

    def _progress(self, rows: _Params) -> int:
        count = 0
        for percent, now, key, attempt in rows:
            row = self._find(key)
            runs = row is not None and row["status"] == _PROCESSING and row["attempt"] == attempt
            if row is not None and runs and row["progress"] < percent:
                count += self._change(key, progress=percent, updated_at=now)
        return count

    def _settled(self, rows: _Params) -> int:
        count = 0
        for values in rows:
            (
                status, charge, attempt, started_at, completed_at, now, progress, result, result_sha256, result_bytes,
                result_keccak, processing_ms, error_code, error_message, dead_letter, settled_no, key,
            ) = values  # fmt: skip
            count += self._change(
                key, started_at, status=status, charge=charge, attempt=attempt, completed_at=completed_at,
                updated_at=now, progress=progress, result=result,
                result_sha256=result_sha256, result_bytes=result_bytes, result_keccak=result_keccak,
                processing_ms=processing_ms, error_code=error_code, error_message=error_message,
                dead_letter=dead_letter, settled_no=settled_no, retry_at=None,
            )  # fmt: skip
        return count

    def _retry_later(self, rows: _Params) -> int:
        return sum(
            self._change(key, started_at, attempt=attempt, attempt_base=base, retry_at=retry_at, status=status,
                         updated_at=now)
            for attempt, base, retry_at, status, started_at, now, key in rows
        )  # fmt: skip

    def _retry_rows(self, now: int, most: int) -> list[Row]:
        due = (self._rows[key] for key in self._to_retry if self._rows[key]["retry_at"] <= now)
        return [dict(row) for row in sorted(due, key=itemgetter("retry_at", "id"))[:most]]

    def _dispatched(self, id: bytes, now: int) -> int:
        return self._change(id, retry_at=None, updated_at=now)

    def _cancel_requested(self, id: bytes, now: int) -> int:
        row = self._find(id)
        if row is None or row["cancel_requested_at"] is not None:
            return 0
        return self._change(id, cancel_requested_at=now, updated_at=now)

    def _cancel_rows(self, most: int) -> list[Row]:
        ordered = sorted((self._rows[key] for key in self._to_cancel), key=itemgetter("cancel_requested_at", "id"))
        return [dict(row) for row in ordered[:most]]

    def _waiting(self, most: int) -> list[Row]:
        return sorted((self._rows[key] for key in self._to_anchor), key=itemgetter("settled_no"))[:most]

    def _due(self, most: int) -> list[Row]:
        rows = self._waiting(most) if len(self._to_anchor) > most else [self._rows[key] for key in self._to_anchor]
        return [{"count": len(rows), "oldest": min((row["completed_at"] for row in rows), default=None)}]

    def _anchor_rows(self, most: int) -> list[Row]:
        return [dict(row) for row in self._waiting(most)]

    def _places(self, most: int) -> list[Row]:
        return [{"id": row["id"], "settled_no": row["settled_no"]} for row in self._waiting(most)]

    def _batched(self, rows: _Params) -> int:
        return sum(
            self._change(key, batch_id=batch_id, chain_sequence=sequence, leaf_index=index)
            for batch_id, sequence, index, key in rows
        )  # fmt: skip

    def _outcomes(self, batch_id: int) -> list[Row] | None:
        """None for a batch of which jobs may have left."""
        members = self._in_batch.get(batch_id)
        if members is None or batch_id in self._begun:
            return None
        return [dict(row) for row in sorted((self._rows[k] for k in members), key=itemgetter("leaf_index"))]

    def _told(self, batch_id: int) -> list[Row] | None:
        """Nobody, or None where somebody may listen."""
        listens = self._connection.execute("SELECT 1 FROM webhook_endpoints WHERE status = 'active' LIMIT 1").fetchone()
        return [] if listens is None else None

    def _confirmed(self, rows: _Params) -> int:
        count = 0
        for status, tx_hash, block_number, gas_share, confirmed_at, now, key in rows:
            row = self._find(key)
            if row is not None and row["confirmed_at"] is None:
                count += self._change(
                    key, status=status, tx_hash=tx_hash, block_number=block_number, gas_share=gas_share,
                    confirmed_at=confirmed_at, updated_at=now,
                )  # fmt: skip
        return count
