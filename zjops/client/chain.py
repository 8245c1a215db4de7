"""The chain as a verifier reads it: over the context's own RPC address, never through the API.

A handful of plain JSON-RPC questions, on purpose not through the library by which the platform writes: whoever checks
should not share the code of whoever is checked.
"""

from __future__ import annotations

from typing import Any

from zjops.client.http import Http
from zjops.config import Context
from zjops.domain.errors import ChainUnavailable, Problem, UnreachableError, UsageError
from zjops.domain.merkle import keccak256

ROOT_OF = keccak256(b"rootOf(uint64)")[:4]
NEXT_SEQUENCE = keccak256(b"nextSequence()")[:4]
ROOT_COMMITTED = keccak256(b"RootCommitted(uint64,uint32,bytes32,uint64)")


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


class ChainReader:
    """Reads the registry contract of a context. Raises `ChainUnavailable`."""

    def __init__(self, context: Context, http: Http | None = None) -> None:
        if context.rpc_url is None or context.contract is None:
            raise UsageError(f"context {context.name} names no chain (rpc_url, chain_id, contract, code_hash)")
        self._rpc_url, self._contract = context.rpc_url, context.contract
        self.http = http or Http("")

    def _ask(self, method: str, *params: Any) -> Any:
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        try:
            answer = self.http.request("POST", self._rpc_url, json=asked, repeat=True).json()
        except (UnreachableError, Problem, ValueError) as exc:
            raise ChainUnavailable(
                f"{self._rpc_url} does not answer as a chain ({exc}); is it up? zjops status"
            ) from exc
        if not isinstance(answer, dict) or "result" not in answer:
            said = answer.get("error", {}).get("message", answer) if isinstance(answer, dict) else answer
            raise ChainUnavailable(f"{self._rpc_url} refuses {method}: {said}")
        return answer["result"]

    def _number(self, method: str, *params: Any) -> int:
        try:
            return int(self._ask(method, *params), 16)
        except (TypeError, ValueError) as exc:
            raise ChainUnavailable(f"{self._rpc_url} answers {method} strangely: {exc}") from exc

    def _bytes(self, method: str, *params: Any) -> bytes:
        try:
            return bytes.fromhex(self._ask(method, *params)[2:])
        except (TypeError, ValueError) as exc:
            raise ChainUnavailable(f"{self._rpc_url} answers {method} strangely: {exc}") from exc

    def _call(self, data: bytes) -> bytes:
        return self._bytes("eth_call", {"to": self._contract, "data": "0x" + data.hex()}, "latest")

    def chain_id(self) -> int:
        """Which chain this is."""
        return self._number("eth_chainId")

    def code_hash(self) -> str:
        """keccak-256 of the code at the contract's address."""
        return "0x" + keccak256(self._bytes("eth_getCode", self._contract, "latest")).hex()

    def head(self) -> int:
        """The newest block's number."""
        return self._number("eth_blockNumber")

    def root_of(self, first: int) -> bytes | None:
        """The root of the batch that begins with a number."""
        root = self._call(ROOT_OF + _word(first))
        return root if any(root) else None

    def next_sequence(self) -> int:
        """The number that the next batch will begin with."""
        return int.from_bytes(self._call(NEXT_SEQUENCE), "big")

    def committed_in(self, first: int) -> int | None:
        """The block in which a batch was committed, from the contract's own log."""
        topics = ["0x" + ROOT_COMMITTED.hex(), "0x" + _word(first).hex()]
        wanted = {"fromBlock": "0x0", "toBlock": "latest", "address": self._contract, "topics": topics}
        logs = self._ask("eth_getLogs", wanted)
        try:
            return int(logs[-1]["blockNumber"], 16) if logs else None
        except (KeyError, TypeError, ValueError) as exc:
            raise ChainUnavailable(f"{self._rpc_url} answers eth_getLogs strangely: {exc}") from exc
