"""A small recording of the terminal's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tui.world import END, World


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("actions") / "world.zjrec"
    World(path).write()
    return path


@pytest.fixture
def at_ms() -> int:
    return END
