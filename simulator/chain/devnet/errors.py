"""What a JSON-RPC caller is told: codes as go-ethereum uses them, in its words where clients match on words."""

from __future__ import annotations

from typing import Any

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_ERROR = -32000
LIMIT_EXCEEDED = -32005
REVERTED = 3


class RpcError(Exception):
    """An error answer; `data` is hex where the EVM gave some."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data

    def document(self) -> dict[str, Any]:
        """The `error` member of the answer."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        return body if self.data is None else body | {"data": self.data}


def invalid(message: str) -> RpcError:
    """Parameters that are not what the method takes."""
    return RpcError(INVALID_PARAMS, message)


def refused(message: str) -> RpcError:
    """The node understood and says no."""
    return RpcError(SERVER_ERROR, message)
