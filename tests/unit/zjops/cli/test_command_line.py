"""The command line: quick help, one-line errors, exit codes, formats."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import psutil
import pytest

from simulator.worker.handlers import validate
from tests.unit.zjops.client.test_clients import CLIENT, CONTEXT
from tests.unit.zjops.client.test_standing import QUIET
from zjops.cli.exits import exit_code_of, worst
from zjops.cli.jobs import EXAMPLES, Doorman, _follow
from zjops.cli.main import COMMANDS, main, overview
from zjops.cli.output import Format, Out
from zjops.client.http import Http
from zjops.client.jobs import Jobs
from zjops.domain.errors import InvariantError, Problem, UnreachableError, UntrustedError, UsageError
from zjops.domain.jobs import JobType
from zjops.domain.runfile import ClientEntry, RunFile, write_run_file

ROOT = Path(__file__).parents[4]
HEAVY = ("textual", "duckdb", "polars", "web3", "fastapi", "pydantic", "httpx2")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No context of the machine may leak in."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("ZJOPS_CONTEXT", raising=False)
    monkeypatch.setenv("ZJOPS_HOME", str(tmp_path / "home"))


def _run_file(home: Path, pid: int = 1, started: float = 0.0) -> None:
    client = ClientEntry(tenant="acme", plan="pro", client_id="c", client_secret="hidden-secret", scopes=[])
    home.mkdir(parents=True, exist_ok=True)
    write_run_file(
        home,
        RunFile(
            run_id="r", home=str(home), started_at_ms=0, supervisor_pid=pid, supervisor_started_at=started,
            api_url="http://127.0.0.1:9", issuer="i", token_url="http://127.0.0.1:9/token",
            control_url="http://127.0.0.1:9", control_token="hidden-token", nats_url="nats://127.0.0.1:9",
            nats_user="u", nats_password="hidden-password", rpc_url="http://127.0.0.1:9", chain_id=31338,
            contract="0x" + "11" * 20, code_hash="0x" + "22" * 32, log_dir=str(home / "log"), operator=client,
            clients=[client],
        ),
    )  # fmt: skip


def _alive(home: Path) -> None:
    me = psutil.Process()
    _run_file(home, me.pid, me.create_time())


@pytest.mark.parametrize("arguments", [["--help"], [], ["--version"], ["nonsense"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = (
        f"import sys; from zjops.cli.main import main; main({arguments!r}); "
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_the_overview_names_every_command_with_an_example() -> None:
    text = overview()
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} ", text, re.MULTILINE)
        assert command.example in text


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert "Example:" in capsys.readouterr().out


def test_a_mistyped_command_is_told_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["job"]) == 2
    assert capsys.readouterr().err.strip() == "error: there is no command job; did you mean jobs?"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2), (UnreachableError("x"), 3), (InvariantError("x"), 4), (UntrustedError("x"), 5),
        (Problem("validation-failed", "x"), 2), (Problem("not-found", "x"), 2), (Problem("unavailable", "x"), 3),
        (Problem("rate-limit-exceeded", "x"), 3), (Problem("not-final", "x"), 3), (Problem("conflict", "x"), 2),
    ],
)  # fmt: skip
def test_exit_codes(error: UsageError, code: int) -> None:
    assert exit_code_of(error) == code


def test_when_several_hold_the_worst_counts() -> None:
    assert worst([1, 99, 5, 4]) == 4
    assert worst([1, 99, 5]) == 5
    assert worst([1, 99]) == 99
    assert worst([]) == 0


def _says(capsys: pytest.CaptureFixture[str], code: int, arguments: list[str], pattern: str) -> None:
    assert main(arguments) == code
    text = capsys.readouterr().err
    assert "Traceback" not in text
    assert len(text.strip().splitlines()) == 1, text
    assert re.search(pattern, text), text


def test_without_a_platform_every_command_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["status"], ["down"], ["env"], ["token"], ["tenants", "list"], ["jobs", "list"], ["invoice", "a"],
                      ["audit"], ["jobs", "verify", "job_x"]):  # fmt: skip
        _says(capsys, 3, arguments, r"^error: no platform in .*; start one with: zjops up")


def test_a_stale_run_file_is_not_believed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run_file(tmp_path / "home", pid=1, started=5.0)
    _says(capsys, 3, ["jobs", "list"], "has died; start one with: zjops up")
    _says(capsys, 3, ["down"], "no platform runs in")


def test_a_half_written_run_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/run.json").write_text('{"schema":"zjops.run/1","run_id"')
    _says(capsys, 3, ["status"], r"run\.json cannot be read .*start again with: zjops up")


def test_a_dead_api_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _alive(tmp_path / "home")
    _says(capsys, 3, ["status"], r"127\.0\.0\.1:9 does not answer .*zjops status")


def test_secrets_are_covered_in_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _alive(tmp_path / "home")
    assert main(["context", "show", "--json"]) == 0
    shown = capsys.readouterr().out
    assert "hidden" not in shown
    assert json.loads(shown)["schema"] == "zjops.context/1"


def test_contexts_are_kept_chosen_and_forgotten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = {"api_url": "http://127.0.0.1:7", "token_url": "http://127.0.0.1:7/t", "issuer": "i"}
    (tmp_path / "c.json").write_bytes(msgspec.json.encode(made))
    assert main(["context", "add", "stage", "--file", str(tmp_path / "c.json")]) == 0
    file = tmp_path / "config/zjops/contexts.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert main(["context", "use", "stage"]) == 0
    assert main(["context", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["name"], row["in use"]) for row in rows] == [("local", ""), ("stage", "*")]
    file.chmod(0o644)
    _says(capsys, 2, ["context", "show"], "chmod 600")
    file.chmod(0o600)
    assert main(["context", "remove", "stage"]) == 0
    _says(capsys, 2, ["context", "show"], "there is no context stage")


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["jobs", "submit", "--type", "ml_inference", "--parameters", "{oops"], "--parameters is not a JSON object"),
        (["jobs", "submit", "--type", "ml_inference", "--parameters", "@nowhere.json"], "nowhere.json cannot be read"),
        (["jobs", "verify"], "one of them"),
        (["jobs", "verify", "--file", "nowhere.json"], "nowhere.json cannot be read"),
        (["invoice", "acme", "--month", "2026-13"], "a month is written YYYY-MM"),
        (["audit", "--history", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["context", "use", "nowhere"], "there is no context nowhere"),
        (["jobs", "list", "--tenant", "nobody"], "no credentials of tenant nobody; it knows acme"),
        (["exec"], "name a command"),
    ],
)
def test_wrong_usage_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], pattern: str
) -> None:
    _alive(tmp_path / "home")
    (tmp_path / "home/log").mkdir()
    _says(capsys, 2, arguments, pattern)


@pytest.mark.parametrize(
    ("arguments", "known"),
    [
        (["jobs", "submit", "--type", "bogus", "--parameters", "{}"], "compute_heavy"),
        (["jobs", "list", "--type", "bogus"], "ml_inference"), (["jobs", "list", "--status", "bogus"], "confirmed"),
        (["jobs", "list", "--sort-by", "bogus"], "created_at"), (["chain", "batches", "--state", "bogus"], "mined"),
        (["chain", "pause", "bogus"], "relayer"),
    ],
)  # fmt: skip
def test_a_word_that_is_none_is_told_those_that_there_are(
    arguments: list[str], known: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    text = capsys.readouterr().err
    assert "'bogus' is not one of" in text
    assert known in text


def test_every_example_of_parameters_is_one_that_a_worker_takes() -> None:
    assert set(EXAMPLES) == set(JobType)
    for kind, texts in EXAMPLES.items():
        for text in texts:
            assert validate(kind.value, json.loads(text)) == [], text
    assert any("failure" in text for texts in EXAMPLES.values() for text in texts), "how a job is made to fail"


def test_whoever_waits_for_the_chain_is_told_once_why_nothing_comes(capsys: pytest.CaptureFixture[str]) -> None:
    paused = msgspec.structs.replace(QUIET, paused=True)
    views: list[Any] = [QUIET, paused, paused, UnreachableError("away"), QUIET]

    class Door:
        def relayer(self) -> Any:
            if isinstance(views[0], Exception):
                raise views.pop(0)
            return views.pop(0)

    doorman = Doorman(CONTEXT, Out())
    doorman.look()
    doorman._admin = Door()  # type: ignore[assignment]
    while views:
        doorman.look()
    assert capsys.readouterr().err.splitlines() == [
        "note: the relayer is paused by an operator; see zjops chain unpause relayer", "note: confirmations go on",
    ]  # fmt: skip


ROWS = [{"name": "a|b", "count": 1, "note": None}, {"name": "c", "count": 22, "note": 'say "x"'}]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (Format.TABLE, 'name  count  note\na|b   1\nc     22     say "x"\n'),
        (Format.CSV, 'name,count,note\na|b,1,\nc,22,"say ""x"""\n'),
        (Format.JSONL, '{"name":"a|b","count":1,"note":null}\n{"name":"c","count":22,"note":"say \\"x\\""}\n'),
        (Format.MD, '| name | count | note |\n|---|---|---|\n| a\\|b | 1 |  |\n| c | 22 | say "x" |\n'),
    ],
)
def test_formats(form: Format, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    Out(form).rows("s/1", ROWS)
    assert capsys.readouterr().out == expected


def test_json_carries_its_schema_and_talk_stays_off_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    out = Out(json=True)
    out.rows("s/1", ROWS)
    out.say("talk")
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"schema": "s/1", "rows": ROWS}
    assert captured.err == "talk\n"
    Out(quiet=True).say("talk")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", ["--help", "context list", "export openapi", "jobs --help"])
