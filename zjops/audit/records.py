"""The audit's inputs as plain records: the export's jobs and batches, the log's view of each job."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from zjops.analytics.warehouse import Warehouse
from zjops.domain.errors import UsageError
from zjops.domain.ids import job_id
from zjops.domain.synthetic import synthetic_part
from zjops.domain.wire import ExportBatch, ExportHead, ExportRow


class Export(NamedTuple):
    """The store as of one moment."""

    head: ExportHead
    jobs: dict[str, ExportRow]
    batches: list[ExportBatch]


class Logged(NamedTuple):
    """What the log says of a job: how often each event stands there, in which order, and what was charged."""

    tenant: str
    copies: int
    submitted: int
    processing: int
    completed: int
    failed: int
    cancelled: int
    confirmed: int
    charged: int
    released: int
    submitted_no: int
    ended_no: int
    confirmed_no: int
    compute_units: int
    chain_sequence: int | None


class LoggedBatch(NamedTuple):
    """What the events of a batch say: the gas of their shares, and where it was confirmed (0x-prefixed hex)."""

    gas: int
    tx_hash: str | None = None
    block_number: int | None = None
    block_hash: str | None = None
    places: int = 1


class Part(NamedTuple):
    """Which events of a log an export tells of: those behind `after`, up to `through` (numbers of the stream).

    `outbox` is the last number of the outbox before them; those that have a number above `until` came later.
    """

    after: int = 0
    through: int | None = None
    outbox: int = 0
    until: int | None = None

    def open(self, log_dir: Path) -> Warehouse:
        """The log with no other events, whatever is missing from it."""
        return Warehouse(log_dir, whole=False, after=self.after, through=self.through, until=self.until)


WHOLE = Part()


def part_after(log_dir: Path) -> Part:
    """What a platform that goes on from a synthetic log has written itself; the whole log of any other."""
    made = synthetic_part(log_dir)
    return Part(after=made.last.events, outbox=made.last.outbox) if made else WHOLE


def part_before(log_dir: Path) -> Part:
    """What was made before a platform went on with a synthetic log."""
    made = synthetic_part(log_dir)
    return Part(through=made.last.events) if made else WHOLE


class Log(NamedTuple):
    """The log as of one moment; `repairs` is how often each batch was anchored again."""

    jobs: dict[str, Logged]
    batches: dict[int, LoggedBatch]
    watermark: int
    repairs: Counter[int]


class _Repaired(msgspec.Struct):
    """The batches of an event `relayer.reanchored`."""

    adopted: list[int] = []
    sent_again: list[int] = []


NO_LOG = Log({}, {}, 0, Counter())


class _Line(msgspec.Struct):
    job: ExportRow | None = None
    batch: ExportBatch | None = None


def read_export(path: Path) -> Export:
    """Read an export. Raises `UsageError` for one that is damaged or cut off."""
    lines: list[_Line] = []
    number = 1
    try:
        with path.open("rb") as file:
            head = msgspec.json.decode(next(file, b""), type=ExportHead)
            for line in file:
                number += 1
                lines.append(msgspec.json.decode(line, type=_Line))
    except OSError as exc:
        raise UsageError(f"export {path} cannot be read: {exc.strerror}") from exc
    except msgspec.MsgspecError as exc:
        raise UsageError(f"export {path} cannot be read: line {number}: {exc}") from exc
    jobs = {line.job.job_id: line.job for line in lines if line.job is not None}
    batches = [line.batch for line in lines if line.batch is not None]
    if (len(jobs), len(batches)) != (head.jobs, head.batches):
        raise UsageError(f"export {path} is cut off: {len(jobs)} of {head.jobs} jobs; export it again")
    if len(lines) != head.jobs + head.batches:
        raise UsageError(f"export {path} holds a job more than once; export it again")
    return Export(head, jobs, batches)


def left_out(log_dir: Path, part: Part) -> int:
    """How many jobs were accepted before a part of the log. Raises `UnreachableError`."""
    if not part.after:
        return 0
    with Warehouse(log_dir, whole=False, through=part.after) as warehouse:
        return int(warehouse.rows("accepted")[0]["jobs"])


def read_log(log_dir: Path, part: Part = WHOLE) -> Log:
    """Read a part of the log. Raises `UnreachableError`."""
    # What is missing is for the audit to find and to name, job by job.
    with part.open(log_dir) as warehouse:
        jobs = {job_id(bytes(row.pop("job_id"))): Logged(**row) for row in warehouse.rows("jobs")}
        batches = {row.pop("batch_id"): _logged(row) for row in warehouse.rows("batches")}
        watermark = max(part.outbox, warehouse.rows("watermark")[0]["outbox_no"])
        repairs = Counter(batch for row in warehouse.rows("repairs") for batch in _batches(row["batches"]))
    return Log(jobs, batches, watermark, repairs)


def _logged(row: dict[str, Any]) -> LoggedBatch:
    hashes = {name: _hex(row[name]) for name in ("tx_hash", "block_hash")}
    return LoggedBatch(**row | hashes)


def _hex(data: bytes | None) -> str | None:
    return None if data is None else "0x" + bytes(data).hex()


def _batches(values: str) -> list[int]:
    try:
        said = msgspec.json.decode(values, type=_Repaired)
    except msgspec.MsgspecError:
        return []
    return said.adopted + said.sent_again
