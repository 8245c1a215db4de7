"""The outbox of the store in memory as a list: it is a queue, and every row passes it within moments."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from simulator.store.port import Row

_COLUMNS = ("n", "stream", "subject", "msg_id", "payload", "traceparent", "created_at")
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
        self._marks: list[tuple[int, int]] = []
        """Up to which number all had left, and when; rising."""
        self._marks_head = self._marks_before = 0
        """How many of them at the front the transaction has purged, and how many there were when it began."""
        self._kept: tuple[list[Row], int, list[tuple[int, int]]] | None = None
        self._stale = False
        """Whether the table lags behind."""
        self.reads: dict[str, Callable[..., Any]] = {
            "outbox_last": self._last, "outbox_next": self._next_rows,
            "outbox_following": self._next_of, "outbox_find": self._find,
            "outbox_marked": self._marked, "outbox_unpublished": self._unpublished,
        }  # fmt: skip
        self.runs: dict[str, Callable[..., int]] = {
            "outbox_mark": self._mark, "outbox_purge": self._purge, "outbox_marks_purge": self._purge_marks,
        }  # fmt: skip
        self.many: dict[str, Callable[[_Params], int]] = {"outbox_put": self._put}

    def begin(self) -> None:
        """A transaction begins: what the last one took away goes for good."""
        if self._head:
            del self._rows[: self._head]
            self._first, self._head = self._first + self._head, 0
        if self._marks_head:
            del self._marks[: self._marks_head]
            self._marks_head = 0
        self._following, self._marks_before = self._first + len(self._rows), len(self._marks)
        self._kept = None

    def roll_back(self) -> None:
        """Undo what was done since, as SQLite does to the table."""
        if self._kept is not None:
            self._rows, self._first, self._marks = self._kept
        self._head, self._marks_head, self._stale = 0, 0, True
        del self._rows[self._following - self._first :]
        del self._marks[self._marks_before :]

    def flush(self, connection: sqlite3.Connection) -> None:
        """Make the tables what stands here."""
        if self._stale:
            connection.execute("DELETE FROM outbox")
            names = ", ".join(f":{name}" for name in _COLUMNS)
            connection.executemany(f"INSERT INTO outbox VALUES ({names})", self._here())  # noqa: S608
            connection.execute("DELETE FROM outbox_marks")
            connection.executemany("INSERT INTO outbox_marks VALUES (?, ?)", self._marks[self._marks_head :])
            self._stale = False

    def reload(self, connection: sqlite3.Connection) -> None:
        """Read the tables anew: somebody has changed them."""
        if self._kept is None:
            self._kept = self._rows, self._first, self._marks
        found = connection.execute("SELECT * FROM outbox ORDER BY n").fetchall()
        self._rows, self._head = [dict(zip(_COLUMNS, values, strict=True)) for values in found], 0
        self._first = self._rows[0]["n"] if self._rows else 1
        self._marks = connection.execute("SELECT upto, at FROM outbox_marks ORDER BY upto").fetchall()
        self._marks_head = 0

    def _here(self) -> Iterable[Row]:
        return islice(self._rows, self._head, None)

    def _put(self, rows: _Params) -> int:
        n = self._first + len(self._rows)
        for stream, subject, msg_id, payload, traceparent, created_at in rows:
            self._rows.append({
                "n": n, "stream": stream, "subject": subject, "msg_id": msg_id, "payload": payload,
                "traceparent": traceparent, "created_at": created_at,
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

    def _upto(self) -> int:
        return self._marks[-1][0] if len(self._marks) > self._marks_head else 0

    def _marked(self) -> list[Row]:
        return [{"n": self._upto()}]

    def _unpublished(self) -> list[Row]:
        last = self._rows[-1]["n"] if len(self._rows) > self._head else 0
        return [{"count": max(0, last - self._upto())}]

    def _mark(self, upto: int, now: int) -> int:
        if upto <= self._upto():
            return 0
        self._marks.append((upto, now))
        self._stale = True
        return 1

    def _left_before(self, before: int) -> int:
        """Up to which number all had left before a moment; 0 for none."""
        return max((upto for upto, at in self._marks[self._marks_head :] if at < before), default=0)

    def _purge(self, before: int, most: int) -> int:
        last, former = len(self._rows) - 1, self._head
        self._head = max(former, min(last, former + most, self._left_before(before) - self._first + 1))
        self._stale = True
        return self._head - former

    def _purge_marks(self, before: int) -> int:
        upto, former = self._left_before(before), self._marks_head
        self._marks_head = next(
            (place for place in range(former, len(self._marks)) if self._marks[place][0] >= upto), len(self._marks)
        )
        self._stale = True
        return self._marks_head - former
