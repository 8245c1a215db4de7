"""JSON-RPC to a chain's node, in plain questions: on purpose not through the library by which the platform writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from zjops.client.http import Http, Outage
from zjops.config import Context
from zjops.domain.errors import ChainUnavailable, Problem, UnreachableError, UsageError

NO_METHOD = -32601
BATCH = 100
"""So many questions in one request: nodes take no more than a few hundred, some of them none."""
READ_WITHIN_S, ACT_WITHIN_S = 5.0, 30.0
"""A node that hangs must not hold up whoever only looks; what changes something may take its time."""


class RpcRefused(ChainUnavailable):
    """The node answered with an error; `code` is its JSON-RPC code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Rpc:
    """One node. Raises `ChainUnavailable` when it does not answer, and `RpcRefused` when it does not want to.

    `UsageError` is raised for what is no address of a node.
    """

    def __init__(self, url: str, http: Http | None = None) -> None:
        if not url.lower().startswith(("http://", "https://")):
            raise UsageError(f"{url!r:.80} is no http:// or https:// address of a node")
        self.url = url
        self.http = http or Http("", timeout_s=READ_WITHIN_S, late_again=False)

    def ask(self, method: str, *params: Any, repeat: bool = True) -> Any:
        """A method's result, as JSON has it."""
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        try:
            late = {} if repeat else {"timeout": ACT_WITHIN_S}
            answer = self.http.request("POST", self.url, json=asked, repeat=repeat, **late).json()
        except (UnreachableError, Problem, ValueError) as exc:
            # Some nodes say no by HTTP too; what counts is the error in the body.
            answer = exc.extra if isinstance(exc, Problem) else {}
            if not isinstance(answer.get("error"), dict):
                why = exc.why if isinstance(exc, Outage) else str(exc)
                raise ChainUnavailable(f"{self.url} does not answer as a chain ({why})") from exc
        if not isinstance(answer, dict) or "result" not in answer:
            error = answer.get("error") if isinstance(answer, dict) else answer
            said = error.get("message", error) if isinstance(error, dict) else error
            code = error.get("code", 0) if isinstance(error, dict) else 0
            raise RpcRefused(f"{self.url} refuses {method}: {said}", code)
        return answer["result"]

    def number(self, method: str, *params: Any) -> int:
        """A quantity."""
        try:
            return int(self.ask(method, *params), 16)
        except (TypeError, ValueError) as exc:
            raise ChainUnavailable(f"{self.url} answers {method} strangely: {exc}") from exc

    def data(self, method: str, *params: Any) -> bytes:
        """Bytes."""
        try:
            return bytes.fromhex(self.ask(method, *params)[2:])
        except (TypeError, ValueError) as exc:
            raise ChainUnavailable(f"{self.url} answers {method} strangely: {exc}") from exc

    def block(self, tag: str = "latest") -> dict[str, Any]:
        """A block's head without its transactions."""
        found = self.ask("eth_getBlockByNumber", tag, False)
        if not isinstance(found, dict):
            raise ChainUnavailable(f"{self.url} has no block {tag}")
        return found

    def blocks(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """The heads of several blocks, many in one request; one by one where the node takes no batch."""
        found: list[dict[str, Any]] = []
        for at in range(0, len(numbers), BATCH):
            found += self._batch(numbers[at : at + BATCH])
        return found

    def _batch(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        asked = [
            {"jsonrpc": "2.0", "id": one, "method": "eth_getBlockByNumber", "params": [hex(one), False]}
            for one in numbers
        ]  # fmt: skip
        try:
            told = self.http.request("POST", self.url, json=asked, repeat=True).json()
        except (UnreachableError, Problem, ValueError):
            told = None
        answers = told if isinstance(told, list) else []
        by_number = {one.get("id"): one.get("result") for one in answers if isinstance(one, dict)}
        heads = [(one, by_number.get(one)) for one in numbers]
        return [head if isinstance(head, dict) else self.block(hex(one)) for one, head in heads]

    def close(self) -> None:
        """Let go of the connection."""
        self.http.close()


@contextmanager
def node_of(context: Context) -> Iterator[Rpc]:
    """The node of a context, let go of at the end. Raises `UsageError` where it names none."""
    if context.rpc_url is None:
        raise UsageError(f"context {context.name} names no chain (rpc_url)")
    with closing(Rpc(context.rpc_url)) as rpc:
        yield rpc
