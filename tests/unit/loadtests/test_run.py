"""A run as Locust sees it, in a process of its own: Locust would patch the standard library of this one."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

if importlib.util.find_spec("locust") is None:
    pytest.skip("the load generator is not installed", allow_module_level=True)

OVER = """
from types import SimpleNamespace
import locust
from locust.runners import STATE_MISSING, STATE_RUNNING, MasterRunner
from loadtests.run import Run

class Master(MasterRunner):
    def __init__(self, **states):
        self.clients = SimpleNamespace(all=[SimpleNamespace(id=id, state=state) for id, state in states.items()])

run = Run.__new__(Run)
run.runner, run._plan, run._waiting = Master(a=STATE_RUNNING, b=STATE_RUNNING), object(), {"a", "b"}
assert not run.over
run._waiting = {"b"}
assert not run.over
run.runner = Master(a=STATE_RUNNING, b=STATE_MISSING)
assert run.over, "a process that does not answer is waited for"
run.runner = Master(a=STATE_RUNNING)
assert run.over, "a process that has died is waited for"
run._plan = None
assert not run.over
"""


def test_a_process_that_has_died_is_not_waited_for() -> None:
    done = subprocess.run([sys.executable, "-c", OVER], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


TABLES = """
import locust
from loadtests.webpage import METHODS, show
from zjops.load.records import Tick
from zjops.load.thresholds import OPS
from locust.stats import RequestStats

assert set(METHODS) == set(OPS), set(METHODS) ^ set(OPS)
stats = RequestStats()
ticks = [Tick(worker=0, second=1, phase=0, op=op, offered=3, started=3, accepted=3, latency={5000: 3}) for op in OPS]
show(stats, ticks, 1_790_000_000)
assert stats.total.num_requests == 3 * len(OPS)
assert len(stats.entries) == len(OPS)
"""


def test_locust_s_tables_know_every_kind_of_request() -> None:
    done = subprocess.run([sys.executable, "-c", TABLES], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
