"""The Store port: named SQL inside transactions that are grouped into one fsync."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Row = dict[str, Any]


class Tx(Protocol):
    """One transaction. Names are those of `-- name:` lines in `store/queries/*.sql`."""

    def all(self, query: str, /, **params: Any) -> list[Row]:
        """Every row of a query."""
        ...

    def one(self, query: str, /, **params: Any) -> Row | None:
        """The first row of a query, or None."""
        ...

    def run(self, query: str, /, **params: Any) -> int:
        """Run a statement; returns how many rows it changed."""
        ...

    def many(self, query: str, /, rows: Sequence[dict[str, Any] | tuple[Any, ...]]) -> int:
        """Run a statement once for each row of parameters; returns how many rows it changed in all.

        Rows are dictionaries where the statement names its parameters and tuples where it says `?`, as the statements
        that run for every job do: finding a value by its name costs as much again as storing it.
        """
        ...


Work = Callable[[Tx], T]


class Store(Protocol):
    """Durable state.

    `transact` runs `work` alone (serializable) and returns its value once it is durable. Works that wait together
    share one commit; each is all or nothing by itself: an exception undoes only its own writes and reaches its caller.
    `work` must be quick, must not await and may be run again. Raises `StoreUnavailable`.
    """

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def transact(self, work: Work[T]) -> T: ...

    async def read(self, work: Work[T]) -> T:
        """Run `work` on a consistent snapshot that sees every commit made before the call."""
        ...
