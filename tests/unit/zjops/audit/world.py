"""A consistent little world for audits: export, log, chain and history that agree, and ways to break each."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from zjops.audit.batches import leaf_of
from zjops.audit.findings import Report
from zjops.audit.records import WHOLE, Part
from zjops.audit.run import audit_once
from zjops.client.chain import Block, Commit
from zjops.client.history import Read, Submitted
from zjops.domain.ids import job_id
from zjops.domain.jobs import JobState
from zjops.domain.merkle import Tree, keccak256, shares
from zjops.domain.synthetic import MARK
from zjops.domain.wire import ExportBatch, ExportHead, ExportRepair, ExportRow

GAS = 57_013
ELSEWHERE = 10_000
START_MS = 1_793_000_000_000
SCHEMA: dict[str, Any] = {
    "event_id": pl.Binary, "outbox_no": pl.Int64, "stream_seq": pl.Int64, "type": pl.String, "time": pl.Int64,
    "tenant": pl.String, "plan": pl.String, "job_id": pl.Binary, "job_type": pl.String, "accepted_at": pl.Int64,
    "payload_bytes": pl.Int64, "compute_units": pl.Int64, "charge": pl.String, "status": pl.String,
    "error_code": pl.String, "attempt": pl.Int32, "processing_ms": pl.Int64, "batch_id": pl.Int64,
    "chain_sequence": pl.Int64, "leaf_index": pl.Int32, "tx_hash": pl.Binary, "block_number": pl.Int64,
    "block_hash": pl.Binary, "gas_share": pl.Int64, "traceparent": pl.String,
}  # fmt: skip
OPS_SCHEMA: dict[str, Any] = {
    "event_id": pl.Binary, "outbox_no": pl.Int64, "stream_seq": pl.Int64, "time": pl.Int64, "kind": pl.String,
    "actor": pl.String, "action": pl.String, "tenant": pl.String, "reason": pl.String, "values": pl.String,
}  # fmt: skip
SYNTHETIC: dict[str, Any] = {
    "schema": "zjops.synthetic/1", "kind": "simulated", "seed": 7, "days": 2, "tenants": 12,
    "from": "2026-11-24T00:00:00.000Z", "to": "2026-11-26T00:00:00.000Z",
}  # fmt: skip
OUTCOMES = {
    "done": (JobState.CONFIRMED, "charged", None, 1),
    "fault": (JobState.FAILED, "charged", "invalid_parameters", 1),
    "crash": (JobState.FAILED, "released", "worker_crashed", 5),
    "early": (JobState.CANCELLED, "released", None, 0),
    "late": (JobState.CANCELLED, "charged", None, 1),
    "running": (JobState.PROCESSING, "held", None, 1),
}


def hash_of(text: str) -> str:
    """A hash that stands for something."""
    return "0x" + keccak256(text.encode()).hex()


class World:
    """Jobs by outcome; every record can be changed before the audit."""

    def __init__(self, outcomes: list[str], batch: int = 3) -> None:
        self.rows: list[ExportRow] = [self._row(n, outcome) for n, outcome in enumerate(outcomes)]
        self.batches: list[ExportBatch] = []
        self.roots: dict[int, bytes] = {}
        self.blocks: dict[int, Block] = {}
        self.commits: dict[int, Commit] = {}
        self.acts: list[dict[str, Any]] = []
        self.acts_missing: set[int] = set()
        self.begins: dict[str, int] = {}
        self.last: dict[str, int] | None = None
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
        self.size = 0
        self.part = WHOLE
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
                    tx_hash=hash_of(f"tx{number}"), confirmed_at=START_MS + 9_000,
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
                    tx_hash=hash_of(f"tx{number}"),
                    gas_used=GAS,
                    block_number=10 + number,
                    block_hash=hash_of(f"block{number}"),
                )
            )
            self.mine(self.batches[-1])

    def mine(self, batch: ExportBatch) -> None:
        """Have the chain hold a batch where the store says that it is."""
        assert batch.block_number is not None
        self.blocks[batch.block_number] = Block(str(batch.block_hash), frozenset({str(batch.tx_hash)}))
        root = bytes.fromhex(batch.root[2:])
        self.roots[batch.first_sequence] = root
        self.commits[batch.first_sequence] = Commit(batch.block_number, str(batch.tx_hash), batch.count, root)

    def replace_batch(self, index: int, **fields: Any) -> ExportBatch:
        """Change a batch of the store."""
        self.batches[index] = msgspec.structs.replace(self.batches[index], **fields)
        return self.batches[index]

    def repair(self, index: int, act: str, *, first: int | None = None, told: bool = True) -> None:
        """Anchor a batch again, as the relayer does: it is final in another block, and all of it is on record."""
        old = self.batches[index]
        first = old.first_sequence if first is None else first
        former = ExportRepair(
            at=START_MS + 20_000, actor="c-operations", act=act, first_sequence=old.first_sequence, root=old.root,
            tx_hash=old.tx_hash, block_number=old.block_number, block_hash=old.block_hash, gas_used=old.gas_used,
            final_at=START_MS + 9_000,
        )  # fmt: skip
        members = [n for n, row in enumerate(self.rows) if row.batch_id == old.batch_id]
        for n in members:
            index_of = self.rows[n].leaf_index
            assert index_of is not None
            self.change(n, chain_sequence=first + index_of)
        root = Tree([leaf_of(self.rows[n]).hash() for n in members]).root
        fresh = self.replace_batch(
            index, first_sequence=first, root="0x" + root.hex(), block_number=30 + index, gas_used=GAS + 17,
            block_hash=hash_of(f"other{index}"), tx_hash=hash_of(f"again{index}"), repairs=[*old.repairs, former],
        )  # fmt: skip
        del self.blocks[old.block_number or 0], self.roots[old.first_sequence], self.commits[old.first_sequence]
        self.mine(fresh)
        self.next_sequence_value = max(b.first_sequence + b.count for b in self.batches)
        if told:
            name = "adopted" if act == "adopt" else "sent_again"
            self.acts.append({"values": msgspec.json.encode({name: [old.batch_id]}).decode()})

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
        told = {"submitted": row.accepted_at, "confirmed": row.confirmed_at}
        status = row.status.value if kind == "confirmed" else {"submitted": "pending"}.get(kind, kind)
        return {
            "event_id": uuid.UUID(int=n).bytes, "outbox_no": n * 2, "stream_seq": n, "type": kind,
            "time": told.get(kind, START_MS + n), "tenant": row.tenant, "plan": row.plan,
            "job_id": uuid.UUID(int=self.rows.index(row) + 1).bytes, "job_type": row.job_type,
            "accepted_at": row.accepted_at, "payload_bytes": row.payload_bytes, "compute_units": row.compute_units,
            "charge": row.charge if settled else "held", "status": status,
            "error_code": row.error_code if settled else None, "attempt": 0 if kind == "submitted" else row.attempt,
            "processing_ms": 5 if settled else None, "batch_id": row.batch_id if kind == "confirmed" else None,
            "chain_sequence": row.chain_sequence if kind == "confirmed" else None,
            "leaf_index": row.leaf_index if kind == "confirmed" else None, **self._place(row, kind),
            "gas_share": share, "traceparent": None,
        }  # fmt: skip

    def _place(self, row: ExportRow, kind: str) -> dict[str, Any]:
        """Where an event says that its batch is."""
        if kind != "confirmed":
            return {"tx_hash": None, "block_number": None, "block_hash": None}
        batch = next(b for b in self.batches if b.batch_id == row.batch_id)
        hashes = {name: bytes.fromhex(str(getattr(batch, name))[2:]) for name in ("tx_hash", "block_hash")}
        return {"block_number": batch.block_number} | hashes

    def go_on_from(self, outcomes: list[str]) -> int:
        """Have the log begin with jobs that the store does not know; returns the number of their last event."""
        before = World(outcomes)
        last = len(before.events)
        for event in before.events:
            for name in ("event_id", "job_id"):
                event[name] = uuid.UUID(int=uuid.UUID(bytes=event[name]).int + ELSEWHERE).bytes
            event["batch_id"] = event["batch_id"] and event["batch_id"] + ELSEWHERE
        for event in self.events:
            event["stream_seq"] += last
            event["outbox_no"] += 2 * last
        self.events = before.events + self.events
        self.part = Part(after=last, outbox=2 * last)
        return last

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

    def block(self, number: int) -> Block | None:
        """The chain."""
        return self.blocks.get(number)

    def commit_of(self, first: int) -> Commit | None:
        """The chain."""
        return self.commits.get(first)

    def _write_acts(self, folder: Path) -> None:
        if not self.acts:
            return
        folder.mkdir(parents=True)
        rows = [
            dict.fromkeys(OPS_SCHEMA)
            | {
                "event_id": uuid.UUID(int=n).bytes,
                "outbox_no": 0,
                "stream_seq": n,
                "kind": "relayer",
                "action": "relayer.reanchored",
            }
            | act
            for n, act in enumerate(self.acts, 1)
        ]
        first, last = self.begins.get("ops", 1), max(row["stream_seq"] for row in rows)
        rows = [row for row in rows if row["stream_seq"] not in self.acts_missing and row["stream_seq"] >= first]
        frame = pl.DataFrame(rows, schema=OPS_SCHEMA, orient="row")
        frame.write_parquet(folder / f"ops-{first:020d}-{last:020d}.parquet")

    def audit(self, folder: Path, *, expect_settled: bool = False) -> Report:
        """Write everything down and audit it."""
        log = folder / "log/events/date=2026-11-24"
        log.mkdir(parents=True)
        first = self.begins.get("events", 1)
        held = [event for event in self.events if event["stream_seq"] >= first]
        frame = pl.DataFrame(held, schema=SCHEMA, orient="row")
        frame.write_parquet(log / f"events-{first:020d}-{max(self.size or len(self.events), 1):020d}.parquet")
        if self.last is not None:
            (folder / "log" / MARK).write_bytes(msgspec.json.encode(SYNTHETIC | {"last": self.last}))
        self._write_acts(folder / "log/ops/date=2026-11-24")
        head = ExportHead(
            at_ms=START_MS, jobs=len(self.rows), batches=len(self.batches), outbox_last=10**6, outbox_unpublished=0
        )  # fmt: skip
        lines: list[Any] = [head, *({"job": row} for row in self.rows), *({"batch": b} for b in self.batches)]
        export = folder / "export.jsonl"
        export.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        return audit_once(
            self.history, lambda: export, folder / "log", self, expect_settled=expect_settled, part=self.part
        )
