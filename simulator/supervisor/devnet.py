"""The development chain by itself, without a platform around it: for measuring, and for whoever needs a chain alone."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from simulator.config import load_settings
from simulator.supervisor.ports import HOST, listen, port_of
from simulator.supervisor.spec import Notice, Tell

PREFERRED_PORT = 18_545


async def serve(home: Path, settings: dict[str, str], tell: Tell) -> None:
    """Make blocks until told to stop; says its address once it answers."""
    from simulator import environment
    from simulator.service import Stack
    from simulator.web import WebServer

    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    node = environment.devnet(home, load_settings(home, None, **settings))
    with listen(PREFERRED_PORT) as listener:
        services = Stack(node, WebServer(node.app, listener))
        await services.start()
        try:
            tell(Notice(event="up", name="chain", message=f"http://{HOST}:{port_of(listener)}"))
            await ended.wait()
        finally:
            await services.stop()
