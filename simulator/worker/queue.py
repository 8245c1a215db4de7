"""Which of the claimed jobs runs next: weighted over the priorities, in turn over the types."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from zjops.domain.jobs import JobType, Priority

T = TypeVar("T")
WEIGHTS = {Priority.HIGH: 6, Priority.NORMAL: 3, Priority.LOW: 1}
"""Of ten jobs that start while all priorities wait, so many are of each (C37): none starves."""
_TYPES, _PRIORITIES = tuple(JobType), tuple(Priority)


class ClaimQueue(Generic[T]):
    """Claims that wait for a slot. Smooth weighted round robin over the bands that hold something."""

    def __init__(self) -> None:
        self._bands: dict[Priority, dict[JobType, deque[T]]] = {p: {t: deque() for t in JobType} for p in Priority}
        self._credit = dict.fromkeys(Priority, 0)
        self._turn = dict.fromkeys(Priority, 0)
        self._waiting = dict.fromkeys(Priority, 0)

    def __len__(self) -> int:
        return sum(self._waiting.values())

    def count(self, job_type: JobType, priority: Priority) -> int:
        """How many claims of one kind wait."""
        return len(self._bands[priority][job_type])

    def put(self, job_type: JobType, priority: Priority, claim: T) -> None:
        """Add a claim behind those of its kind."""
        self._bands[priority][job_type].append(claim)
        self._waiting[priority] += 1

    def take(self) -> T | None:
        """The claim that runs next, or None."""
        waiting = [p for p in _PRIORITIES if self._waiting[p]]
        if not waiting:
            return None
        for priority in waiting:
            self._credit[priority] += WEIGHTS[priority]
        best = max(waiting, key=self._credit.__getitem__)
        self._credit[best] -= sum(WEIGHTS[p] for p in waiting)
        return self._in_turn(best)

    def _in_turn(self, priority: Priority) -> T:
        for step in range(len(_TYPES)):
            index = (self._turn[priority] + step) % len(_TYPES)
            if queue := self._bands[priority][_TYPES[index]]:
                self._turn[priority] = index + 1
                self._waiting[priority] -= 1
                return queue.popleft()
        raise LookupError(priority)

    def drain(self) -> list[T]:
        """Take everything out."""
        rest: list[T] = []
        while (claim := self.take()) is not None:
            rest.append(claim)
        return rest
