"""Query parameters and bodies as models; what is wrong with them becomes a problem that names the place."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from simulator.api.strictjson import decode
from simulator.gateway.context import context_of
from simulator.intake import LARGE_BYTES
from simulator.intake.parsing import convert, told
from zjops.domain.clock import parse_rfc3339
from zjops.domain.errors import FieldError, Problem

T = TypeVar("T")


def _wrong(name: str, why: str) -> Problem:
    return Problem("invalid-parameter", f"{name}: {why}", errors=[FieldError(f"#/{name}", why)])


def read_query(request: Request, model: type[T]) -> T:
    """The query as a model. Raises `Problem` (400) for unknown, repeated and wrong parameters."""
    given = request.query_params.multi_items()
    fields = {field.encode_name: field for field in msgspec.structs.fields(model)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, text in given:
        if name not in fields:
            raise _wrong(name, f"is not a parameter here; there are {', '.join(fields)}")
        if name in values:
            raise _wrong(name, "stands twice")
        try:
            values[name] = msgspec.convert(text, fields[name].type, strict=False)
            if values[name] is None:
                # The library reads the word null as nothing.
                raise msgspec.ValidationError("is left out, not null")
        except msgspec.ValidationError as exc:
            raise _wrong(name, told(str(exc), fields[name].type)) from exc
    return msgspec.convert(msgspec.to_builtins(values), model)


async def read_body(request: Request, model: type[T]) -> T:
    """The JSON body as a model. Raises `Problem`: 415, 400 or 422 with a pointer for every field."""
    check_json(request)
    found: T = convert(await decoded(await request.body()), model)
    return found


async def decoded(body: bytes) -> Any:
    """A JSON body as plain values, read where a large one does not hold the loop up. Raises `Problem` (400)."""
    return await asyncio.to_thread(decode, body) if len(body) > LARGE_BYTES else decode(body)


async def whole_body(request: Request) -> bytes:
    """The body, which mostly comes in one piece."""
    message = await request.receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        found: bytes = message.get("body", b"")
        return found
    parts = []
    while message["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await request.receive()
    raise ClientDisconnect


def check_json(request: Request) -> None:
    """Raises `Problem` (415) unless the body is said to be JSON in UTF-8, uncompressed."""
    given = context_of(request.scope).given
    if given.get(b"content-type") == b"application/json" and b"content-encoding" not in given:
        return
    kind, _, rest = request.headers.get("content-type", "").partition(";")
    charset = rest.strip().lower()
    if kind.strip().lower() != "application/json" or (charset and charset not in ("charset=utf-8", 'charset="utf-8"')):
        raise Problem("unsupported-media-type", "Send application/json in UTF-8.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem("unsupported-media-type", "Send the body without Content-Encoding.")


def moment(name: str, text: str | None) -> int | None:
    """A time parameter (RFC 3339 with a zone) in Unix ms. Raises `Problem` (400)."""
    if text is None:
        return None
    try:
        found = parse_rfc3339(text)
    except (ValueError, OverflowError) as exc:
        raise _wrong(name, str(exc)) from exc
    return found
