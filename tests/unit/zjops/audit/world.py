"""A consistent little world for audits: export, log, chain and history that agree, and ways to break each."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from zjops.audit.batches import leaf_of
from zjops.audit.findings import Report
from zjops.audit.run import audit_once
from zjops.client.history import Read, Submitted
from zjops.domain.ids import job_id
from zjops.domain.jobs import JobState
from zjops.domain.merkle import Tree, keccak256, shares
from zjops.domain.wire import ExportBatch, ExportHead, ExportRow

GAS = 57_013
START_MS = 1_793_000_000_000
SCHEMA: dict[str, Any] = {
    "event_id": pl.Binary, "outbox_no": pl.Int64, "stream_seq": pl.Int64, "type": pl.String, "time": pl.Int64,
    "tenant": pl.String, "plan": pl.String, "job_id": pl.Binary, "job_type": pl.String, "accepted_at": pl.Int64,
    "payload_bytes": pl.Int64, "compute_units": pl.Int64, "charge": pl.String, "status": pl.String,
    "error_code": pl.String, "attempt": pl.Int32, "processing_ms": pl.Int64, "batch_id": pl.Int64,
    "chain_sequence": pl.Int64, "leaf_index": pl.Int32, "tx_hash": pl.Binary, "gas_share": pl.Int64,
    "traceparent": pl.String,
}  # fmt: skip
OUTCOMES = {
    "done": (JobState.CONFIRMED, "charged", None, 1),
    "fault": (JobState.FAILED, "charged", "invalid_parameters", 1),
    "crash": (JobState.FAILED, "released", "worker_crashed", 5),
    "early": (JobState.CANCELLED, "released", None, 0),
    "late": (JobState.CANCELLED, "charged", None, 1),
    "running": (JobState.PROCESSING, "held", None, 1),
}


class World:
    """Jobs by outcome; every record can be changed before the audit."""

    def __init__(self, outcomes: list[str], batch: int = 3) -> None:
        self.rows: list[ExportRow] = [self._row(n, outcome) for n, outcome in enumerate(outcomes)]
        self.batches: list[ExportBatch] = []
        self.roots: dict[int, bytes] = {}
        self._commit(batch)
        self.events: list[dict[str, Any]] = []
        for row in self.rows:
            self._tell(row)
        self.history: list[Submitted | Read] = [
            Submitted(
                key=row.idempotency_key or "",
                start_ms=1,
                end_ms=2,
                outcome="ok",
                status=202,
                job_id=row.job_id,
                tenant=row.tenant,
            )
            for row in self.rows
        ]
        self.next_sequence_value = 1 + sum(b.count for b in self.batches)

    def _row(self, n: int, outcome: str) -> ExportRow:
        status, charge, code, attempt = OUTCOMES[outcome]
        anchored = status in (JobState.CONFIRMED, JobState.FAILED)
        return ExportRow(
            job_id=job_id(uuid.UUID(int=n + 1).bytes), tenant="acme", plan="pro", job_type="compute_heavy",
            status=status, idempotency_key=str(uuid.UUID(int=n + 1, version=4)), accepted_at=START_MS + n,
            payload_bytes=200 + n, compute_units=100, charge=charge, attempt=attempt, error_code=code,
            salt="0x" + keccak256(f"salt{n}".encode()).hex(),
            result_sha3="0x" + keccak256(f"result{n}".encode()).hex() if anchored else None, batch_id=None,
            chain_sequence=None, leaf_index=None, tx_hash=None, confirmed_at=None,
        )  # fmt: skip

    def _commit(self, size: int) -> None:
        anchored = [n for n, row in enumerate(self.rows) if row.result_sha3 is not None]
        for number, start in enumerate(range(0, len(anchored), size), 1):
            members = anchored[start : start + size]
            for index, n in enumerate(members):
                self.rows[n] = msgspec.structs.replace(
                    self.rows[n], batch_id=number, chain_sequence=start + 1 + index, leaf_index=index,
                    tx_hash="0x" + "ab" * 32, confirmed_at=START_MS + 9_000,
                )  # fmt: skip
            root = Tree([leaf_of(self.rows[n]).hash() for n in members]).root
            self.roots[start + 1] = root
            self.batches.append(
                ExportBatch(
                    batch_id=number,
                    first_sequence=start + 1,
                    count=len(members),
                    root="0x" + root.hex(),
                    state="final",
                    tx_hash="0x" + "ab" * 32,
                    gas_used=GAS,
                )
            )

    def _tell(self, row: ExportRow) -> None:
        kinds = ["submitted"] + (["processing"] if row.attempt else [])
        ended = "completed" if row.status is JobState.CONFIRMED else row.status.value
        kinds += [ended] if row.status is not JobState.PROCESSING else []
        kinds += ["confirmed"] if row.confirmed_at else []
        for kind in kinds:
            self.events.append(self.event(row, kind))

    def event(self, row: ExportRow, kind: str) -> dict[str, Any]:
        """A row of the log as the meter writes it."""
        n = len(self.events) + 1
        batch = next((b for b in self.batches if b.batch_id == row.batch_id), None)
        share = shares(GAS, batch.count)[row.leaf_index or 0] if batch is not None and kind == "confirmed" else None
        settled = kind in ("completed", "failed", "cancelled", "confirmed")
        return {
            "event_id": uuid.UUID(int=n).bytes, "outbox_no": n * 2, "stream_seq": n, "type": kind,
            "time": START_MS + n, "tenant": row.tenant, "plan": row.plan,
            "job_id": uuid.UUID(int=self.rows.index(row) + 1).bytes, "job_type": row.job_type,
            "accepted_at": row.accepted_at, "payload_bytes": row.payload_bytes, "compute_units": row.compute_units,
            "charge": row.charge if settled else "held", "status": row.status.value, "error_code": row.error_code,
            "attempt": row.attempt, "processing_ms": 5, "batch_id": row.batch_id if kind == "confirmed" else None,
            "chain_sequence": row.chain_sequence if kind == "confirmed" else None, "leaf_index": row.leaf_index,
            "tx_hash": None, "gas_share": share, "traceparent": None,
        }  # fmt: skip

    def change(self, n: int, **fields: Any) -> None:
        """Change a row of the store."""
        self.rows[n] = msgspec.structs.replace(self.rows[n], **fields)

    def drop_event(self, n: int, kind: str) -> dict[str, Any]:
        """Take an event of a job out of the log."""
        found = next(e for e in self.events if e["job_id"] == uuid.UUID(int=n + 1).bytes and e["type"] == kind)
        self.events.remove(found)
        return found

    def root_of(self, first: int) -> bytes | None:
        """The chain."""
        return self.roots.get(first)

    def next_sequence(self) -> int:
        """The chain."""
        return self.next_sequence_value

    def audit(self, folder: Path, *, expect_settled: bool = False) -> Report:
        """Write everything down and audit it."""
        log = folder / "log/events/date=2026-11-24"
        log.mkdir(parents=True)
        frame = pl.DataFrame(self.events, schema=SCHEMA, orient="row")
        frame.write_parquet(log / f"events-{1:020d}-{max(len(self.events), 1):020d}.parquet")
        head = ExportHead(
            at_ms=START_MS, jobs=len(self.rows), batches=len(self.batches), outbox_last=10**6, outbox_unpublished=0
        )  # fmt: skip
        lines: list[Any] = [head, *({"job": row} for row in self.rows), *({"batch": b} for b in self.batches)]
        export = folder / "export.jsonl"
        export.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        return audit_once(self.history, lambda: export, folder / "log", self, expect_settled=expect_settled)
