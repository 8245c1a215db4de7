"""Ports, the run file and what a killed supervisor left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from simulator.supervisor import ports, runs
from simulator.supervisor.runs import Addresses
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UsageError
from zjops.domain.ids import SystemIds
from zjops.domain.runfile import ProcessEntry, RunFile, read_run_file, write_run_file

AT = Addresses(8080, 8090, 4222, 8545)


def _run(home: Path, former: RunFile | None = None) -> RunFile:
    clock = SystemClock()
    return runs.new_run(home, former, AT, 31338, "depth:3", clock, SystemIds(clock))


def test_a_taken_port_is_shifted_unless_exactly_it_was_asked_for() -> None:
    with ports.listen(23_000) as first:
        taken = ports.port_of(first)
        with ports.listen(taken) as second:
            assert ports.port_of(second) > taken
        with pytest.raises(UsageError, match=f"port {taken} cannot be used"):
            ports.listen(taken, exactly=True)


def test_a_folder_belongs_to_one_supervisor(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with runs.lock_home(home), pytest.raises(UsageError, match="already runs"):
        runs.lock_home(home)
    runs.lock_home(home).close()
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="choose another with --home"):
        runs.lock_home(tmp_path / "file" / "home")


def test_traffic_has_a_client_of_its_own_that_stays(tmp_path: Path) -> None:
    clock = SystemClock()

    def run(former: RunFile | None, traffic: bool) -> RunFile:
        return runs.new_run(tmp_path, former, AT, 31338, "depth:3", clock, SystemIds(clock), traffic=traffic)

    first = run(None, False)
    assert [client.plan for client in first.clients] == ["free", "starter", "pro"]
    second = run(first, True)
    assert [client.plan for client in second.clients] == ["free", "starter", "pro", "enterprise"]
    assert second.clients[:3] == first.clients
    assert run(second, True).clients == run(second, False).clients == second.clients


def test_secrets_are_new_and_clients_are_kept(tmp_path: Path) -> None:
    first = _run(tmp_path)
    write_run_file(tmp_path, first)
    assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o600
    second = _run(tmp_path, runs.former_run(tmp_path))
    assert second.clients == first.clients
    assert second.operator == first.operator
    assert second.control_token != first.control_token
    assert second.nats_password != first.nats_password


def test_an_unreadable_run_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{half")
    assert runs.former_run(tmp_path) is None


def test_leftovers_are_ended_and_strangers_are_not(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "import signal; signal.pause()"]
    with subprocess.Popen(program) as ours, subprocess.Popen(program) as stranger:
        try:
            entries = [
                ProcessEntry(name="a", pid=ours.pid, roles=[], started_at=psutil.Process(ours.pid).create_time()),
                ProcessEntry(name="b", pid=stranger.pid, roles=[], started_at=1.0),
            ]
            write_run_file(tmp_path, msgspec.structs.replace(_run(tmp_path), processes=entries))
            assert runs.end_leftovers(read_run_file(tmp_path)) == 1
            assert not psutil.pid_exists(ours.pid)
            assert stranger.poll() is None
        finally:
            ours.kill()
            stranger.kill()
