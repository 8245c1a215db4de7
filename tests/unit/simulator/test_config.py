"""Settings: what nothing said means, and what is refused before anything is started or remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from simulator.config import Settings, load_settings
from simulator.environment import Platform, time_skipping
from tests.support.virtual import START_MS
from zjops.domain.chains import Finality
from zjops.domain.clock import run_virtual


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ({}, "depth:3"), ({"chain_id": "2632500"}, "depth:6"), ({"chain_id": "7082400"}, "depth:6"),
        ({"chain": "anvil"}, "depth:3"), ({"chain_id": "5"}, "depth:3"),
        ({"chain_id": "2632500", "finality": "depth:2"}, "depth:2"), ({"finality": "finalized"}, "tag:finalized"),
    ],
)  # fmt: skip
def test_finality_is_that_of_the_chain_unless_it_is_said(tmp_path: Path, asked: dict[str, str], meant: str) -> None:
    chosen = load_settings(tmp_path, {}, **asked)
    assert chosen.final_by.text == meant
    # What was not said is not remembered either: another chain id later brings its own rule.
    assert msgspec.json.decode(msgspec.json.encode(chosen))["finality"] == asked.get("finality", "")


def test_the_relayer_goes_by_the_chains_rule(tmp_path: Path) -> None:
    async def story() -> Any:
        platform: Platform = time_skipping(1, START_MS, tmp_path, chain_id=2632500)
        relayer: Any = platform._relayer()
        return relayer._rules.finality

    assert run_virtual(story()) == Finality(6)
    assert Settings(chain_id=2632500).final_by == Finality(6)
