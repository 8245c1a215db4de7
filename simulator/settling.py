"""The transaction of settlement: results that came together share one, and each stands by what came before it.

A group reads each job once, decides in the order of the messages, and writes with one statement a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from simulator.intake.endings import settled_row
from simulator.job_events import job_event
from simulator.notifier.deliveries import enqueue_deliveries, listeners_of
from simulator.outbox import OutboxRow, event_row
from simulator.policy.retry import Again, Ending, Stale, decide, is_current
from simulator.store.port import Row, Tx
from zjops.domain.clock import utc_date
from zjops.domain.events import EventType, Outcome, Progress, Started
from zjops.domain.ids import Ids, job_key
from zjops.domain.jobs import ANCHORED, RETRIED, Charge, JobState
from zjops.domain.merkle import keccak256
from zjops.domain.webhooks import WebhookType

_PENDING, _PROCESSING, _CANCELLED = (
    one.value for one in (JobState.PENDING, JobState.PROCESSING, JobState.CANCELLED)
)  # fmt: skip
READ_AT_ONCE = 16
_PLACES = tuple(f"k{n}" for n in range(READ_AT_ONCE))
_EVENT_OF = {
    JobState.COMPLETED: EventType.COMPLETED,
    JobState.FAILED: EventType.FAILED,
    JobState.CANCELLED: EventType.CANCELLED,
}
_WEBHOOK_OF = {
    JobState.COMPLETED: WebhookType.COMPLETED,
    JobState.FAILED: WebhookType.FAILED,
    JobState.CANCELLED: WebhookType.CANCELLED,
}


class Served(msgspec.Struct, frozen=True):
    """The bytes that the result endpoint will serve: inline or by blob, with their digest for the leaf."""

    inline: bytes | None
    sha256: str | None
    size: int
    keccak: bytes


class Result(msgspec.Struct, frozen=True):
    """One message of RESULTS, read; `served` belongs to an outcome that has a result."""

    said: Outcome | Started | Progress
    served: Served | None = None


class Settled(NamedTuple):
    """What became of an outcome that ended its job."""

    job_type: str
    state: JobState
    outcome: Outcome
    accepted_at: int


class StaleOutcome(NamedTuple):
    """An outcome that no longer counts, and why."""

    job_id: str
    why: str


@dataclass(slots=True)
class _Freed:
    """What the ended jobs of a tenant and day free: jobs, those that are charged, and units."""

    jobs: int = 0
    charged_jobs: int = 0
    charged: int = 0
    released: int = 0


class Settling:
    """One group of results inside one transaction."""

    def __init__(self, tx: Tx, ids: Ids, now: int, *, first_s: float, most_s: float) -> None:
        self._tx, self._ids, self.now = tx, ids, now
        self._first_s, self._most_s = first_s, most_s
        self._rows: dict[bytes, Row] = {}
        self._listeners: dict[str, list[Row]] = {}
        self._writes: dict[str, list[tuple[Any, ...]]] = {}
        self._touched: set[bytes] = set()
        self._outbox: list[OutboxRow] = []
        self._attempts: list[tuple[Any, ...]] = []
        self._freed: dict[tuple[str, str], _Freed] = {}
        last = tx.one("outbox_last")
        assert last is not None
        self._last_no: int = last["n"]
        self.settled: list[Settled] = []
        self.ran_ms = 0
        """How long the attempts ran that ended."""
        self.stale: list[StaleOutcome] = []
        self.unwanted: list[str] = []
        """Jobs that began although they are cancelled."""

    def take(self, results: list[Result]) -> None:
        """Apply all of them, in order, and write what follows."""
        self._read([job_key(result.said.job_id) for result in results if not isinstance(result.said, Progress)])
        for result in results:
            said = result.said
            if isinstance(said, Outcome):
                self._done(said, result.served)
            elif isinstance(said, Started):
                self._started(said)
            else:
                self._progress(said)
        self._write()
        self._tx.many("outbox_put", self._outbox)
        if self._attempts:
            self._tx.many("job_attempt_put", self._attempts)
        self._settle_units()

    def _read(self, keys: list[bytes]) -> None:
        """The jobs of the group, many with one statement."""
        keys = list(dict.fromkeys(keys))
        for start in range(0, len(keys), READ_AT_ONCE):
            part: list[bytes | None] = [*keys[start : start + READ_AT_ONCE]]
            part += [None] * (READ_AT_ONCE - len(part))
            for row in self._tx.all("jobs_to_settle", **dict(zip(_PLACES, part, strict=True))):
                self._rows[row["id"]] = row

    def _row(self, name: str) -> Row | None:
        return self._rows.get(job_key(name))

    def _put(self, query: str, key: bytes, values: tuple[Any, ...]) -> None:
        """Note a write. Those of one job keep their order: a second one waits for the first."""
        if key in self._touched:
            self._write()
        self._touched.add(key)
        self._writes.setdefault(query, []).append(values)

    def _write(self) -> None:
        for query, rows in self._writes.items():
            self._tx.many(query, rows)
        self._writes.clear()
        self._touched.clear()

    def _tell(self, kind: EventType, row: Row, **changes: Any) -> None:
        event = job_event(row, **changes)
        self._outbox.append(event_row(self._ids.name(), kind, event, self.now, row["traceparent"]))

    def _progress(self, said: Progress) -> None:
        key, percent = job_key(said.job_id), min(max(said.percent, 0), 99)
        self._put("job_progress", key, (percent, self.now, key, said.attempt))
        row = self._rows.get(key)
        if row is not None and (row["status"], row["attempt"]) == (_PROCESSING, said.attempt):
            # An ending that came together with it keeps how far the job had got.
            row["progress"] = max(row["progress"], percent)

    def _started(self, said: Started) -> None:
        row = self._row(said.job_id)
        if row is not None and row["status"] == _CANCELLED:
            self.unwanted.append(said.job_id)
        if row is None or not is_current(JobState(row["status"]), row["attempt"], row["attempt_base"], said.attempt):
            return
        if row["status"] == _PENDING:
            self._tell(EventType.PROCESSING, row, status=_PROCESSING, attempt=said.attempt)
        self._put("job_started", row["id"], (said.started_at, said.attempt, self.now, row["id"]))
        if said.attempt > 1:
            self._attempts.append((row["id"], said.attempt, said.started_at, None, None, None, None, None))
        row["status"], row["attempt"] = _PROCESSING, said.attempt

    def _done(self, outcome: Outcome, served: Served | None) -> None:
        row = self._row(outcome.job_id)
        if row is None:
            return
        decision = decide(
            outcome.kind, JobState(row["status"]), current=row["attempt"], base=row["attempt_base"],
            attempt=outcome.attempt, cancelled=row["cancel_requested_at"] is not None,
            first_s=self._first_s, most_s=self._most_s,
        )  # fmt: skip
        if isinstance(decision, Stale):
            self.stale.append(StaleOutcome(outcome.job_id, decision.why))
            return
        self.ran_ms += max(0, outcome.ended_at - outcome.started_at)
        if row["status"] == _PENDING:
            self._tell(EventType.PROCESSING, row, status=_PROCESSING, attempt=outcome.attempt)
        if isinstance(decision, Again):
            self._retry(row, outcome, decision.delay_s)
        else:
            self._end(row, outcome, decision, served or _error_served(outcome, decision))

    def _retry(self, row: Row, outcome: Outcome, delay_s: float) -> None:
        now, next_at = self.now, self.now + round(delay_s * 1000)
        self._put("job_retry_later", row["id"], (
            outcome.attempt, outcome.attempt, next_at, _PROCESSING, outcome.started_at, now, row["id"],
        ))  # fmt: skip
        self._attempted(row, outcome, RETRIED, outcome.error_code, next_at)
        row["status"], row["attempt"], row["attempt_base"] = _PROCESSING, outcome.attempt, outcome.attempt

    def _attempted(
        self, row: Row, outcome: Outcome, became: str, error_code: str | None, next_at: int | None = None
    ) -> None:
        """Note how one of several attempts ended. A job's only one stands in the job itself, and costs nothing here."""
        self._attempts.append((
            row["id"], outcome.attempt, outcome.started_at, outcome.ended_at, became, error_code,
            outcome.error_message, next_at,
        ))  # fmt: skip

    def _end(self, row: Row, outcome: Outcome, ending: Ending, served: Served) -> None:
        """Note the ending and its event; what is anchored gets its place in the order of settlement (C73)."""
        state, charge, now = ending.state, ending.charge, self.now
        anchored = state in ANCHORED
        change: dict[str, Any] = {
            "status": state.value, "charge": charge.value, "attempt": outcome.attempt,
            "error_code": None if state is JobState.COMPLETED else ending.error_code or outcome.error_code,
            "processing_ms": max(0, outcome.ended_at - outcome.started_at),
        }  # fmt: skip
        self._tell(_EVENT_OF[state], row, **change)
        result: dict[str, Any] = {
            "completed_at": now, "result": served.inline if anchored else None,
            "result_bytes": served.size if anchored else None,
            "error_message": outcome.error_message if state is JobState.FAILED else None,
        }  # fmt: skip
        self._put("job_settled", row["id"], settled_row(
            row["id"], now=now, started_at=outcome.started_at, result_sha256=served.sha256,
            progress=100 if state is JobState.COMPLETED else row["progress"],
            result_keccak=served.keccak if anchored else None, dead_letter=int(ending.dead_letter),
            settled_no=self._last_no + len(self._outbox) if anchored else None, **change, **result,
        ))  # fmt: skip
        if outcome.attempt > 1:
            self._attempted(row, outcome, state.value, outcome.error_code or change["error_code"])
        row.update(change)
        self._free(row, charge)
        listeners = self._listening(row["tenant"])
        if listeners or row["callback_url"]:
            shown = row | result | {"error_message": outcome.error_message}
            enqueue_deliveries(self._tx, self._ids, shown, _WEBHOOK_OF[state], now, listeners)
        self.settled.append(Settled(row["job_type"], state, outcome, row["accepted_at"]))

    def _free(self, row: Row, charge: Charge) -> None:
        """Charge or release the reservation, in the month and day of its acceptance (C76), and free the job's place."""
        freed = self._freed.setdefault((row["tenant"], utc_date(row["accepted_at"])), _Freed())
        freed.jobs += 1
        if charge is Charge.CHARGED:
            freed.charged_jobs += 1
            freed.charged += row["compute_units"]
        else:
            freed.released += row["compute_units"]

    def _settle_units(self) -> None:
        """As `settle_units` does for one job."""
        for (tenant, day), freed in self._freed.items():
            units = {"charged": freed.charged, "released": freed.released}
            self._tx.run("usage_settle", tenant=tenant, month=day[:7], **units)
            self._tx.run("usage_day_settle", tenant=tenant, day=day, jobs=freed.charged_jobs, **units)
            self._tx.run("tenant_active", tenant=tenant, change=-freed.jobs)

    def _listening(self, tenant: str) -> list[Row]:
        if tenant not in self._listeners:
            self._listeners[tenant] = listeners_of(self._tx, tenant)
        return self._listeners[tenant]


def _error_served(outcome: Outcome, ending: Ending) -> Served:
    """What the result endpoint serves for a failed job: its error as JSON."""
    code = ending.error_code or outcome.error_code or outcome.kind.value
    message = outcome.error_message or "The job could not be completed."
    data = msgspec.json.encode({"error": {"code": code, "message": message}})
    return Served(data, None, len(data), keccak256(data))
