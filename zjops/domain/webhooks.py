"""Webhook signatures: the design's header set (R88, R89) and Standard Webhooks 1.0.0, made and verified.

Both cover the time of the attempt and the raw body; comparison is in constant time (C27).
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
from collections.abc import Mapping

from zjops.domain.errors import UsageError

PREFIX = "whsec_"
TOLERANCE_S = 300
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
ZAMA_SIGNATURE, ZAMA_JOB, ZAMA_TIMESTAMP = "X-Zama-Signature", "X-Zama-JobId", "X-Zama-Timestamp"


class WebhookType(enum.StrEnum):
    """What a webhook tells of (C24)."""

    COMPLETED = "job.completed"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"
    CONFIRMED = "job.confirmed"


def new_secret(token: bytes) -> str:
    """A secret of 24 to 64 random bytes as `whsec_` and base64."""
    return PREFIX + base64.b64encode(token).decode()


def secret_key(secret: str) -> bytes:
    """The key of a secret. Raises `UsageError` when it is not one."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise UsageError("a webhook secret is whsec_ and base64 of 24 to 64 bytes")
    return key


def sign(secrets: list[str], message_id: str, job_id: str, unix_s: int, body: bytes) -> dict[str, str]:
    """The headers of one attempt. Every secret signs for Standard Webhooks; the first alone for the design's header."""
    plain = f"{unix_s}.".encode() + body
    standard = f"{message_id}.".encode() + plain
    marks = [base64.b64encode(hmac.digest(secret_key(s), standard, "sha256")).decode() for s in secrets]
    return {
        ID: message_id,
        TIMESTAMP: str(unix_s),
        SIGNATURE: " ".join(f"v1,{mark}" for mark in marks),
        ZAMA_SIGNATURE: "hmac-sha256=" + hmac.new(secret_key(secrets[0]), plain, hashlib.sha256).hexdigest(),
        ZAMA_JOB: job_id,
        ZAMA_TIMESTAMP: str(unix_s),
    }


def faults(secret: str, headers: Mapping[str, str], body: bytes, now_s: int) -> list[str]:
    """What is wrong with a delivery, in words; empty when both signatures hold."""
    found = {name.lower(): value for name, value in headers.items()}
    wrong = [f"{name} is missing" for name in (ID, TIMESTAMP, SIGNATURE, ZAMA_SIGNATURE.lower()) if name not in found]
    if wrong:
        return wrong
    stamp = found[TIMESTAMP]
    if not stamp.isdigit() or abs(now_s - int(stamp)) > TOLERANCE_S:
        return [f"{TIMESTAMP} is more than {TOLERANCE_S} s away from now"]
    expected = sign([secret], found[ID], "", int(stamp), body)
    marks = found[SIGNATURE].split()
    if not any(hmac.compare_digest(mark.encode(), expected[SIGNATURE].encode()) for mark in marks):
        wrong.append(f"{SIGNATURE} does not match")
    if not hmac.compare_digest(found[ZAMA_SIGNATURE.lower()].encode(), expected[ZAMA_SIGNATURE].encode()):
        wrong.append(f"{ZAMA_SIGNATURE} does not match")
    return wrong
