"""Parameters from JSON: every form of number, bytes and block that real clients send, and a clear no for the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from simulator.chain.devnet.errors import RpcError, invalid

T = TypeVar("T")
TAGS = frozenset({"latest", "pending", "earliest", "safe", "finalized"})
WORD_LIMIT = 1 << 256
MOST_IN_LIST = 1_000
_HEX = re.compile(r"0[xX]([0-9a-fA-F]*)\Z")

BlockRef = str | int | bytes
"""A tag, a number, or a hash."""


@dataclass(frozen=True)
class CallRequest:
    """What `eth_call` and `eth_estimateGas` run: addresses of 20 bytes, wei, gas; `to` is empty for a creation."""

    sender: bytes
    to: bytes
    gas: int | None
    value: int
    data: bytes
    access_list: tuple[tuple[bytes, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Criteria:
    """Which logs are wanted: any of the addresses, and for each position any of the topics; empty means all."""

    first: BlockRef
    last: BlockRef
    block_hash: bytes | None
    addresses: tuple[bytes, ...]
    topics: tuple[tuple[bytes, ...], ...]


def _digits(value: Any, name: str) -> str:
    match = _HEX.match(value) if isinstance(value, str) else None
    if match is None:
        raise invalid(f"{name}: hex with the prefix 0x is wanted, not {_shown(value)}")
    return match[1]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def quantity(value: Any, name: str = "number") -> int:
    """A number of at most 256 bits: `0x1f` (leading zeros allowed) or a JSON integer."""
    number = value if isinstance(value, int) and not isinstance(value, bool) else int(_digits(value, name) or "0", 16)
    if not 0 <= number < WORD_LIMIT:
        raise invalid(f"{name}: {_shown(value)} does not fit into 256 bits")
    return number


def data(value: Any, name: str = "data", size: int | None = None) -> bytes:
    """Bytes as hex of even length, `size` of them when that is given."""
    digits = _digits(value, name)
    if len(digits) % 2:
        raise invalid(f"{name}: hex of odd length")
    if size is not None and len(digits) != 2 * size:
        raise invalid(f"{name}: {size} bytes are wanted, not {len(digits) // 2}")
    return bytes.fromhex(digits)


def address(value: Any, name: str = "address") -> bytes:
    """An address, 20 bytes, in any case."""
    return data(value, name, 20)


def hash32(value: Any, name: str = "hash") -> bytes:
    """A hash or topic, 32 bytes."""
    return data(value, name, 32)


def flag(value: Any, name: str = "flag") -> bool:
    """A JSON boolean; absent counts as false."""
    if value is None or isinstance(value, bool):
        return bool(value)
    raise invalid(f"{name}: true or false is wanted, not {_shown(value)}")


def block(value: Any, name: str = "block") -> BlockRef:
    """A block by tag, number or hash (EIP-1898); absent counts as `latest`."""
    if value is None:
        return "latest"
    if isinstance(value, dict):
        if value.get("blockHash") is not None:
            return hash32(value["blockHash"], f"{name}.blockHash")
        if value.get("blockNumber") is not None:
            return block(value["blockNumber"], f"{name}.blockNumber")
        raise invalid(f"{name}: blockHash or blockNumber is wanted")
    if isinstance(value, str) and value in TAGS:
        return value
    if isinstance(value, str) and len(value) == 66:
        return hash32(value, name)
    return quantity(value, name)


def _optional(fields: dict[str, Any], key: str, read: Callable[[Any, str], T], default: T) -> T:
    return default if fields.get(key) is None else read(fields[key], key)


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(f"{name}: an object is wanted, not {_shown(value)}")
    return value


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > MOST_IN_LIST:
        raise invalid(f"{name}: a list of at most {MOST_IN_LIST} is wanted")
    return value


def call(value: Any) -> CallRequest:
    """A transaction object of a call. Fees are ignored: a call costs nothing here."""
    fields = _object(value, "transaction")
    old, new = fields.get("data"), fields.get("input")
    if old is not None and new is not None and data(old) != data(new, "input"):
        raise invalid('both "data" and "input" are set and not equal. Please use "input" to pass transaction call data')
    return CallRequest(
        sender=_optional(fields, "from", address, bytes(20)),
        to=_optional(fields, "to", lambda v, n: b"" if v in ("", "0x") else address(v, n), b""),
        gas=_optional(fields, "gas", quantity, None),
        value=_optional(fields, "value", quantity, 0),
        data=_optional({"input": old if new is None else new}, "input", data, b""),
        access_list=_optional(fields, "accessList", _access_list, ()),
    )


def _access_list(value: Any, name: str) -> tuple[tuple[bytes, tuple[int, ...]], ...]:
    entries = [_object(entry, name) for entry in _list(value, name)]
    return tuple(
        (
            address(entry.get("address"), f"{name}.address"),
            tuple(quantity(key, f"{name}.storageKeys") for key in _list(entry.get("storageKeys") or [], name)),
        )
        for entry in entries
    )


def criteria(value: Any) -> Criteria:
    """A log filter as `eth_getLogs` and `eth_newFilter` take it."""
    fields = _object(value if value is not None else {}, "filter")
    block_hash = _optional(fields, "blockHash", hash32, None)
    if block_hash is not None and (fields.get("fromBlock") is not None or fields.get("toBlock") is not None):
        raise invalid("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other")
    topics = _optional(fields, "topics", _list, [])
    if len(topics) > 4:
        raise invalid("exceed max topics")
    return Criteria(
        first=block(fields.get("fromBlock"), "fromBlock"),
        last=block(fields.get("toBlock"), "toBlock"),
        block_hash=block_hash,
        addresses=_either(fields.get("address"), address, "address"),
        topics=tuple(_either(topic, hash32, "topics") for topic in topics),
    )


def _either(value: Any, read: Callable[[Any, str], bytes], name: str) -> tuple[bytes, ...]:
    """One value, a list of alternatives, or nothing for all."""
    if value is None:
        return ()
    if isinstance(value, list):
        items = [item for item in _list(value, name) if item is not None]
        # A null among alternatives is "anything", as in go-ethereum.
        return tuple(read(item, name) for item in items) if len(items) == len(value) else ()
    return (read(value, name),)


def arguments(params: Any, readers: Sequence[Callable[[Any], Any]], required: int) -> list[Any]:
    """Read positional parameters; missing optional ones are read from None. Raises `RpcError` (-32602)."""
    given = [] if params is None else params
    if not isinstance(given, list):
        raise invalid("parameters are wanted as a list")
    if len(given) > len(readers):
        raise invalid(f"too many arguments, want at most {len(readers)}")
    for place in range(required):
        if place >= len(given) or given[place] is None:
            raise invalid(f"missing value for required argument {place}")
    padded = given + [None] * (len(readers) - len(given))
    return [_read(reader, value, place) for place, (reader, value) in enumerate(zip(readers, padded, strict=True))]


def _read(reader: Callable[[Any], Any], value: Any, place: int) -> Any:
    try:
        return reader(value)
    except RpcError as exc:
        raise invalid(f"invalid argument {place}: {exc.message}") from exc
