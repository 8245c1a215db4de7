"""Job code in real child processes: a child that dies fails one attempt and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest

from simulator.worker import slots as module
from simulator.worker.slots import ClientFault, Crashed, ProcessSlots
from tests.support.nats import eventually

SIEVE = {"algorithm": "prime_sieve", "limit": 1_000}
LONG = {"algorithm": "matrix_multiply", "size": 400, "seed": 1}


@pytest.fixture
async def slots() -> AsyncIterator[ProcessSlots]:
    made = ProcessSlots(2)
    await made.start()
    yield made
    await made.stop()


async def _run(slots: ProcessSlots, parameters: dict[str, Any], kind: str = "compute_heavy") -> Any:
    return json.loads(await slots.run(kind, parameters, lambda percent: None))


def _busy(slots: ProcessSlots) -> list[psutil.Process]:
    return [p for p in map(psutil.Process, slots.pids) if p.cpu_times().user > 0.4]


async def test_results_come_back_and_children_live_on(slots: ProcessSlots) -> None:
    before = set(slots.pids)
    assert len(before) == 2
    for _ in range(5):
        assert (await _run(slots, SIEVE))["count"] == 168
    assert set(slots.pids) == before


async def test_progress_is_told(slots: ProcessSlots) -> None:
    told: list[int] = []
    await slots.run("compute_heavy", {"algorithm": "matrix_multiply", "size": 60, "seed": 1}, told.append)
    assert told == sorted(told)
    assert told[-1] == 100


async def test_a_killed_child_fails_its_attempt_alone_and_is_replaced(slots: ProcessSlots) -> None:
    doomed = asyncio.ensure_future(_run(slots, LONG))
    await eventually(lambda: bool(_busy(slots)), 30)
    fine = asyncio.ensure_future(_run(slots, SIEVE))
    os.kill(_busy(slots)[0].pid, signal.SIGKILL)
    with pytest.raises(Crashed) as caught:
        await doomed
    assert caught.value.code == "worker_crashed"
    assert (await fine)["count"] == 168
    results = await asyncio.gather(*(_run(slots, SIEVE) for _ in range(4)))
    assert [r["count"] for r in results] == [168] * 4
    assert len(slots.pids) == 2


async def test_a_cancelled_run_ends_its_code_at_once(slots: ProcessSlots) -> None:
    running = asyncio.ensure_future(_run(slots, LONG))
    await eventually(lambda: bool(_busy(slots)), 30)
    process = _busy(slots)[0]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await eventually(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    assert (await _run(slots, SIEVE))["count"] == 168


async def test_a_job_that_needs_too_much_memory_fails_alone(
    slots: ProcessSlots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.MEMORY_BYTES, "data_processing", 1 << 20)
    many = {"algorithm": "aggregate", "generate": {"rows": 100_000, "seed": 1}, "group_by": "group",
            "metrics": [{"column": "value", "function": "sum"}]}  # fmt: skip
    with pytest.raises(Crashed) as caught:
        await _run(slots, many, "data_processing")
    assert caught.value.code == "out_of_memory"
    monkeypatch.undo()
    assert (await _run(slots, SIEVE))["count"] == 168


async def test_the_clients_fault_is_told_apart_and_keeps_the_child(slots: ProcessSlots) -> None:
    before = set(slots.pids)
    rows = {"algorithm": "aggregate", "rows": [{"n": 1}], "group_by": "city",
            "metrics": [{"column": "n", "function": "sum"}]}  # fmt: skip
    with pytest.raises(ClientFault, match="city"):
        await _run(slots, rows, "data_processing")
    assert set(slots.pids) == before


async def test_stop_leaves_no_child(slots: ProcessSlots) -> None:
    children = [psutil.Process(pid) for pid in slots.pids]
    await slots.stop()
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    await slots.stop()
