"""HTTP with one seam for tests: problems become exceptions, outages say what to do, only what is safe is repeated."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import msgspec

from zjops.domain.clock import SystemClock
from zjops.domain.errors import FieldError, Problem, UnreachableError

TIMEOUT_S = 30.0
TRIES = 4
WAIT_MOST_S = 30.0
SLOW_BELOW = 2
Notify = Callable[[str], None]
_said: set[str] = set()
REPEATABLE = frozenset({429, 503})


def say_once(text: str) -> None:
    """A warning on the error stream, each kind once."""
    kind = text.lstrip("0123456789 ")
    if kind not in _said:
        _said.add(kind)
        print(f"warning: {text}", file=sys.stderr, flush=True)


class Outage(UnreachableError):
    """No whole answer came: whether the request was carried out is not known. `why` is the cause alone."""

    def __init__(self, text: str, why: str = "", *, timed_out: bool = False) -> None:
        super().__init__(text)
        self.why, self.timed_out = why or text, timed_out


def problem_of(response: httpx2.Response) -> Problem:
    """The problem document of an answer, or what comes closest to one."""
    try:
        document = response.json()
        said = document.get("code") or document.get("error") or "unknown"
        code = said if isinstance(said, str) else f"http-{response.status_code}"
        detail = document.get("detail") or document.get("error_description") or document.get("title") or response.text
    except (ValueError, AttributeError):
        document, code, detail = {}, f"http-{response.status_code}", response.text[:200] or response.reason_phrase
    known = {"type", "title", "status", "detail", "instance", "code", "trace_id", "errors"}
    errors = [FieldError(e.get("pointer", ""), e.get("detail", "")) for e in document.get("errors") or []]
    problem = Problem(
        code, detail, errors=errors, headers=dict(response.headers), trace_id=document.get("trace_id"),
        extra={name: value for name, value in document.items() if name not in known},
    )  # fmt: skip
    problem.kind = problem.kind._replace(status=response.status_code)
    return problem


def _why(exc: httpx2.TransportError) -> str:
    """Why no answer came, in the system's words without its number for it."""
    if isinstance(exc, httpx2.TimeoutException):
        return "nothing came in time"
    return re.sub(r"^\[Errno -?\d+\] ", "", str(exc)) or type(exc).__name__


class Http:
    """A client of one address. Raises `Problem` for an error answer and `Outage` for none.

    With `late_again` false what came too late is not asked for once more: whoever hangs would only cost more time.
    """

    def __init__(
        self, base_url: str, *, auth: httpx2.Auth | None = None, transport: httpx2.BaseTransport | None = None,
        timeout_s: float = TIMEOUT_S, clock: SystemClock | None = None, tries: int = TRIES,
        notify: Notify | None = None, late_again: bool = True,
    ) -> None:  # fmt: skip
        self._late_again = late_again
        self._notify = notify or say_once
        self._base_url, self._tries, self._clock = base_url, tries, clock or SystemClock()
        self._client = httpx2.Client(
            base_url=base_url, auth=auth, transport=transport, timeout=timeout_s, trust_env=False
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def __enter__(self) -> Http:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def request(self, method: str, path: str, *, repeat: bool | None = None, **options: Any) -> httpx2.Response:
        """One request; repeated on an outage or a 429 or 503 when that is safe, which reading always is."""
        tries = self._tries if (method == "GET" if repeat is None else repeat) else 1
        waited_s = 0.0
        for left in range(tries - 1, -1, -1):
            try:
                response = self._send(method, path, **options)
            except Outage as exc:
                if not left or (exc.timed_out and not self._late_again):
                    raise
                wait_s = 0.2 * (tries - left)
            else:
                self._heed(response, slow=tries > 1)
                if response.is_success:
                    return response
                problem = problem_of(response)
                wait_s = retry_after(problem)
                if not left or response.status_code not in REPEATABLE or waited_s + wait_s > WAIT_MOST_S:
                    raise problem
            waited_s += wait_s
            self._clock.pause(wait_s)
        raise AssertionError("unreachable")

    def _heed(self, response: httpx2.Response, *, slow: bool) -> None:
        """Slow down before the limit, and pass on what the platform warns of (R44, R18).

        Who wants a request sent once and as it is, is not slowed down either.
        """
        headers = response.headers
        left, limit = headers.get("x-ratelimit-remaining", ""), headers.get("x-ratelimit-limit", "")
        if slow and left.isdigit() and limit.isdigit() and int(left) < SLOW_BELOW and response.status_code != 429:
            self._clock.pause(1 / max(1, int(limit)))
        if "deprecation" in headers:
            until = f", and goes on {headers['sunset']}" if "sunset" in headers else ""
            self._notify(f"this version of the API is deprecated{until}; {headers.get('link', '')}".rstrip("; "))
        used, units = headers.get("x-computeunits-used", ""), headers.get("x-computeunits-remaining", "")
        if used.isdigit() and units.isdigit() and int(units) * 10 < int(used):
            self._notify(f"{units} compute units are left of this month")

    def _send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            return self._client.request(method, path, **options)
        except httpx2.TransportError as exc:
            why, late = _why(exc), isinstance(exc, httpx2.TimeoutException)
            text = f"{self._base_url} does not answer ({why}); is it up? zjops status"
            raise Outage(text, why, timed_out=late) from exc

    @contextmanager
    def stream(self, path: str, **options: Any) -> Iterator[httpx2.Response]:
        """A large or endless answer, read piece by piece."""
        try:
            with self._client.stream("GET", path, **options) as response:
                self._heed(response, slow=False)
                if not response.is_success:
                    response.read()
                    raise problem_of(response)
                yield response
        except httpx2.TransportError as exc:
            raise Outage(f"{self._base_url} does not answer ({_why(exc)})") from exc

    def get(self, path: str, model: type[Any] | None = None, **options: Any) -> Any:
        """Read a document, as a model if one is given."""
        return decode(self.request("GET", path, **options).content, model)


def retry_after(problem: Problem) -> float:
    """Seconds that the server asks to wait; a date, which is rare, counts as one (RFC 9110)."""
    text = problem.headers.get("retry-after", "")
    return float(text) if text.isdigit() else 1.0


def decode(content: bytes, model: type[Any] | None) -> Any:
    """A document; one that does not fit its model means that the other side is another version."""
    try:
        return msgspec.json.decode(content, type=model or Any)
    except msgspec.MsgspecError as exc:
        raise UnreachableError(f"the answer cannot be read, is this another version? ({exc})") from exc
