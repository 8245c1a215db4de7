"""Starting and stopping a platform program: found by its entry point, run as a process, heard by its JSON lines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO

import msgspec
import psutil

from zjops.config import START
from zjops.domain.errors import UnreachableError, UsageError, ZjopsError
from zjops.domain.runfile import read_run_file

GROUP = "zjops.platforms"
GONE_WITHIN_S = 60.0


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a platform program."""

    event: str
    name: str | None = None
    message: str | None = None
    pid: int | None = None
    restarts: int | None = None
    exit: str | None = None
    seconds: float | None = None
    exit_code: int | None = None
    share: float | None = None
    jobs: int | None = None


class StartError(ZjopsError):
    """The platform said why it cannot start, and how that ends."""

    def __init__(self, said: Said) -> None:
        super().__init__(said.message or "the platform did not start")
        self.exit_code = said.exit_code or 3


def platform_module(name: str = "local") -> str:
    """The module that is the platform's program; never imported here. Raises `UsageError`."""
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            return entry.value
    raise UsageError("no platform program is installed here; install this project with: make test")


class Platform:
    """A platform program of a folder, as a child process."""

    def __init__(self, home: Path, options: Sequence[str] = ()) -> None:
        self.home = home
        self._argv = [sys.executable, "-m", platform_module(), "up", "--home", str(home), "--jsonl", *options]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    def start(self, heard: Callable[[Said], None] = lambda said: None, *, log: Path | None = None) -> float:
        """Start it and return when it is up, with the seconds that it took. Raises `StartError`.

        It runs in a session of its own, so that Ctrl-C reaches it through us and only once. With `log` its lines go
        to that file, from which they are read, so that it can outlive us.
        """
        if log is None:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
            )
            assert self._process.stdout is not None
            return self._listen(self._process.stdout, heard)
        log.parent.mkdir(parents=True, exist_ok=True)
        # It is kept to a size by truncation, after which only who appends writes at the beginning.
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as out, log.open("rb") as lines:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
            return self._listen(lines, heard)

    def _listen(self, lines: IO[bytes], heard: Callable[[Said], None]) -> float:
        assert self._process is not None
        part = b""
        while True:
            line = lines.readline()
            part += line
            if not part.endswith(b"\n"):
                if not line and self._process.poll() is not None:
                    raise UnreachableError(f"the platform ended by itself; see {self.home}/process-logs")
                if not line:
                    self._breathe()
                continue
            said, part = self._read(part), b""
            if said is None:
                continue
            heard(said)
            if said.event == "error":
                self._process.wait(GONE_WITHIN_S)
                raise StartError(said)
            if said.event == "up":
                return said.seconds or 0.0

    def _breathe(self) -> None:
        """Wait a moment for more lines of a file, or for the end."""
        assert self._process is not None
        try:
            self._process.wait(0.05)
        except subprocess.TimeoutExpired:
            return

    @staticmethod
    def _read(line: bytes) -> Said | None:
        try:
            return msgspec.json.decode(line, type=Said)
        except msgspec.MsgspecError:
            return None

    def follow(self, heard: Callable[[Said], None]) -> int:
        """Hear it until it ends; returns its exit status."""
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = self._read(line)
            if said is not None:
                heard(said)
        return self._process.wait()

    def stop(self) -> None:
        """Ask it to end and wait; safe twice."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(GONE_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()


def stop_platform(home: Path) -> None:
    """Stop the platform of a folder, whoever started it. Raises `UnreachableError`."""
    run = read_run_file(home)
    try:
        process = psutil.Process(run.supervisor_pid)
        if abs(process.create_time() - run.supervisor_started_at) >= 1.0:
            raise psutil.NoSuchProcess(run.supervisor_pid)
        process.terminate()
        process.wait(GONE_WITHIN_S)
    except psutil.NoSuchProcess:
        raise UnreachableError(f"no platform runs in {home}; {START}") from None
    except psutil.TimeoutExpired as exc:
        raise UnreachableError(f"the platform in {home} does not end; see {home}/process-logs") from exc
