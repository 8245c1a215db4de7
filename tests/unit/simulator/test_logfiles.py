"""A file of the log on a disk that is full: an error for people at every size, and nothing is left beside."""

import resource
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from simulator.logfiles import write_file
from zjops.domain.errors import StoreUnavailable


@pytest.fixture(params=[1, 1_000, 20_000])
def full(request: pytest.FixtureRequest) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (request.param, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("full")
def test_a_file_that_does_not_fit_is_refused_and_not_left(tmp_path: Path) -> None:
    frame = pl.DataFrame({"n": pl.int_range(100_000, eager=True).hash(7)})
    with pytest.raises(StoreUnavailable, match=r"log folder .*free some space"):
        write_file(frame, tmp_path / "date=2026-11-24", "events", 1, frame.height)
    assert list((tmp_path / "date=2026-11-24").iterdir()) == []
