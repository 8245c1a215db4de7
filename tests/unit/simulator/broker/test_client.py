"""Headers and messages over the wire: what is written and read here is what the library writes and reads."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from simulator.broker.client import Arrived, Headers, QuickClient, QuickParser, header_block
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


class Wire:
    """What a client is told by its parser, whichever that is."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def handed_over(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> bool:
        """Every other one is attended to."""
        if sid % 2:
            return False
        self.told.append((sid, subject, reply, data, headers))
        return True

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        self.told.append((sid, subject, reply, data, headers))

    async def _process_ping(self) -> None:
        self.told.append(("PING",))

    async def _process_pong(self) -> None:
        self.told.append(("PONG",))

    async def _process_err(self, text: str) -> None:
        self.told.append((text,))

    async def _process_info(self, info: dict[str, object]) -> None:
        self.told.append(tuple(info))


async def _read(parser: Parser, blocks: list[bytes]) -> None:
    for block in blocks:
        await parser.parse(block)


def _message(number: int, size: int, *, reply: bool, headed: bool) -> bytes:
    # A payload may look like the protocol itself.
    payload = (b"MSG a 1 2\r\nHMSG b 1 2 3\r\nPING\r\n+OK\r\n" * (size // 30 + 1))[:size]
    words = [b"a.b", str(number).encode(), *([b"_INBOX.x"] if reply else [])]
    if headed:
        block = header_block({"N": str(number)})
        sizes = f"{len(block)} {len(block) + size}".encode()
        return b"HMSG " + b" ".join([*words, sizes]) + b"\r\n" + block + payload + b"\r\n"
    return b"MSG " + b" ".join([*words, str(size).encode()]) + b"\r\n" + payload + b"\r\n"


PIECES = st.one_of(
    st.builds(
        _message,
        st.integers(0, 9),
        st.sampled_from([0, 1, 7, 30, 200, 5_000]),
        reply=st.booleans(),
        headed=st.booleans(),
    ),
    st.sampled_from([b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"-ERR 'Slow Consumer'\r\n", b'INFO {"a":1}\r\n']),
)


@given(st.lists(PIECES, max_size=30), st.lists(st.integers(1, 4_000), max_size=60))
def test_wherever_the_bytes_are_cut_what_comes_is_what_the_library_reads(pieces: list[bytes], cuts: list[int]) -> None:
    whole, blocks, at = b"".join(pieces), [], 0
    for size in [*cuts, max(1, len(b"".join(pieces)))]:
        blocks.append(whole[at : at + size])
        at += size
    blocks = [block for block in blocks if block]
    theirs, ours = Wire(), Wire()
    asyncio.run(_read(Parser(theirs), blocks))
    asyncio.run(_read(QuickParser(ours), blocks))
    assert ours.told == theirs.told


@pytest.mark.parametrize("line", [b"MSG a 1 x\r\n", b"HMSG a 1 2\r\nxx\r\n", b"MSG a\r\n", b"nonsense\r\n"])
def test_what_is_no_protocol_is_refused_as_the_library_does(line: bytes) -> None:
    for parser in (Parser(Wire()), QuickParser(Wire())):
        with pytest.raises(ProtocolError):
            asyncio.run(_read(parser, [line]))


def test_a_message_that_cannot_be_taken_does_not_hold_up_the_next(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> list[bytes]:
        client, taken = QuickClient(), list[bytes]()

        def take(message: Arrived) -> None:
            if message.data == b"bad":
                raise ValueError("not mine")
            taken.append(message.data)

        client._takers[1] = take
        await client._ps.parse(b"MSG a 1 1\r\nA\r\nMSG a 1 3\r\nbad\r\nMSG a 1 1\r\nC\r\n")
        return taken

    assert asyncio.run(story()) == [b"A", b"C"]
    assert "could not be taken" in caplog.text
