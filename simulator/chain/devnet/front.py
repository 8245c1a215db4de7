"""JSON-RPC 2.0 over HTTP: single requests and batches, and the error codes that clients know."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from simulator.chain.devnet.control import EQUIVALENTS, ControlMethods
from simulator.chain.devnet.encoding import BadParams, data
from simulator.chain.devnet.execution import Failed, Reverted
from simulator.chain.devnet.methods import Methods
from simulator.chain.devnet.node import Node
from simulator.chain.devnet.pool import Refused
from simulator.chain.devnet.sight import Sight

BODY_MOST = 4_000_000
BATCH_MOST = 1_000
PARSE, INVALID, NO_METHOD, BAD_PARAMS, INTERNAL, SERVER, REVERT = -32700, -32600, -32601, -32602, -32603, -32000, 3


class Front:
    """The ASGI application of a node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        sight = Sight(node)
        methods = Methods(node, sight)
        self._table = methods.table | ControlMethods(node, sight, methods.filters).table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status, answer = await self._answer(scope, receive)
        body = b"" if answer is None else msgspec.json.encode(answer)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, Any]:
        if scope["method"] == "GET":
            known = scope["path"] in ("/readyz", "/livez")
            return (200, {"ready": self._node.ready}) if known and self._node.ready else (503 if known else 404, {})
        if scope["method"] != "POST":
            return 405, {}
        body = await _body(receive)
        if body is None:
            return 413, _error(None, INVALID, f"a request may hold {BODY_MOST} bytes")
        try:
            asked = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return 200, _error(None, PARSE, "parse error")
        if not isinstance(asked, list):
            return 200, self._one(asked)
        if not asked or len(asked) > BATCH_MOST:
            return 200, _error(None, INVALID, f"a batch holds 1 to {BATCH_MOST} requests")
        return 200, [answer for answer in map(self._one, asked) if answer is not None] or None

    def _one(self, asked: Any) -> dict[str, Any] | None:
        """Answer one request; a notification gets no answer."""
        if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
            return _error(None, INVALID, "invalid request")
        number, params = asked.get("id"), asked.get("params", [])
        if not isinstance(params, list):
            return _error(number, BAD_PARAMS, "params must be a list")
        answer = self._call(number, asked["method"], params)
        return answer if "id" in asked else None

    def _call(self, number: Any, name: str, params: list[Any]) -> dict[str, Any]:
        method = self._table.get(name)
        if method is None:
            hint = f"; this is zjops-devnet, which has {EQUIVALENTS[name]}" if name in EQUIVALENTS else ""
            return _error(number, NO_METHOD, f"the method {name[:80]} does not exist/is not available{hint}")
        try:
            return {"jsonrpc": "2.0", "id": number, "result": method(*params)}
        except BadParams as exc:
            return _error(number, SERVER if "not found" in str(exc) else BAD_PARAMS, str(exc))
        except Reverted as exc:
            return _error(number, REVERT, str(exc), data(exc.output))
        except (Refused, Failed) as exc:
            return _error(number, SERVER, str(exc))
        except TypeError as exc:
            return _error(number, BAD_PARAMS, f"wrong number or kind of parameters: {exc}"[:200])
        except Exception as exc:  # whatever the EVM library raises must not end the server
            return _error(number, INTERNAL, f"{type(exc).__name__}: {exc}"[:200])


def _error(number: Any, code: int, message: str, detail: str | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message}
    return {"jsonrpc": "2.0", "id": number, "error": error | ({"data": detail} if detail is not None else {})}


async def _body(receive: Receive) -> bytes | None:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
        if size > BODY_MOST:
            return None
    return b"".join(parts)
