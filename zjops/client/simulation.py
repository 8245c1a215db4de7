"""Playing a synthetic month: the platform's program as a process, heard by its JSON lines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import IO, Any

import msgspec

from zjops.client.platform import GONE_WITHIN_S, platform_module
from zjops.domain.errors import UnreachableError, ZjopsError


class Reached(msgspec.Struct, frozen=True):
    """How far it is: the share that is done, jobs or events by now, and seconds since the beginning."""

    share: float
    seconds: float
    jobs: int | None = None
    events: int | None = None


class _Line(msgspec.Struct, frozen=True):
    """One line of the program, of whatever kind."""

    event: str
    report: dict[str, Any] | None = None
    message: str | None = None
    exit_code: int | None = None


class _NotMade(ZjopsError):
    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def simulate(options: Sequence[str], heard: Callable[[Reached], None]) -> dict[str, Any]:
    """Make a world or a volume with the options of `python -m simulator simulate`; returns its report.

    Raises `ZjopsError` with the program's own reason and exit code. Whatever interrupts us ends the program, which
    leaves nothing half made.
    """
    argv = [sys.executable, "-m", platform_module(), "simulate", "--parent", str(os.getpid()), *options]
    # In a session of its own, so that Ctrl-C reaches it through us and only once.
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    try:
        return _listen(process, process.stdout, heard)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(GONE_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _listen(process: subprocess.Popen[bytes], lines: IO[bytes], heard: Callable[[Reached], None]) -> dict[str, Any]:
    """Hear it to its own end: it is ended from here only where we are."""
    last = _Line("nothing")
    for line in lines:
        said = msgspec.json.decode(line, type=_Line)
        if said.event == "progress":
            heard(msgspec.json.decode(line, type=Reached))
        else:
            last = said
    code = process.wait()
    if last.event == "error":
        raise _NotMade(last.message or "nothing was made", last.exit_code or UnreachableError.exit_code)
    if code or last.report is None:
        raise UnreachableError(f"the simulation ended by itself ({code}); what it said stands above")
    return last.report
