"""The columns of each log, in one table: their types, units and meaning. Readers and checks take them from here."""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """A column: its DuckDB type and a sentence on what it holds."""

    name: str
    type: str
    meaning: str


class Log(NamedTuple):
    """One log: what it holds, its columns, and whether its files must follow each other without a gap."""

    meaning: str
    columns: tuple[Column, ...]
    gapless: bool


_STREAM = (
    Column("event_id", "BLOB", "id of the event, 16 bytes"),
    Column("outbox_no", "BIGINT", "its number in the platform's outbox, over all streams"),
    Column("stream_seq", "BIGINT", "its number in its stream, without a gap"),
)

EVENTS = Log("What happened to jobs, one row an event, as the meter wrote it; see events_once.", (
    *_STREAM,
    Column("type", "VARCHAR", "submitted, processing, completed, failed, cancelled or confirmed"),
    Column("time", "BIGINT", "when it happened, Unix ms"),
    Column("tenant", "VARCHAR", "whose job"),
    Column("plan", "VARCHAR", "the tenant's plan when the job was accepted"),
    Column("job_id", "BLOB", "id of the job, 16 bytes"),
    Column("job_type", "VARCHAR", "compute_heavy, data_processing or ml_inference"),
    Column("accepted_at", "BIGINT", "when the job was accepted, Unix ms; its UTC month is the month that pays"),
    Column("payload_bytes", "BIGINT", "size of the submitted body"),
    Column("compute_units", "BIGINT", "compute units reserved for the job"),
    Column("charge", "VARCHAR", "held, charged or released, as of this event"),
    Column("status", "VARCHAR", "the job's status after this event"),
    Column("error_code", "VARCHAR", "why it failed"),
    Column("attempt", "INTEGER", "attempts so far"),
    Column("processing_ms", "BIGINT", "time spent computing, ms"),
    Column("batch_id", "BIGINT", "the batch that confirmed it"),
    Column("chain_sequence", "BIGINT", "its number on chain"),
    Column("leaf_index", "INTEGER", "its place in the batch"),
    Column("tx_hash", "BLOB", "the confirming transaction, 32 bytes"),
    Column("block_number", "BIGINT", "number of the block that held it when it became final"),
    Column("block_hash", "BLOB", "hash of that block, 32 bytes"),
    Column("gas_share", "BIGINT", "its share of the batch's gas; the shares of a batch add up to the receipt"),
    Column("traceparent", "VARCHAR", "W3C trace context"),
), gapless=True)  # fmt: skip

OPS = Log("What operators and policies did, one row an action; see ops_once.", (
    *_STREAM,
    Column("time", "BIGINT", "when it happened, Unix ms"),
    Column("kind", "VARCHAR", "tenant, plan, credit, abuse, action or relayer"),
    Column("actor", "VARCHAR", "who did it"),
    Column("action", "VARCHAR", "what was done, such as tenant.create"),
    Column("tenant", "VARCHAR", "to whom"),
    Column("reason", "VARCHAR", "why"),
    Column("values", "VARCHAR", "what was set, a JSON object"),
), gapless=True)  # fmt: skip

REQUESTS = Log("What the API answered, one row a second (a minute after a day), route, method, status and plan.", (
    Column("second", "BIGINT", "first second that the row counts, Unix s"),
    Column("process", "VARCHAR", "the process that counted"),
    Column("source", "VARCHAR", "api, or prober for what the supervisor's prober saw from outside"),
    Column("route", "VARCHAR", "path template"),
    Column("method", "VARCHAR", "HTTP method"),
    Column("status", "INTEGER", "HTTP status"),
    Column("plan", "VARCHAR", "the caller's plan"),
    Column("count", "BIGINT", "requests"),
    Column("within_300ms", "BIGINT", "of those, answered within 300 ms"),
    Column("within_500ms", "BIGINT", "of those, answered within 500 ms"),
    Column("errors_5xx", "BIGINT", "of those, answered by a 5xx"),
    Column("timeouts", "BIGINT", "of those, not answered in time"),
    Column("latency_ms_histogram", "BIGINT[]", "counts by the boundaries of zjops.domain.requests"),
), gapless=False)  # fmt: skip

LOGS: dict[str, Log] = {"events": EVENTS, "ops": OPS, "requests": REQUESTS}
"""The logs by the name of their folder, which is also that of their table."""


def select(log: Log, source: str, *, once: bool = False) -> str:
    """A SELECT of the log's columns from a table expression; `once` keeps the first of the rows of one event."""
    columns = ", ".join(f'"{column.name}"' for column in log.columns)
    if not once:
        return f"SELECT {columns} FROM {source}"  # noqa: S608 - columns and files of our own
    return f"SELECT DISTINCT ON (event_id) {columns} FROM {source} ORDER BY event_id, stream_seq, outbox_no"  # noqa: S608


def empty(log: Log) -> str:
    """A SELECT of no rows with the log's columns and types."""
    return "SELECT " + ", ".join(f'NULL::{column.type} AS "{column.name}"' for column in log.columns) + " WHERE false"


def comments(name: str) -> str:
    """Statements that write the meanings of a log's tables and columns into the catalogue, where tools show them."""
    log = LOGS[name]
    tables = {name: log.meaning} | ({f"{name}_once": f"{name}, each event once."} if log.gapless else {})
    lines = [f"COMMENT ON VIEW {table} IS '{_quoted(meaning)}';" for table, meaning in tables.items()]
    lines += [
        f"COMMENT ON COLUMN {table}.\"{column.name}\" IS '{_quoted(column.meaning)}';"
        for table in tables
        for column in log.columns
    ]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return text.replace("'", "''")
