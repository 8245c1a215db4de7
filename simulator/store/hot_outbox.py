"""The outbox of the store in memory as a list: it is a queue, and every row passes it within moments."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from simulator.store.port import Row

_COLUMNS = ("n", "stream", "subject", "msg_id", "payload", "traceparent", "created_at", "published_at")
_Params = Sequence[tuple[Any, ...]]


class HotOutbox:
    """Numbers are dense and rows go from its front alone, so a number is a place; each statement is a method."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._first = 1
        self._head = 0
        """How many rows at the front the transaction that runs has purged: they can still come back."""
        self._following = 1
        """The number that was next when it began."""
        self._marked: list[Row] = []
        self._kept: tuple[list[Row], int] | None = None
        self._stale = False
        """Whether the table lags behind."""
        self.reads: dict[str, Callable[..., Any]] = {
            "outbox_last": self._last, "outbox_next": self._next_rows,
            "outbox_following": self._next_of, "outbox_find": self._find,
            "outbox_first_unpublished": self._first_unpublished, "outbox_last_published": self._last_published,
            "outbox_unpublished": self._unpublished,
        }  # fmt: skip
        self.runs: dict[str, Callable[..., int]] = {"outbox_mark": self._mark, "outbox_purge": self._purge}
        self.many: dict[str, Callable[[_Params], int]] = {"outbox_put": self._put}

    def begin(self) -> None:
        """A transaction begins: what the last one took away goes for good."""
        if self._head:
            del self._rows[: self._head]
            self._first, self._head = self._first + self._head, 0
        self._following = self._first + len(self._rows)
        self._marked.clear()
        self._kept = None

    def roll_back(self) -> None:
        """Undo what was done since, as SQLite does to the table."""
        if self._kept is not None:
            self._rows, self._first = self._kept
        self._head, self._stale = 0, True
        del self._rows[self._following - self._first :]
        for row in self._marked:
            row["published_at"] = None

    def flush(self, connection: sqlite3.Connection) -> None:
        """Make the table what stands here."""
        if self._stale:
            connection.execute("DELETE FROM outbox")
            names = ", ".join(f":{name}" for name in _COLUMNS)
            connection.executemany(f"INSERT INTO outbox VALUES ({names})", self._here())  # noqa: S608
            self._stale = False

    def reload(self, connection: sqlite3.Connection) -> None:
        """Read the table anew: somebody has changed it."""
        if self._kept is None:
            self._kept = self._rows, self._first
        found = connection.execute("SELECT * FROM outbox ORDER BY n").fetchall()
        self._rows, self._head = [dict(zip(_COLUMNS, values, strict=True)) for values in found], 0
        self._first = self._rows[0]["n"] if self._rows else 1

    def _here(self) -> Iterable[Row]:
        return islice(self._rows, self._head, None)

    def _put(self, rows: _Params) -> int:
        n = self._first + len(self._rows)
        for stream, subject, msg_id, payload, traceparent, created_at in rows:
            self._rows.append({
                "n": n, "stream": stream, "subject": subject, "msg_id": msg_id, "payload": payload,
                "traceparent": traceparent, "created_at": created_at, "published_at": None,
            })  # fmt: skip
            n += 1
        self._stale = True
        return len(rows)

    def _last(self) -> list[Row]:
        return [{"n": self._rows[-1]["n"] if self._rows else 0}]

    def _next_rows(self, after: int, most: int) -> list[Row]:
        start = max(self._head, after - self._first + 1)
        return self._rows[start : start + most]

    def _next_of(self, stream: str, after: int) -> list[Row]:
        found = (row["n"] for row in self._here() if row["stream"] == stream and row["n"] > after)
        return [{"n": next(found, self._first + len(self._rows))}]

    def _find(self, stream: str, msg_id: str | None) -> list[Row]:
        for row in reversed(self._rows[self._head :]):
            if row["stream"] == stream and row["msg_id"] == msg_id:
                return [{"n": row["n"]}]
        return []

    def _first_unpublished(self, stream: str) -> list[Row]:
        found = (row["n"] for row in self._here() if row["stream"] == stream and row["published_at"] is None)
        return [{"n": next(found, 0)}]

    def _last_published(self, stream: str) -> list[Row]:
        backward = reversed(self._rows[self._head :])
        found = (row["n"] for row in backward if row["stream"] == stream and row["published_at"] is not None)
        return [{"n": next(found, 0)}]

    def _unpublished(self) -> list[Row]:
        return [{"count": sum(row["published_at"] is None for row in self._here())}]

    def _mark(self, first: int, last: int, now: int) -> int:
        part = self._rows[max(self._head, first - self._first) : max(0, last - self._first + 1)]
        fresh = [row for row in part if row["published_at"] is None]
        for row in fresh:
            row["published_at"] = now
        self._marked += fresh
        self._stale = True
        return len(fresh)

    def _purge(self, before: int) -> int:
        former = self._head
        for row in islice(self._rows, former, max(former, len(self._rows) - 1)):
            published_at = row["published_at"]
            if published_at is None or published_at >= before:
                break
            self._head += 1
        self._stale = True
        return self._head - former
