"""A world's processes: what a front says last is heard, whatever it is."""

import heapq
import multiprocessing
from collections.abc import Iterator
from itertools import groupby
from multiprocessing.connection import Connection

import pytest

from simulator.world.run import _fail, _items, asked
from simulator.world.shipping import Crate, Failed, Item, Reached
from zjops.domain.errors import UnreachableError, UsageError


def _silent() -> None:
    """The main function of a process that ends at once."""


def _feed() -> tuple[Connection, Iterator[Item]]:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_silent)
    process.start()
    return sender, _items(receiver, process)


def test_the_reason_of_a_front_that_fails_comes_before_its_end() -> None:
    sender, items = _feed()
    crate = Crate(sender.send_bytes)
    crate.add(Reached(5, {}))
    crate.go()
    _fail(sender, "the disk is full", 3)
    sender.close()
    # As the ledger reads: in the order of time, and each moment to its end.
    heard: list[Item] = []
    for _, moment in groupby(heapq.merge(items, key=lambda item: item.at_ms), key=lambda item: item.at_ms):
        heard += moment
    assert heard == [Reached(5, {}), Failed(0, "the disk is full", 3)]


def test_a_front_that_ends_without_a_word_has_died() -> None:
    sender, items = _feed()
    sender.close()
    with pytest.raises(UnreachableError, match=r"a process of the simulation died \(0\)"):
        list(items)


def test_more_jobs_than_can_be_played_are_told_as_what_was_asked_for() -> None:
    with pytest.raises(UsageError, match="400 days of 2,000 tenants are 28,000,000 jobs, more than 5,000,000"):
        asked(400, 2_000, 7, 0)
    assert asked(400, 2_000, 7, 0, jobs=5_000_000).jobs == 5_000_000
