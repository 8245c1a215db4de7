"""The tables of a store in memory, past its named statements."""

from __future__ import annotations

import sqlite3

from simulator.store.memory import MemoryStore
from simulator.store.port import Row, Store
from simulator.store.sqlite import MemorySqliteStore


def tables(store: Store) -> sqlite3.Connection:
    """The connection, with everything in its tables that the store holds; to look at, or to change the cold ones."""
    assert isinstance(store, MemorySqliteStore)
    if isinstance(store, MemoryStore):
        store.flush("platform_state")
    return store._ready()


def look(store: Store, query: str) -> list[Row]:
    """The rows of a query."""
    cursor = tables(store).execute(query)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
