"""How a process shares a store's file with the others that write to it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sharing:
    """What a process does for those that wait for the same lock.

    `hurry` is entered while others may have to wait for what is done: the lock to write is held. `stands_s` is how long
    the loop stands still for the lock, before a thread waits for it. Whoever `folds` has a thread that folds the log
    into the file. `quick_s` is how long a commit may take to be made in the loop, where the lock is held no longer than
    it takes: a loop that nobody waits for may well stand still for the disk.
    """

    hurry: AbstractContextManager[None] = field(default_factory=nullcontext)
    stands_s: float = 0.0
    folds: bool = False
    quick_s: float = 0.001
