"""Durations and moments as people write them on the command line."""

from __future__ import annotations

import re

from zjops.domain.clock import parse_rfc3339
from zjops.domain.errors import UsageError

UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DAY_MS = UNIT_MS["d"]


def duration_ms(text: str, option: str) -> int:
    """`90s`, `10m`, `1.5h` in ms. Raises `UsageError`."""
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)", text)
    if found is None or float(found[1]) == 0:
        raise UsageError(f"{option} is a duration such as 90s, 10m, 2h, not {text:.40}")
    return round(float(found[1]) * UNIT_MS[found[2]])


def moment_ms(text: str, now_ms: int, option: str) -> int:
    """RFC 3339, a time of today such as `14:05` or `14:05:30` in UTC, or `-10m` from now. Raises `UsageError`."""
    if text.startswith("-"):
        return now_ms - duration_ms(text[1:], option)
    found = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?", text)
    if found is not None:
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        today = now_ms // DAY_MS * DAY_MS + ((hours * 60 + minutes) * 60 + seconds) * 1000
        return today if today <= now_ms else today - DAY_MS
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise UsageError(f"{option} is a moment such as 14:05, -10m or 2026-11-26T14:05:00Z, not {text:.40}") from None
