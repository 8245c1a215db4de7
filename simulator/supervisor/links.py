"""Proxies in front of the parts of a platform, so that the way to them can be made bad: off unless it was asked for."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import msgspec

from simulator.faults.proxy import TcpProxy
from simulator.supervisor import ports
from simulator.supervisor.runs import Addresses
from zjops.domain.clock import Clock
from zjops.domain.runfile import RunFile

APART = 500
"""How far above its usual port a part listens when a proxy has that port."""


def links(at: Addresses, api: socket.socket, clock: Clock) -> dict[str, TcpProxy]:
    """A proxy before the API, on a socket that is there already, and before the broker and the chain on free ones."""
    return {
        "api": TcpProxy(api, at.api, clock),
        "broker": TcpProxy(ports.listen(at.nats + APART), at.nats, clock),
        "chain": TcpProxy(ports.listen(at.rpc + APART), at.rpc, clock),
    }


def through(run: RunFile, proxies: dict[str, TcpProxy]) -> RunFile:
    """The run file whose addresses lead through the proxies."""
    urls = {"api": ("api_url", "issuer", "token_url"), "broker": ("nats_url",), "chain": ("rpc_url",)}
    changed = {field: _at(getattr(run, field), proxies[name].port) for name, fields in urls.items() for field in fields}
    return msgspec.structs.replace(run, **changed)


def _at(url: str, port: int) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.hostname}:{port}").geturl()
