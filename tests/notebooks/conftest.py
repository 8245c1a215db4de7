"""The small world, played once for all notebooks."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of the small world that the committed outputs are of."""
    from zjops.analytics.notebook import play_small_world

    return play_small_world(tmp_path_factory.mktemp("small") / "world")