def test_a_reader_that_leaves_early_is_no_error(command: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    argv = [sys.executable, "-m", "zjops", *command.split()]
    done = subprocess.run(argv, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_readme_has_every_exit_code() -> None:
    text = (ROOT / "README.md").read_text()
    for code in (0, 1, 2, 3, 4, 5, 99, 130):
        assert re.search(rf"^\| {code} \|", text, re.MULTILINE)


def test_where_there_are_no_streams_watching_asks_again_and_again(capsys: pytest.CaptureFixture[str]) -> None:
    view = {
        "jobId": "job_1", "status": "completed", "jobType": "ml_inference", "priority": 5, "computeUnits": 1,
        "submittedAt": "2026-11-24T00:00:00Z", "updatedAt": "2026-11-24T00:00:01Z", "links": {"self": "/v1/jobs/job_1"},
    }  # fmt: skip

    def server(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/stream"):
            return httpx2.Response(404, text="<html>no such page</html>")
        return httpx2.Response(200, json=view)

    with Http("http://api", transport=httpx2.MockTransport(server)) as http:
        _follow(Jobs(CONTEXT, CLIENT, http=http), ["job_1"], Out(Format.JSONL), final=False, within_s=5)
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "note: there are no streams here, asking from time to time instead (404 http-404)",
        "2026-11-24T00:00:01.000Z  completed",
    ]
    (line,) = captured.out.splitlines()
    assert json.loads(line)["sequence"] == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["events", "replay", "--reason", "x", "--since", "2026-01-01T00:00:00Z", "--from-sequence", "1"],
        ["events", "tail", "--replay", "x", "--from-sequence", "1"], ["events", "tail", "--from-sequence", "1"],
        ["events", "tail", "--stream", "WORK"], ["events", "tail", "--type", "nonsense"],
        ["events", "tail", "--stream", "EVENTS", "--type", "tenant"],
        ["events", "replay", "--reason", "x", "--from-sequence", "1", "--type", "tenant"],
        ["events", "replay", "--reason", "x", "--from-sequence", "5", "--to-sequence", "2"],
        ["events", "replay", "--reason", "x", "--since", "2026-02-01T00:00:00Z", "--until", "2026-01-01T00:00:00Z"],
    ],
)  # fmt: skip
def test_events_that_cannot_be_meant_are_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    _says(capsys, 2, arguments, "^error: ")
