"""Starts the generator as a process and reads what it writes. Locust is never imported here."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from zjops.domain.errors import UnreachableError, UntrustedError, UsageError
from zjops.load.records import Line, parse_line
from zjops.load.runs import LOG, RECORDS, SCENARIO

NEEDED = ("locust", "gevent")
PACKAGE = "loadtests"
END_WITHIN_S = 15.0
LOOPBACK = "127.0.0.1"


def require_installed() -> Path:
    """Where the locustfile is. Raises `UsageError` that says what to install."""
    if any(importlib.util.find_spec(name) is None for name in NEEDED):
        raise UsageError("the load generator is not installed; install it with: make load")
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise UsageError("the load tests are not here; run this from a checkout of the project")
    return Path(found.origin).with_name("locustfile.py")


def several(workers: int) -> list[str]:
    """Locust's options for several processes: they meet on loopback, at a port that is free, not at one known to all.

    Without them its leader listens on every interface, and two runs at once are in each other's way.
    """
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port = str(free.getsockname()[1])
    return [
        "--processes", str(workers), "--master-bind-host", LOOPBACK, "--master-bind-port", port,
        "--master-host", LOOPBACK, "--master-port", port,
    ]  # fmt: skip


class Generator:
    """One run of the generator in a folder that holds its scenario."""

    def __init__(
        self, folder: Path, *, seed: int, workers: int, prefix: str, context: str | None, home: str | None
    ) -> None:  # fmt: skip
        self._folder = folder
        self._argv = [
            sys.executable, "-m", "locust", "-f", str(require_installed()), "--headless", "--only-summary",
            "--loglevel", "WARNING", "--stop-timeout", "2", "--scenario", str(folder / SCENARIO),
            "--records", str(folder), "--load-seed", str(seed), "--tenant-prefix", prefix,
            "--parent", str(os.getpid()), *(several(workers) if workers > 1 else []),
            *(["--context", context] if context else []), *(["--home", home] if home else []),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: IO[bytes] | None = None
        self._part = b""
        self._number = 0
        self._given_up: str | None = None

    def start(self) -> None:
        """Begin. In a session of its own, so that Ctrl-C reaches it through us and only once."""
        (self._folder / RECORDS).touch(mode=0o600)
        self._lines = (self._folder / RECORDS).open("rb")
        with (self._folder / LOG).open("wb") as log:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def news(self) -> Iterator[Line]:
        """What was written since the last time."""
        assert self._lines is not None
        *whole, self._part = (self._part + self._lines.read()).split(b"\n")
        for line in whole:
            self._number += 1
            yield parse_line(line, f"{self._folder / RECORDS}, line {self._number}")

    @property
    def lines(self) -> int:
        """How many lines it has written."""
        return self._number

    def give_up(self, why: str) -> None:
        """End it for what it does not do itself; `check` says why."""
        self._given_up = why
        self.stop()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Have it write its last lines and end; safe twice."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def close(self) -> None:
        """End it, and let go of its file."""
        self.stop()
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def check(self) -> None:
        """How it ended. Raises `UnreachableError`, `UsageError`, `UntrustedError`, with its own words if it had any."""
        if self._given_up is not None:
            raise UntrustedError(f"{self._given_up}; see {self._folder / LOG}")
        code = self._process.returncode if self._process is not None else 0
        if code == 0:
            return
        said = (self._folder / LOG).read_text(errors="replace").splitlines()
        why = next((line.removeprefix("error: ") for line in said if line.startswith("error: ")), None)
        if why is None:
            raise UntrustedError(f"the generator ended with {code}; see {self._folder / LOG}")
        raise (UsageError if code == 2 else UnreachableError)(why)
