"""nats-py's client, quicker at what it does with each of thousands of messages a second: their headers.

It checks and writes every line of every message by itself, and splits every block that arrives, for readers most of
whom want one line or none: a tenth of what the API and the backend do under load.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nats.aio.client import Client
from nats.protocol.command import hpub_cmd

from zjops.domain.errors import UsageError

VERSION = "NATS/1.0"
_STATUS = f"{VERSION} ".encode()


def header_block(headers: Mapping[str, str]) -> bytes:
    """Headers as they go over the wire. Raises `UsageError` for a line break inside one."""
    text = VERSION + "\r\n" + "".join([f"{name}: {value}\r\n" for name, value in headers.items()]) + "\r\n"
    if text.count("\n") != len(headers) + 2 or text.count("\r") != len(headers) + 2:
        raise UsageError("a header of a message is one line")
    return text.encode()


class Headers(Mapping[str, str]):
    """The headers of a message that came, split when they are all wanted."""

    __slots__ = ("_block", "_lines")

    def __init__(self, block: bytes) -> None:
        self._block = block
        self._lines: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        _, found, rest = self._block.partition(f"\r\n{name}: ".encode())
        return rest[: rest.find(b"\r\n")].decode(errors="replace") if found else self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, str]:
        if self._lines is None:
            self._lines = Client._parse_header_lines(self._block)
        return self._lines


class QuickClient(Client):
    """A client whose `publish` also takes a ready block of headers."""

    async def _process_headers(self, headers: bytes | None) -> Any:
        """A status of the server is the library's matter, for it asks for its words."""
        if not headers or headers.startswith(_STATUS):
            return await super()._process_headers(headers)
        return Headers(headers)

    async def _send_publish(self, subject: str, reply: str, payload: bytes, payload_size: int, headers: Any) -> None:
        if not isinstance(headers, bytes):
            await super()._send_publish(subject, reply, payload, payload_size, headers)
            return
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += payload_size
        await self._send_command(hpub_cmd(subject, reply, headers, payload))
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()
