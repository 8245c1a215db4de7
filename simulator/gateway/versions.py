"""Versions: which majors are served, where each is in its life, and what a client asked for (R18-R22, C38, C39)."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from simulator.gateway.context import RequestContext
from zjops.domain.clock import http_date, month_bounds_ms, rfc3339, utc_month
from zjops.domain.errors import Problem

DAY_MS = 86_400_000
_MAJOR = re.compile(r"v([0-9]{1,3})")
_ASKED = re.compile(r"(\d{1,3})(?:\.(\d{1,3}))?")


class Major(NamedTuple):
    """One major version: its newest minor, and, once announced, when it is deprecated and when it goes (Unix ms)."""

    number: int
    minor: int = 0
    deprecated_at: int | None = None
    sunset_at: int | None = None
    successor: int | None = None
    guide: str = "/docs"


NOTICE_MONTHS, LIFE_MONTHS = 6, 12


def announced(number: int, at_ms: int, *, minor: int = 0, successor: int | None = None, guide: str = "/docs") -> Major:
    """A major whose end was announced: deprecated six months after that, gone after twelve (R18, R19, C38)."""
    return Major(number, minor, _months_on(at_ms, NOTICE_MONTHS), _months_on(at_ms, LIFE_MONTHS), successor, guide)


def _months_on(at_ms: int, months: int) -> int:
    """The same day and time so many months later, or the first of the month after where there is no such day."""
    day, time_ms = divmod(at_ms, DAY_MS)
    first, after = month_bounds_ms(utc_month(at_ms))
    offset = day - first // DAY_MS
    for _ in range(months):
        first, after = month_bounds_ms(utc_month(after))
    return min(first + offset * DAY_MS + time_ms, after)


MAJORS = (Major(1),)
"""The schedule: on the day of an announcement `announced(1, …)` takes the place of `Major(1)`."""


class Versions:
    """Answers what a request asked for, and puts the schedule on every answer."""

    def __init__(self, majors: tuple[Major, ...] = MAJORS) -> None:
        self._majors = {major.number: major for major in majors}
        self._headers = {major.number: _headers(major) for major in majors}

    def check(self, path: str, asked: str | None, context: RequestContext) -> None:
        """Put the version's headers on the answer. Raises `Problem` (400) when what was asked is not served here."""
        number = _number(path[1:].partition("/")[0])
        major = self._majors.get(number)
        if major is None:
            return
        context.headers.update(self._headers[number])
        if not _serves(major, asked):
            served = f"{number}.0 to {number}.{major.minor}" if major.minor else f"{number}.0"
            raise Problem("version-unsupported", f"Accept-Version: this path serves {served}.")

    def headers(self, path: str, asked: str | None) -> dict[str, str] | None:
        """What `check` puts on an answer; None where it raises."""
        number = _number(path[1:].partition("/")[0])
        major = self._majors.get(number)
        if major is None:
            return {}
        return self._headers[number] if _serves(major, asked) else None


def _serves(major: Major, asked: str | None) -> bool:
    if asked is None:
        return True
    match = _ASKED.fullmatch(asked.strip())
    return match is not None and int(match[1]) == major.number and int(match[2] or 0) <= major.minor


@functools.lru_cache(maxsize=64)
def _number(first: str) -> int:
    """The major that the first part of a path names, 0 for none."""
    match = _MAJOR.fullmatch(first)
    return int(match[1]) if match else 0


def _headers(major: Major) -> dict[str, str]:
    headers = {"Vary": "Accept-Version", "API-Version": f"{major.number}.{major.minor}"}
    links = []
    if major.deprecated_at is not None:
        headers["Deprecation"] = f"@{major.deprecated_at // 1000}"
        links.append(f'<{major.guide}>; rel="deprecation"; type="text/html"')
    if major.sunset_at is not None:
        headers["Sunset"] = http_date(major.sunset_at)
        links.append(f'<{major.guide}>; rel="sunset"; type="text/html"')
    if major.successor is not None:
        links.append(f'</v{major.successor}>; rel="successor-version"')
    return headers | ({"Link": ", ".join(links)} if links else {})


def state_of(major: Major, now_ms: int) -> str:
    """Where a major is in its life (R22)."""
    if major.sunset_at is not None and now_ms >= major.sunset_at:
        return "sunset"
    if major.deprecated_at is None:
        return "active"
    return "deprecated" if now_ms >= major.deprecated_at else "announced"


def schedule(now_ms: int, majors: tuple[Major, ...] = MAJORS) -> list[dict[str, object]]:
    """The schedule as data, for operators and documents."""

    def moment(at: int | None) -> str | None:
        return None if at is None else rfc3339(at)

    return [
        {
            "version": f"v{m.number}", "minor": f"{m.number}.{m.minor}", "state": state_of(m, now_ms),
            "deprecation": moment(m.deprecated_at), "sunset": moment(m.sunset_at),
        }
        for m in majors
    ]  # fmt: skip
