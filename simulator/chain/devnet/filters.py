"""Polling filters: logs, blocks and pending transactions since the last question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulator.chain.devnet.encoding import BadParams, data, read_bytes

MOST = 1_000
SEEN_MOST = 10_000


@dataclass(frozen=True)
class LogQuery:
    """Which logs: a range of blocks (open when `last` is None), contracts, topics by position."""

    first: int
    last: int | None
    addresses: list[bytes]
    topics: list[list[bytes]]

    @classmethod
    def of(cls, wanted: dict[str, Any], first: int, last: int | None) -> LogQuery:
        """Read the address and topic parts of a filter object. Raises `BadParams`."""
        address = wanted.get("address")
        given = [] if address is None else address if isinstance(address, list) else [address]
        topics = wanted.get("topics") or []
        if not isinstance(topics, list) or len(topics) > 4:
            raise BadParams("topics must be a list of at most four")
        return cls(first, last, [read_bytes(a, "address", 20) for a in given], [_alternatives(t) for t in topics])

    def takes(self, row: dict[str, Any]) -> bool:
        """Whether a row of the index of logs is meant."""
        if row["block"] < self.first or (self.last is not None and row["block"] > self.last):
            return False
        if self.addresses and row["address"] not in self.addresses:
            return False
        return all(not wanted or row[f"topic{n}"] in wanted for n, wanted in enumerate(self.topics))


def _alternatives(topic: Any) -> list[bytes]:
    if topic is None:
        return []
    return [read_bytes(t, "topic", 32) for t in (topic if isinstance(topic, list) else [topic])]


@dataclass
class _Filter:
    """`since` is the last block that was told of, `told_from` the one before the first that could be."""

    kind: str
    since: int
    query: LogQuery | None = None
    told_from: int = 0
    seen: list[str] = field(default_factory=list)
    removed: list[Any] = field(default_factory=list)


class Filters:
    """Installed filters; the oldest gives way when there are too many."""

    def __init__(self, find_logs: Callable[[LogQuery, int, int], list[Any]]) -> None:
        self._find_logs = find_logs
        self._filters: dict[str, _Filter] = {}
        self._numbers = 0

    def _install(self, new: _Filter) -> str:
        self._numbers += 1
        if len(self._filters) >= MOST:
            del self._filters[next(iter(self._filters))]
        self._filters[hex(self._numbers)] = new
        return hex(self._numbers)

    def watch_logs(self, query: LogQuery, head: int) -> str:
        """A filter of logs from now on."""
        return self._install(_Filter("logs", max(head, query.first - 1), query, told_from=head))

    def watch_blocks(self, head: int) -> str:
        """A filter of block hashes from now on."""
        return self._install(_Filter("blocks", head))

    def watch_pool(self) -> str:
        """A filter of hashes of transactions that come in."""
        return self._install(_Filter("pool", 0))

    def saw_transaction(self, tx_hash: bytes) -> None:
        """Tell the pool filters."""
        for found in self._filters.values():
            if found.kind == "pool" and len(found.seen) < SEEN_MOST:
                found.seen.append(data(tx_hash))

    def reorganised(self, parent: int, removed: list[tuple[dict[str, Any], Any]]) -> None:
        """Blocks after `parent` are gone, with these logs as rows and views.

        As geth does it, a filter that told of a log tells that it is removed, and then of what came in its place.
        """
        for found in self._filters.values():
            if found.query is not None:
                told = range(found.told_from + 1, found.since + 1)
                found.removed += [view for row, view in removed if row["block"] in told and found.query.takes(row)]
            found.since, found.told_from = min(found.since, parent), min(found.told_from, parent)

    def _get(self, number: Any) -> _Filter:
        found = self._filters.get(number) if isinstance(number, str) else None
        if found is None:
            raise BadParams("filter not found")
        return found

    def changes(self, number: Any, head: int, hash_of: Callable[[int], str]) -> list[Any]:
        """What came since the last question. Raises `BadParams` for an unknown filter."""
        found = self._get(number)
        if found.kind == "pool":
            seen, found.seen = found.seen, []
            return seen
        first, found.since = found.since + 1, max(head, found.since)
        if found.query is None:
            return [hash_of(n) for n in range(first, head + 1)]
        last = head if found.query.last is None else min(head, found.query.last)
        removed, found.removed = found.removed, []
        return removed + self._find_logs(found.query, max(first, found.query.first), last)

    def all_logs(self, number: Any, head: int) -> list[Any]:
        """Every log of a log filter. Raises `BadParams`."""
        found = self._get(number)
        if found.query is None:
            raise BadParams("not a filter of logs")
        last = head if found.query.last is None else min(head, found.query.last)
        return self._find_logs(found.query, found.query.first, last)

    def remove(self, number: Any) -> bool:
        """Uninstall; whether it was there."""
        return self._filters.pop(number, None) is not None
