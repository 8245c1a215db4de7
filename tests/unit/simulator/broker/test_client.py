"""Headers over the wire: ours are what the library writes, and what it reads is what ours say."""

from __future__ import annotations

import asyncio

import pytest
from nats.aio.client import Client

from simulator.broker.client import Headers, QuickClient, header_block
from zjops.domain.errors import UsageError

LINES = {"Nats-Msg-Id": "ev_1", "Zjops-Outbox": "17", "traceparent": "00-ab-cd-01", "Empty": "", "Odd": "a: b"}


def read(block: bytes) -> dict[str, str] | None:
    """What the library makes of a block."""
    return asyncio.run(Client()._process_headers(block))


def test_a_block_is_what_the_library_reads() -> None:
    assert read(header_block(LINES)) == LINES


@pytest.mark.parametrize("value", ["a\r\nEvil: 1", "a\nb", "a\rb"])
def test_a_line_break_in_a_header_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="one line"):
        header_block({"traceparent": value})


def test_each_line_is_found_and_all_of_them() -> None:
    headers = Headers(header_block(LINES))
    assert {name: headers[name] for name in LINES} == LINES
    assert (dict(headers), len(headers), bool(headers)) == (LINES, len(LINES), True)
    assert headers.get("Nats-Msg") is None
    assert headers.get("nats-msg-id") is None


def test_how_others_write_their_lines_is_read_as_the_library_does() -> None:
    block = b"NATS/1.0\r\nA:1\r\nB:\t2 \r\nC: \xff\r\n\r\n"
    assert dict(Headers(block)) == read(block)
    assert Headers(block)["A"] == "1"


@pytest.mark.parametrize(
    "block", [b"NATS/1.0 404 No Messages\r\n\r\n", b"NATS/1.0 100\r\nIdle\r\nNats-Last-Consumer: 1\r\n\r\n", b""]
)
def test_a_status_of_the_server_is_the_librarys_matter(block: bytes) -> None:
    assert asyncio.run(QuickClient()._process_headers(block)) == read(block)
