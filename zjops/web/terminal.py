"""A program in a terminal of its own (a pty), whose bytes come and go."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from zjops.web import launch

READ_BYTES = 65_536
END_WITHIN_S = 5.0
PROGRAM = "zjops-web"
"""What a program whose terminal is a browser is told of that terminal."""
OURS = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "TERM_PROGRAM": PROGRAM}
NOT_OURS = ("COLUMNS", "LINES", "COLORFGBG", "TERM_PROGRAM", "TEXTUAL_DRIVER")
"""What the environment says of the terminal in which the server was started."""


class Size(NamedTuple):
    """Of a terminal, in cells."""

    columns: int
    rows: int

    def within(self) -> Size:
        """The same, or the nearest size that a terminal may have."""
        return Size(max(1, min(self.columns, 1_000)), max(1, min(self.rows, 500)))


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program whose terminal is a browser."""
    return {name: value for name, value in environ.items() if name not in NOT_OURS} | OURS


class Terminal:
    """One program and our end of its terminal. It hangs up when closed, or with this process."""

    def __init__(self, process: subprocess.Popen[bytes], end: int) -> None:
        self._process, self._end = process, end

    @classmethod
    async def open(cls, argv: Sequence[str], environ: Mapping[str, str], size: Size) -> Terminal:
        """Start a program. `argv` begins with its path."""
        return cls(*await asyncio.to_thread(_started, argv, environment(environ), size))

    async def read(self) -> bytes:
        """What it draws next; empty when it has ended. It waits while nobody reads."""
        loop = asyncio.get_running_loop()
        while True:
            await self._until(loop.add_reader, loop.remove_reader)
            try:
                return os.read(self._end, READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                # What a terminal says when the last program in it has gone.
                return b""

    async def write(self, data: bytes) -> None:
        """Type. Waits while the program takes nothing; what is typed to one that has ended is lost."""
        loop = asyncio.get_running_loop()
        while data:
            try:
                data = data[os.write(self._end, data) :]
            except BlockingIOError:
                await self._until(loop.add_writer, loop.remove_writer)
            except OSError:
                return

    async def _until(self, add: Callable[..., object], remove: Callable[[int], object]) -> None:
        """Wait until our end is ready for something."""
        ready = asyncio.Event()
        add(self._end, ready.set)
        try:
            await ready.wait()
        finally:
            remove(self._end)

    def resize(self, size: Size) -> None:
        """Another size, of which the program hears by a signal."""
        termios.tcsetwinsize(self._end, (size.rows, size.columns))

    async def close(self) -> None:
        """Ask it to end, hang up, and make sure. Nobody reads any more."""
        self._process.terminate()
        draining = asyncio.create_task(self._drain())
        try:
            await asyncio.to_thread(self._process.wait, END_WITHIN_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._process.kill()
            draining.cancel()
            await asyncio.gather(draining, return_exceptions=True)
            os.close(self._end)
        await asyncio.to_thread(self._process.wait)

    async def _drain(self) -> None:
        """Take what it still draws, which it would else wait to be rid of."""
        while await self.read():
            pass


def _started(argv: Sequence[str], environ: Mapping[str, str], size: Size) -> tuple[subprocess.Popen[bytes], int]:
    """A program and our end of its terminal."""
    ours, theirs = pty.openpty()
    try:
        termios.tcsetwinsize(theirs, (size.rows, size.columns))
        os.set_blocking(ours, False)
        launcher = [sys.executable, "-I", "-S", str(Path(launch.__file__))]
        process = subprocess.Popen(
            [*launcher, *argv], stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    return process, ours
