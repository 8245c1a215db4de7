"""Who may run where: the rule, and that the kernel was told of every thread."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys

import pytest

from zjops.domain.processors import _SCHED_SETATTR, beside, in_short_turns, keep_to, mine

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


SLICE = """
import ctypes, os, struct
from zjops.domain.processors import _SCHED_SETATTR, in_short_turns
import platform
os.nice(3)
asked = in_short_turns(0.0002)
seen = ctypes.create_string_buffer(56)
ctypes.CDLL(None).syscall(_SCHED_SETATTR[platform.machine()] + 1, 0, seen, 56, 0)
fields = struct.unpack("=IIQiIQQQII", seen.raw)
print(asked, fields[1], fields[3], fields[5])
"""


@pytest.mark.skipif(platform.machine() not in _SCHED_SETATTR or sys.platform != "linux", reason="not known here")
def test_short_turns_are_what_the_kernel_says_and_nothing_else_is_changed() -> None:
    argv = [sys.executable, "-c", SLICE]
    told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    release = tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])
    assert told[:2] == ["True", "0"]
    assert int(told[2]) == os.getpriority(os.PRIO_PROCESS, 0) + 3
    if release >= (6, 12):
        assert told[3] == "200000"


def test_where_the_system_does_not_know_it_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "abacus")
    assert not in_short_turns()
