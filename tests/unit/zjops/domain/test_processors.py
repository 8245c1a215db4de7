"""Who may run where: the rule, and that the kernel was told of every thread."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from zjops.domain.processors import beside, keep_to, mine

THREADS = """
import os, sys, threading
from zjops.domain.processors import keep_to
first = min(os.sched_getaffinity(0))
held, ready = threading.Event(), threading.Barrier(3)
seen = []
def wait():
    ready.wait()
    held.wait()
    seen.append(os.sched_getaffinity(0))
threads = [threading.Thread(target=wait) for _ in range(2)]
for one in threads: one.start()
ready.wait()
keep_to({first}, os.getpid())
held.set()
for one in threads: one.join()
print(all(found == {first} for found in [*seen, os.sched_getaffinity(0)]))
"""
SAYS = pytest.mark.skipif(not mine(), reason="this system does not say which processors a process may use")


@pytest.mark.parametrize(
    ("usable", "answering", "left"),
    [
        ({0, 1}, 1, {1}),
        ({3, 5, 7}, 1, {5, 7}),
        ({0, 1, 2, 3}, 2, {2, 3}),
        ({0}, 1, {0}),
        ({0, 1}, 2, {0, 1}),
        ((), 1, ()),
    ],
)
def test_the_first_are_left_to_who_answers_unless_none_would_remain(
    usable: set[int], answering: int, left: set[int]
) -> None:
    assert beside(usable, answering) == frozenset(left)


@SAYS
def test_every_thread_of_a_process_is_put_where_it_may_be() -> None:
    argv = [sys.executable, "-c", THREADS]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip() == "True"


@SAYS
def test_one_that_has_ended_is_no_error() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    keep_to(mine(), ended.pid)


@SAYS
def test_a_processor_that_is_not_there_is_no_error_and_changes_nothing() -> None:
    keep_to({100_000}, os.getpid())
    assert mine()
