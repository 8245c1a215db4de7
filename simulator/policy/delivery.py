"""When a webhook is tried again, and when not (R90; Standard Webhooks' rules for answers)."""

from __future__ import annotations

from typing import NamedTuple

MOST_ATTEMPTS = 5
GONE = 410
THROTTLED = frozenset({429, 502, 504})
FAILED_ENDPOINT_AFTER = 5
"""Deliveries given up in a row after which an endpoint counts as failed and hears no more."""


class Verdict(NamedTuple):
    """What follows from an attempt: delivered, again after a wait, or given up; and whether the endpoint is gone."""

    delivered: bool = False
    wait_s: float | None = None
    disable: bool = False


def after_attempt(
    status: int | None, attempt: int, waits_s: tuple[float, ...], chance: float, retry_after_s: float | None = None
) -> Verdict:
    """What attempt number `attempt` (from 1) led to; `status` None means that no answer came.

    Waits are spread by up to a fifth, so that many deliveries do not come back at once.
    """
    if status is not None and 200 <= status < 300:
        return Verdict(delivered=True)
    if status == GONE:
        return Verdict(disable=True)
    if attempt >= MOST_ATTEMPTS or attempt > len(waits_s):
        return Verdict()
    wait = waits_s[attempt - 1] * (1 + 0.2 * chance)
    if status in THROTTLED and retry_after_s is not None:
        wait = max(wait, min(retry_after_s, 86_400.0))
    return Verdict(wait_s=wait)
