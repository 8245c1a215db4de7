"""Following jobs as they change: one by server-sent events, many by WebSocket; nothing lost, nothing told twice.

Every change of a job has a number. Whoever comes back after a lost connection says the last one that it was told, by
`Last-Event-ID` or `after`, and drops what it knows already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any

import httpx2
import msgspec

from zjops.client.http import REPEATABLE, Http, Outage, decode, retry_after
from zjops.client.websocket import Closed, Refused, Socket, dial
from zjops.domain.clock import SystemClock, parse_rfc3339
from zjops.domain.errors import Problem, UnreachableError, UsageError, ZjopsError
from zjops.domain.jobs import TERMINAL, JobState
from zjops.domain.wire import JobError, JobView, Wire

QUIET_S = 40.0
"""The server says something every 15 s; a connection that is silent for longer is dead."""
BEAT_S = 15.0
WAIT_FIRST_S, WAIT_FACTOR, WAIT_MOST_S = 0.5, 2.0, 15.0
TRIES = 6
JOBS_MOST = 1_000
ASK_AT_ONCE = 500
EVENT_BYTES = 1_048_576
TOKEN_EXPIRED = 4401
NOT_HERE = frozenset({404, 405, 406, 426, 501})
"""What a server or a proxy answers that knows no streams."""
SUBSCRIBE = "/v1/jobs/subscribe"
ENDED, CONFIRMED = 3, 4

Dial = Callable[[str, str], AbstractContextManager[Socket]]
Saw = Callable[[str, JobState, int], None]


class Anchored(Wire, frozen=True, kw_only=True):
    """The transaction that made a job final."""

    tx_hash: str
    block_number: int


class Update(Wire, frozen=True, kw_only=True):
    """One change of a job (R87): Unix seconds, and its number in the job's life, 1 pending to 4 confirmed."""

    job_id: str
    status: JobState
    timestamp: float
    sequence: int
    result: Any = None
    result_url: str | None = None
    error: JobError | None = None
    blockchain_confirmation: Anchored | None = None

    def is_last(self, *, final: bool) -> bool:
        """Whether this is the end; with `final`, whether nothing about the job will change any more."""
        return self.sequence >= (CONFIRMED if final and self.status is not JobState.CANCELLED else ENDED)


class _Message(Wire, frozen=True, kw_only=True):
    """What comes by WebSocket: a change of a job has a status, a refusal has none."""

    error: dict[str, Any] | None = None
    status: str | None = None


class Told:
    """How far each job was told, and which are still open."""

    def __init__(self, job_ids: Iterable[str], *, final: bool) -> None:
        self.last = dict.fromkeys(job_ids, 0)
        self.open = set(self.last)
        self._final = final

    def takes(self, update: Update) -> bool:
        """Whether it is news; from then on it is not."""
        if update.sequence <= self.last.get(update.job_id, update.sequence):
            return False
        self.last[update.job_id] = update.sequence
        if update.is_last(final=self._final):
            self.open.discard(update.job_id)
        return True


class Patience:
    """How long to wait between connections: longer while nothing comes, as the server asks, and not for ever."""

    def __init__(
        self, clock: SystemClock, within_s: float, told: Told, idle: Callable[[], None] = lambda: None
    ) -> None:  # fmt: skip
        self._clock, self._within_s, self._told, self._idle = clock, within_s, told, idle
        self._deadline = clock.monotonic() + within_s
        self._failures, self.first_s = 0, WAIT_FIRST_S

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self._deadline - self._clock.monotonic())

    def check(self) -> None:
        """Raises `UnreachableError` when the time is up."""
        if not self.left_s:
            first, *more = sorted(self._told.open)
            others = f" and {len(more)} more" if more else ""
            raise UnreachableError(f"job {first}{others} has not ended after {self._within_s:g} s; watch it again")

    def restored(self) -> None:
        """Something came: what follows is no further failure of the last connection."""
        self._failures = 0

    def quiet(self) -> None:
        """The connection is alive, and there is nothing to tell."""
        self.restored()
        self._idle()

    def wait(self, error: ZjopsError | None) -> None:
        """Before the next connection. Raises the error when it is not worth another one."""
        self._failures += 1
        if isinstance(error, Problem) and error.status not in REPEATABLE:
            raise error
        if self._failures >= TRIES:
            raise error or UnreachableError("the stream ends again and again; is this another version?")
        self.check()
        wait_s = min(WAIT_MOST_S, self.first_s * WAIT_FACTOR ** (self._failures - 1))
        if isinstance(error, Problem):
            wait_s = max(wait_s, retry_after(error))
        if isinstance(error, Closed) and error.code == TOKEN_EXPIRED and self._failures == 1:
            return
        self._clock.pause(min(wait_s, self.left_s))


