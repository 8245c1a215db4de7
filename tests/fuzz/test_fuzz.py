"""A short run of the fuzzer on every change; `make fuzz` runs the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.run import run
from tests.fuzz.target import running_target


@pytest.mark.timeout(300)
def test_a_short_fuzzing_run_finds_nothing(tmp_path: Path) -> None:
    with running_target() as target:
        status, cases, said = run(target, 7, 2, tmp_path)
    assert target.errors == []
    assert status == 0, said
    assert cases > 500
