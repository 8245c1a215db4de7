"""State changes as Alertmanager tells of them: its webhook's JSON, version 4.

Only what changed since the last time is posted, and what was told is remembered in the home once it has arrived: an
address that is away hears of it the next time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from zjops.domain.clock import rfc3339
from zjops.domain.errors import UnreachableError, UsageError
from zjops.slo.alerts import SUMMARY, Alert
from zjops.slo.memory import Told, read_memory, write_memory

WITHIN_S = 10.0
NEVER = "0001-01-01T00:00:00Z"
"""When an alert that still fires ends, in Alertmanager's way."""


def notify_changes(url: str, alerts: Sequence[Alert], home: Path, now_ms: int) -> int:
    """Post what began and what ended; returns how many changes there were.

    Raises `UsageError` for what is no address, `UnreachableError` when nobody took it.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url} is no http:// or https:// address")
    memory = read_memory(home)
    former = {_key(one): one for one in memory.told}
    now = {_key(one): one for one in (_told(alert, now_ms) for alert in alerts)}
    kept = {key: msgspec.structs.replace(one, since_ms=former[key].since_ms) if key in former else one
            for key, one in now.items()}  # fmt: skip
    begun = [one for key, one in kept.items() if key not in former]
    ended = [one for key, one in former.items() if key not in kept]
    if begun or ended:
        _post(url, payload(begun, ended, now_ms))
        write_memory(home, msgspec.structs.replace(read_memory(home), told=list(kept.values())))
    return len(begun) + len(ended)


def payload(begun: Sequence[Told], ended: Sequence[Told], now_ms: int) -> dict[str, Any]:
    """The document: all changes as one group."""
    told = [_entry(one, None) for one in begun] + [_entry(one, now_ms) for one in ended]
    shared = [set(one["labels"].items()) for one in told]
    common = dict(sorted(set.intersection(*shared))) if shared else {}
    return {
        "version": "4", "groupKey": "{}:{service=\"zjops\"}", "truncatedAlerts": 0,
        "status": "firing" if begun else "resolved", "receiver": "zjops", "groupLabels": {"service": "zjops"},
        "commonLabels": common, "commonAnnotations": {}, "externalURL": "", "alerts": told,
    }  # fmt: skip


def _entry(one: Told, ended_ms: int | None) -> dict[str, Any]:
    labels = {"alertname": one.name, "service": "zjops", "severity": one.severity} | one.labels
    print_of = hashlib.sha256(msgspec.json.encode(sorted(labels.items()))).hexdigest()[:16]
    return {
        "status": "firing" if ended_ms is None else "resolved", "labels": labels,
        "annotations": {
            "summary": SUMMARY[one.name], "description": one.text, "runbook": f"zjops runbook {one.name}",
            "opens": one.opens,
        },
        "startsAt": rfc3339(one.since_ms), "endsAt": NEVER if ended_ms is None else rfc3339(ended_ms),
        "generatorURL": "", "fingerprint": print_of,
    }  # fmt: skip


def _post(url: str, document: dict[str, Any]) -> None:
    try:
        answer = httpx2.post(url, json=document, timeout=WITHIN_S, trust_env=False)
    except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
        raise _untold(url, str(exc) or type(exc).__name__) from exc
    if not answer.is_success:
        raise _untold(url, f"it answered {answer.status_code}")


def _untold(url: str, why: str) -> UnreachableError:
    return UnreachableError(f"{url} took no alerts ({why}); they are told the next time")


def _told(alert: Alert, now_ms: int) -> Told:
    return Told(alert.name, alert.severity, alert.labels, alert.text, now_ms, alert.opens)


def _key(one: Told) -> tuple[Any, ...]:
    return one.name, one.severity, *sorted(one.labels.items())
