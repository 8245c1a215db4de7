"""A log of the time-skipping platform, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.virtual import day
from zjops.domain.clock import run_virtual


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half an hour of jobs of every kind and end on three tenants; tests only read it."""
    folder = tmp_path_factory.mktemp("played")
    told = run_virtual(day(11, 120, folder, span_s=1800))
    assert set(told["statuses"]) >= {"confirmed", "failed"}
    return folder
