"""Processes are put where they may run, by the kernel's own word, and let go again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from simulator.policy.backlog import Behind
from simulator.policy.placing import LATE_S, Load
from simulator.supervisor import placing
from simulator.supervisor.asking import Asked, Reply
from simulator.supervisor.placing import Placing
from simulator.supervisor.ports import listen, port_of
from simulator.telemetry import Telemetry
from simulator.web import WebServer, health_app
from tests.support.nats import eventually
from zjops.domain.clock import SystemClock
from zjops.domain.processors import mine

pytestmark = pytest.mark.skipif(len(mine()) < 2, reason="with one processor there is nothing to share out")
ALL = mine()
REST = ALL - {min(ALL)}
FAMILY = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
ALONE = "print(1, flush=True); input()"


def _begin(code: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


@pytest.fixture
def processes() -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    made = {"api": _begin(ALONE), "backend": _begin(FAMILY), "broker": _begin(ALONE)}
    yield made
    for one in made.values():
        one.communicate(b"\n")


ROLES = {"api": ("api", "outbox"), "backend": ("settlement", "worker"), "broker": ("broker",)}


def _children(processes: dict[str, subprocess.Popen[bytes]], **ports: int) -> Any:
    return {
        name: SimpleNamespace(pid=one.pid, spec=SimpleNamespace(roles=ROLES.get(name, (name,)), port=ports.get(name)))
        for name, one in processes.items()
    }


def _where(pid: int) -> frozenset[int]:
    return frozenset(os.sched_getaffinity(pid))


async def _until(pid: int, processors: frozenset[int]) -> None:
    await eventually(lambda: _where(pid) == processors, within_s=30)


async def test_all_but_the_api_stay_off_its_processor_with_what_they_started(
    processes: dict[str, subprocess.Popen[bytes]],
) -> None:
    service = Placing(_children(processes), SystemClock())
    await service.start()
    try:
        for name in ("backend", "broker"):
            await _until(processes[name].pid, REST)
        _, child = placing._family(processes["backend"].pid)
        assert (_where(child), _where(os.getpid())) == (REST, REST)
        assert _where(processes["api"].pid) == ALL
    finally:
        await service.stop()
    assert mine() == ALL, "who is started after it may run anywhere"


async def test_when_only_the_others_have_something_to_do_they_use_all(
    processes: dict[str, subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [Load(0.0, float(len(REST)))]
    monkeypatch.setattr(Placing, "_load", lambda self, seconds: seen[-1])
    service = Placing(_children(processes), SystemClock())
    await service.start()
    try:
        await _until(processes["broker"].pid, ALL)
        seen.append(Load(1.0, float(len(REST))))
        await _until(processes["broker"].pid, REST)
    finally:
        await service.stop()


async def test_when_accepted_jobs_wait_too_long_for_the_others_they_use_all(
    processes: dict[str, subprocess.Popen[bytes]],
) -> None:
    said = [Behind()]

    async def ready() -> dict[str, bool]:
        return {}

    with listen(20_000) as listener:
        server = WebServer(health_app(Telemetry("t", SystemClock(), stream=None), ready, lambda: said[-1]), listener)
        await server.start()
        service = Placing(_children(processes, backend=port_of(listener)), SystemClock())
        await service.start()
        try:
            await _until(processes["broker"].pid, REST)
            said.append(Behind(LATE_S, 100.0))
            await _until(processes["broker"].pid, ALL)
            said.append(Behind())
            await _until(processes["broker"].pid, REST)
            await server.stop()
            await asyncio.sleep(1.5 * placing.ASK_EVERY_S)
            assert _where(processes["broker"].pid) == REST, "who does not answer says nothing new"
        finally:
            await service.stop()


async def test_what_was_said_long_ago_or_cannot_be_read_is_no_wait() -> None:
    answers = [Reply(200, b'{"wait_s":9.0}')]

    async def ask(asked: Asked, within_s: float) -> Reply:
        return answers[-1]

    service = Placing({}, SystemClock())
    service._asks = [ask]
    told = []
    for at, answer in [
        (0.0, answers[0]), (2.0, Reply(200, b'{"wait_s":')), (4.0, Reply(0)), (6.0, Reply(503)),
        (8.0, answers[0]), (9.5, Reply(200, b"[]")),
    ]:  # fmt: skip
        answers.append(answer)
        await service._ask(at)
        told.append(service._behind_s)
    assert told == [9.0, 9.0, 9.0, 0.0, 9.0, 9.0]


async def test_an_api_that_is_started_anew_may_run_anywhere(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    children = _children(processes)
    service = Placing(children, SystemClock())
    await service.start()
    try:
        await _until(os.getpid(), REST)
        with _begin(ALONE) as anew:
            assert _where(anew.pid) == REST, "it begins where its supervisor is"
            children["api"].pid = anew.pid
            await _until(anew.pid, ALL)
            anew.communicate(b"\n")
    finally:
        await service.stop()


BUSY = """
import subprocess, sys, time
if len(sys.argv) > 1:
    end = time.process_time() + float(sys.argv[1])
    while time.process_time() < end:
        pass
    print(1, flush=True)
    input()
else:
    subprocess.run([sys.executable, "-c", CODE, SECONDS])
"""


def _begin_busy(seconds: float) -> subprocess.Popen[bytes]:
    """A process whose child has used so many seconds of a processor."""
    return _begin(f"CODE, SECONDS = {BUSY!r}, {str(seconds)!r}\n{BUSY}")


async def test_what_is_used_is_counted_with_children_by_who_answers_and_who_does_not() -> None:
    processes = {"api": _begin_busy(0.3), "worker": _begin_busy(1.2)}
    service = Placing(_children(processes), SystemClock())
    try:
        load = service._load(1.0)
        # Besides, each needed a little to begin.
        assert 0.3 <= round(load.api, 2) < 1.2 <= round(load.others, 2)
        assert service._load(1.0).others == pytest.approx(0.0, abs=0.1), "since the last look"
        for one in placing._family(processes["worker"].pid):
            os.kill(one, signal.SIGKILL)
        assert service._load(1.0).others == pytest.approx(0.0, abs=0.1), "what has ended is not taken off"
    finally:
        for one in processes.values():
            one.communicate(b"\n")


async def test_where_the_kernel_does_not_tell_who_started_whom_nothing_is_moved(
    processes: dict[str, subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(placing, "_begun_by", lambda pid, thread: tmp_path / "none")
    service = Placing(_children(processes), SystemClock())
    await service.start()
    await asyncio.sleep(0)
    await service.stop()
    assert {_where(one.pid) for one in processes.values()} == {ALL}


async def test_without_a_processor_for_each_nothing_is_moved(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    apis = {
        f"api-{n}": SimpleNamespace(pid=processes["api"].pid, spec=SimpleNamespace(roles=("api",), port=None))
        for n in ALL
    }
    service = Placing(_children(processes) | apis, SystemClock())
    await service.start()
    await asyncio.sleep(0)
    await service.stop()
    assert {_where(one.pid) for one in processes.values()} == {ALL}
