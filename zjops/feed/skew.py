"""Whose time it is: everything that is shown is in the platform's own, whatever this machine's clock says. Pure."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

SKEW_FROM_MS = 2_000
"""An answer tells whole seconds, and clocks differ a little: a difference up to this is none."""


def ahead_ms(date: str | None, sent_ms: int, came_ms: int, known_ms: int = 0) -> int:
    """By how much the platform's clock is ahead of ours, negative for behind; 0 where both may be right.

    `date` is the HTTP `Date` of an answer that was asked for and came at these moments of ours (Unix ms). What is
    known already stays while it may be right, so that time does not jump to and fro by a second; without a readable
    `Date` it stays too.
    """
    try:
        told_ms = round(parsedate_to_datetime(date or "").timestamp() * 1000)
    except ValueError:
        return known_ms
    # It was told at some moment of a whole second, between our asking and the answer.
    least, most = told_ms - came_ms, told_ms + 999 - sent_ms
    for guess in (known_ms, 0):
        slack = SKEW_FROM_MS if guess == 0 else 0
        if least - slack <= guess <= most + slack:
            return guess
    return (least + most) // 2
