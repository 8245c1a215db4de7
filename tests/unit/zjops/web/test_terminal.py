"""A program in a pty: real ones, of a line or two."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import psutil
import pytest

from zjops.web.terminal import Size, Terminal, environment

PYTHON = [sys.executable, "-I", "-S", "-u", "-c"]
ECHO = "import sys, tty; tty.setraw(0); print('ready');\nwhile c := sys.stdin.buffer.raw.read(999): print(c)"
SIZES = """
import os, signal
def tell(*_): print(tuple(os.get_terminal_size(0)), flush=True)
signal.signal(signal.SIGWINCH, tell)
tell()
while True: signal.pause()
"""
MUCH = """
import sys, tty
tty.setraw(0)
print("ready")
taken = 0
while taken < 300_000: taken += len(sys.stdin.buffer.raw.read(999))
print("all of it")
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf')\nwhile True: signal.pause()"
SERVER = """
import asyncio, os, sys
from zjops.web.terminal import Size, Terminal
async def main():
    source = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    terminal = await Terminal.open([sys.executable, "-c", source], os.environ, Size(80, 24))
    print((await terminal.read()).decode(), flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
Open = Callable[[str], Awaitable[Terminal]]


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    made: list[Terminal] = []

    async def open_(source: str) -> Terminal:
        made.append(await Terminal.open([*PYTHON, source], os.environ, Size(100, 30)))
        return made[-1]

    yield open_
    for terminal in made:
        await terminal.close()


async def _until(terminal: Terminal, text: str) -> str:
    drawn = ""
    while text not in drawn:
        part = await terminal.read()
        assert part, f"it ended with {drawn}"
        drawn += part.decode()
    return drawn


async def test_what_is_typed_reaches_the_program(opened: Open) -> None:
    terminal = await opened(ECHO)
    await _until(terminal, "ready")
    await terminal.write("j\x1b[Aé".encode())
    await _until(terminal, r"b'j\x1b[A\xc3\xa9'")


async def test_more_is_typed_than_a_terminal_takes_at_once(opened: Open) -> None:
    terminal = await opened(MUCH)
    await _until(terminal, "ready")
    await terminal.write(b"x" * 300_000)
    await _until(terminal, "all of it")


async def test_it_hears_of_a_new_size(opened: Open) -> None:
    terminal = await opened(SIZES)
    await _until(terminal, "(100, 30)")
    terminal.resize(Size(61, 17))
    await _until(terminal, "(61, 17)")


async def test_the_end_of_the_program_is_the_end_of_what_is_drawn(opened: Open) -> None:
    terminal = await opened("print('that is all')")
    drawn = b""
    while part := await terminal.read():
        drawn += part
    assert drawn == b"that is all\r\n"
    await terminal.write(b"nobody reads this")


async def test_a_program_that_does_not_want_to_end_is_ended(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zjops.web.terminal.END_WITHIN_S", 0.1)
    terminal = await Terminal.open([*PYTHON, DEAF], os.environ, Size(80, 24))
    await _until(terminal, "deaf")
    await terminal.close()
    assert psutil.Process().children() == []


async def test_a_program_that_draws_without_end_is_ended_too(opened: Open) -> None:
    terminal = await Terminal.open([*PYTHON, "while True: print('x' * 1000)"], os.environ, Size(80, 24))
    await _until(terminal, "x")
    await terminal.close()
    assert psutil.Process().children() == []


def test_the_program_ends_with_a_server_that_is_killed() -> None:
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    program = psutil.Process(int(server.stdout.readline()))
    server.send_signal(signal.SIGKILL)
    server.wait()
    server.stdout.close()
    program.wait(30)


@pytest.mark.parametrize(
    ("asked", "given"),
    [((80, 24), (80, 24)), ((0, -3), (1, 1)), ((10**9, 10**9), (1_000, 500))],
)
def test_a_size_is_one_that_a_terminal_may_have(asked: tuple[int, int], given: tuple[int, int]) -> None:
    assert Size(*asked).within() == given


def test_the_environment_tells_of_the_browser_and_not_of_the_servers_terminal() -> None:
    given = environment({"TERM": "dumb", "COLUMNS": "40", "COLORFGBG": "0;15", "LANG": "C.UTF-8", "NO_COLOR": "1"})
    assert given == {
        "TERM": "xterm-256color", "COLORTERM": "truecolor", "TERM_PROGRAM": "zjops-web", "LANG": "C.UTF-8",
        "NO_COLOR": "1",
    }  # fmt: skip