class Streams:
    """Follows jobs of one tenant. `saw` hears of every state that was told, for the history."""

    def __init__(
        self, http: Http, url: str, token: Callable[[], str], *, saw: Saw | None = None,
        clock: SystemClock | None = None, dialled: Dial = dial,
    ) -> None:  # fmt: skip
        self._http, self._token, self._clock, self._dial = http, token, clock or SystemClock(), dialled
        self._url = "ws" + url.removeprefix("http") + SUBSCRIBE
        self._saw: Saw = saw or (lambda job_id, status, start: None)

    def follow(
        self, job_ids: Sequence[str], *, final: bool, within_s: float, idle: Callable[[], None] = lambda: None
    ) -> Iterator[Update]:  # fmt: skip
        """Every change of each job until all have ended or, if asked, are final on chain.

        `idle` is called now and then while nothing changes. Raises `Refused` where the server has no streams,
        `Problem`, `UnreachableError`.
        """
        told = Told(job_ids, final=final)
        if not 0 < len(told.last) <= JOBS_MOST:
            raise UsageError(f"follow at least one and at most {JOBS_MOST} jobs at once")
        patience = Patience(self._clock, within_s, told, idle)
        while told.open:
            error: ZjopsError | None = None
            try:
                for update in self._events(told, patience) if len(told.last) == 1 else self._messages(told, patience):
                    patience.restored()
                    if told.takes(update):
                        self._saw(update.job_id, update.status, int(update.timestamp * 1000))
                        yield update
                    if not told.open:
                        return
            except (Outage, Problem) as exc:
                error = _plain(exc)
            patience.wait(error)

    def _events(self, told: Told, patience: Patience) -> Iterator[Update]:
        """One connection of server-sent events."""
        ((job_id, after),) = told.last.items()
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(after)} if after else {})
        timeout = httpx2.Timeout(30.0, read=max(0.1, min(QUIET_S, patience.left_s)))
        with self._http.stream(f"/v1/jobs/{job_id}/stream", headers=headers, timeout=timeout) as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise Refused(f"{response.url} is no event stream")
            for name, text in fields(response.iter_bytes()):
                patience.check()
                if name == "retry" and text.isdigit():
                    patience.first_s = min(WAIT_MOST_S, int(text) / 1000)
                elif text and not name:
                    patience.quiet()
                elif name == "data":
                    yield decode(text.encode(), Update)

    def _messages(self, told: Told, patience: Patience) -> Iterator[Update]:
        """One connection of the WebSocket: every job that is open is asked for anew, from where it was told."""
        with self._dial(self._url, self._token()) as socket:
            jobs = iter(sorted(told.open))
            while part := list(islice(jobs, ASK_AT_ONCE)):
                after = {job_id: told.last[job_id] for job_id in part if told.last[job_id]}
                ask = {"action": "subscribe", "jobIds": part, "after": after}
                socket.send(msgspec.json.encode(ask).decode())
            while True:
                patience.check()
                text = socket.receive(min(BEAT_S, patience.left_s))
                if text is None:
                    patience.quiet()
                else:
                    yield _update(text)


def _update(text: bytes) -> Update:
    message = decode(text, _Message)
    if message.error is not None and message.status is None:
        raise Problem(str(message.error.get("code")), _named(str(message.error.get("detail")), message.error))
    update: Update = decode(text, Update)
    return update


def _named(detail: str, document: dict[str, Any]) -> str:
    names = document.get("jobIds") or []
    return f"{detail} ({', '.join(names)})" if names else detail


def _plain(exc: Outage | Problem) -> ZjopsError:
    """A refusal of streams as such, told from the refusal of a job."""
    if isinstance(exc, Problem) and exc.status in NOT_HERE and exc.kind.code != "not-found":
        raise Refused(f"{exc.status} {exc.kind.code}") from exc
    return exc


def fields(parts: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """The lines of an event stream as name and value, `data` once an event; a comment has no name.

    Lines end as the protocol says and nowhere else: a result may hold what other decoders take for an end. Raises
    `Outage` for an event beyond a megabyte.
    """
    data: list[str] = []
    for line in _lines(parts):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif line or not data:
            yield name, value
        else:
            yield "data", "\n".join(data)
            data = []


def _lines(parts: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        if len(rest) > EVENT_BYTES:
            raise Outage("the stream sends an event without an end")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")


def update_of(view: JobView) -> Update:
    """What was read as if it had been told, for servers without streams."""
    confirmed = view.blockchain_confirmation
    anchored = Anchored(tx_hash=confirmed.tx_hash, block_number=confirmed.block_number) if confirmed else None
    number = CONFIRMED if confirmed else ENDED if view.status in TERMINAL else 1 if view.status == "pending" else 2
    return Update(
        job_id=view.job_id, status=view.status, timestamp=parse_rfc3339(view.updated_at) / 1000, sequence=number,
        result=view.result, result_url=view.result_url, error=view.error,
        blockchain_confirmation=anchored,
    )  # fmt: skip
