"""One browser page and its terminal: what is typed goes one way, what is drawn the other, until either ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from zjops.web.terminal import Size, Terminal

MOST = 8
USUAL = Size(80, 24)
FINE, NOT_UNDERSTOOD, TRY_LATER = 1000, 1003, 1013
"""Codes to close a socket with (RFC 6455)."""


class Typed(msgspec.Struct, array_like=True, tag="stdin"):
    """Keys, mouse and what was pasted, as a terminal sends it."""

    text: str


class Cells(msgspec.Struct):
    """A size of the page, in cells."""

    width: int
    height: int


class Resized(msgspec.Struct, array_like=True, tag="resize"):
    """The page has another size."""

    cells: Cells


class Ping(msgspec.Struct, array_like=True, tag="ping"):
    """The page measures how long a way there and back takes."""

    text: str


class Focus(msgspec.Struct, array_like=True, tag="focus"):
    """The page is looked at. The terminal in it tells the program so by itself, where the program asked for it."""


class Blur(msgspec.Struct, array_like=True, tag="blur"):
    """The page is no longer looked at."""


_decode = msgspec.json.Decoder(Typed | Resized | Ping | Focus | Blur).decode


class Sessions:
    """The terminals that are open, each with a program of its own; `most` at once."""

    def __init__(self, argv: Sequence[str], most: int = MOST) -> None:
        self._argv, self._most = argv, most
        self._open = 0

    async def serve(self, websocket: WebSocket) -> None:
        """Give a page a terminal. What is wrong is told where the terminal would be."""
        await websocket.accept()
        if self._open >= self._most:
            text = f"\r\n {self._most} terminals are open here, which is the most: close one, and reload.\r\n"
            await websocket.send_bytes(text.encode())
            await websocket.close(TRY_LATER)
            return
        self._open += 1
        try:
            code = await self._run(websocket)
        finally:
            self._open -= 1
        # It may be the page that went.
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await websocket.close(code)

    async def _run(self, websocket: WebSocket) -> int:
        """Run one terminal to its end; the code to close the socket with."""
        terminal = await Terminal.open(self._argv, os.environ, _asked_size(websocket.query_params.get))
        ways = asyncio.create_task(_draw(terminal, websocket)), asyncio.create_task(_type(terminal, websocket))
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await terminal.close()
        return max(way.result() for way in done)


def _asked_size(asked: Callable[[str], str | None]) -> Size:
    try:
        return Size(int(asked("width") or ""), int(asked("height") or "")).within()
    except ValueError:
        return USUAL


async def _draw(terminal: Terminal, websocket: WebSocket) -> int:
    """What the program draws, as quickly as the browser takes it."""
    with contextlib.suppress(WebSocketDisconnect):
        while data := await terminal.read():
            await websocket.send_bytes(data)
    return FINE


async def _type(terminal: Terminal, websocket: WebSocket) -> int:
    """Do what the page says until it goes."""
    try:
        while True:
            await _do(await websocket.receive_text(), terminal, websocket)
    except WebSocketDisconnect:
        return FINE
    except (msgspec.MsgspecError, RecursionError, KeyError):
        # RecursionError: it was nested too deeply. KeyError: it was bytes, of which there are none in this direction.
        return NOT_UNDERSTOOD


async def _do(message: str, terminal: Terminal, websocket: WebSocket) -> None:
    """What one message asks for. Raises `msgspec.MsgspecError`."""
    match _decode(message):
        case Typed(text):
            await terminal.write(text.encode("utf-8", "replace"))
        case Resized(cells):
            terminal.resize(Size(cells.width, cells.height).within())
        case Ping(text):
            await websocket.send_json(["pong", text])
        case Focus() | Blur():
            pass
