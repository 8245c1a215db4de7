"""What an operation is: the one place that says its path, scope, parameters, answers and problems."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request], Awaitable[Response]]
JSON = "application/json"

BELOW = ("malformed-request", "request-timeout", "headers-too-large", "payload-too-large")
"""What any request can meet before the application sees it."""
STORED = ("unavailable", "internal-error")
"""What an operation can meet that needs the store."""
IDENTIFIED = (
    "unauthorized", "address-banned", "rate-limit-exceeded", "insufficient-scope", "tenant-suspended",
    "version-unsupported", *STORED,
)  # fmt: skip
"""What an operation can meet that needs a token."""
PROTECTED = ("overloaded", "circuit-open")
"""What shields the platform from tenants; operators must get in while it does."""


class Header(msgspec.Struct, frozen=True):
    """A header of a request or an answer, with a JSON Schema and an example."""

    name: str
    description: str
    schema: dict[str, Any]
    required: bool = False


class Answer(msgspec.Struct, frozen=True):
    """A good answer: status, model (None for no JSON model), media type, headers beyond the common ones."""

    status: int
    description: str
    model: Any = None
    media: str | None = JSON
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation. `scope` None answers without a token; `stored` says whether such a one needs the store."""

    id: str
    method: str
    path: str
    call: Handler
    tag: str
    answers: tuple[Answer, ...]
    scope: str | None = None
    stored: bool = False
    problems: tuple[str, ...] = ()
    query: type[Any] | None = None
    body: Any = None
    body_schema: dict[str, Any] | None = None
    body_media: str = JSON
    headers: tuple[Header, ...] = ()
    errors: dict[int, Answer] | None = None

    @property
    def all_problems(self) -> tuple[str, ...]:
        """Every problem code that this operation can answer with, each once."""
        found = [*self.problems, *BELOW]
        if self.scope is not None:
            found += IDENTIFIED
            found += () if self.tag == "admin" else PROTECTED
        elif self.stored:
            found += STORED
        return tuple(dict.fromkeys(found))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the path's parameters."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring, without what it cites."""
        return _uncited(self.description.split("\n\n")[0]).rstrip(".")

    @property
    def description(self) -> str:
        """The handler's docstring."""
        return inspect.cleandoc(self.call.__doc__ or self.id)


def _uncited(text: str) -> str:
    return re.sub(r" \([RCS]\d[^)]*\)", "", text)


class Routing:
    """Which operation a method and path belong to: for scopes and metrics, before any routing is done."""

    def __init__(self, operations: list[Operation]) -> None:
        self._exact: dict[tuple[str, str], Operation] = {}
        self._patterns: list[tuple[re.Pattern[str], Operation]] = []
        for one in operations:
            if "{" in one.path:
                self._patterns.append((re.compile(re.sub(r"{\w+}", "[^/]+", one.path)), one))
            else:
                self._exact[one.method, one.path] = one
        self._paths = {one.path for one in operations}

    def find(self, method: str, path: str) -> Operation | None:
        """The operation of a request; None when there is none for the method and path."""
        method = "GET" if method == "HEAD" else method
        found = self._exact.get((method, path))
        if found is not None or path in self._paths:
            return found
        for pattern, one in self._patterns:
            if one.method == method and pattern.fullmatch(path):
                return one
        return None
