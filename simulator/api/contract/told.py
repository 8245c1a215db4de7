"""What the platform sends by itself: the webhooks of the document, with headers and bodies made by the real rules."""

from __future__ import annotations

from typing import Any

import msgspec

from simulator.notifier.deliveries import payload
from simulator.store.port import Row
from zjops.domain.clock import month_bounds_ms
from zjops.domain.ids import job_id
from zjops.domain.plans import compute_units
from zjops.domain.webhooks import WebhookType, new_secret, sign

AT_MS = month_bounds_ms("2026-11")[0]
KEY = bytes(range(16))
MESSAGE = "msg_2fB6TqXcWqoqkpzDRyFPk9"
TEXTS = {
    "webhook-id": "Names the message; the same at every attempt (Standard Webhooks).",
    "webhook-timestamp": "Unix time of the attempt; refuse what is more than 300 s away.",
    "webhook-signature": "One `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body` a secret, separated by spaces.",
    "X-Zama-Signature": "`hmac-sha256=` and hex of HMAC-SHA256 over `timestamp.body`.",
    "X-Zama-JobId": "The job.",
    "X-Zama-Timestamp": "The same as webhook-timestamp.",
}
SUMMARIES = {
    WebhookType.COMPLETED: "A job has been completed; its confirmation follows",
    WebhookType.FAILED: "A job has failed",
    WebhookType.CANCELLED: "A job was cancelled",
    WebhookType.CONFIRMED: "The outcome of a job is final on chain",
}


def told_by_webhook(schema: dict[str, Any]) -> dict[str, Any]:
    """The `webhooks` object: one request a type, to endpoints and, without one, to a job's `callbackUrl`."""
    return {kind.value: {"post": _request(kind, schema)} for kind in WebhookType}


def _request(kind: WebhookType, schema: dict[str, Any]) -> dict[str, Any]:
    body = msgspec.json.encode(payload(_row(kind), kind, AT_MS))
    headers = sign([new_secret(bytes(32))], MESSAGE, job_id(KEY), AT_MS // 1000, body)
    return {
        "operationId": "told" + kind.name.capitalize(), "summary": SUMMARIES[kind], "tags": ["webhooks"],
        "security": [],
        "parameters": [
            {"name": name, "in": "header", "required": True, "schema": {"type": "string"}, "description": text,
             "example": headers[name]}
            for name, text in TEXTS.items()
        ],
        "requestBody": {"required": True, "content": {
            "application/json": {"schema": schema, "example": msgspec.json.decode(body)}}},
        "responses": {
            "2XX": {"description": "Taken."},
            "410": {"description": "The endpoint is gone; it hears no more."},
            "default": {"description": "Tried again, five times in all, with growing waits."},
        },
    }  # fmt: skip


def _row(kind: WebhookType) -> Row:
    """A small job as it stands when it is told of."""
    failed, cancelled = kind is WebhookType.FAILED, kind is WebhookType.CANCELLED
    result = None if failed or cancelled else b'{"count":78498,"largest":999983}'
    return {
        "id": KEY, "status": kind.value.removeprefix("job."), "completed_at": AT_MS,
        "compute_units": compute_units(200), "processing_ms": None if cancelled else 240, "result": result,
        "result_bytes": None if result is None else len(result), "tx_hash": "0x" + bytes(32).hex(), "block_number": 7,
        "error_code": "timeout" if failed else None,
        "error_message": "The job took longer than its timeout." if failed else None,
    }  # fmt: skip
