"""Deliveries of a job's change, written in the transaction that makes it: none is lost, none told twice."""

from __future__ import annotations

from typing import Any

import msgspec

from simulator.store.port import Row, Tx
from zjops.domain.clock import rfc3339
from zjops.domain.ids import Ids, base58, job_id
from zjops.domain.webhooks import WebhookType, new_secret

INLINE_BYTES = 16_000
"""A payload stays below 20 kB as Standard Webhooks asks; larger outputs are named by address (C25)."""
CALLBACK = "callback:"
ENDPOINT = "endpoint:"


def listeners_of(tx: Tx, tenant: str) -> list[Row]:
    """The endpoints of a tenant that hear of its jobs."""
    return tx.all("endpoints_active", tenant=tenant)


def enqueue_deliveries(
    tx: Tx, ids: Ids, row: Row, kind: WebhookType, now: int, listeners: list[Row] | None = None
) -> int:
    """Write what must be delivered of a change. `row` is the job as it stands after it; returns how many.

    `listeners` are the tenant's endpoints, where somebody has read them already.
    """
    targets: list[tuple[str | None, str]] = []
    if row["callback_url"]:
        targets.append((None, row["callback_url"]))
    targets += [
        (endpoint["id"], endpoint["url"])
        for endpoint in (listeners_of(tx, row["tenant"]) if listeners is None else listeners)
        if kind.value in msgspec.json.decode(endpoint["events"])
    ]
    if not targets:
        return 0
    body = msgspec.json.encode(payload(row, kind, now))
    for endpoint, url in targets:
        tx.run(
            "delivery_put", id="msg_" + base58(ids.uuid().bytes), tenant=row["tenant"], endpoint=endpoint, url=url,
            job_id=row["id"], type=kind.value, at=now, body=body,
        )  # fmt: skip
    return len(targets)


def payload(row: Row, kind: WebhookType, now: int) -> dict[str, Any]:
    """The body (R91, C24), with Standard Webhooks' `type` and `timestamp`."""
    name = job_id(row["id"])
    status = row["status"] if kind is not WebhookType.CONFIRMED else _confirmed(row)
    found: dict[str, Any] = {
        "type": kind.value, "timestamp": rfc3339(now), "jobId": name, "status": status,
        "completedAt": None if row["completed_at"] is None else rfc3339(row["completed_at"]),
    }  # fmt: skip
    if kind is WebhookType.CONFIRMED:
        found["blockchainConfirmation"] = {"txHash": row["tx_hash"], "blockNumber": row["block_number"]}
    if row["status"] == "failed":
        found["error"] = {"code": row["error_code"] or "failed", "message": row["error_message"] or "The job failed."}
    elif row["result_bytes"] is not None:
        found["result"] = {
            "computeUnitsUsed": row["compute_units"], "processingTime": row["processing_ms"], **_output(row, name),
        }  # fmt: skip
    return found


def _confirmed(row: Row) -> str:
    return "failed" if row["status"] == "failed" else "confirmed"


def _output(row: Row, name: str) -> dict[str, Any]:
    if row["result"] is not None and row["result_bytes"] <= INLINE_BYTES:
        return {"output": msgspec.Raw(row["result"])}
    return {"resultUrl": f"/v1/jobs/{name}/result"}


def ensure_secret(tx: Tx, ids: Ids, owner: str) -> Row:
    """The signing secret of an endpoint or of a tenant's callbacks, made at the first need."""
    row = tx.one("secret_get", owner=owner)
    if row is None:
        tx.run("secret_put", owner=owner, secret=new_secret(ids.token(32)), former=None, former_until=None)
        row = tx.one("secret_get", owner=owner)
        assert row is not None
    return row


def rotate_secret(tx: Tx, ids: Ids, owner: str, until: int) -> Row:
    """A new secret; the former one signs beside it until then."""
    former = ensure_secret(tx, ids, owner)["secret"]
    tx.run("secret_put", owner=owner, secret=new_secret(ids.token(32)), former=former, former_until=until)
    return ensure_secret(tx, ids, owner)


def owner_of(delivery: Row) -> str:
    """Whose secret signs a delivery."""
    return f"{ENDPOINT}{delivery['endpoint']}" if delivery["endpoint"] else f"{CALLBACK}{delivery['tenant']}"
